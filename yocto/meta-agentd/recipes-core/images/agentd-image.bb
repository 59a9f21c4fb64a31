SUMMARY = "A small image that boots into agentd"
DESCRIPTION = "The packages that a board needs to boot, agentd with its default model."
SECTION = "images"
LICENSE = "Apache-2.0"

inherit core-image features_check

# The watchdog, the journal's fields and the sandbox of the service are systemd's.
REQUIRED_DISTRO_FEATURES = "systemd"

IMAGE_INSTALL = "packagegroup-core-boot agentd ${CORE_IMAGE_EXTRA_INSTALL}"
IMAGE_LINGUAS = ""

# In KiB, beyond what is installed: the database within its bounds (64 MiB of outbox and the readings of
# 90 days) and a second model beside the first, on an image without a data partition.
IMAGE_ROOTFS_EXTRA_SPACE = "524288"
