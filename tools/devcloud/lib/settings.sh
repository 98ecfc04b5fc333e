# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Not every command that sources this uses every setting.
# shellcheck disable=SC2034
#
# What the cloud consists of and where it lives. The environment variables
# named here may be set by the caller; tools/devcloud/up --help lists them.

DEVCLOUD=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
. "$DEVCLOUD/../lib.sh"

STATE=${DEVCLOUD_STATE:-/var/lib/devcloud}
LOG=$STATE/log RUN=$STATE/run ETC=$STATE/etc IMAGE=$STATE/image

# The control plane, the agents and tempest; and nova-compute alone, which may
# have an environment of its own.
VENV=${DEVCLOUD_VENV:-$STATE/venv}
COMPUTE_VENV=${DEVCLOUD_COMPUTE_VENV:-$VENV}

OUR_DRIVER=nova_libvirt_driver.LibvirtDriver
PASSWORD=${DEVCLOUD_PASSWORD:-devcloud}
REGION=RegionOne

# nova-compute's user, a user of the compute hosts alone: the machine's own
# /etc/passwd is not touched. The number is that of Debian's package.
COMPUTE_UID=64060
COMPUTE_HOME=$STATE/nova-compute

# What nova-compute runs with, as up or restart-compute last wrote it.
COMPUTE_SETTINGS=$RUN/compute.sh

# h1, in its own network namespace; h2 is 10.99.0.2.
HOST_IP=10.99.0.1

# Volumes stay on in a cloud that has them running.
if [ -z "${DEVCLOUD_CINDER:-}" ]; then
    DEVCLOUD_CINDER=0
    [ ! -s "$RUN/cinder-volume.pid" ] || DEVCLOUD_CINDER=1
fi
RBD_SECRET=5d0c5b2e-0000-4000-8000-000000000003

export OS_AUTH_URL=http://$HOST_IP:5000/v3 OS_REGION_NAME=$REGION
export OS_USERNAME=admin OS_PASSWORD=$PASSWORD OS_PROJECT_NAME=admin
export OS_USER_DOMAIN_ID=default OS_PROJECT_DOMAIN_ID=default
export OS_IDENTITY_API_VERSION=3

needs_root() {
    [ "$(id -u)" -eq 0 ] || die "makes namespaces: run it as root"
}

needs_cloud() {
    needs_root
    alive ns-h1 || die "no cloud runs in $STATE: start it with $DEVCLOUD/up"
}

# progress MESSAGE...: one line with the time it took so far.
progress() {
    printf '[%s %4ss] %s\n' "$(date +%T)" "$SECONDS" "$*"
}

# Nothing in the cloud is reached through a proxy of the machine's.
forget_proxies() {
    unset http_proxy https_proxy HTTP_PROXY HTTPS_PROXY
}

with_volumes() {
    [ "$DEVCLOUD_CINDER" = 1 ]
}

# each_host COUNT FUNCTION: calls it with h1, h2, ...
each_host() {
    local i
    for ((i = 1; i <= $1; i++)); do
        "$2" "h$i"
    done
}

host_ip() {
    printf '10.99.0.%s\n' "${1#h}"
}

# The hosts that run, one name on a line.
running_hosts() {
    local pid_file name
    for pid_file in "$RUN"/ns-h*.pid; do
        [ -e "$pid_file" ] || continue
        name=$(basename "$pid_file" .pid)
        ! alive "$name" || printf '%s\n' "${name#ns-}"
    done
}
