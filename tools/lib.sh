# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# Shared by tools/run and tools/test: system packages and a virtual
# environment, both left alone when they are already as they should be.

TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
VENV=${NOVA_LIBVIRT_VENV:-$TOP/.venv}
export PIP_DISABLE_PIP_VERSION_CHECK=1

say() {
    printf '\n== %s\n' "$*" >&2
}

die() {
    printf '%s: %s\n' "$(basename "$0")" "$*" >&2
    exit 1
}

# Prints, every five seconds, the line of its input that came last: what takes
# a minute is never silent, and who waits sees what for.
narrate() {
    local line last='' begun=$SECONDS said=$SECONDS
    while true; do
        if IFS= read -r -t 5 line; then
            last=$line
        elif [ $? -le 128 ]; then # the end, not the time
            return
        fi
        if ((SECONDS - said >= 5)); then
            said=$SECONDS
            printf '   %d s%.68s\n' $((SECONDS - begun)) "${last:+: $last}" >&2
        fi
    done
}

# Runs a command whose output matters only if it fails.
patiently() {
    local log status=0
    log=$(mktemp)
    "$@" 2>&1 | tee "$log" | narrate || status=$?
    [ "$status" -eq 0 ] || cat "$log" >&2
    rm -f "$log"
    return "$status"
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        die "needs root or sudo for: $*"
    fi
}

# Installs system packages, and starts no service by doing so: without a
# policy, Debian's maintainer scripts start the daemons of what they install.
# A policy of the machine's own is left as it is; ours goes even when this is
# interrupted, by the trap of the subshell that is the function's body.
apt_install() (
    policy=/usr/sbin/policy-rc.d
    say "$(fold -s -w 79 <<<"installing system packages: $*")"
    if [ ! -e "$policy" ]; then
        trap 'as_root rm -f "$policy"' EXIT
        trap 'exit 130' INT TERM
        printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
        as_root chmod 755 "$policy"
    fi
    patiently as_root apt-get update
    patiently as_root env DEBIAN_FRONTEND=noninteractive apt-get install \
        -y --no-install-recommends "$@"
)

# Prints the first Python that is new enough; NOVA_LIBVIRT_PYTHON names the
# one to take.
find_python() {
    local candidate candidates=(python3 python3.13 python3.12 python3.11)
    [ -z "${NOVA_LIBVIRT_PYTHON:-}" ] || candidates=("$NOVA_LIBVIRT_PYTHON")
    for candidate in "${candidates[@]}"; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
                2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
    return 1
}

# Makes the virtual environment, with nothing but pip in it.
make_venv() {
    local python version
    [ ! -x "$VENV/bin/pip" ] || return 0
    if ! python=$(find_python); then
        command -v apt-get >/dev/null || die "needs Python 3.11 or newer"
        apt_install python3 python3-venv
        python=$(find_python) || die "needs Python 3.11 or newer"
    fi
    if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        command -v apt-get >/dev/null || die "$python has no venv module"
        version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
        apt_install "python$version-venv"
    fi
    say "making a virtual environment in $VENV"
    patiently "$python" -m venv "$VENV"
}

pip_install() {
    patiently "$VENV/bin/python" -m pip install --progress-bar off \
        -c "$TOP/constraints.txt" "$@"
}

# Installs the system packages of a bindep profile that are missing.
# bindep itself comes from the virtual environment.
system_packages() {
    local profile=$1 missing status=0
    make_venv
    [ -x "$VENV/bin/bindep" ] || pip_install bindep
    missing=$("$VENV/bin/bindep" -b -f "$TOP/bindep.txt" "$profile") ||
        status=$?
    if [ -z "$missing" ]; then
        [ "$status" -eq 0 ] || die "bindep failed on profile $profile"
        return
    fi
    if ! command -v apt-get >/dev/null; then
        die "please install first: ${missing//$'\n'/ }"
    fi
    # shellcheck disable=SC2086
    apt_install $missing
}

# python_packages run|test: installs the package (editable), for test also
# what the tests need; again only when a file that says what has changed.
python_packages() {
    local purpose=$1 sum requirements=()
    make_venv
    sum=$(cd "$TOP" && cat pyproject.toml setup.cfg constraints.txt \
        tools/build_backend.py ./*requirements.txt doc/requirements.txt |
        cksum; echo "$TOP")
    if [ "$(cat "$VENV/.installed-$purpose" 2>/dev/null)" = "$sum" ]; then
        return
    fi
    if [ "$purpose" = test ]; then
        requirements=(-r "$TOP/test-requirements.txt"
            -r "$TOP/doc/requirements.txt")
    fi
    say "installing Python packages"
    pip_install ${requirements[@]+"${requirements[@]}"} -e "$TOP"
    # The tests' environment is good for running, too.
    printf '%s\n' "$sum" | tee "$VENV/.installed-$purpose" \
        >"$VENV/.installed-run"
}
