# SPDX-License-Identifier: Apache-2.0

"""Namespaces in which a private libvirt host lives.

Owns one process that holds mount, network, host name and process
namespaces, and everything that runs inside them. It knows nothing of
libvirt but the folders that each host needs for itself.
"""

from collections.abc import Iterator
from collections.abc import Sequence
import contextlib
import ctypes
import os
import pathlib
import subprocess
import time

import psutil

SHADOWED = {
    'etc': '/etc/libvirt',
    'run': '/run/libvirt',
    'lib': '/var/lib/libvirt',
    'cache': '/var/cache/libvirt',
    'log': '/var/log/libvirt',
}
"""Folder of the host, by name, and the system's folder it covers."""

_RELEASE_TIMEOUT_S = 60.0
_CLONE_NEWNET = 0x40000000
_TIMEOUT_CODES = (124, 137)  # ended by timeout's SIGTERM, by its SIGKILL

# Arguments: the host's folder, its name, pairs of folder and mount point.
# It is process 1 of its namespace, so when it ends the kernel kills every
# other process in there. It must be a shell that reaps orphans (bash does,
# dash does not): libvirt waits for a QEMU that stays a zombie.
_HOLDER = r'''set -e
host=$1; name=$2; shift 2
echo "$name" >/proc/sys/kernel/hostname
printf '127.0.0.1 localhost %s\n' "$name" >"$host/hosts"
mount --bind "$host/hosts" /etc/hosts
for pair in "$@"; do
    folder=$host/${pair%%=*}; mkdir -p "$folder" "${pair#*=}"
    mount --bind "$folder" "${pair#*=}"
done
# A /dev without kvm: libvirt drops its cache of QEMU's capabilities at every
# use, and probes again for seconds, when root can open /dev/kvm and the
# user of its QEMU processes cannot.
new=$host/dev; mkdir "$new"; mount -t tmpfs -o mode=755 tmpfs "$new"
mkdir "$new/net" "$new/pts" "$new/shm"
for node in null zero full random urandom tty ptmx net/tun; do
    if [ -e "/dev/$node" ]; then cp -a "/dev/$node" "$new/$node"; fi
done
ln -s /proc/self/fd "$new/fd"
ln -s fd/0 "$new/stdin"; ln -s fd/1 "$new/stdout"; ln -s fd/2 "$new/stderr"
mount --rbind /dev/pts "$new/pts"; mount --rbind /dev/shm "$new/shm"
# libvirt stumbles over shadowed mounts below /dev.
while read -r _ _ _ _ point _; do
    case $point in /dev/*) points="$point ${points-}";; esac
done </proc/self/mountinfo
for point in ${points-}; do umount -l "$point"; done
mount --move "$new" /dev
if type ip >/dev/null 2>&1; then ip link set lo up; fi
echo ready
exec >/dev/null 2>&1
set +e
# Until the last writer of this pipe is gone, on purpose or killed.
while read -r _; do :; done
kill -KILL -1
rm -rf --one-file-system -- "$host"
'''


class HostError(Exception):
    """A private host cannot be used; one sentence says why."""


class CommandTimeout(HostError):
    """A command inside a host did not end in time and was killed."""


class Namespaces:
    """Hold the namespaces of one host until released or until we die.

    The holder ends when the pipe to it closes, so it outlives this process
    neither after a normal end nor after SIGKILL; it takes every process
    inside with it and removes the host's folder. A fork of this process
    without exec keeps the pipe open and so everything alive.
    """

    def __init__(self, directory: pathlib.Path, name: str) -> None:
        self.directory = directory
        self.name = name
        self._holder: subprocess.Popen[str] | None = None
        self._init_pid = 0

    def hold(self) -> None:
        """Make the namespaces. Blocks some 50 ms.

        :raises HostError: nothing is left behind
        """
        pairs = [f'{name}={path}' for name, path in SHADOWED.items()]
        script = self.directory / 'holder.sh'
        script.write_text(_HOLDER)
        self._holder = subprocess.Popen(
            ['unshare', '--mount', '--net', '--uts', '--pid', '--fork',
             '--kill-child', '--mount-proc', '--propagation', 'private',
             'bash', str(script), str(self.directory), self.name, *pairs],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True,
            # Ctrl-C in a terminal goes to this process alone.
            start_new_session=True)
        assert self._holder.stdout is not None
        said = self._holder.stdout.readline()
        if said != 'ready\n':
            said += self._holder.stdout.read()
            self.release()
            raise HostError(f'The namespaces of {self.name} cannot be made: '
                            f'{said.strip() or "no answer"}')
        self._init_pid = psutil.Process(self._holder.pid).children()[0].pid

    def release(self) -> None:
        """End every process inside and the holder; may be repeated."""
        holder, self._holder, self._init_pid = self._holder, None, 0
        if holder is None:
            return
        with holder:
            assert holder.stdin is not None
            holder.stdin.close()
            try:
                holder.wait(_RELEASE_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                # Takes its child, process 1, along (--kill-child).
                holder.kill()

    @property
    def holder_pid(self) -> int | None:
        """Process 1 of the namespaces as seen from here."""
        return self._init_pid or None

    def run(
        self, argv: Sequence[str], *, timeout_s: float = 30.0
    ) -> subprocess.CompletedProcess[str]:
        """Run a command inside to its end; a failure is not an error here.

        :raises CommandTimeout: it was killed
        """
        if not self._init_pid:
            raise HostError(f'The private host {self.name} is not started.')
        # Killing nsenter would leave the command running, so this is left
        # to a process inside.
        entry = ['nsenter', '--target', str(self._init_pid), '--mount',
                 # Else it would leave a chroot in which this runs.
                 '--root', '--wd',
                 '--net', '--uts', '--pid', '--',
                 'timeout', '--kill-after=1', str(timeout_s)]
        started = time.monotonic()
        done = subprocess.run(
            [*entry, *argv], stdin=subprocess.DEVNULL, capture_output=True,
            text=True, check=False, env=_environment())
        if (done.returncode in _TIMEOUT_CODES
                and time.monotonic() - started >= timeout_s):
            raise CommandTimeout(
                f'{argv[0]} on {self.name} did not end within '
                f'{timeout_s:g} s.')
        return done

    def outside_pid(self, inside_pid: int) -> int | None:
        """Translate a process id of the inside to ours.

        Returns None when there is no such process, or only its remains.
        """
        if not self._init_pid:
            return None
        namespace = os.readlink(f'/proc/{self._init_pid}/ns/pid')
        for pid in psutil.pids():
            if _matches(pid, inside_pid, namespace):
                return pid
        return None


@contextlib.contextmanager
def network_of(pid: int) -> Iterator[None]:
    """Have this native thread make its sockets in another's network.

    Nothing in the block may let another green thread run.
    """
    with (open('/proc/thread-self/ns/net', 'rb') as own,
          open(f'/proc/{pid}/ns/net', 'rb') as other):
        _enter_network(other.fileno())
        try:
            yield
        finally:
            _enter_network(own.fileno())


def _enter_network(descriptor: int) -> None:
    # os.setns is new in Python 3.12.
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(descriptor, _CLONE_NEWNET):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def wait_gone(pid: int, timeout_s: float) -> bool:
    """Wait until a process of any parent is gone; tell whether it is."""
    deadline = time.monotonic() + timeout_s
    while _alive(pid):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def wait_stopped(pid: int, timeout_s: float) -> bool:
    """Wait until SIGSTOP has reached a process; tell whether it has.

    A signal that comes before that may overtake it.
    """
    deadline = time.monotonic() + timeout_s
    while psutil.Process(pid).status() != psutil.STATUS_STOPPED:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def _alive(pid: int) -> bool:
    try:
        if psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
            return True
        # The first thread is dead; while others are not, the files of the
        # process are still open, and the locks on them held.
        return len(os.listdir(f'/proc/{pid}/task')) > 1
    except (psutil.NoSuchProcess, FileNotFoundError, ProcessLookupError):
        return False


def _matches(pid: int, inside_pid: int, namespace: str) -> bool:
    try:
        if os.readlink(f'/proc/{pid}/ns/pid') != namespace:
            return False
        status = pathlib.Path(f'/proc/{pid}/status').read_text()
    except OSError:  # ended while we looked
        return False
    fields = dict(line.split(':\t', 1) for line in status.splitlines())
    return (int(fields['NSpid'].split()[-1]) == inside_pid
            and not fields['State'].startswith('Z'))


def _environment() -> dict[str, str]:
    return {'LC_ALL': 'C', 'HOME': '/root',
            'PATH': os.environ.get('PATH', os.defpath) + ':/usr/sbin:/sbin'}
