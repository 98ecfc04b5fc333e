# SPDX-License-Identifier: Apache-2.0

# Lets nova-compute of a DevStack run on this driver. In local.conf:
#
#   enable_plugin nova-libvirt-driver URL [BRANCH]

NOVA_LIBVIRT_DRIVER_FILTERS=rootwrap.d/nova-libvirt-driver.filters

# What nova-compute needs where it is not root; see "Running as an unprivileged
# user" in the documentation. DevStack itself lets it into libvirt's group.
function give_nova_libvirt_driver_its_rights {
    local group
    sudo install -o root -g root -m 644 \
        "$DEST/nova-libvirt-driver/etc/nova_libvirt_driver/$NOVA_LIBVIRT_DRIVER_FILTERS" \
        "$NOVA_CONF_DIR/$NOVA_LIBVIRT_DRIVER_FILTERS"
    # QEMU's, by distribution.
    for group in libvirt-qemu qemu kvm; do
        if getent group "$group" >/dev/null; then
            add_user_to_group "$STACK_USER" "$group"
        fi
    done
}

if is_service_enabled n-cpu; then
    if [[ "$1" == "stack" && "$2" == "install" ]]; then
        setup_develop "$DEST/nova-libvirt-driver"
    elif [[ "$1" == "stack" && "$2" == "post-config" ]]; then
        # DevStack copies it into the file of nova-compute.
        iniset "$NOVA_CONF" DEFAULT compute_driver \
            nova_libvirt_driver.LibvirtDriver
        give_nova_libvirt_driver_its_rights
    elif [[ "$1" == "clean" ]]; then
        sudo rm -f "$NOVA_CONF_DIR/$NOVA_LIBVIRT_DRIVER_FILTERS"
    fi
fi
