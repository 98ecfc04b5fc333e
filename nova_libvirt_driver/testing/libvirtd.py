# SPDX-License-Identifier: Apache-2.0

"""A private host: a real libvirtd with real QEMU that a test may break.

Owns the daemon, its settings and its guests, all inside namespaces of
their own, so that several hosts run on one machine beside the machine's
own libvirt. It needs root and refuses to touch the system's libvirt.
"""

from collections.abc import Mapping
from collections.abc import Sequence
import contextlib
import os
import pathlib
import re
import shutil
import signal as signal_module
import subprocess
import tempfile
import time
from typing import Self
import uuid

from nova_libvirt_driver.testing import capability_cache
from nova_libvirt_driver.testing import namespaces

Setting = str | int | Sequence[str]
"""Value of one line in libvirtd.conf or qemu.conf."""

HostError = namespaces.HostError
CommandTimeout = namespaces.CommandTimeout

_DAEMON_SETTINGS: Mapping[str, Setting] = {
    'auth_unix_ro': 'none',
    'auth_unix_rw': 'none',
    'unix_sock_ro_perms': '0777',
    'unix_sock_rw_perms': '0700',
    'log_outputs': '2:file:/var/log/libvirt/libvirtd.log',
}
_QEMU_SETTINGS: Mapping[str, Setting] = {
    'user': 'root',
    'group': 'root',
    'security_driver': 'none',
    # Else libvirt needs virtlogd.
    'stdio_handler': 'file',
    'namespaces': (),
    'remember_owner': 0,
    'cgroup_controllers': (),
}
_PROGRAMS = {
    'libvirtd': 'libvirt-daemon',
    'virsh': 'libvirt-clients',
    'qemu-system-x86_64': 'qemu-system-x86',
    'unshare': 'util-linux',
    'nsenter': 'util-linux',
    'bash': 'bash',
    'timeout': 'coreutils',
}
_CALM_S = 0.3
"""How long a daemon that goes on is watched; a crash comes at once."""
_SOCKET_PATH_MAX_BYTES = 107  # sun_path with its final NUL is 108
_SOCKET_LONGEST = 's/libvirt-sock-ro'


def missing_prerequisite(euid: int, search_path: str) -> str | None:
    """Tell in one sentence what a private host lacks here, if anything."""
    if euid != 0:
        return ('A private libvirt host needs root for its namespaces: '
                'run this as root or with sudo.')
    search_path += ':/usr/sbin:/sbin'
    for program, package in _PROGRAMS.items():
        if shutil.which(program, path=search_path) is None:
            return (f'A private libvirt host needs {program}: install the '
                    f'package {package}.')
    return None


class PrivateHost:
    """One libvirt host with its own daemon, guests and host name.

    A context manager: entering starts it, leaving stops it. The guests of
    the host live on when its daemon is stopped, killed or started again.
    Not for use by several threads at once. Everything of the host ends with
    this process, also when that is killed.
    """

    def __init__(
        self,
        name: str,
        state_dir: str | os.PathLike[str] | None = None,
        *,
        libvirtd: Mapping[str, Setting] | None = None,
        qemu: Mapping[str, Setting] | None = None,
        virtlogd: Mapping[str, Setting] | None = None,
        capabilities: pathlib.Path | None = None,
    ) -> None:
        """Describe a host; nothing is started.

        :param name: host name inside; lower case, at most 31 characters
        :param state_dir: where the host's folder is made; must be short,
            as socket paths have a limit (default: the temporary folder)
        :param libvirtd: more or other settings for libvirtd.conf
        :param qemu: more or other settings for qemu.conf
        :param virtlogd: settings for virtlogd.conf; None is for no log
            daemon, and libvirtd lets QEMU write its logs by itself
        :param capabilities: folder of QEMU's capabilities, shared with
            other hosts (default: below the user's cache folder)
        """
        if not re.fullmatch('[a-z][a-z0-9-]{0,30}', name):
            raise ValueError(f'{name!r} is no name for a host.')
        self.name = name
        self.host_uuid = str(uuid.uuid4())
        self._parent = state_dir
        self._libvirtd = dict(libvirtd or {})
        self._qemu = dict(qemu or {})
        self._virtlogd = virtlogd
        if virtlogd is not None:
            self._qemu.setdefault('stdio_handler', 'logd')
        self._cache = capabilities or capability_cache.default_folder()
        self._directory: pathlib.Path | None = None
        self._namespaces: namespaces.Namespaces | None = None
        self._exit = contextlib.ExitStack()
        self.crashes: list[str] = []
        """Last line of the log for each time that :meth:`resume_daemon`
        found the daemon gone."""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    @property
    def directory(self) -> pathlib.Path:
        """The host's folder; it exists while the host is started."""
        if self._directory is None:
            raise HostError(f'The private host {self.name} is not started.')
        return self._directory

    @property
    def uri(self) -> str:
        """URI of the host for any process of this machine's root."""
        return f'qemu+unix:///system?socket={self._socket("libvirt-sock")}'

    @property
    def read_only_uri(self) -> str:
        """URI for read-only connections, which have a socket of their own.

        A socket in a URI is taken as it is: opened read-only, :attr:`uri`
        still goes to the socket for writers, and needs its rights.
        """
        return f'qemu+unix:///system?socket={self._socket("libvirt-sock-ro")}'

    @property
    def log_path(self) -> pathlib.Path:
        """Log file of the daemon."""
        return self.directory / 'log' / 'libvirtd.log'

    def start(self, timeout_s: float = 60.0) -> None:
        """Start namespaces and daemon; return when it answers.

        The first start of all probes QEMU, which takes 4 to 10 s; later
        ones take 1 to 2 s.

        :raises HostError: nothing is left behind
        """
        lack = missing_prerequisite(
            os.geteuid(), os.environ.get('PATH', os.defpath))
        if lack:
            raise HostError(lack)
        if self._namespaces is not None:
            raise HostError(f'The private host {self.name} is started.')
        with contextlib.ExitStack() as stack:
            stack.callback(self._forget)
            self._make_directory(stack)
            self._hold_namespaces(stack)
            if self._virtlogd is not None:
                self._start_log_daemon()
            self.start_daemon()
            self.wait_ready(timeout_s)
            # Makes libvirt look at QEMU now, not in somebody's first call.
            self._virsh(['capabilities'], timeout_s)
            capability_cache.save(self.directory / 'cache', self._cache)
            self._exit = stack.pop_all()

    def stop(self) -> None:
        """End daemon, guests and namespaces, remove the host's folder.

        Takes less than a second; may be repeated.
        """
        self._exit.close()

    def start_daemon(self) -> None:
        """Start the daemon and return without waiting until it answers.

        :raises HostError: the daemon is running or ended at once
        """
        if self.daemon_pid is not None:
            raise HostError(f'The libvirtd of {self.name} is running.')
        argv = ['libvirtd', '--daemon',
                '--pid-file', '/run/libvirt/libvirtd.pid']
        if self._libvirtd.get('listen_tcp'):
            argv.append('--listen')
        done = self.run(argv)
        if done.returncode:
            raise HostError(f'The libvirtd of {self.name} did not start: '
                            f'{done.stderr.strip() or self._last_log()}')

    def _start_log_daemon(self) -> None:
        # The default pid file is the machine's, and locked by its daemon.
        done = self.run(['virtlogd', '--daemon',
                         '--pid-file', '/run/libvirt/virtlogd.pid'])
        if done.returncode:
            raise HostError(f'The virtlogd of {self.name} did not start: '
                            f'{done.stderr.strip()}')

    def wait_ready(self, timeout_s: float = 60.0) -> None:
        """Wait until the daemon answers a client, if only to refuse it.

        :raises HostError: it ended, or the time is over
        """
        deadline = time.monotonic() + timeout_s
        while not self._answers(max(0.1, deadline - time.monotonic())):
            if self.daemon_pid is None:
                raise HostError(f'The libvirtd of {self.name} ended: '
                                f'{self._last_log()}')
            if time.monotonic() > deadline:
                raise HostError(f'The libvirtd of {self.name} does not '
                                f'answer within {timeout_s:g} s.')
            time.sleep(0.05)

    def kill_daemon(
        self, signal: int = signal_module.SIGKILL, *, timeout_s: float = 60.0
    ) -> None:
        """Send the daemon a signal; its guests are not touched.

        Returns when the daemon is gone for SIGKILL and SIGTERM, when it
        stands still for SIGSTOP, at once for any other signal. After SIGSTOP
        it goes on by :meth:`resume_daemon`.

        :raises HostError: there is no daemon, or it does not end
        """
        if signal == signal_module.SIGCONT:
            raise ValueError('A daemon goes on by resume_daemon().')
        pid = self.daemon_pid
        if pid is None:
            raise HostError(f'The libvirtd of {self.name} is not running.')
        os.kill(pid, signal)
        ends = signal in (signal_module.SIGKILL, signal_module.SIGTERM)
        if ends and not namespaces.wait_gone(pid, timeout_s):
            raise HostError(f'The libvirtd of {self.name} does not end '
                            f'within {timeout_s:g} s of signal {signal}.')
        if signal == signal_module.SIGSTOP and not (
                namespaces.wait_stopped(pid, timeout_s)):
            raise HostError(f'The libvirtd of {self.name} does not stand '
                            f'still within {timeout_s:g} s.')

    def resume_daemon(self, timeout_s: float = 60.0) -> None:
        """See to it that there is a daemon and that it answers.

        One that stands still goes on. Libvirt 9.0 may crash then, when
        clients have come and gone meanwhile: it frees what it knows of
        their event callbacks twice. A service manager would start it
        again, and so does this; :attr:`crashes` tells of it.

        :raises HostError: it does not start, or does not answer in time
        """
        pid = self.daemon_pid
        if pid is None:
            self.start_daemon()
        else:
            os.kill(pid, signal_module.SIGCONT)
        deadline = time.monotonic() + timeout_s
        while not self._is_calm(deadline):
            if time.monotonic() > deadline:
                raise HostError(f'The libvirtd of {self.name} does not go '
                                f'on within {timeout_s:g} s.')
            if self.daemon_pid is None:
                self.crashes.append(self._last_log())
                self.start_daemon()

    def _is_calm(self, deadline: float) -> bool:
        """Say whether the daemon answers, and is still there after that."""
        try:
            self.wait_ready(max(0.1, deadline - time.monotonic()))
        except HostError:
            return False
        time.sleep(_CALM_S)
        # On a busy machine it has done nothing yet in that time.
        return self._answers(max(0.1, deadline - time.monotonic())) and (
            self.daemon_pid is not None)

    def stop_daemon(self) -> None:
        """End the daemon in the regular way; may be repeated."""
        if self.daemon_pid is not None:
            self.kill_daemon(signal_module.SIGTERM)

    @property
    def daemon_pid(self) -> int | None:
        """Process id of the daemon, or None when it does not run."""
        return self._pid_from(pathlib.Path('libvirtd.pid'))

    def guest_pid(self, domain_name: str) -> int | None:
        """Process id of a guest's QEMU, or None when it does not run."""
        return self._pid_from(pathlib.Path('qemu', f'{domain_name}.pid'))

    @property
    def holder_pid(self) -> int | None:
        """Process id whose namespaces are the host's, for ``nsenter``."""
        return self._namespaces.holder_pid if self._namespaces else None

    def run(
        self, argv: Sequence[str], *, timeout_s: float = 30.0
    ) -> subprocess.CompletedProcess[str]:
        """Run a command inside the host to its end; exit codes are data.

        It sees the files of the machine but for libvirt's own folders.

        :raises CommandTimeout: it was killed
        """
        if self._namespaces is None:
            raise HostError(f'The private host {self.name} is not started.')
        return self._namespaces.run(argv, timeout_s=timeout_s)

    def virsh(self, *args: str, timeout_s: float = 30.0) -> str:
        """Run a virsh command on the host; return what it printed.

        :raises HostError: virsh failed, with its text
        :raises CommandTimeout: no answer, virsh was killed
        """
        done = self._virsh(args, timeout_s)
        if done.returncode:
            raise HostError(f'virsh {args[0]} on {self.name}: '
                            f'{done.stderr.strip()}')
        return done.stdout

    def _virsh(
        self, args: Sequence[str], timeout_s: float
    ) -> subprocess.CompletedProcess[str]:
        argv = ['virsh', '--quiet', '--connect', self.uri, *args]
        return self.run(argv, timeout_s=timeout_s)

    def _answers(self, timeout_s: float) -> bool:
        try:
            done = self._virsh(['uri'], timeout_s)
        except CommandTimeout:
            return False
        # Refusing is answering: some hosts are there to refuse.
        return not done.returncode or 'authentication' in done.stderr

    def _make_directory(self, stack: contextlib.ExitStack) -> None:
        self._directory = pathlib.Path(
            tempfile.mkdtemp(prefix=f'{self.name}-', dir=self._parent))
        stack.callback(shutil.rmtree, self._directory, ignore_errors=True)
        longest = os.fsencode(self._directory / _SOCKET_LONGEST)
        if len(longest) > _SOCKET_PATH_MAX_BYTES:
            raise HostError(
                f'The folder {self._directory} is too long for a socket: '
                f'give the private host {self.name} a shorter state_dir.')
        (self._directory / 's').mkdir(mode=0o755)
        # The read-only socket is for users without rights, too.
        self._directory.chmod(0o711)
        capability_cache.load(self._directory / 'cache', self._cache)
        self._write_settings(self._directory / 'etc')

    def _write_settings(self, folder: pathlib.Path) -> None:
        folder.mkdir()
        own: dict[str, Setting] = {
            'host_uuid': self.host_uuid,
            'unix_sock_dir': str(self.directory / 's'),
        }
        (folder / 'libvirtd.conf').write_text(
            _render({**_DAEMON_SETTINGS, **own, **self._libvirtd}))
        (folder / 'qemu.conf').write_text(
            _render({**_QEMU_SETTINGS, **self._qemu}))
        (folder / 'virtlogd.conf').write_text(_render(self._virtlogd or {}))

    def _hold_namespaces(self, stack: contextlib.ExitStack) -> None:
        held = namespaces.Namespaces(self.directory, self.name)
        stack.callback(held.release)
        held.hold()
        self._namespaces = held

    def _forget(self) -> None:
        self._namespaces = None
        self._directory = None

    def _socket(self, name: str) -> pathlib.Path:
        return self.directory / 's' / name

    def _pid_from(self, path: pathlib.Path) -> int | None:
        if self._namespaces is None:
            return None
        try:
            text = (self.directory / 'run' / path).read_text()
        except FileNotFoundError:
            return None
        return self._namespaces.outside_pid(int(text)) if text else None

    def _last_log(self) -> str:
        with contextlib.suppress(OSError, IndexError):
            return self.log_path.read_text().splitlines()[-1]
        return 'its log is empty'


def _render(settings: Mapping[str, Setting]) -> str:
    return ''.join(
        f'{name} = {_value(value)}\n' for name, value in settings.items())


def _value(value: Setting) -> str:
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str):
        if '"' in value or '\n' in value:
            raise ValueError(f'libvirt cannot read the setting {value!r}.')
        return f'"{value}"'
    return '[' + ', '.join(_value(item) for item in value) + ']'
