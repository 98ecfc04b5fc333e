# SPDX-License-Identifier: Apache-2.0

"""What there is on a host, to tell that something left nothing behind.

Files, domains, secrets, processes and interfaces, each as one line of text.
Contents and times of files do not count, nor do process ids.
"""

import collections
from collections.abc import Iterable
from collections.abc import Iterator
import dataclasses
import fnmatch
import os
import pathlib
import stat
import typing

import libvirt
import psutil

from nova_libvirt_driver.testing import libvirtd

_PROGRAMS = ('qemu-', 'swtpm')
# Where a private host's libvirt keeps something of its guests.
_OWN_FOLDERS = ('etc', 'lib/qemu', 'lib/swtpm', 'run/qemu')
_KINDS = {
    stat.S_IFREG: 'file', stat.S_IFDIR: 'folder', stat.S_IFLNK: 'link',
    stat.S_IFSOCK: 'socket', stat.S_IFIFO: 'pipe'}


@dataclasses.dataclass(frozen=True)
class Footprint:
    """What there was on a host at one moment."""

    lines: tuple[str, ...]

    @classmethod
    def take(
            cls, host: libvirtd.PrivateHost | str,
            *folders: str | os.PathLike[str],
            ignore: Iterable[str] = ()) -> typing.Self:
        """Look at a host; blocks for a moment.

        :param host: a private host, or the URI of any libvirt, whose
            network interfaces are then taken to be this machine's
        :param folders: what is below them counts, and the processes that
            name one of them in their command line
        :param ignore: patterns of paths that do not count, as of a cache
        """
        names = [os.path.abspath(folder) for folder in folders]
        uri = host if isinstance(host, str) else host.uri
        found = [
            *_files(names, tuple(ignore)), *_kept_by_libvirt(host),
            *_libvirt(uri), *_processes(names, _namespace(host)),
            *_interfaces(host)]
        return cls(tuple(sorted(found)))

    def difference(self, later: 'Footprint') -> list[str]:
        """Return what came (``+``) and what went (``-``) since then."""
        before = collections.Counter(self.lines)
        after = collections.Counter(later.lines)
        came = [f'+ {line}' for line in (after - before).elements()]
        went = [f'- {line}' for line in (before - after).elements()]
        return sorted(came + went, key=lambda line: line[2:])


def _kept_by_libvirt(host: libvirtd.PrivateHost | str) -> list[str]:
    if isinstance(host, str):
        return []
    own = [str(host.directory / name) for name in _OWN_FOLDERS]
    # libvirt makes a folder when it needs it first, and keeps it.
    return [line for line in _files(own, ())
            if not line.startswith(_KINDS[stat.S_IFDIR])]


def _files(folders: Iterable[str], ignore: tuple[str, ...]) -> Iterator[str]:
    for folder in folders:
        for path in _below(folder):
            if any(fnmatch.fnmatch(str(path), one) for one in ignore):
                continue
            try:
                status = path.lstat()
            except FileNotFoundError:  # went while we looked
                continue
            yield _file_line(path, status)


def _below(folder: str) -> Iterator[pathlib.Path]:
    # Path.rglob raises when a folder goes while it looks.
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            yield pathlib.Path(parent, name)


def _file_line(path: pathlib.Path, status: os.stat_result) -> str:
    kind = _KINDS.get(stat.S_IFMT(status.st_mode), 'device')
    mode = stat.S_IMODE(status.st_mode)
    empty = ' empty' if kind == 'file' and not status.st_size else ''
    return f'{kind} {path} {mode:04o}{empty}'


def _libvirt(uri: str) -> Iterator[str]:
    connection = libvirt.open(uri)
    try:
        for domain in connection.listAllDomains():
            try:
                running = 'running' if domain.isActive() else 'stopped'
            except libvirt.libvirtError as error:
                if error.get_error_code() != libvirt.VIR_ERR_NO_DOMAIN:
                    raise
                continue  # went while we looked
            yield f'domain {domain.name()} {domain.UUIDString()} {running}'
        # The test driver knows none, and complains on standard error.
        if connection.getType() != 'TEST':
            for secret in connection.listAllSecrets():
                yield f'secret {secret.UUIDString()} {secret.usageID()}'
    finally:
        connection.close()


def _namespace(host: libvirtd.PrivateHost | str) -> str | None:
    if isinstance(host, str):
        return None
    return os.readlink(f'/proc/{host.holder_pid}/ns/pid')


def _processes(
        folders: list[str], namespace: str | None) -> Iterator[str]:
    for process in psutil.process_iter():
        try:
            words = process.cmdline()
            program = process.name()
            inside = _is_in(process.pid, namespace)
        except (psutil.Error, OSError):  # ended while we looked
            continue
        if not words or process.pid == os.getpid():
            continue
        ours = inside and program.startswith(_PROGRAMS)
        text = ' '.join(words)
        if ours or any(folder in text for folder in folders):
            yield f'process {program} {_subject(words)}'.rstrip()


def _is_in(pid: int, namespace: str | None) -> bool:
    return (namespace is not None
            and os.readlink(f'/proc/{pid}/ns/pid') == namespace)


def _subject(words: list[str]) -> str:
    """Return the name of the guest of a QEMU, else the last argument."""
    if '-name' in words[:-1]:
        return words[words.index('-name') + 1].partition(',')[0]
    return words[-1]


def _interfaces(host: libvirtd.PrivateHost | str) -> list[str]:
    if isinstance(host, str):
        names = os.listdir('/sys/class/net')
    else:
        # Two lines of headings, then one for each interface.
        table = host.run(['cat', '/proc/net/dev']).stdout.splitlines()[2:]
        names = [line.partition(':')[0].strip() for line in table]
    return [f'interface {name}' for name in names]
