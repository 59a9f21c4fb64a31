SUMMARY = "Local agent daemon: words into safe actions on the board"
DESCRIPTION = "agentd runs a small language model on the board, turns a person's words into one safe, \
               durable action on its hardware, and syncs what happened over MQTT whenever there is a \
               network."
SECTION = "console/utils"
LICENSE = "Apache-2.0"
LIC_FILES_CHKSUM = "file://LICENSE;md5=3b83ef96387f14655fc854ddc3c6bd57"

# clang-native is for bindgen, cmake-native for llama.cpp; both are built by build scripts of crates.
DEPENDS = "clang-native cmake-native"

# What is built is the commit at which this layer is checked out: layer and source cannot drift apart.
# A product that mirrors the source sets AGENTD_GIT and AGENTD_REV.
AGENTD_CHECKOUT ?= "${@os.path.realpath(d.getVar('THISDIR') + '/../../../..')}"
AGENTD_GIT ?= "git://${AGENTD_CHECKOUT};protocol=file;nobranch=1"
AGENTD_REV ?= "${@agentd_checkout_revision(d)}"
SRC_URI = "${AGENTD_GIT}"
SRCREV = "${AGENTD_REV}"

require agentd-crates.inc

inherit cargo systemd useradd

def agentd_checkout_revision(d):
    """The commit of the checkout, or INVALID (bitbake's word for "not yet known") without one."""
    import subprocess
    git = ["git", "-C", d.getVar("AGENTD_CHECKOUT"), "rev-parse", "--verify", "HEAD"]
    try:
        return subprocess.run(git, check=True, capture_output=True, text=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "INVALID"

# Only the daemon: cargo would otherwise unite the features that the workspace's tests ask for.
CARGO_BUILD_FLAGS += "-p agentd"

export LIBCLANG_PATH = "${STAGING_LIBDIR_NATIVE}"
export BINDGEN_EXTRA_CLANG_ARGS = "${HOST_CC_ARCH}${TOOLCHAIN_OPTIONS} --target=${TARGET_SYS}"
# CMAKE_TOOLCHAIN_FILE stays unset: the wrapper around the compiler carries -mcpu and the sysroot, and
# cmake-rs would drop them with a toolchain file.

# oe-core asks for the system's SQLite. The daemon is tested for durability with the one that its crate
# carries, so that one is used.
oe_cargo_fix_env:append() {
    unset LIBSQLITE3_SYS_USE_PKG_CONFIG
}

# Which of configs/ becomes /etc/agentd/agentd.toml.
AGENTD_CONFIG ?= "default.toml"
# nooelint: oelint.vars.specific - an override that meta-raspberrypi sets
AGENTD_CONFIG:rpi ?= "raspberry-pi.toml"
# nooelint: oelint.vars.specific - an override that meta-tegra sets
AGENTD_CONFIG:tegra ?= "jetson.toml"

do_install() {
    install -D -m 0755 ${B}/target/${CARGO_TARGET_SUBDIR}/agentd ${D}${bindir}/agentd

    install -d -m 0750 ${D}${sysconfdir}/agentd
    install -m 0640 ${S}/configs/${AGENTD_CONFIG} ${D}${sysconfdir}/agentd/agentd.toml
    chown -R root:agentd ${D}${sysconfdir}/agentd

    install -D -m 0644 ${S}/systemd/agentd.service ${D}${systemd_system_unitdir}/agentd.service
    install -D -m 0644 ${S}/systemd/agentd.tmpfiles ${D}${nonarch_libdir}/tmpfiles.d/agentd.conf
    install -D -m 0644 ${S}/systemd/agentd.modules-load ${D}${nonarch_libdir}/modules-load.d/agentd.conf
    install -D -m 0644 ${S}/systemd/99-agentd.rules ${D}${nonarch_base_libdir}/udev/rules.d/99-agentd.rules
}

SYSTEMD_SERVICE:${PN} = "agentd.service"

# A fixed id: what the daemon owns on a data partition outlives the root file system it was made under.
# The account is made here and not from agentd.sysusers, which would take whichever id is free.
USERADD_PACKAGES = "${PN}"
GROUPADD_PARAM:${PN} = "--system --gid 873 agentd"
USERADD_PARAM:${PN} = "--system --uid 873 --gid agentd --groups dialout --no-create-home \
                       --home-dir ${localstatedir}/lib/agentd --shell ${base_sbindir}/nologin agentd"

CONFFILES:${PN} = "${sysconfdir}/agentd/agentd.toml"
FILES:${PN} += "\
    ${nonarch_base_libdir}/udev/rules.d \
    ${nonarch_libdir}/modules-load.d \
    ${nonarch_libdir}/tmpfiles.d \
"

# TLS to the broker is checked against the system's certificates.
RDEPENDS:${PN} = "ca-certificates"
RRECOMMENDS:${PN} = "agentd-model-smollm2 kernel-module-cdc-acm kernel-module-usbserial"
