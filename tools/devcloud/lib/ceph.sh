# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# What volumes are kept in: a Ceph in h1 of one daemon each, in user space.
# QEMU opens the images itself, so the kernel needs no iSCSI, NBD, NFS or
# device mapper. The OSD writes into a sparse file of 20 GiB.

CEPH=$STATE/ceph
CEPH_FSID=5d0c5b2e-0000-4000-8000-000000000001
OSD_UUID=5d0c5b2e-0000-4000-8000-000000000002

ceph_configuration() {
    mkdir -p "$CEPH"/{mon,osd,mgr,run,no-modules}
    cat >"$CEPH/ceph.conf" <<CONF
[global]
fsid = $CEPH_FSID
mon_host = v1:$HOST_IP:6789
public_addr = $HOST_IP
ms_bind_msgr2 = false
run_dir = $CEPH/run
crash_dir = $CEPH/run
admin_socket =
log_file =
log_to_stderr = true
debug_rocksdb = 0
keyring = $CEPH/\$name.keyring
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_autoscale_mode = off
osd_crush_chooseleaf_type = 0
mon_allow_pool_size_one = true
auth_allow_insecure_global_id_reclaim = false
[mon]
mon_data = $CEPH/mon
mon_cluster_log_file = $CEPH/run/cluster.log
mon_data_avail_warn = 1
mon_data_avail_crit = 1
[osd]
osd_data = $CEPH/osd
osd_objectstore = bluestore
bluestore_block_size = 21474836480
bluestore_cache_autotune = false
bluestore_cache_size = 67108864
osd_op_num_shards = 2
osd_op_num_threads_per_shard = 1
[mgr]
# It gives Cinder the statistics of the pool; without its Python modules,
# "ceph -s" complains, which is harmless.
mgr_data = $CEPH/mgr
mgr_module_path = $CEPH/no-modules
CONF
}

# ceph_key NAME CAPABILITY...: made once; the monitor's first store gets all.
ceph_key() {
    local name=$1 file=$CEPH/$1.keyring
    shift
    [ -e "$file" ] || ceph-authtool -C "$file" --gen-key -n "$name" "$@"
    cat "$file" >>"$CEPH/all"
}

ceph_monitor_store() {
    rm -rf "$CEPH"/{mon,osd}/*
    : >"$CEPH/all"
    chmod 600 "$CEPH/all"
    ceph_key mon. --cap mon 'allow *'
    ceph_key client.admin --cap mon 'allow *' --cap osd 'allow *' \
        --cap mgr 'allow *'
    ceph_key client.cinder --cap mon 'profile rbd' \
        --cap osd 'profile rbd pool=volumes'
    ceph_key osd.0 --cap mon 'allow profile osd' --cap osd 'allow *'
    ceph_key mgr.x --cap mon 'allow profile mgr' --cap osd 'allow *'
    monmaptool --create --clobber --addv a "v1:$HOST_IP:6789" \
        --fsid $CEPH_FSID "$CEPH/monmap"
    ceph-mon --mkfs -i a --monmap "$CEPH/monmap" --keyring "$CEPH/all"
    rm -f "$CEPH/all"
}

ceph_osd_store() {
    in_host h1 ceph-osd --mkfs -i 0 --osd-uuid $OSD_UUID
    in_host h1 ceph osd new $OSD_UUID 0
}

ceph_pool() {
    in_host h1 ceph osd pool create volumes 8
    in_host h1 ceph osd pool application enable volumes rbd
}

osd_is_up() {
    in_host h1 timeout 5 ceph osd stat | grep -q '1 up'
}

# Starts the daemons; rbd_ready says when the pool can be used.
ceph_start() {
    local new=yes
    ceph_configuration
    export CEPH_CONF=$CEPH/ceph.conf
    if [ -e "$CEPH/.done" ]; then
        new=''
    else
        logged ceph-monitor-store ceph_monitor_store
    fi
    start_in h1 ceph-mon ceph-mon -f -i a
    if [ -n "$new" ]; then
        wait_for 20 ceph-mon in_host h1 timeout 5 ceph mon stat
        logged ceph-osd-store ceph_osd_store
    fi
    start_in h1 ceph-osd ceph-osd -f -i 0
    start_in h1 ceph-mgr ceph-mgr -f -i x
    if [ -n "$new" ]; then
        wait_for 30 ceph-osd osd_is_up
        logged ceph-pool ceph_pool
        touch "$CEPH/.done"
    fi
}

# ceph_secret HOST: its libvirt gives QEMU the key.
ceph_secret() {
    local host=$1
    wait_for 30 "libvirtd-$host" in_host "$host" virsh -q uri
    cat >"$CEPH/secret.xml" <<XML
<secret ephemeral="no" private="no">
  <uuid>$RBD_SECRET</uuid>
  <usage type="ceph"><name>client.cinder secret</name></usage>
</secret>
XML
    in_host "$host" virsh -q secret-define "$CEPH/secret.xml" >/dev/null
    (umask 077
     ceph-authtool -p -n client.cinder "$CEPH/client.cinder.keyring" \
         >"$CEPH/cinder.key")
    in_host "$host" virsh -q secret-set-value "$RBD_SECRET" \
        --file "$CEPH/cinder.key" >/dev/null
}

rbd_ready() {
    in_host h1 timeout 10 \
        rbd -n client.cinder -c "$CEPH/ceph.conf" ls volumes
}
