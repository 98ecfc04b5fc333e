# SPDX-License-Identifier: Apache-2.0

"""What the Linux guest runs as its first process, as the text of a script.

The guest speaks over its first serial port in lines that begin with
``guest:``, and takes one command in a line from there: ``write TEXT`` puts a
note on the root disk, ``put DISK TEXT`` on any disk, ``disks`` and ``nics``
tell of these again, ``listen PORT`` answers at a port of its first card, which
gets the address of QEMU's own network, and says how many datagrams came in by
UDP, ``poweroff`` ends it. Its boot counter and the note are in sectors of
the root disk that no partition uses. It obeys the power button, and a guest
agent of its own answers at the usual channel: it says what it was told, and
freezes nothing.
"""

STATE_SECTOR = 1024
"""Sector of 512 bytes with the boot counter; the note is in the next."""

MODULES = (
    'virtio_pci', 'virtio_blk', 'virtio_scsi', 'virtio_net',
    'virtio_console', 'virtio_balloon', 'virtio-rng', 'ata_piix', 'sd_mod',
    'sr_mod', 'isofs', 'vfat', 'nls_cp437', 'nls_iso8859-1', 'nls_ascii',
    'evdev', 'button')
"""Kernel modules that the guest loads, beside what these need."""
USB_MODULES = ('xhci-pci', 'usb-storage')
"""Those of a guest that has USB; the kernel for virtual machines has none."""

_HEAD = r'''#!/bin/busybox sh
export PATH=/bin
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
while read -r module; do insmod "/modules/$module"; done </modules/order
exec </dev/console >/dev/console 2>&1
stty -echo
say() { echo "guest: $*"; }
'''

_STATE = r'''
disks() { for d in /sys/block/[vsh]d[a-z]; do
    [ -e "$d" ] && echo "${d##*/}"; done; }
cds() { for d in /sys/block/sr[0-9]; do
    [ -e "$d" ] && echo "${d##*/}"; done; }
get() { dd if="/dev/$1" bs=512 count=1 skip="$2" 2>/dev/null |
    tr -d '\000' | head -n 1; }
put() { printf '%s\n' "$3" | dd of="/dev/$1" bs=512 count=1 seek="$2" \
    conv=sync,fsync 2>/dev/null; }
tell_disks() {
    for d in $(disks) $(cds); do
        say "disk $d sectors=$(cat "/sys/block/$d/size")" \
            "serial=$(cat "/sys/block/$d/serial" 2>/dev/null)" \
            "note=$(get "$d" $((STATE + 1)))"
    done
}
tell_boot() {
    root=$(disks | sort -r | grep ^vd | tail -n 1)
    : "${root:=$(disks | head -n 1)}"
    [ -n "$root" ] || return
    boots=$(get "$root" $STATE)
    case $boots in ''|*[!0-9]*) boots=0;; esac
    boots=$((boots + 1))
    put "$root" $STATE $boots
    say "boot $boots"
}
'''

_DRIVE = r'''
field() { tr ',{' '\n\n' <"$2" |
    sed -n "s/.*\"$1\": *\"\\([^\"]*\\)\".*/\\1/p" | head -n 1; }
text_at() { dd if="/dev/$1" bs=1 skip="$2" count=8 2>/dev/null; }
find_drive() {
    # ISO 9660 has its label at 32808; vfat at 43, or 71 with many clusters.
    for try in 1 2 3 4 5; do
        for path in /sys/block/sr* /sys/block/[vsh]d?; do
            drive=${path##*/}
            label="$(text_at "$drive" 32808) $(text_at "$drive" 43)"
            case "$label $(text_at "$drive" 71)" in
            *config-2*|*CONFIG-2*) return 0;; esac
        done
        usleep 100000
    done
    return 1
}
tell_drive() {
    find_drive || { say "no config drive"; return; }
    mkdir -p /drive
    mount -o ro "/dev/$drive" /drive ||
        { say "config drive unreadable"; return; }
    top=/drive/openstack/latest
    say "config drive $drive $(awk '$2 == "/drive" {print $3}' \
        /proc/mounts)"
    say "hostname=$(field hostname $top/meta_data.json)"
    say "uuid=$(field uuid $top/meta_data.json)"
    [ -e $top/user_data ] && say "user_data=$(head -n 1 $top/user_data)"
    tr '{' '\n' <$top/meta_data.json | grep '"content_path"' >/entries
    while read -r entry; do
        echo "$entry" >/entry
        say "file $(field path /entry)=$(head -n 1 \
            "/drive/openstack$(field content_path /entry)")"
    done </entries
    umount /drive
}
'''

_DEVICES = r'''
tell_devices() {
    firmware=bios
    [ -d /sys/firmware/efi ] && firmware=uefi
    say "firmware=$firmware"
    say "cpus=$(grep -c ^processor /proc/cpuinfo)"
    say "memory_kib=$(awk '/^MemTotal/ {print $2}' /proc/meminfo)"
    tpm=$(cat /sys/class/tpm/tpm0/tpm_version_major 2>/dev/null) &&
        say "tpm=$tpm"
    tell_nics
}
# TPM2_PCR_Extend, with an empty password: 32 bytes for the SHA-256 of PCR 16.
extend() {
    { printf '\200\002\0\0\0\101\0\0\001\202\0\0\0\020'
      printf '\0\0\0\011\100\0\0\011\0\0\0\0\0\0\0\0\001\0\013'
      printf '%-32.32s' "$1"; } >/command
    cat /command >/dev/tpm0
}
# Those to ports where nothing listens: the nc of busybox knows no UDP.
datagrams() { awk '/^Udp: [0-9]/ {print $3}' /proc/net/snmp; }
tell_nics() {
    for nic in /sys/class/net/e*; do
        [ -e "$nic" ] && say "nic mac=$(cat "$nic/address")" \
            "mtu=$(cat "$nic/mtu")"
    done
}
'''

_POWER = r'''
mkdir -p /etc/acpi/PWRF
cat >/etc/acpi/PWRF/00000080 <<'END'
#!/bin/sh
echo "guest: power button" >/dev/console
poweroff -f
END
chmod 755 /etc/acpi/PWRF/00000080
'''

_AGENT = r'''
agent() { while :; do
    # There is an end of file while nobody listens at the host's end.
    read -r request || { sleep 1; continue; }
    echo "$request" >/request
    id=$(sed -n 's/.*"id": *\([0-9]*\).*/\1/p' /request)
    command=$(field execute /request)
    case $command in
    guest-sync) echo "{\"return\": $id}"; continue;;
    guest-fsfreeze-freeze) frozen=1 answer=1;;
    guest-fsfreeze-thaw) frozen=0 answer=1;;
    guest-fsfreeze-status) answer='"thawed"'
        [ "$frozen" = 1 ] && answer='"frozen"';;
    guest-exec) answer='{"pid": 7}'
        say "exec $(field path /request)" >/dev/console;;
    guest-exec-status) answer='{"exited": true, "exitcode": 3,
        "out-data": "aGVsbG8K", "err-data": "aG0K"}'
        answer=$(echo $answer);;
    *) answer='{}';;
    esac
    say "agent $command" >/dev/console
    echo "{\"return\": $answer}"
done; }
for port in /sys/class/virtio-ports/*; do
    case $(cat "$port/name" 2>/dev/null) in org.qemu.guest_agent.0)
        agent <>"/dev/${port##*/}" >&0 & say "agent up";; esac
done
'''

_MAIN = r'''
say up
say "image=$(sed -n 's/.*guest.image=\([^ ]*\).*/\1/p' /proc/cmdline)"
say "dmi serial=$(cat /sys/class/dmi/id/product_serial)"
tell_devices
tell_drive
tell_disks
tell_boot
acpid -d -l /dev/null >/dev/null 2>&1 &
# A button that is pressed before it listens was not pressed.
until ls -l "/proc/$!/fd" | grep -q /dev/input/; do usleep 50000; done
(tick=0; while sleep 1; do tick=$((tick + 1)); say "tick $tick"; done) &
say ready
while read -r command text; do
    case $command in
    write) put "$root" $((STATE + 1)) "$text"; say "wrote $text";;
    put) put "${text%% *}" $((STATE + 1)) "${text#* }"; say "put $text";;
    disks) tell_disks; say "disks told $text";;
    nics) tell_nics; say "nics told $text";;
    listen) ifconfig eth0 10.0.2.15; (while :; do
        echo "hello from $text, datagrams: $(datagrams)" |
            nc -l -p "$text" || sleep 1; done) &
        say "listening at $text";;
    extend) [ -n "$text" ] && extend "$text"
        say "remembers $(cat /sys/class/tpm/tpm0/pcr-sha256/16)";;
    poweroff) poweroff -f;;
    esac
done
while :; do sleep 1000; done
'''


def script() -> str:
    """Return the script; it needs busybox and the modules beside it."""
    state = f'STATE={STATE_SECTOR}\n'
    return ''.join((
        _HEAD, state, _STATE, _DRIVE, _DEVICES, _POWER, _AGENT, _MAIN))
