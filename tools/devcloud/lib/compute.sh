# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# nova-compute on each host: what it runs with, its start and its stop.

# compute_settings: what the caller chose, else our driver.
compute_settings() {
    COMPUTE_DRIVER=${COMPUTE_DRIVER:-$OUR_DRIVER}
    CONCURRENCY_BACKEND=${CONCURRENCY_BACKEND:-auto}
    VIRT_TYPE=${VIRT_TYPE:-qemu}
    COMPUTE_OPTIONS=${COMPUTE_OPTIONS:-}
    case $CONCURRENCY_BACKEND in
    auto | threading | eventlet) ;;
    *) die 'CONCURRENCY_BACKEND: must be auto, threading or eventlet' ;;
    esac
}

# The settings of the running cloud, for whatever the caller does not choose.
recall_compute_settings() {
    local name value
    [ -s "$COMPUTE_SETTINGS" ] || return 0
    while IFS='=' read -r name value; do
        [ -n "${!name+set}" ] || declare -g "$name=$value"
    done <"$COMPUTE_SETTINGS"
}

compute_checksum() {
    { cat "$ETC"/nova/compute-h*.conf "$COMPUTE_VENV/.devcloud-tree" \
        2>/dev/null || true; } | cksum
}

# Writes the files of all services.
write_configuration() {
    local volumes=()
    ! with_volumes || volumes=(--rbd-secret "$RBD_SECRET")
    PYTHONPATH=$DEVCLOUD "$VENV/bin/python" -m config.write \
        --state "$STATE" --venv "$VENV" --compute-venv "$COMPUTE_VENV" \
        --address "$HOST_IP" --password "$PASSWORD" --region "$REGION" \
        --hosts "$HOSTS" --compute-driver "$COMPUTE_DRIVER" \
        --virt-type "$VIRT_TYPE" --concurrency "$CONCURRENCY_BACKEND" \
        --compute-options "$COMPUTE_OPTIONS" \
        ${volumes[@]+"${volumes[@]}"}
    each_host "$HOSTS" make_lock_folder
    printf '%s\n' "COMPUTE_DRIVER=$COMPUTE_DRIVER" "VIRT_TYPE=$VIRT_TYPE" \
        "CONCURRENCY_BACKEND=$CONCURRENCY_BACKEND" \
        "COMPUTE_OPTIONS=$COMPUTE_OPTIONS" >"$COMPUTE_SETTINGS"
}

make_lock_folder() {
    install -d -o "$COMPUTE_UID" -g "$COMPUTE_UID" "$STATE/lock/nova-$1"
}

start_compute() {
    local host=$1 agent
    keep_users "$host"
    start_in "$host" "nova-compute-$host" setpriv --reuid nova --regid nova \
        --init-groups --inh-caps=-all env -C / HOME="$COMPUTE_HOME" USER=nova \
        PATH="$COMPUTE_VENV/bin:$PATH" PYTHONPATH="$DEVCLOUD/keys" \
        "$COMPUTE_VENV/bin/nova-compute" \
        --config-file "$ETC/nova/compute-$host.conf"
    agent=neutron-ovn-metadata
    start_in "$host" "$agent-$host" env PATH="$VENV/bin:$PATH" \
        "$VENV/bin/$agent-agent" --config-file "$ETC/neutron/neutron.conf" \
        --config-file "$ETC/neutron/ovn_metadata-$host.ini"
}

stop_compute() {
    stop "nova-compute-$1"
}

# When nova-compute was last started, as seconds since 1970.
compute_started() {
    stat -c %Y "$RUN"/nova-compute-h*.pid | sort -n | tail -n 1
}

# Until each nova-compute has reported since its start.
wait_for_compute() {
    if ! bootstrap compute --hosts "$HOSTS" --since "$(compute_started)"; then
        show_log 'nova-compute does not report' "$LOG/nova-compute-h1.log"
    fi
}

# The scheduler does the same once a minute.
discover_hosts() {
    local i
    for ((i = 0; i < 8; i++)); do
        [ "$(sql 'select count(*) from nova_api.host_mappings')" -lt \
            "$HOSTS" ] || return 0
        OS_NOVA_DISABLE_EVENTLET_PATCHING=1 "$VENV/bin/nova-manage" \
            --config-file "$ETC/nova/nova.conf" \
            cell_v2 discover_hosts --verbose >"$LOG/discover.log" 2>&1 || true
    done
    die "Nova does not see its compute hosts: see $LOG/discover.log"
}
