# SPDX-License-Identifier: Apache-2.0

"""Checks of the daemons behind a local URI: which answer, and which do not.

Either one daemon has all drivers of libvirt (libvirtd), or each driver has
one of its own (virtqemud for QEMU; the rule on Fedora, RHEL and SUSE). Both
need virtlogd for the logs and consoles of guests.
"""

from collections.abc import Iterable
import os
import re
import socket
import urllib.parse

from nova_libvirt_driver.cli.doctor import check_connection
from nova_libvirt_driver.cli.doctor import checks

_DAEMON = checks.Topic('daemon')
_LOG = checks.Topic('virtlogd')
_CONSOLE_LOGS = checks.Topic('console logs')

_SYSTEM = '/run/libvirt'
_CONF = '/etc/libvirt'
_QEMU_CONF, _VIRTLOGD_CONF = 'qemu.conf', 'virtlogd.conf'
# In the order in which the client of libvirt tries them.
_SOCKETS = ('virtqemud-sock', 'libvirt-sock')
_DAEMONS = {'virtqemud-sock': 'virtqemud', 'libvirt-sock': 'libvirtd'}
_TIMEOUT_S = 2.0
_WHEN_NEEDED = 'libvirt starts one for this user when it is needed'
_WITHOUT_LOGD = re.compile(r'^\s*stdio_handler\s*=\s*"file"', re.MULTILINE)
_WITHOUT_LIMIT = re.compile(r'^\s*max_size\s*=\s*0\s*$', re.MULTILINE)


def daemon(uri: str) -> checks.Check:
    """Check that a daemon listens where the client of libvirt asks."""
    if not _is_local_qemu(uri):
        return _DAEMON.skipped('not one of QEMU on this machine')
    places = _places(uri)
    for path in places:
        problem = _problem(path)
        if _is_startable(uri, problem):
            continue
        if problem is None:
            name = _DAEMONS.get(os.path.basename(path), 'a daemon')
            return _DAEMON.ok(f'{name} listens at {path}')
        if not isinstance(problem, FileNotFoundError):
            return _dead(_DAEMON, path, problem)
    if check_connection.is_of_user(uri):
        return _DAEMON.skipped(_WHEN_NEEDED)
    return _DAEMON.failure(
        f'there is no socket {" or ".join(places)}',
        'start virtqemud or libvirtd: systemctl start virtqemud.socket, or '
        'libvirtd.socket')


def log_daemon(uri: str, qemu_conf: str | None = None) -> checks.Check:
    """Check that virtlogd answers, without which no guest starts.

    :param qemu_conf: default is the one of the daemon
    """
    if not _is_local_qemu(uri):
        return _LOG.skipped('not needed here')
    if _says(_conf(uri, _QEMU_CONF, qemu_conf), _WITHOUT_LOGD):
        return _LOG.skipped('not needed: stdio_handler is "file"')
    path = os.path.join(_folder(uri), 'virtlogd-sock')
    problem = _problem(path)
    if problem is None:
        return _LOG.ok(f'listens at {path}')
    if _is_startable(uri, problem):
        return _LOG.skipped(_WHEN_NEEDED)
    if isinstance(problem, PermissionError):
        return _LOG.skipped(f'only root may see whether {path} answers')
    return _dead(_LOG, path, problem)


def console_logs(
        uri: str, max_mib: int, *, qemu_conf: str | None = None,
        virtlogd_conf: str | None = None,
        user_id: int | None = None) -> checks.Check:
    """Check that what guests print cannot fill the disk.

    :param max_mib: the option ``console_log_max_size``
    :param qemu_conf: default is the one of the daemon
    :param virtlogd_conf: likewise
    :param user_id: of the service; default is that of this process
    """
    embedded = check_connection.is_in_process(uri)
    qemu_conf = _conf(uri, _QEMU_CONF, qemu_conf)
    if not embedded and not _is_local_qemu(uri) or uri.startswith('test:'):
        return _CONSOLE_LOGS.skipped('not of QEMU on this machine')
    if not embedded and not _says(qemu_conf, _WITHOUT_LOGD):
        return _limit_of_daemon(
            _conf(uri, _VIRTLOGD_CONF, virtlogd_conf))
    if not max_mib:
        return _CONSOLE_LOGS.warning(
            'a guest can fill the disk with what it prints: '
            'console_log_max_size is 0, and there is no virtlogd',
            'remove [nova_libvirt_driver] console_log_max_size')
    if not embedded and not uri.endswith('/session') and (
            os.geteuid() if user_id is None else user_id):
        return _CONSOLE_LOGS.warning(
            'a guest can fill the disk with what it prints: there is no '
            "virtlogd, and the service may not write to QEMU's files",
            f'remove stdio_handler = "file" from {qemu_conf}, or run the '
            'service as root')
    return _CONSOLE_LOGS.ok(
        f'the service rotates them at {max_mib} MiB while it runs')


def _limit_of_daemon(virtlogd_conf: str) -> checks.Check:
    if _says(virtlogd_conf, _WITHOUT_LIMIT):
        return _CONSOLE_LOGS.warning(
            'a guest can fill the disk with what it prints: virtlogd has no '
            'limit', f'remove max_size = 0 from {virtlogd_conf}')
    return _CONSOLE_LOGS.ok('virtlogd rotates them')


def _dead(topic: checks.Topic, path: str, problem: OSError) -> checks.Check:
    name = os.path.basename(path).removesuffix('-sock')
    name = 'libvirtd' if name == 'libvirt' else name
    if isinstance(problem, PermissionError):
        return topic.failure(
            f'this user may not use {path}',
            'run as root or as a member of the libvirt group')
    return topic.failure(
        f'nothing answers at {path}: {_words(problem)}',
        f'start {name}: systemctl start {name}.socket {name}')


def _words(problem: OSError) -> str:
    # A green socket has the name of the number for its words.
    return os.strerror(problem.errno) if problem.errno else str(problem)


def _is_local_qemu(uri: str) -> bool:
    parts = urllib.parse.urlsplit(uri)
    return (parts.scheme in ('qemu', 'qemu+unix') and not parts.hostname
            and not check_connection.is_in_process(uri))


def _places(uri: str) -> Iterable[str]:
    asked = urllib.parse.parse_qs(urllib.parse.urlsplit(uri).query)
    if 'socket' in asked:
        return tuple(asked['socket'])
    names = {'direct': _SOCKETS[:1], 'legacy': _SOCKETS[1:]}.get(
        asked.get('mode', [''])[0], _SOCKETS)
    return tuple(os.path.join(_folder(uri), name) for name in names)


def _conf(uri: str, name: str, given: str | None) -> str:
    """Return the path of a file of settings of a daemon, unless given."""
    if given is not None:
        return given
    folder = _CONF
    if check_connection.is_of_user(uri):
        folder = os.path.join(os.environ.get(
            'XDG_CONFIG_HOME') or os.path.expanduser('~/.config'), 'libvirt')
    return os.path.join(folder, name)


def _is_startable(uri: str, problem: OSError | None) -> bool:
    """Say whether what does not listen is started when it is asked."""
    return isinstance(problem, (FileNotFoundError, ConnectionRefusedError)
                      ) and check_connection.is_of_user(uri)


def _folder(uri: str) -> str:
    parts = urllib.parse.urlsplit(uri)
    named = urllib.parse.parse_qs(parts.query).get('socket')
    if named:
        return os.path.dirname(named[0])
    if check_connection.is_of_user(uri):
        runtime = os.environ.get('XDG_RUNTIME_DIR') or os.path.expanduser(
            '~/.cache')
        return os.path.join(runtime, 'libvirt')
    return _SYSTEM


def _problem(path: str) -> OSError | None:
    """Return why nothing answers at a socket, None if something does."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as caller:
        caller.settimeout(_TIMEOUT_S)
        try:
            caller.connect(path)
        except OSError as error:
            return error
    return None


def _says(path: str, line: re.Pattern[str]) -> bool:
    try:
        with open(path, encoding='utf-8', errors='replace') as file:
            return bool(line.search(file.read(1 << 20)))
    except OSError:
        return False
