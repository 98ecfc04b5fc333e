# SPDX-License-Identifier: Apache-2.0

# Lets nova-compute of a DevStack run on this driver. In local.conf:
#
#   enable_plugin nova-libvirt-driver URL [BRANCH]

if is_service_enabled n-cpu; then
    if [[ "$1" == "stack" && "$2" == "install" ]]; then
        setup_develop "$DEST/nova-libvirt-driver"
    elif [[ "$1" == "stack" && "$2" == "post-config" ]]; then
        # DevStack copies it into the file of nova-compute.
        iniset "$NOVA_CONF" DEFAULT compute_driver \
            nova_libvirt_driver.LibvirtDriver
    fi
fi
