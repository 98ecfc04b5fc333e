# SPDX-License-Identifier: Apache-2.0

"""The other end of :mod:`tests.functional.as_user`."""

from collections.abc import Iterator
from collections.abc import Sequence
import contextlib
import json
import os
import pathlib
import pwd
import re
import subprocess
import sys
from typing import Any

from nova_libvirt_driver.spec import guest as guest_spec
from nova_libvirt_driver.storage import spec_record

_TOP = pathlib.Path(__file__).parents[2]
# Arguments: a file of sudoers, which hides the machine's; a command; --; and
# folders that the user has to reach.
_ALONE = r'''set -e
sudoers=$1; shift
mount --bind "$sudoers" /etc/sudoers
mount -t tmpfs -o mode=750 tmpfs /etc/sudoers.d
command=()
while [ "$1" != -- ]; do command+=("$1"); shift; done
shift
tools/reveal "$@"
exec "${command[@]}"
'''


class Refused(Exception):
    """The driver in the process raised an error of the package."""

    def __init__(self, kind: str, text: str, next_step: str) -> None:
        super().__init__(f'{kind}: {text}')
        self.kind = kind
        self.next_step = next_step


class Service:
    """A driver in a process of another user.

    :ivar pid: of that process
    """

    def __init__(
            self, process: 'subprocess.Popen[str]',
            log: pathlib.Path) -> None:
        self._process = process
        self._log = log
        self.pid = process.pid

    def call(
            self, verb: str, spec: guest_spec.GuestSpec | None = None,
            **arguments: Any) -> Any:
        """Call a verb of the driver; return what it returns.

        :raises Refused: the driver raised an error
        """
        assert self._process.stdin and self._process.stdout
        record = spec_record.dumps(spec) if spec is not None else ''
        self._process.stdin.write(json.dumps(
            {'verb': verb, 'spec': record, **arguments}) + '\n')
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise AssertionError(
                f'the process has ended at {verb}: {self._log.read_text()}')
        answer = json.loads(line)
        if 'error' in answer:
            raise Refused(
                answer['error'], answer['text'], answer['next_step'])
        return answer['value']


@contextlib.contextmanager
def running(
        config_file: pathlib.Path, *, user: str, groups: tuple[str, ...],
        rights: str) -> Iterator[Service]:
    """Have a driver in a process of a user.

    :param rights: ``forked``, from capabilities that it starts with, as
        under a service manager; ``sudo``; or ``none``
    """
    log = config_file.with_name('log')
    with log.open('wb') as errors, started(
            ['-m', 'tests.functional.as_user', str(config_file)],
            config_file, user=user, groups=groups, rights=rights,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=errors) as process:
        yield Service(process, log)
        assert process.stdin is not None
        process.stdin.close()
        if process.wait():
            raise AssertionError(f'it ended with code {process.returncode}: '
                                 f'{log.read_text()}')


def started(
        arguments: Sequence[str], config_file: pathlib.Path, *, user: str,
        groups: tuple[str, ...], rights: str,
        **streams: Any) -> 'subprocess.Popen[str]':
    """Start a Python as a user.

    :param rights: see :func:`running`
    :param streams: of :class:`subprocess.Popen`
    """
    sudoers = config_file.with_name('sudoers')
    sudoers.write_text(_rules(config_file, user) if rights == 'sudo' else '')
    sudoers.chmod(0o440)
    capabilities = '+chown,+dac_read_search' if rights == 'forked' else '-all'
    return subprocess.Popen(
        ['unshare', '--mount', '--propagation', 'private',
         'bash', '-c', _ALONE, 'alone', str(sudoers),
         'setpriv', '--reuid', user, '--regid',
         str(pwd.getpwnam(user).pw_gid), '--groups', ','.join(groups),
         '--inh-caps', capabilities, '--ambient-caps', capabilities,
         sys.executable, *arguments,
         '--', sys.base_prefix, sys.prefix, str(_TOP)],
        text=True, cwd=_TOP, env=_environment(), **streams)


def _environment() -> dict[str, str]:
    # Modules compiled by one user are no matter of another.
    return {**os.environ, 'TMPDIR': '/tmp', 'HOME': '/nonexistent',
            'PYTHONDONTWRITEBYTECODE': '1'}


def _rules(config_file: pathlib.Path, user: str) -> str:
    helper = os.path.join(os.path.dirname(sys.executable), 'privsep-helper')
    # A regular expression: a star would match further arguments.
    return (f'{user} ALL = (root) NOPASSWD: {helper} '
            f'^--config-file {re.escape(str(config_file))} --privsep_context '
            'nova_libvirt_driver\\.privileged\\.context\\.CONTEXT '
            '--privsep_sock_path /tmp/[a-zA-Z0-9_]+/privsep\\.sock$\n')
