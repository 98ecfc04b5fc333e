# SPDX-License-Identifier: Apache-2.0

"""Whether KVM really runs a guest here, and how to do without it.

A ``/dev/kvm`` may be there and yet be good for nothing: under a hypervisor
that half enables nested virtualization a guest starts and stands still. Then
a probe of QEMU's capabilities hangs, too, for many seconds or for ever.
"""

import ctypes
import enum
import json
import os
import platform
import shutil
import signal
import subprocess
import tempfile

from oslo_log import log as logging

LOG = logging.getLogger(__name__)

DEVICE = '/dev/kvm'
TRIAL_TIMEOUT_S = 2.5
"""A guest as small as this one needs a tenth of that.

Where a hypervisor below emulates what KVM needs, it may get there after four
or five seconds: emulating the guest is faster, and probing takes a minute.
"""

_KILL_TIMEOUT_S = 1.0
_EMULATORS = ('qemu-system-x86_64', '/usr/libexec/qemu-kvm')
_BOOT_ID = '/proc/sys/kernel/random/boot_id'
_VERDICT_FILE = 'kvm.json'
# The boot sector of the trial: mov ax, 0x2a; mov dx, 0xf4; out dx, ax; hlt.
# QEMU's isa-debug-exit makes an exit status of what is written to its port.
_CODE = b'\xb8\x2a\x00\xba\xf4\x00\xef\xf4'
_SECTOR = _CODE.ljust(510, b'\0') + b'\x55\xaa'
_STATUS = 0x2a << 1 | 1
_TIMED_OUT = -signal.SIGKILL
"""Status of timeout(1) when it had to kill: it kills itself, too."""

_CLONE_NEWNS, _CLONE_NEWUSER = 0x20000, 0x10000000
_MS_RDONLY, _MS_REMOUNT, _MS_BIND = 0x1, 0x20, 0x1000
_MS_REC, _MS_SLAVE = 0x4000, 0x80000

# A process that hangs within the kernel cannot be killed. It must not be
# waited for when Python forgets it, either.
_stuck: list['subprocess.Popen[bytes]'] = []
_hidden = False


class Verdict(enum.StrEnum):
    """What became of a trial."""

    MISSING = 'missing'
    """There is no device."""
    FORBIDDEN = 'forbidden'
    """This user may not open it."""
    WORKS = 'works'
    """A guest ran."""
    BROKEN = 'broken'
    """A guest was started and did not get anywhere."""
    UNTRIED = 'untried'
    """There is no trial for this architecture, no QEMU, or one that fails."""


def verdict(folder: str | None = None, device: str = DEVICE) -> Verdict:
    """Find out whether KVM runs a guest.

    Blocks for a quarter of a second where it does, for
    ``TRIAL_TIMEOUT_S`` where it does not.

    :param folder: keeps the outcome of a trial until the machine boots again
        or has another QEMU
    """
    if _hidden:
        return Verdict.BROKEN
    if not os.path.exists(device):
        return Verdict.MISSING
    if not os.access(device, os.R_OK | os.W_OK):
        return Verdict.FORBIDDEN
    found = emulator()
    if found is None or platform.machine() != 'x86_64':
        return Verdict.UNTRIED
    if folder is None:
        return _trial(found)
    known = _remembered(folder, found)
    if known is None:
        known = _trial(found)
        if known is not Verdict.UNTRIED:
            _remember(folder, found, known)
    return known


def hide(device: str = DEVICE) -> bool:
    """Go on in a mount namespace in which the device cannot be opened.

    It holds for this thread and for those it starts from now on, so it
    belongs at the start of a process. Mounts made elsewhere still arrive. A
    user who is not root gets a user namespace as well, in which programs
    such as sudo do not work.

    :returns: whether the device is hidden now
    """
    global _hidden
    if _hidden:
        return True
    LOG.info('Doing without KVM: a trial guest got nowhere within %g s',
             TRIAL_TIMEOUT_S)
    try:
        _enter_mount_namespace()
        _cover(device)
    except OSError as error:
        LOG.warning('KVM does not work here, and cannot be hidden from QEMU '
                    '(%s): starting guests may take long.', error.strerror)
        return False
    _hidden = True
    return True


def emulator() -> str | None:
    """Return the path of QEMU, None where there is none."""
    for name in _EMULATORS:
        path = shutil.which(name)
        if path is not None:
            return path
    return None


def _trial(emulator: str) -> Verdict:
    # Neither a file nor QEMU outlives this process, however it ends.
    disk = os.memfd_create('kvm-trial')
    try:
        os.write(disk, _SECTOR)
        process = subprocess.Popen(
            ['timeout', '--signal=KILL', str(TRIAL_TIMEOUT_S), emulator,
             '-nodefaults', '-no-user-config', '-display', 'none',
             '-m', '4', '-machine', 'pc,accel=kvm', '-boot', 'a',
             '-device', 'isa-debug-exit,iobase=0xf4,iosize=2', '-drive',
             f'file=/proc/self/fd/{disk},format=raw,if=floppy,readonly=on'],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, pass_fds=(disk,))
    finally:
        os.close(disk)
    try:
        status = process.wait(TRIAL_TIMEOUT_S + _KILL_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        # It hangs within the kernel.
        _kill(process)
        return Verdict.BROKEN
    # A QEMU that says at once what is wrong holds up no probe either.
    return {_STATUS: Verdict.WORKS, _TIMED_OUT: Verdict.BROKEN}.get(
        status, Verdict.UNTRIED)


def _kill(process: 'subprocess.Popen[bytes]') -> None:
    process.kill()
    try:
        process.wait(_KILL_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        _stuck.append(process)


def _stamp(emulator: str) -> list[str]:
    with open(_BOOT_ID, encoding='ascii') as file:
        return [file.read().strip(), emulator,
                str(os.stat(emulator).st_mtime_ns)]


def _remembered(folder: str, emulator: str) -> Verdict | None:
    try:
        with open(os.path.join(folder, _VERDICT_FILE),
                  encoding='ascii') as file:
            stamp, word = json.load(file)
        return Verdict(word) if stamp == _stamp(emulator) else None
    except (OSError, ValueError, TypeError):
        return None


def _remember(folder: str, emulator: str, found: Verdict) -> None:
    path = os.path.join(folder, _VERDICT_FILE)
    try:
        with open(f'{path}.{os.getpid()}', 'w', encoding='ascii') as file:
            json.dump([_stamp(emulator), found], file)
        os.replace(file.name, path)
    except OSError as error:
        LOG.debug('Could not keep the outcome of the KVM trial: %s', error)


def _enter_mount_namespace() -> None:
    user_id, group_id = os.geteuid(), os.getegid()
    if user_id == 0:
        _call('unshare', _CLONE_NEWNS)
    else:
        _call('unshare', _CLONE_NEWNS | _CLONE_NEWUSER)
        for name, content in (
                ('setgroups', b'deny'),
                ('uid_map', b'%d %d 1' % (user_id, user_id)),
                ('gid_map', b'%d %d 1' % (group_id, group_id))):
            with open(f'/proc/self/{name}', 'wb') as file:
                file.write(content)
    _call('mount', b'none', b'/', None, _MS_REC | _MS_SLAVE, None)


def _cover(device: str) -> None:
    # A plain file on a read-only mount is one that not even root may open
    # for writing; libvirt takes KVM for unusable then. With a file that can
    # be opened it would look again at each use, which takes seconds.
    with tempfile.NamedTemporaryFile(prefix='no-kvm-') as empty:
        source, target = os.fsencode(empty.name), os.fsencode(device)
        _call('mount', source, target, None, _MS_BIND, None)
    _call('mount', None, target, None,
          _MS_BIND | _MS_REMOUNT | _MS_RDONLY, None)


def _call(name: str, *arguments: object) -> None:
    # os.unshare is new in Python 3.12, and there is no os.mount.
    if getattr(ctypes.CDLL(None, use_errno=True), name)(*arguments):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
