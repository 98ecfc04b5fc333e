# SPDX-License-Identifier: Apache-2.0

"""What the commonest errors of libvirt and QEMU mean, and what helps.

The words are those that libvirt 9 and QEMU 7 use; several causes share a
code, so the more particular ones come first.
"""

import dataclasses
import re

import libvirt


@dataclasses.dataclass(frozen=True, slots=True)
class Explanation:
    """One error."""

    code: int
    """Libvirt's number."""
    words: str
    """Regular expression that finds it among others of that code."""
    cause: str
    next_step: str

    @property
    def name(self) -> str:
        """Libvirt's name of the number."""
        return NAMES.get(self.code, '')


NAMES: dict[int, str] = {
    value: name for name, value in vars(libvirt).items()
    if name.startswith('VIR_ERR_') and isinstance(value, int)
    # They say how bad an error is, and have small numbers, too.
    and name not in ('VIR_ERR_NONE', 'VIR_ERR_WARNING', 'VIR_ERR_ERROR')}

_INTERNAL = libvirt.VIR_ERR_INTERNAL_ERROR
_SYSTEM = libvirt.VIR_ERR_SYSTEM_ERROR
_FAILED = libvirt.VIR_ERR_OPERATION_FAILED
_INVALID = libvirt.VIR_ERR_OPERATION_INVALID
_UNSUPPORTED = libvirt.VIR_ERR_CONFIG_UNSUPPORTED

TABLE = (
    Explanation(
        libvirt.VIR_ERR_OPERATION_TIMEOUT, 'state change lock',
        'another job of the guest goes on, or its QEMU stands still',
        'see the job with virsh domjobinfo; see whether the QEMU process is '
        'stopped or waits for storage'),
    Explanation(
        libvirt.VIR_ERR_NO_DOMAIN, '',
        'somebody else has deleted or undefined the domain',
        'list the guests: nova-libvirt server list --all'),
    Explanation(
        libvirt.VIR_ERR_DOM_EXIST, '',
        'a domain of that name or uuid is defined already',
        'choose another name, or undefine the old domain'),
    Explanation(
        _SYSTEM, 'Failed to connect socket.*Permission denied',
        'the user may not use the socket of the daemon',
        'run as root or as a member of the libvirt group'),
    Explanation(
        _SYSTEM, 'Failed to connect socket',
        'the libvirt daemon does not run, or listens elsewhere',
        'start it, or correct [libvirt] connection_uri'),
    Explanation(
        _SYSTEM, 'No space left on device',
        'a file system is full: that of the instances, of saved memory or '
        'of the logs',
        'make room: nova-libvirt doctor names the folders'),
    Explanation(
        _SYSTEM, 'Device or resource busy',
        'QEMU was killed and has not gone: it waits for a disk or a network '
        'file system that is dead',
        'bring that storage back; the process goes by itself then'),
    Explanation(
        _SYSTEM, 'Cannot access (storage|backing) file|Failed to open file',
        'a disk, or the image it is based on, is gone or unreadable for QEMU',
        "see the path in the message, its owner and modes, and QEMU's user "
        'in qemu.conf'),
    Explanation(
        _SYSTEM, 'Unable to read from monitor|Connection reset by peer',
        'QEMU ended while it was asked something',
        "look at the guest's log below /var/log/libvirt/qemu"),
    Explanation(
        _SYSTEM, 'Cannot get interface MTU|Unable to (add|create) .*(bridge'
        '|tap)',
        'the bridge or the tap of an interface does not exist on this host',
        'see whether the agent of the network runs here'),
    Explanation(
        _SYSTEM, 'End of file while reading data|Broken pipe',
        'the daemon has ended, or has thrown this client out',
        "look at the daemon's log; the connection is made again by itself"),
    Explanation(
        libvirt.VIR_ERR_RPC, '',
        'the daemon or the link to it does not work',
        "look at the daemon's log; the connection is made again by itself"),
    Explanation(
        _INTERNAL, 'client socket is closed|keepalive',
        'the connection was lost: the daemon has ended or hangs',
        'it is made again by itself; restart a daemon that hangs'),
    Explanation(
        _INTERNAL, 'Could not access KVM|failed to initialize kvm',
        '/dev/kvm is missing, or QEMU may not use it',
        'enable virtualization in the firmware, load kvm_intel or kvm_amd, '
        'or set [libvirt] virt_type = qemu'),
    Explanation(
        _INTERNAL, 'Failed to get "(write|consistent read)" lock'
        '|Failed to get shared',
        'another process has the disk open',
        'find it with lsof; two guests must not share a disk'),
    Explanation(
        _INTERNAL, 'cannot set up guest memory|Cannot allocate memory'
        '|unable to map backing store',
        'the host has too little memory, or too few huge pages, left',
        'see free memory and /proc/meminfo, or lower ram_allocation_ratio'),
    Explanation(
        _INTERNAL, 'No (suitable )?backing file|Could not open backing file',
        'the image that a disk is based on is gone',
        'put the file back below instances_path/_base'),
    Explanation(
        _INTERNAL, 'swtpm|TPM',
        'swtpm is not installed, or cannot open the state of the TPM',
        'install swtpm and swtpm-tools; look at /var/log/swtpm/libvirt'),
    Explanation(
        _INTERNAL, 'agent command|guest agent',
        'the agent in the guest answered with an error',
        'look at its log inside the guest'),
    Explanation(
        _INTERNAL, 'unsupported configuration|is not a valid machine|machine '
        'type',
        'this QEMU does not know the machine type or the device',
        'compare with virsh domcapabilities --machine'),
    Explanation(
        _INTERNAL, 'qemu unexpectedly closed the monitor'
        '|process exited while connecting to monitor',
        'QEMU did not start; its own words follow in the message',
        "look at the guest's log below /var/log/libvirt/qemu"),
    Explanation(
        _INTERNAL, 'No more available PCI|No free PCI',
        'all PCI ports of the guest are taken',
        'raise [libvirt] num_pcie_ports and hard reboot the guest'),
    Explanation(
        libvirt.VIR_ERR_NO_MEMORY, '',
        'the daemon has no memory left',
        'see free memory of the host'),
    Explanation(
        libvirt.VIR_ERR_AGENT_UNRESPONSIVE, '',
        'the agent in the guest is not installed or does not run',
        'install qemu-guest-agent in the guest, and set hw_qemu_guest_agent '
        'on its image'),
    Explanation(
        libvirt.VIR_ERR_AGENT_UNSYNCED, '',
        'the agent in the guest is busy with something earlier',
        'wait, or restart it inside the guest'),
    Explanation(
        libvirt.VIR_ERR_ACCESS_DENIED, '',
        'a rule of polkit or of the daemon forbids it',
        'see the rules below /etc/polkit-1, and access_drivers of the daemon'),
    Explanation(
        libvirt.VIR_ERR_AUTH_FAILED, '',
        'the daemon wants a user name and a password, or others',
        'set [nova_libvirt_driver] auth_username and auth_password'),
    Explanation(
        libvirt.VIR_ERR_OPERATION_DENIED, '',
        'the connection is read-only',
        'connect without read-only mode'),
    Explanation(
        _UNSUPPORTED, 'CPU|cpu',
        'the host has not the CPU that the guest asks for',
        'compare [libvirt] cpu_mode and cpu_models with virsh '
        'domcapabilities'),
    Explanation(
        _UNSUPPORTED, '',
        'this QEMU or libvirt lacks something that the guest asks for',
        'compare with virsh domcapabilities'),
    Explanation(
        libvirt.VIR_ERR_XML_ERROR, '',
        'libvirt cannot read the definition',
        'see it with nova-libvirt server create --dry-run --show-xml, and '
        'report it'),
    Explanation(
        _INVALID, 'domain is not running',
        'the guest was stopped meanwhile',
        'start it'),
    Explanation(
        _INVALID, 'already running|already active',
        'the guest was started meanwhile',
        'nothing needs to be done'),
    Explanation(
        _INVALID, '',
        'the guest is in a state that does not allow it',
        'see how it is: nova-libvirt server show'),
    Explanation(
        _FAILED, 'block ?job|block copy',
        'a copy of the disk is under way, or has failed',
        'see it with virsh blockjob'),
    Explanation(
        _FAILED, '',
        'libvirt could not do it; its own words say why',
        "look at the daemon's log"),
)


def find(code: int | None, message: str) -> Explanation | None:
    """Return what explains an error best, None when nothing does."""
    return next((each for each in TABLE if each.code == code
                 and re.search(each.words, message)), None)


def search(words: str) -> list[Explanation]:
    """Return what a number, a name or a message is explained by.

    :param words: as ``68``, ``VIR_ERR_OPERATION_TIMEOUT``,
        ``operation_timeout`` or what libvirt has printed
    """
    wanted = words.strip().upper().removeprefix('VIR_ERR_')
    found = [each for each in TABLE
             if wanted in (str(each.code), each.name.removeprefix('VIR_ERR_'))]
    return found or [each for each in TABLE if each.words
                     and re.search(each.words, words, re.IGNORECASE)]
