# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# A compute host (h1, h2) is a mount, a network and a UTS namespace, held by a
# sleeping process: it has its own libvirt, Open vSwitch, /sys, /dev, loopback.
# The machine's own are not touched.

in_host() {
    local host=$1
    shift
    nsenter -t "$(cat "$RUN/ns-$host.pid")" -m -n -u --root --wd -- "$@"
}

# start_in HOST NAME COMMAND...
start_in() {
    local host=$1 name=$2
    shift 2
    start "$name" nsenter -t "$(cat "$RUN/ns-$host.pid")" -m -n -u --root --wd -- "$@"
}

# vsctl HOST ARGUMENT...: ovs-vsctl that does not wait for the switch.
vsctl() {
    in_host "$1" ovs-vsctl --no-wait "${@:2}"
}

# Keys with which the hosts copy disks to each other in a cold migration.
make_ssh_keys() {
    local folder=$STATE/ssh
    [ ! -e "$folder/config" ] || return 0
    rm -rf "$folder"
    mkdir -m 700 "$folder"
    ssh-keygen -q -t ed25519 -N '' -f "$folder/id_ed25519"
    cp "$folder/id_ed25519.pub" "$folder/authorized_keys"
    dropbearkey -t ed25519 -f "$folder/dropbear_host_key" >/dev/null 2>&1
    printf '%s\n' 'StrictHostKeyChecking no' \
        'UserKnownHostsFile /dev/null' 'LogLevel ERROR' >"$folder/config"
}

# make_users FOLDER: the machine's users, and nova, whose groups are those that
# it has on every host: libvirt's socket is for one, disks of guests for others.
make_users() {
    local folder=$1 groups='libvirt|libvirt-qemu|kvm'
    { sed '/^nova:/d' /etc/passwd
      printf 'nova:*:%s:%s::%s:/bin/bash\n' "$COMPUTE_UID" "$COMPUTE_UID" \
          "$COMPUTE_HOME"; } >"$folder/passwd"
    { sed -E -e '/^nova:/d' -e "s/^($groups):.*[^:]\$/&,nova/" \
          -e "s/^($groups):.*:\$/&nova/" /etc/group
      printf 'nova:x:%s:\n' "$COMPUTE_UID"; } >"$folder/group"
}

# keep_users HOST: a package that makes a user of the machine puts a new file in
# the place of /etc/passwd, and what was mounted there is gone.
keep_users() {
    local host=$1 folder=$STATE/hosts/$1 name
    ! in_host "$host" getent passwd nova >/dev/null || return 0
    make_users "$folder"
    for name in passwd group; do
        in_host "$host" mount --bind "$folder/$name" "/etc/$name"
    done
}

# make_home FOLDER: nova's, with keys of its own.
make_home() {
    local home=$1/nova-compute
    [ "$(stat -c %u "$home")" != "$COMPUTE_UID" ] ||
        [ ! -e "$home/.ssh" ] || return 0
    mkdir -p "$home/instances"
    rm -rf "$home/.ssh"
    cp -a "$STATE/ssh" "$home/.ssh"
    chown -R "$COMPUTE_UID:$COMPUTE_UID" "$home"
}

# What nova-compute has to reach, wherever this machine has it.
compute_folders() {
    local place
    for place in "$VENV" "$COMPUTE_VENV" "${NOVA_LIBVIRT_VENV:-$TOP/.venv}"; do
        [ ! -x "$place/bin/python" ] || "$place/bin/python" -c \
            'import sys; print(sys.prefix, sys.base_prefix, sep="\n")'
    done
    printf '%s\n' "$TOP"
}

make_host() {
    local host=$1 folder=$STATE/hosts/$1 reachable
    ! alive "ns-$host" || return 0
    mkdir -p "$STATE/nova-compute" "$folder"/{run,lib,etc,cache,log}-libvirt \
        "$folder"/{run-ovs,run-ovn,etc-ovs,nova-compute}
    [ -e "$folder/etc-libvirt/qemu.conf" ] ||
        cp -a /etc/libvirt/. "$folder/etc-libvirt/"
    rm -rf "$folder"/etc-libvirt/qemu/networks/autostart/* "$folder"/run-*/*
    make_ssh_keys
    make_users "$folder"
    make_home "$folder"
    mkdir -p "$ETC/sudoers.d"
    mapfile -t reachable < <(compute_folders | sort -u)
    rm -f "$folder/ready"
    start "ns-$host" unshare -m -n -u --propagation private \
        "$DEVCLOUD/lib/hold-host" "$folder" "$host" "$STATE" \
        "${reachable[@]}"
    wait_for 10 "ns-$host" test -e "$folder/ready"
}

# host_ovs HOST: the switch, with a data path in user space.
host_ovs() {
    local host=$1 folder=$STATE/hosts/$1 run=/run/openvswitch
    [ -e "$folder/etc-ovs/conf.db" ] || ovsdb-tool create \
        "$folder/etc-ovs/conf.db" /usr/share/openvswitch/vswitch.ovsschema
    start_in "$host" "ovsdb-$host" ovsdb-server /etc/openvswitch/conf.db \
        --remote=punix:$run/db.sock --remote=ptcp:6640:127.0.0.1 \
        --unixctl=$run/ovsdb-server.ctl \
        --pidfile=$run/ovsdb-server.pid
    wait_for 20 "ovsdb-$host" vsctl "$host" init
    vsctl "$host" set Open_vSwitch . \
        external_ids:system-id="$host" external_ids:hostname="$host" \
        "external_ids:ovn-remote=tcp:$HOST_IP:6642" \
        external_ids:ovn-encap-type=geneve \
        external_ids:ovn-encap-ip="$(host_ip "$host")" \
        external_ids:ovn-bridge-datapath-type=netdev \
        external_ids:ovn-remote-probe-interval=60000 \
        external_ids:ovn-bridge-mappings=public:br-ex
    [ "$host" != h1 ] || vsctl h1 set Open_vSwitch . \
        external_ids:ovn-cms-options=enable-chassis-as-gw
    # OVS 3.1 may abort when it tracks connections in user space
    # (conn_update_state); the monitor starts it again.
    start_in "$host" "ovs-vswitchd-$host" ovs-vswitchd unix:$run/db.sock \
        --monitor --pidfile=$run/ovs-vswitchd.pid
}

# host_bridge HOST BRIDGE: on a second host, wired to the one on h1.
host_bridge() {
    local host=$1 bridge=$2
    in_host "$host" ovs-vsctl --may-exist add-br "$bridge" -- set bridge \
        "$bridge" datapath_type=netdev fail_mode=standalone
    wait_for 20 "ovs-vswitchd-$host" in_host "$host" ip link show "$bridge"
    in_host "$host" ip link set "$bridge" up
    [ "$host" = h1 ] || wire_bridge "$host" "$bridge"
}

# Without checksum offload: the data path in user space would pass on packets
# whose checksums are unfinished.
wire_bridge() {
    local host=$1 bridge=$2 far=$2-$1 near=$2-up
    if ! in_host "$host" ip link show "$near" >/dev/null 2>&1; then
        in_host h1 ip link del "$far" 2>/dev/null || true
        in_host h1 ip link add "$far" type veth peer name "$near" \
            netns "$(cat "$RUN/ns-$host.pid")"
        in_host h1 ethtool -K "$far" tx off >/dev/null
        in_host "$host" ethtool -K "$near" tx off >/dev/null
        in_host h1 ip link set "$far" up
        in_host "$host" ip link set "$near" up
    fi
    in_host h1 ovs-vsctl --may-exist add-port "$bridge" "$far"
    in_host "$host" ovs-vsctl --may-exist add-port "$bridge" "$near"
}

# The pid files are named because their defaults are the machine's own.
host_libvirt() {
    local host=$1 folder=$STATE/hosts/$1 conf
    conf=$folder/etc-libvirt/libvirtd.conf
    [ -s "$folder/uuid" ] ||
        cat /proc/sys/kernel/random/uuid >"$folder/uuid"
    sed -i -e '/^# devcloud/,$d' "$conf"
    cat >>"$conf" <<CONF
# devcloud
host_uuid = "$(cat "$folder/uuid")"
listen_tls = 0
listen_tcp = 1
listen_addr = "$(host_ip "$host")"
auth_tcp = "none"
auth_unix_rw = "none"
auth_unix_ro = "none"
unix_sock_group = "libvirt"
unix_sock_rw_perms = "0770"
CONF
    start_virtlogd "$host"
    start_libvirtd "$host"
}

start_virtlogd() {
    start_in "$1" "virtlogd-$1" \
        virtlogd --pid-file /run/libvirt/virtlogd.pid
}

start_libvirtd() {
    start_in "$1" "libvirtd-$1" \
        libvirtd --listen --pid-file /run/libvirt/libvirtd.pid
}

# host_infrastructure HOST: all that a host needs before nova-compute.
host_infrastructure() {
    local host=$1 ip
    ip=$(host_ip "$host")
    make_host "$host"
    host_ovs "$host"
    # API traffic between the hosts and the Geneve tunnels; floating IPs.
    host_bridge "$host" br-ctl
    host_bridge "$host" br-ex
    in_host "$host" ip addr replace "$ip/24" dev br-ctl
    in_host "$host" ovs-vsctl --may-exist add-br br-int -- set bridge br-int \
        datapath_type=netdev fail_mode=secure
    start_in "$host" "ovn-controller-$host" ovn-controller \
        unix:/run/openvswitch/db.sock --pidfile=/run/ovn/ovn-controller.pid
    start_in "$host" "sshd-$host" dropbear -F -E -s -p "$ip:22" \
        -r "$STATE/ssh/dropbear_host_key" \
        -P "$STATE/hosts/$host/dropbear.pid"
    host_libvirt "$host"
}
