# SPDX-License-Identifier: Apache-2.0

"""The hypervisor that lives in this process: its folder, and what it sees.

libvirt's embedded QEMU driver reads its settings, and where to log to, while
it is loaded. Both have to be there before.
"""

from collections.abc import Iterator
import contextlib
import fcntl
import glob
import os
import shutil
import signal
import struct
import tempfile
import time
import urllib.parse

from oslo_config import cfg

from nova_libvirt_driver.compute import kvm
from nova_libvirt_driver import conf as package_conf
from nova_libvirt_driver import exception
from nova_libvirt_driver.filesystem import locking

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
HELD_S = 10.0
_POLL_S = 0.1
_LOCK = 'hypervisor.lock'
_HELD = ('wait for that command to end; if it is a service, name its state '
         'folder with --state-path, and no --uri')
_FLOCK = 'hhqqi4x'
"""struct flock of fcntl(2), with 64-bit offsets."""
_LIBVIRT_DRIVERS = (
    '/usr/lib*/libvirt/connection-driver/libvirt_driver_qemu.so',
    '/usr/lib/*/libvirt/connection-driver/libvirt_driver_qemu.so',
    '/usr/local/lib*/libvirt/connection-driver/libvirt_driver_qemu.so')
_TB_CACHE_MIB = 32
_searched: set[str] = set()
# Descriptors of locks, which end with this process.
_held: dict[str, int] = {}
_ROOT_SETTINGS = ('user = "root"', 'group = "root"')


def default_uri(state_path: str) -> str:
    """Return the hypervisor to use where none is named.

    That is a QEMU without any daemon, in the state folder, where there is
    one; else libvirt's test hypervisor, which makes no real guests.
    """
    if kvm.emulator() is None or not any(map(glob.glob, _LIBVIRT_DRIVERS)):
        return 'test:///default'
    folder = os.path.join(os.path.abspath(state_path), 'qemu')
    return f'qemu:///embed?root={urllib.parse.quote(folder)}'


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


def hold(uri: str, host: str, wait_s: float = HELD_S) -> None:
    """Have an embedded QEMU for this process, until that ends.

    libvirt refuses a second process at once, and even one that has closed
    its connection keeps others out until it ends; this waits for commands
    that are about to. Does nothing for another hypervisor.

    :raises HypervisorUnavailable: another process has it, and keeps it
    :raises InvalidConfiguration: the folder cannot be used
    """
    folder = root(uri or '')
    if folder is None or folder in _held:
        return
    deadline = time.monotonic() + wait_s
    with _usable(folder):
        os.makedirs(folder, exist_ok=True)
        path = locking.beside(folder, _LOCK)
        while (descriptor := locking.try_lock(path)) is None:
            if time.monotonic() >= deadline:
                raise exception.HypervisorUnavailable(
                    host=host, uri=uri, reason=f'another process has {uri}, '
                    'and only one can', hint=_HELD)
            time.sleep(_POLL_S)
    _held[folder] = descriptor


@contextlib.contextmanager
def _usable(folder: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise exception.InvalidConfiguration(
            reason=f'the folder {folder} of the embedded hypervisor cannot '
            f'be used: {error.strerror}') from error


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
    with _usable(folder):
        _write_settings(folder)
    # Once only: with a file that it closes, a process loses all POSIX locks
    # that it has on it, also that of its own hypervisor.
    if folder not in _searched and not _is_in_use(folder):
        _end_probes(folder)
    _searched.add(folder)
    # On a terminal, libvirt's own words would be in the way.
    os.environ.setdefault(
        'LIBVIRT_LOG_OUTPUTS', f'3:file:{os.path.join(folder, LOG_FILE)}')
    if choose_virt_type(conf) is kvm.Verdict.BROKEN:
        kvm.hide()


def choose_virt_type(conf: cfg.ConfigOpts) -> kvm.Verdict | None:
    """Emulate guests of an embedded QEMU where KVM does not work.

    Does so only unless ``virt_type`` is set.

    :returns: what is known of KVM; None if it does not matter
    """
    is_set = package_conf.is_set(conf, 'virt_type', 'libvirt')
    folder = root(conf.libvirt.connection_uri)
    if folder is None or is_set and conf.libvirt.virt_type == 'kvm':
        return None
    verdict = kvm.verdict(folder)
    if verdict not in (kvm.Verdict.WORKS, kvm.Verdict.UNTRIED):
        emulate(conf)
    return verdict


def emulate(conf: cfg.ConfigOpts) -> None:
    """Have guests that run on every machine, in little memory.

    Does nothing where ``virt_type`` is set.
    """
    if not package_conf.is_set(conf, 'virt_type', 'libvirt'):
        conf.set_default('virt_type', 'qemu', group='libvirt')
        conf.set_default('tb_cache_size', _TB_CACHE_MIB, group='libvirt')


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
