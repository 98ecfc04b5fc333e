# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# The services' tables, made once for a state folder.

keystone_database() {
    local manage=("$VENV/bin/keystone-manage"
        --config-file "$ETC/keystone/keystone.conf") url=$OS_AUTH_URL
    "${manage[@]}" fernet_setup --keystone-user root --keystone-group root
    "${manage[@]}" credential_setup \
        --keystone-user root --keystone-group root
    "${manage[@]}" db_sync
    "${manage[@]}" bootstrap --bootstrap-password "$PASSWORD" \
        --bootstrap-region-id "$REGION" --bootstrap-admin-url "$url" \
        --bootstrap-public-url "$url" --bootstrap-internal-url "$url"
}

neutron_database() {
    "$VENV/bin/neutron-db-manage" --config-file "$ETC/neutron/neutron.conf" \
        --config-file "$ETC/neutron/ml2_conf.ini" upgrade heads
}

glance_database() {
    "$VENV/bin/glance-manage" --config-file "$ETC/glance/glance-api.conf" \
        db_sync
}

placement_database() {
    OS_PLACEMENT_CONFIG_DIR=$ETC/placement "$VENV/bin/placement-manage" \
        --config-file "$ETC/placement/placement.conf" db sync
}

nova_database() {
    local manage=("$VENV/bin/nova-manage"
        --config-file "$ETC/nova/nova.conf")
    "${manage[@]}" api_db sync
    "${manage[@]}" cell_v2 map_cell0
    "${manage[@]}" db sync
    "${manage[@]}" cell_v2 list_cells | grep -q cell1 ||
        "${manage[@]}" cell_v2 create_cell --name cell1
}

cinder_database() {
    "$VENV/bin/cinder-manage" --config-file "$ETC/cinder/cinder.conf" db sync
}

# make_databases MARK SERVICE...: all of them at the same time.
make_databases() {
    local mark=$STATE/.databases-$1 service failed='' jobs=()
    shift
    [ ! -e "$mark" ] || return 0
    for service in "$@"; do
        sql "create database if not exists $service"
        (set -e; "${service}_database") >"$LOG/db-$service.log" 2>&1 9>&- &
        jobs+=("$service:$!")
    done
    for service in "${jobs[@]}"; do
        wait "${service#*:}" || failed+=" $LOG/db-${service%:*}.log"
    done
    [ -z "$failed" ] || die "databases could not be made: see$failed"
    touch "$mark"
}

databases() {
    sql 'create database if not exists nova_api'
    sql 'create database if not exists nova_cell0'
    make_databases all keystone glance neutron placement nova
    ! with_volumes || make_databases volumes cinder
}
