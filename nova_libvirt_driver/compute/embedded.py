# SPDX-License-Identifier: Apache-2.0

"""The hypervisor that lives in this process: its folder, and what it sees.

libvirt's embedded QEMU driver reads its settings, and where to log to, while
it is loaded. Both have to be there before.
"""

import contextlib
import fcntl
import glob
import os
import shutil
import signal
import struct
import tempfile
import urllib.parse

from oslo_config import cfg

from nova_libvirt_driver.compute import kvm
from nova_libvirt_driver import conf as package_conf
from nova_libvirt_driver import exception

LOG_FILE = os.path.join('log', 'libvirt.log')
_SETTINGS_FILE = os.path.join('etc', 'qemu.conf')
_SETTINGS = (
    'security_driver = "none"',
    # There is no virtlogd beside it.
    'stdio_handler = "file"',
    'namespaces = []',
    'cgroup_controllers = []',
    # The files are of no interest to others, and libvirt warns about its
    # own notes on them whenever the clock was set.
    'remember_owner = 0',
    # Else libvirt raises the limit, which fails where it may not.
    'max_core = 0',
)
# libvirt starts a QEMU in the background to learn what it can do, and has
# these in a folder of their own while it does.
_PROBES = os.path.join('lib', 'qemu', 'qmp-*')
_PROBE_PID_FILE = 'qmp.pid'
_DRIVER_PID_FILE = os.path.join('run', 'qemu', 'driver.pid')
_FLOCK = 'hhqqi4x'
"""struct flock of fcntl(2), with 64-bit offsets."""
_searched: set[str] = set()
_ROOT_SETTINGS = ('user = "root"', 'group = "root"')


def root(uri: str) -> str | None:
    """Return the folder of an embedded QEMU, None for another hypervisor.

    :raises InvalidConfiguration: the URI names no folder
    """
    parts = urllib.parse.urlsplit(uri)
    if parts.scheme != 'qemu' or not parts.path.startswith('/embed'):
        return None
    found, = urllib.parse.parse_qs(parts.query).get('root', [''])[:1]
    if not os.path.isabs(found):
        raise exception.InvalidConfiguration(
            reason=f'{uri} needs ?root=DIR with an absolute path')
    return found


def prepare(conf: cfg.ConfigOpts) -> None:
    """Make ready what an embedded QEMU needs; may be repeated.

    Call it before libvirt is imported and before threads are started. Does
    nothing for any other hypervisor. Settings that are there already are
    left as they are. A QEMU that a process was asking what it can do when it
    was killed is ended. Blocks for a second at most where KVM works, and for
    some seconds, once after a boot of the machine, where it does not.

    :raises InvalidConfiguration: the folder cannot be used
    """
    folder = root(conf.libvirt.connection_uri)
    if folder is None:
        return
    try:
        _write_settings(folder)
    except OSError as error:
        raise exception.InvalidConfiguration(
            reason=f'the folder {folder} of the embedded hypervisor cannot '
            f'be used: {error.strerror}') from error
    # Once only: with a file that it closes, a process loses all POSIX locks
    # that it has on it, also that of its own hypervisor.
    if folder not in _searched and not _is_in_use(folder):
        _end_probes(folder)
    _searched.add(folder)
    # On a terminal, libvirt's own words would be in the way.
    os.environ.setdefault(
        'LIBVIRT_LOG_OUTPUTS', f'3:file:{os.path.join(folder, LOG_FILE)}')
    if not _wants_kvm(conf) and kvm.verdict(folder) is kvm.Verdict.BROKEN:
        kvm.hide()


def _wants_kvm(conf: cfg.ConfigOpts) -> bool:
    return (package_conf.is_set(conf, 'virt_type', 'libvirt')
            and conf.libvirt.virt_type == 'kvm')


def _write_settings(folder: str) -> None:
    for name in (_SETTINGS_FILE, LOG_FILE):
        os.makedirs(os.path.join(folder, os.path.dirname(name)),
                    exist_ok=True)
    path = os.path.join(folder, _SETTINGS_FILE)
    if os.path.exists(path):
        return
    lines = [*(_ROOT_SETTINGS if os.geteuid() == 0 else ()), *_SETTINGS]
    # A file that is cut off would be taken for an operator's.
    with tempfile.NamedTemporaryFile(
            'w', dir=os.path.dirname(path), prefix='.', delete=False,
            encoding='ascii') as new:
        new.writelines(f'{line}\n' for line in lines)
    os.replace(new.name, path)


def _is_in_use(folder: str) -> bool:
    """Say whether another process has its hypervisor in the folder."""
    try:
        with open(os.path.join(folder, _DRIVER_PID_FILE), 'rb') as file:
            found = fcntl.fcntl(file, fcntl.F_GETLK, struct.pack(
                _FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0))
    except FileNotFoundError:
        return False
    kind: int = struct.unpack(_FLOCK, found)[0]
    return kind != fcntl.F_UNLCK


def _end_probes(folder: str) -> None:
    for probe in glob.glob(os.path.join(glob.escape(folder), _PROBES)):
        with contextlib.suppress(OSError, ValueError):
            with open(os.path.join(probe, _PROBE_PID_FILE),
                      encoding='ascii') as file:
                _end(int(file.read()), probe)
        shutil.rmtree(probe, ignore_errors=True)


def _end(process_id: int, argument: str) -> None:
    """Kill a process that has this among its arguments, and no other."""
    descriptor = os.pidfd_open(process_id)
    try:
        with open(f'/proc/{process_id}/cmdline', 'rb') as file:
            if os.fsencode(argument) in file.read():
                signal.pidfd_send_signal(descriptor, signal.SIGKILL)
    finally:
        os.close(descriptor)
