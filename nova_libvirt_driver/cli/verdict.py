# SPDX-License-Identifier: Apache-2.0

"""What ``health`` finds out: the verdict, why, and the figures.

It asks the status socket of the running service. Nothing is imported that
would take longer than the answer.
"""

from typing import Any

from nova_libvirt_driver.cli import exit_code
from nova_libvirt_driver.cli import terminal
from nova_libvirt_driver.monitoring import inquiry

Code = exit_code.HealthCode

Fields = dict[str, Any]
"""What is shown: texts that anybody may have written, lists of such texts,
and numbers."""

TIMEOUT_S = 2.0
MIN_TIMEOUT_S = 0.1

CODES = {'healthy': Code.HEALTHY, 'degraded': Code.DEGRADED}

_OF_SERVICE = ('host', 'pid', 'driver_version')
_OF_CONNECTION = (
    'uri', 'state', 'state_age_s', 'generation', 'reconnects', 'breaker',
    'last_error', 'events', 'queued_events', 'coalesced_events',
    'running_calls', 'abandoned_calls', 'call_limit')


def ask(path: str, timeout_s: float | None) -> tuple[int, Fields]:
    """Return the exit code, and what is shown.

    :param path: empty when the service listens nowhere
    :param timeout_s: None for two seconds
    """
    try:
        document = _answer(path, timeout_s or TIMEOUT_S)
    except inquiry.NoAnswer as error:
        return Code.UNAVAILABLE, _judged(
            'unavailable', [str(error)], [error.next_step])
    verdict = str(document['health'].get('verdict', ''))
    return CODES.get(verdict, Code.UNAVAILABLE), described(document)


def described(document: dict[str, Any]) -> Fields:
    """Return what is shown of a service's answer."""
    health, connection = document['health'], document['connection']
    reasons = health.get('reasons', [])
    return {
        **_judged(str(health.get('verdict', '')),
                  [reason.get('text', '') for reason in reasons],
                  [reason.get('next_step', '') for reason in reasons]),
        **{name: document.get(name) for name in _OF_SERVICE},
        **{name: connection.get(name) for name in _OF_CONNECTION},
        'unresponsive': connection.get('unresponsive', [])}


def for_people(value: object) -> object:
    """Return a value without what a terminal would obey."""
    if isinstance(value, list):
        return '\n'.join(map(terminal.plain, value))
    return terminal.plain(value) if isinstance(value, str) else value


def _answer(path: str, timeout_s: float) -> dict[str, Any]:
    if not path:
        raise inquiry.NoAnswer(
            'no socket to ask at: it is switched off',
            'set [nova_libvirt_driver] status_socket and restart the '
            'service')
    return inquiry.ask(path, timeout_s)


def _judged(
        verdict: str, reasons: list[str], next_steps: list[str]) -> Fields:
    return {'verdict': verdict, 'reasons': reasons,
            'next_steps': next_steps}
