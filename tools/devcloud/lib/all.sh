# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# Everything that up, restart-compute and down need.

LIB=$(dirname "${BASH_SOURCE[0]}")
. "$LIB/settings.sh"
. "$LIB/processes.sh"
. "$LIB/hosts.sh"
. "$LIB/packages.sh"
. "$LIB/infrastructure.sh"
. "$LIB/ceph.sh"
. "$LIB/databases.sh"
. "$LIB/services.sh"
. "$LIB/compute.sh"

say_unfinished() {
    [ $? -eq 0 ] || printf '%s: stopped in "%s" (line %s of %s); %s\n' \
        "$(basename "$0")" "$1" "$2" "$3" "logs are in $LOG" >&2
}
trap 'say_unfinished "$BASH_COMMAND" "$LINENO" "${BASH_SOURCE[0]}"' EXIT
