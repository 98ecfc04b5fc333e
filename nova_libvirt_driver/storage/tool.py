# SPDX-License-Identifier: Apache-2.0

"""Programs that work on disks, held within limits.

What they work on may be crafted (CVE-2015-5162): CPU time, memory and
wall-clock time are bounded, and none outlives who waits for it
(CVE-2015-3241).
"""

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
import contextlib
import os
import re
import selectors
import shutil
import signal
import subprocess
import time
import typing

from oslo_log import log as logging

from nova_libvirt_driver import exception
from nova_libvirt_driver.spec import policy as policy_spec

LOG = logging.getLogger(__name__)

OnLine = Callable[[str], object]

_PACKAGES = {
    'qemu-img': 'qemu-utils', 'mkfs.vfat': 'dosfstools',
    'mkfs.ext4': 'e2fsprogs', 'mkswap': 'util-linux',
    'prlimit': 'util-linux', 'mcopy': 'mtools', 'mmd': 'mtools'}
_SBIN = ('/usr/sbin', '/sbin')
_MIB = 1024 * 1024
_MAX_OUTPUT_BYTES = 1024 * 1024
_READ_BYTES = 64 * 1024
_MAX_REASON = 300
# How long a killed program may take to go. One that waits within the kernel,
# for a dead file server, cannot be killed; its caller must not hang as well.
_KILL_S = 10.0
# Options with which a tool is told formats instead of looking for itself.
_FORMAT_OPTIONS = frozenset({'-f', '--image-opts'})


class Tool:
    """Runs programs under the host's limits."""

    def __init__(self, policy: policy_spec.StoragePolicy) -> None:
        self._policy = policy

    def run(
            self, argv: Sequence[str], *, cpu_s: int | None = None,
            file_bytes: int | None = None,
            on_line: OnLine | None = None) -> str:
        """Run a program and return what it wrote, the last MiB of it.

        Blocks until it ends. It is killed when this is interrupted in any
        way, also by what ``on_line`` raises, and when this process dies.

        :param cpu_s: CPU time it may take, None for a look at an image
        :param file_bytes: longest file it may write, None for any length
        :param on_line: gets each line that it writes, as soon as it is there
        :raises StorageFailure: it is not installed, failed, or met a limit
        :raises ValueError: a command for images names no format
        """
        if argv[0] == 'qemu-img' and _FORMAT_OPTIONS.isdisjoint(argv):
            raise ValueError(f'{argv} names no format')
        line = [*self._limits(cpu_s or self._policy.tool_cpu_s, file_bytes),
                find(argv[0]), *argv[1:]]
        try:
            process = subprocess.Popen(
                line, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=subprocess.PIPE, start_new_session=True, cwd='/',
                env={'PATH': _path(), 'LC_ALL': 'C'})
        except (OSError, ValueError) as error:
            raise self._failure(argv[0], str(error)) from error
        with _killed(process):
            output, errors = self._follow(process, argv[0], on_line)
        if process.returncode:
            raise self._failure(argv[0], _why(process.returncode, errors))
        return output

    def _limits(self, cpu_s: int, file_bytes: int | None) -> list[str]:
        line = [find('prlimit'), f'--cpu={cpu_s}',
                f'--as={self._policy.tool_memory_mib * _MIB}',
                *(() if file_bytes is None else (f'--fsize={file_bytes}',)),
                '--']
        # The signal comes when the thread that started it ends, not just
        # the process: that thread waits here.
        if (setpriv := shutil.which('setpriv', path=_path())) is not None:
            line += [setpriv, '--pdeathsig', 'KILL']
        return line

    def _follow(
            self, process: 'subprocess.Popen[bytes]', name: str,
            on_line: OnLine | None) -> tuple[str, str]:
        deadline = time.monotonic() + self._policy.tool_timeout_s
        assert process.stdout is not None and process.stderr is not None
        streams = {process.stdout: _Stream(on_line),
                   process.stderr: _Stream(None)}
        try:
            _read(streams, deadline)
            process.wait(max(0.0, deadline - time.monotonic()))
        except (subprocess.TimeoutExpired, TimeoutError) as error:
            raise self._failure(
                name, 'it did not end within '
                f'{self._policy.tool_timeout_s:g} s') from error
        return (streams[process.stdout].text, streams[process.stderr].text)

    def _failure(self, name: str, why: str) -> exception.StorageFailure:
        return exception.StorageFailure(
            reason=f'{name} failed: {why}', path=self._policy.instances_path)


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
        streams: dict[typing.IO[bytes], _Stream], deadline: float) -> None:
    with selectors.DefaultSelector() as selector:
        for stream in streams:
            selector.register(stream.fileno(), selectors.EVENT_READ, stream)
        while selector.get_map():
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                raise TimeoutError
            for key, _ in selector.select(left_s):
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
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        raise
    finally:
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()
        _reap(process)


def _reap(process: 'subprocess.Popen[bytes]') -> None:
    try:
        process.wait(_KILL_S)
    except subprocess.TimeoutExpired:
        # The next start of a program reaps it, when it is gone by then.
        LOG.error('Process %d, a disk tool, was killed and does not go: '
                  'it waits for storage that does not answer.', process.pid)


def find(name: str) -> str:
    """Return the path of a program.

    :raises StorageFailure: it is not installed
    """
    path = shutil.which(name, path=_path())
    if path is None:
        package = _PACKAGES.get(name)
        raise exception.StorageFailure(
            reason=f'{name} is not installed' + (
                f'; install it (Debian: {package})' if package else ''),
            path=name)
    return path


def _path() -> str:
    return os.pathsep.join((os.environ.get('PATH', os.defpath), *_SBIN))


def _why(returncode: int, errors: str) -> str:
    lines = [line for line in errors.splitlines() if line.strip()]
    last = ''.join(character if character.isprintable() else '?'
                   for character in (lines or [''])[-1][:_MAX_REASON])
    if returncode < 0:
        number = -returncode
        name = signal.Signals(number).name if (
            number in set(signal.Signals)) else str(number)
        killed = f'it was killed by {name}, perhaps at a limit'
        return f'{killed}: {last}' if last else killed
    return last or f'it ended with code {returncode}'
