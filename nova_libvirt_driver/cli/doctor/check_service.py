# SPDX-License-Identifier: Apache-2.0

"""The check of ``doctor`` that asks the running service, if there is one."""

from typing import Any

from nova_libvirt_driver.cli.doctor import checks
from nova_libvirt_driver.cli.output import terminal
from nova_libvirt_driver.monitoring import inquiry

TIMEOUT_S = 2.0

TOPIC = checks.Topic('service')


def service(path: str) -> checks.Check:
    """Return what the service that listens at *path* says of itself.

    :param path: empty when it listens nowhere
    """
    if not path:
        return TOPIC.skipped('[nova_libvirt_driver] status_socket is off')
    try:
        document = inquiry.ask(path, TIMEOUT_S)
    except (inquiry.Absent, inquiry.Forbidden) as error:
        return TOPIC.skipped(str(error))
    except inquiry.NoAnswer as error:
        return TOPIC.failure(str(error), error.next_step)
    return _judged(document)


def _judged(document: dict[str, Any]) -> checks.Check:
    health = document['health']
    verdict = health.get('verdict', '')
    detail = terminal.plain(
        f'process {document.get("pid")} is {verdict}: '
        + ', '.join(_figures(document['connection'])))
    if verdict == 'healthy':
        return TOPIC.ok(detail)
    reasons = health.get('reasons', [])
    fix = '; '.join(
        f'{reason.get("text", "")}: {reason.get("next_step", "")}'
        for reason in reasons)
    make = TOPIC.warning if verdict == 'degraded' else TOPIC.failure
    return make(detail, terminal.plain(fix))


def _figures(connection: dict[str, Any]) -> list[str]:
    """Return the state of a connection in a few words each."""
    found = [
        f'{connection.get("state")} since '
        f'{connection.get("state_age_s", 0):.0f} s',
        f'connection {connection.get("generation")}',
        f'reconnects {connection.get("reconnects")}',
        f'breaker {connection.get("breaker")}',
        f'abandoned calls {connection.get("abandoned_calls")} of '
        f'{connection.get("call_limit")}',
        f'quarantined guests {len(connection.get("unresponsive", ()))}',
        f'queued events {connection.get("queued_events")}']
    if connection.get('last_error'):
        found.append(f'last error: {connection["last_error"]}')
    return found
