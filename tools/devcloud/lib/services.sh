# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# The services of the control plane, in h1, and the order they need.

# web NAME VARIABLE FOLDER: an application under uwsgi, which finds its
# configuration by OS_<VARIABLE>_CONFIG_DIR.
web() {
    start_in h1 "$1" env "OS_$2_CONFIG_DIR=$ETC/$3" PATH="$VENV/bin:$PATH" \
        'OS_NEUTRON_CONFIG_FILES=neutron.conf;ml2_conf.ini' \
        "$VENV/bin/uwsgi" --ini "$ETC/uwsgi/$1.ini"
}

# Not uwsgi: with threads, its chunked reads fail now and then, so that
# uploads of snapshots get 500.
image_service() {
    start_in h1 glance env OS_GLANCE_CONFIG_DIR="$ETC/glance" \
        PATH="$VENV/bin:$PATH" "$VENV/bin/gunicorn" -w 1 -k gthread \
        --threads 8 -t 600 -b "$HOST_IP:9292" glance.wsgi.api:application
}

neutron_worker() {
    start_in h1 "neutron-$1" "$VENV/bin/neutron-$2" \
        --config-file "$ETC/neutron/neutron.conf" \
        --config-file "$ETC/neutron/ml2_conf.ini"
}

# answers PORT/PATH
answers() {
    in_host h1 curl -sf -o /dev/null -m 5 "http://$HOST_IP:$1"
}

bootstrap() {
    in_host h1 env PYTHONPATH="$DEVCLOUD" "$VENV/bin/python" \
        -m config.bootstrap "$@"
}

nova_daemon() {
    start_in h1 "nova-$1" "$VENV/bin/nova-$1" \
        --config-file "$ETC/nova/nova.conf"
}

cinder_daemon() {
    start_in h1 "cinder-$1" env PATH="$STATE/cinder/bin:$VENV/bin:$PATH" \
        "$VENV/bin/cinder-$1" --config-file "$ETC/cinder/cinder.conf"
}

stop_volumes() {
    local name
    for name in api scheduler volume; do
        stop "cinder-$name"
    done
}

start_services() {
    web keystone KEYSTONE keystone
    image_service
    web placement PLACEMENT placement
    wait_for 60 rabbitmq in_host h1 bash -c ">/dev/tcp/$HOST_IP/5672"
    web neutron NEUTRON neutron
    web nova-api NOVA nova
    web nova-metadata NOVA nova
    ! with_volumes || web cinder-api CINDER cinder
    neutron_worker ovn-maintenance ovn-maintenance-worker
    neutron_worker periodic periodic-workers
    wait_for 120 keystone answers 5000/v3
    progress 'keystone answers'
    if with_volumes; then
        bootstrap identity --volumes
    else
        stop_volumes
        bootstrap identity
    fi
    # Only now: without their service user these two exit.
    nova_daemon conductor
    nova_daemon scheduler
    if with_volumes; then
        wait_for 60 ceph-osd rbd_ready
        cinder_daemon scheduler
        cinder_daemon volume
    fi
}

wait_for_services() {
    wait_for 120 glance answers 9292/healthcheck
    wait_for 120 placement answers 8778/
    wait_for 120 nova-api answers 8774/
    wait_for 120 neutron answers 9696/
    ! with_volumes || wait_for 120 cinder-api answers 8776/healthcheck
    # Without a conductor, nova-compute waits for tens of seconds.
    wait_for 60 nova-conductor grep -q 'Starting conductor node' \
        "$LOG/nova-conductor.log"
}
