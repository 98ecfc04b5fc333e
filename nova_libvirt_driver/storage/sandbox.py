# SPDX-License-Identifier: Apache-2.0

"""A sandbox around a program that reads what a tenant has made.

Bubblewrap gives the program a file system of its own with nothing in it but
the installed programs and libraries, read-only, and the files it is to work
on. It has no network, sees no other process, no home and no ``/proc``, and
many system calls are refused.

A service that runs as root starts it as the user ``nobody`` with one
capability: to pass the permissions of files (``CAP_DAC_OVERRIDE``), because
QEMU owns some of those it works on. There are no other files that this would
open. A service that runs as another user needs unprivileged user namespaces;
the program has that user's rights to the files it is given, and no
capability.
"""

from collections.abc import Iterator
from collections.abc import Sequence
import contextlib
import functools
import os
import shutil
import subprocess

from nova_libvirt_driver.storage import seccomp

PROGRAM = 'bwrap'

_TRIAL_S = 10.0
# Links into /usr where the distribution has merged them.
_ROOTS = ('/bin', '/sbin', '/lib', '/lib32', '/lib64', '/libx32')
# The linker's, that of mke2fs and of mtools, and which of several programs
# bears a name.
_CONFIGURATION = ('/etc/ld.so.cache', '/etc/mke2fs.conf',
                  '/etc/mtools.conf', '/etc/alternatives')
_INSTALLED = ('/usr/', *(f'{root}/' for root in _ROOTS))
_UNSHARE = ('--unshare-ipc', '--unshare-pid', '--unshare-net',
            '--unshare-uts', '--unshare-cgroup-try')
_TO_BECOME_NOBODY = ('CAP_SETUID', 'CAP_SETGID', 'CAP_SETPCAP')
_NOBODY = '65534'
_ONE_CAPABILITY = '-all,+dac_override'


@functools.cache
def problem() -> str:
    """Try a sandbox, once in a process, and say why there is none.

    Empty when it works. Blocks for some 30 ms, and for 10 s where the trial
    hangs.
    """
    path = search_path()
    if shutil.which(PROGRAM, path=path) is None:
        return 'bubblewrap is not installed (Debian: bubblewrap)'
    harmless = shutil.which('true', path=path)
    if harmless is None:
        return 'there is no program true to try it with'
    try:
        with started([harmless], (), ()) as (line, descriptors):
            done = subprocess.run(
                line, stdin=subprocess.DEVNULL, capture_output=True,
                timeout=_TRIAL_S, check=False, pass_fds=descriptors,
                env={'PATH': path, 'LC_ALL': 'C'})
    except (OSError, subprocess.TimeoutExpired) as error:
        return f'bubblewrap does not work here: {error}'
    said = done.stderr.decode(errors='replace').strip().splitlines()
    return '' if done.returncode == 0 else (
        f'bubblewrap does not work here: {(said or ["no reason given"])[-1]}')


@contextlib.contextmanager
def started(
        argv: Sequence[str], reads: Sequence[str], writes: Sequence[str]
) -> Iterator[tuple[list[str], tuple[int, ...]]]:
    """Return a command line, and the descriptors it has to inherit.

    :param argv: the program by its path, and its arguments
    :param reads: files and folders that it may read
    :param writes: files that exist and that it may change
    """
    with _filter() as descriptors:
        yield ([_find(PROGRAM), *_UNSHARE, '--die-with-parent',
                *_file_system(argv[0]), *_files(reads, writes),
                *(argument for number in descriptors
                  for argument in ('--seccomp', str(number))),
                *_identity(), *argv], descriptors)


def search_path() -> str:
    """Return where programs are looked for, also as an ordinary user."""
    return os.pathsep.join((
        os.environ.get('PATH', os.defpath), '/usr/sbin', '/sbin'))


def _file_system(program: str) -> Iterator[str]:
    yield from ('--ro-bind', '/usr', '/usr', '--dev', '/dev')
    for root in _ROOTS:
        if os.path.islink(root):
            yield from ('--symlink', os.readlink(root), root)
        elif os.path.isdir(root):
            yield from ('--ro-bind', root, root)
    for path in _CONFIGURATION:
        yield from ('--ro-bind-try', path, path)
    if not program.startswith(_INSTALLED):
        yield from ('--ro-bind', program, program)


def _files(reads: Sequence[str], writes: Sequence[str]) -> Iterator[str]:
    for option, paths in (('--ro-bind', reads), ('--bind', writes)):
        for path in paths:
            yield from (option, path, path)


def _identity() -> Iterator[str]:
    """Yield what takes the rights away, up to the program's path."""
    if os.geteuid() != 0:
        yield from ('--unshare-user', '--cap-drop', 'ALL', '--')
        return
    # Without a namespace of users: in one that maps none but root, files of
    # QEMU's user could not be read.
    yield from ('--cap-drop', 'ALL')
    for name in (*_TO_BECOME_NOBODY, 'CAP_DAC_OVERRIDE'):
        yield from ('--cap-add', name)
    yield from (
        '--', _find('setpriv'), '--reuid', _NOBODY, '--regid', _NOBODY,
        '--clear-groups', '--inh-caps', _ONE_CAPABILITY, '--ambient-caps',
        _ONE_CAPABILITY, '--bounding-set', _ONE_CAPABILITY,
        '--no-new-privs', '--')


@contextlib.contextmanager
def _filter() -> Iterator[tuple[int, ...]]:
    """Give the filter of system calls in a file that is in memory only."""
    program = seccomp.program()
    if not program:
        yield ()
        return
    descriptor = os.memfd_create('seccomp', os.MFD_CLOEXEC)
    try:
        os.write(descriptor, program)
        os.lseek(descriptor, 0, os.SEEK_SET)
        yield (descriptor,)
    finally:
        os.close(descriptor)


def _find(name: str) -> str:
    return shutil.which(name, path=search_path()) or name
