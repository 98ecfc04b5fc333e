# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# What the cloud consists of: system packages, by bindep.txt of this folder,
# and Python packages, in the versions of its constraints.txt.

CLOUD_PACKAGES=(
    keystone glance neutron openstack-placement nova tempest
    python-openstackclient osc-placement libvirt-python
    uwsgi gunicorn pymysql python-memcached
)
COMPUTE_PACKAGES=(nova libvirt-python python-memcached)

# install_once PLACE MARK SUM ARGUMENT...: pip install with those arguments,
# unless that was done with the same SUM before.
install_once() {
    local place=$1 mark=$1/.devcloud-$2 sum=$3
    shift 3
    [ "$(cat "$mark" 2>/dev/null)" != "$sum" ] || return 0
    progress "pip install in $place"
    VENV=$place make_venv
    if ! "$place/bin/python" -m pip install \
            -c "$DEVCLOUD/constraints.txt" "$@" >"$LOG/pip.log" 2>&1; then
        tail -n 15 "$LOG/pip.log" >&2
        die "pip failed in $place; all of its output is in $LOG/pip.log"
    fi
    printf '%s\n' "$sum" >"$mark"
}

checksum() {
    printf '%s\n' "$*" | cat - "$DEVCLOUD/constraints.txt" | cksum
}

cloud_packages() {
    # With the files of this folder.
    TOP=$DEVCLOUD system_packages cloud
    ! with_volumes || TOP=$DEVCLOUD system_packages volumes
    install_once "$VENV" cloud "$(checksum "${CLOUD_PACKAGES[@]}")" \
        "${CLOUD_PACKAGES[@]}"
    ! with_volumes || volume_packages
}

volume_packages() {
    local bindings=/usr/lib/python3/dist-packages folder
    install_once "$VENV" volumes "$(checksum cinder)" cinder
    # The bindings are extension modules of the distribution's Python; links
    # make them importable in an environment of the same version.
    folder=$("$VENV/bin/python" -c \
        'import sysconfig; print(sysconfig.get_path("platlib"))')
    ln -sf $bindings/rados.cpython-*.so $bindings/rbd.cpython-*.so "$folder/"
    "$VENV/bin/python" -c 'import rados, rbd' || die "volumes need a $VENV" \
        "made by the distribution's own version of Python: remove it, put" \
        "that Python first in PATH and try again"
}

# Libvirt 9.0 chooses no firmware when it is told of secure boot in two places,
# and Nova's own driver tells it of that in both: no guest has UEFI then.
uefi_with_old_libvirt() {
    local told='self.os_loader_secure is not None'
    sed -i "s/if $told:/if $told and not self.os_firmware:/" \
        "$COMPUTE_VENV"/lib/python3.*/site-packages/nova/virt/libvirt/config.py
}

# Nova's own driver mounts a config drive of VFAT to fill it. A kernel without
# that file system leaves it to mtools.
vfat_without_kernel() {
    local made="unprivileged_mkfs('vfat', path" copy
    if grep -qw vfat /proc/filesystems || modprobe -q vfat; then
        return
    fi
    copy="        return processutils.execute('mcopy', '-s', '-i', path, *("
    copy+="os.path.join(tmpdir, name) for name in os.listdir(tmpdir)), '::')"
    sed -i -e "/'mcopy'/d" -e "/$made/a\\$copy" \
        "$COMPUTE_VENV"/lib/python3.*/site-packages/nova/virt/configdrive.py
}

# Nova where nova-compute runs; this tree, too, if it is to use our driver.
# DEVCLOUD_INSTALL=editable: the tree's code is used where it is.
compute_packages() {
    local tree=(-e "$TOP") sum
    case ${DEVCLOUD_INSTALL:-editable} in
    editable) ;;
    regular) tree=(--force-reinstall --no-deps "$TOP") ;;
    *) die "DEVCLOUD_INSTALL: must be editable or regular" ;;
    esac
    if [ "$COMPUTE_VENV" != "$VENV" ]; then
        install_once "$COMPUTE_VENV" compute \
            "$(checksum "${COMPUTE_PACKAGES[@]}")" "${COMPUTE_PACKAGES[@]}"
    fi
    uefi_with_old_libvirt
    vfat_without_kernel
    [[ " $COMPUTE_DRIVER " == *" $OUR_DRIVER "* ]] || return 0
    sum=$(cd "$TOP" && checksum "${tree[@]}" "$(cat pyproject.toml setup.cfg \
        tools/build_backend.py requirements.txt | cksum)")
    if [ "${tree[0]}" != -e ]; then
        # What the tree needs, then always the code of now.
        install_once "$COMPUTE_VENV" tree-needs "$sum" \
            -r "$TOP/requirements.txt"
        sum+=" $(date +%s)"
    fi
    install_once "$COMPUTE_VENV" tree "$sum" "${tree[@]}"
}
