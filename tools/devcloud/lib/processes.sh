# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# Daemons of the cloud: each is the leader of a session of its own, with
# $RUN/NAME.pid and $LOG/NAME.log.

alive() {
    [ -s "$RUN/$1.pid" ] && kill -0 "$(cat "$RUN/$1.pid")" 2>/dev/null
}

# start NAME COMMAND...: does nothing if it runs already. The log of the run
# before is kept as NAME.log.old. Descriptor 9 is the lock of up.
start() {
    local name=$1
    shift
    ! alive "$name" || return 0
    if [ -s "$LOG/$name.log" ]; then
        mv "$LOG/$name.log" "$LOG/$name.log.old"
    fi
    setsid "$@" >>"$LOG/$name.log" 2>&1 </dev/null 9>&- &
    echo $! >"$RUN/$name.pid"
}

# stop NAME: TERM to the whole session, KILL after 10 s.
stop() {
    local name=$1 pid i
    [ -s "$RUN/$name.pid" ] || return 0
    pid=$(cat "$RUN/$name.pid")
    if kill -0 "$pid" 2>/dev/null; then
        kill -TERM -- "-$pid" 2>/dev/null || kill -TERM "$pid" || true
        for ((i = 0; i < 50; i++)); do
            kill -0 "$pid" 2>/dev/null || break
            sleep 0.2
        done
        kill -KILL -- "-$pid" 2>/dev/null || true
    fi
    rm -f "$RUN/$name.pid"
}

# wait_for SECONDS NAME COMMAND...: until the command succeeds, at most so
# long; NAME is the daemon whose log would tell more.
wait_for() {
    local limit=$1 name=$2 deadline
    shift 2
    deadline=$((SECONDS + limit))
    until "$@" >/dev/null 2>&1; do
        if [ "$SECONDS" -ge "$deadline" ]; then
            show_log "$name: not there after $limit s" "$LOG/$name.log"
            return
        fi
        sleep 0.2
    done
}

# logged NAME COMMAND...: its output goes to $LOG/NAME.log, the end of which is
# shown if it fails. In the background: as part of a condition, a function
# would go on after a command that failed.
logged() {
    local name=$1
    shift
    ("$@") >"$LOG/$name.log" 2>&1 9>&- &
    wait $! || show_log "$name: failed" "$LOG/$name.log"
}

show_log() {
    printf '%s; the end of %s:\n' "$1" "$2" >&2
    tail -n 15 "$2" >&2
    return 1
}
