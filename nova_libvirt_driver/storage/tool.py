# SPDX-License-Identifier: Apache-2.0

"""Programs that work on disks, held within limits.

What they work on may be crafted (CVE-2015-5162): CPU time, memory and
wall-clock time are bounded, none outlives who waits for it (CVE-2015-3241),
and each runs in a sandbox that holds no file but those it is given.
"""

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
import contextlib
import functools
import os
import re
import selectors
import shutil
import signal
import subprocess
import time
import typing

from oslo_log import log as logging
import psutil

from nova_libvirt_driver import exception
from nova_libvirt_driver.spec import policy as policy_spec
from nova_libvirt_driver.storage import sandbox

LOG = logging.getLogger(__name__)

OnLine = Callable[[str], object]

_PACKAGES = {
    'qemu-img': 'qemu-utils', 'mkfs.vfat': 'dosfstools',
    'mkfs.ext4': 'e2fsprogs', 'mkswap': 'util-linux',
    'mkfs.xfs': 'xfsprogs', 'mkfs.ntfs': 'ntfs-3g',
    'fallocate': 'util-linux',
    'prlimit': 'util-linux', 'mcopy': 'mtools', 'mmd': 'mtools'}
_MIB = 1024 * 1024
_MAX_OUTPUT_BYTES = 1024 * 1024
_READ_BYTES = 64 * 1024
_MAX_REASON = 300
_SHELL_SIGNAL = 128
# How long a killed program may take to go. One that waits within the kernel,
# for a dead file server, cannot be killed; its caller must not hang as well.
_KILL_S, _POLL_S = 10.0, 0.05
_WATCH_S = 1.0
# Options that give a tool its formats instead of looking for itself,
# and how a file begins that is named together with its format.
_FORMAT_OPTIONS = frozenset({'-f', '--image-opts'})
_NODE = 'json:{"driver": '
_SANDBOX = policy_spec.ToolSandbox
_IF_CHILD_OF = '[ "$PPID" = "$1" ] || exit 1; shift; exec "$@"'


class Tool:
    """Runs programs under the host's limits, in a sandbox."""

    def __init__(self, policy: policy_spec.StoragePolicy) -> None:
        self._policy = policy

    def run(
            self, argv: Sequence[str], *, reads: Sequence[str] = (),
            writes: Sequence[str] = (), cpu_s: int | None = None,
            file_bytes: int | None = None, on_line: OnLine | None = None,
            watch: Callable[[], object] = lambda: None) -> str:
        """Run a program and return what it wrote, the last MiB of it.

        Blocks until it ends. It is killed when this is interrupted in any
        way, also by what ``on_line`` and ``watch`` raise, and when this
        process dies.

        :param reads: paths of the files and folders that it may read; the
            user of this process has to have that right, root has it always
        :param writes: paths of the files that it may read and change; they
            have to exist
        :param cpu_s: CPU time it may take, None for a look at an image
        :param file_bytes: longest file it may write, None for any length
        :param on_line: gets each line that it writes, as soon as it is there
        :param watch: called about once a second while it runs
        :raises ToolFailure: it failed, or met a limit
        :raises StorageFailure: it is not installed, or could not be started
        :raises InvalidConfiguration: a sandbox is required and there is none
        :raises ValueError: a command for images names no format
        """
        if argv[0] == 'qemu-img' and _FORMAT_OPTIONS.isdisjoint(argv) and (
                not any(word.startswith(_NODE) for word in argv)):
            raise ValueError(f'{argv} names no format')
        limits = self._limits(cpu_s, file_bytes)
        with self._confined([find(argv[0]), *argv[1:]], reads, writes) as (
                line, descriptors):
            return self._run([*limits, *line], descriptors, argv[0],
                             on_line, watch)

    def _confined(
            self, argv: Sequence[str], reads: Sequence[str],
            writes: Sequence[str]) -> contextlib.AbstractContextManager[
                tuple[list[str], tuple[int, ...]]]:
        wanted = self._policy.tool_sandbox
        problem = '' if wanted is _SANDBOX.OFF else sandbox.problem()
        if problem and wanted is _SANDBOX.REQUIRED:
            raise exception.InvalidConfiguration(
                reason='[nova_libvirt_driver] image_tool_sandbox is '
                f'{wanted}, and {problem}; see: nova-libvirt doctor')
        if problem:
            _warn_once(problem)
        if problem or wanted is _SANDBOX.OFF:
            return contextlib.nullcontext((list(argv), ()))
        return sandbox.started(argv, reads, writes)

    def _run(
            self, line: Sequence[str], descriptors: Sequence[int], name: str,
            on_line: OnLine | None, watch: Callable[[], object]) -> str:
        try:
            process = subprocess.Popen(
                line, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=subprocess.PIPE, start_new_session=True, cwd='/',
                pass_fds=descriptors,
                env={'PATH': sandbox.search_path(), 'LC_ALL': 'C'})
        except (OSError, ValueError) as error:
            raise self._failure(name, str(error)) from error
        with _killed(process):
            output, errors = self._follow(process, name, on_line, watch)
        if process.returncode:
            last = _last_line(errors)
            if last.startswith(f'{sandbox.PROGRAM}: '):
                raise self._failure(name, last)
            raise self._failure(name, _why(process.returncode, last),
                                exception.ToolFailure)
        return output

    def _limits(
            self, cpu_s: int | None, file_bytes: int | None) -> list[str]:
        policy = self._policy
        memory_mib = (policy.tool_look_memory_mib if cpu_s is None
                      else policy.tool_memory_mib)
        return [*_tied(), find('prlimit'),
                f'--cpu={cpu_s or policy.tool_cpu_s}',
                f'--as={memory_mib * _MIB}',
                *(() if file_bytes is None else (f'--fsize={file_bytes}',)),
                '--']

    def _follow(
            self, process: 'subprocess.Popen[bytes]', name: str,
            on_line: OnLine | None,
            watch: Callable[[], object]) -> tuple[str, str]:
        deadline = time.monotonic() + self._policy.tool_timeout_s
        assert process.stdout is not None and process.stderr is not None
        streams = {process.stdout: _Stream(on_line),
                   process.stderr: _Stream(None)}
        try:
            _read(streams, deadline, watch)
            process.wait(max(0.0, deadline - time.monotonic()))
        except (subprocess.TimeoutExpired, TimeoutError) as error:
            raise self._failure(
                name, 'it did not end within '
                f'{self._policy.tool_timeout_s:g} s',
                exception.ToolFailure) from error
        return (streams[process.stdout].text, streams[process.stderr].text)

    def _failure(
            self, name: str, why: str,
            kind: type[exception.StorageFailure] = exception.StorageFailure,
    ) -> exception.StorageFailure:
        return kind(
            reason=f'{name} failed: {why}', path=self._policy.instances_path)


def _tied() -> list[str]:
    """Return the beginning of a line that ends with this process."""
    setpriv = shutil.which('setpriv', path=sandbox.search_path())
    if setpriv is None:
        return []
    # The signal comes when the thread that started it ends, not just the
    # process: that thread waits here. No signal comes for a process that died
    # before it was asked for, hence the look at who is the parent now.
    return [setpriv, '--pdeathsig', 'KILL', find('sh'), '-c', _IF_CHILD_OF,
            'sh', str(os.getpid())]


class _Stream:
    """The end of what was written, and its lines as they come."""

    def __init__(self, on_line: OnLine | None) -> None:
        self._on_line = on_line
        self._data = b''
        self._line = b''

    @property
    def text(self) -> str:
        return self._data.decode(errors='replace')

    def take(self, data: bytes) -> None:
        self._data = (self._data + data)[-_MAX_OUTPUT_BYTES:]
        if self._on_line is None:
            return
        # A carriage return is how progress is drawn.
        *lines, self._line = re.split(rb'[\r\n]+', self._line + data)
        self._line = self._line[-_READ_BYTES:]
        for line in lines:
            if line:
                self._on_line(line.decode(errors='replace'))


def _read(
        streams: dict[typing.IO[bytes], _Stream], deadline: float,
        watch: Callable[[], object]) -> None:
    with selectors.DefaultSelector() as selector:
        for stream in streams:
            selector.register(stream.fileno(), selectors.EVENT_READ, stream)
        while selector.get_map():
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                raise TimeoutError
            watch()
            for key, _ in selector.select(min(left_s, _WATCH_S)):
                data = os.read(key.fd, _READ_BYTES)
                if data:
                    streams[key.data].take(data)
                else:
                    selector.unregister(key.fd)


@contextlib.contextmanager
def _killed(process: 'subprocess.Popen[bytes]') -> Iterator[None]:
    """Leave no process of the program's group behind."""
    try:
        yield
    except BaseException:
        # It is not reaped yet, so its number is still its own.
        if process.returncode is None:
            _kill(process)
        raise
    finally:
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()


def _kill(process: 'subprocess.Popen[bytes]') -> None:
    deadline = time.monotonic() + _KILL_S
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    # The next start of a program reaps it, when it is gone by then.
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_KILL_S)
    # The sandbox goes at once, what hangs is the program within it.
    while left := _running(process.pid):
        if time.monotonic() > deadline:
            LOG.error(
                'Disk tools were killed and do not end, because they wait for '
                'storage that does not answer. Restore that storage, and they '
                'end. Processes: %s', ', '.join(map(str, left)))
            return
        time.sleep(_POLL_S)


def _running(group: int) -> list[int]:
    """Return the processes of a group, without those that have ended."""
    found = []
    for number in psutil.pids():
        with contextlib.suppress(ProcessLookupError, psutil.Error):
            if os.getpgid(number) == group and (
                    psutil.Process(number).status() != psutil.STATUS_ZOMBIE):
                found.append(number)
    return found


def find(name: str) -> str:
    """Return the path of a program.

    :raises StorageFailure: it is not installed
    """
    path = shutil.which(name, path=sandbox.search_path())
    if path is None:
        package = _PACKAGES.get(name)
        raise exception.StorageFailure(
            reason=f'{name} is not installed' + (
                f'; install it (Debian: {package})' if package else ''),
            path=name)
    return path


@functools.cache
def _warn_once(problem: str) -> None:
    LOG.warning(
        'Programs that read images run with limits and without a sandbox: '
        '%s. A fault in qemu-img could open files of this host to a tenant. '
        'See: nova-libvirt doctor', problem)


def _last_line(errors: str) -> str:
    lines = [line for line in errors.splitlines() if line.strip()]
    return ''.join(character if character.isprintable() else '?'
                   for character in (lines or [''])[-1][:_MAX_REASON])


def _why(returncode: int, last: str) -> str:
    # The sandbox ends with the signal's number in the way of a shell.
    number = -returncode if returncode < 0 else returncode - _SHELL_SIGNAL
    if number <= 0:
        return last or f'it ended with code {returncode}'
    name = signal.Signals(number).name if (
        number in set(signal.Signals)) else str(number)
    killed = f'it was killed by {name}, perhaps at a limit'
    return f'{killed}: {last}' if last else killed
