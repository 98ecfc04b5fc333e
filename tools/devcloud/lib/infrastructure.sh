# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# What the services stand on, in h1: database, message broker, cache, OVN.

sql() {
    mariadb --no-defaults -uroot -S "$STATE/mysql/mysqld.sock" -Ne "$1"
}

database_server() {
    local folder=$STATE/mysql
    if [ ! -d "$folder/data/mysql" ]; then
        mkdir -p "$folder"
        logged mariadb-install mariadb-install-db --no-defaults \
            --user=root --skip-test-db --datadir="$folder/data" \
            --auth-root-authentication-method=normal
    fi
    # Quick rather than safe: nobody misses this data.
    start_in h1 mariadb mariadbd --no-defaults --user=root --skip-networking \
        --datadir="$folder/data" --socket="$folder/mysqld.sock" \
        --pid-file="$folder/pid" --skip-log-bin \
        --innodb-flush-log-at-trx-commit=0 --innodb-doublewrite=0 \
        --innodb-buffer-pool-size=256M --max-connections=1000 \
        --character-set-server=utf8mb4 --transaction-isolation=READ-COMMITTED
}

message_broker() {
    local folder=$STATE/rabbit
    mkdir -p "$folder"
    # By default, its user guest may not come from a second host.
    echo 'loopback_users = none' >"$folder/rabbitmq.conf"
    start_in h1 rabbitmq env HOME="$folder" ERL_EPMD_ADDRESS="$HOST_IP" \
        RABBITMQ_NODENAME=devcloud@localhost \
        RABBITMQ_NODE_IP_ADDRESS="$HOST_IP" \
        RABBITMQ_CONFIG_FILE="$folder/rabbitmq.conf" \
        RABBITMQ_MNESIA_BASE="$folder/mnesia" \
        RABBITMQ_LOG_BASE="$folder/log" \
        RABBITMQ_ENABLED_PLUGINS_FILE="$folder/plugins" \
        RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS='+sbwt none +S 1:1' \
        /usr/lib/rabbitmq/bin/rabbitmq-server
}

# ovn_database nb|sb PORT
ovn_database() {
    local name=ovn$1 port=$2 file=$STATE/hosts/h1/ovn$1.db
    [ -e "$file" ] ||
        ovsdb-tool create "$file" "/usr/share/ovn/ovn-$1.ovsschema"
    start_in h1 "ovn-$1" ovsdb-server "$file" \
        --remote="punix:/run/ovn/${name}_db.sock" \
        --remote="ptcp:$port:$HOST_IP" \
        --unixctl="/run/ovn/${name}_db.ctl" \
        --pidfile="/run/ovn/${name}_db.pid"
}

infrastructure() {
    make_host h1
    database_server
    message_broker
    start_in h1 memcached memcached -u root -l "$HOST_IP" -m 128
    ovn_database nb 6641
    ovn_database sb 6642
    wait_for 30 mariadb sql 'select 1'
    wait_for 20 ovn-nb in_host h1 ovn-nbctl init
    start_in h1 ovn-northd ovn-northd --pidfile=/run/ovn/ovn-northd.pid \
        --ovnnb-db=unix:/run/ovn/ovnnb_db.sock \
        --ovnsb-db=unix:/run/ovn/ovnsb_db.sock \
        --unixctl=/run/ovn/ovn-northd.ctl
    each_host "$HOSTS" host_infrastructure
    in_host h1 ip addr replace 172.24.4.1/24 dev br-ex
}
