# SPDX-License-Identifier: Apache-2.0

"""Statuses and observers for the tests of this folder."""

import dataclasses
from typing import Any

from nova_libvirt_driver.spec import connection as connection_spec

WELL = connection_spec.ConnectionStatus(
    state=connection_spec.ConnectionState.CONNECTED, uri='qemu:///system',
    read_only=False, generation=1, events=True, keepalive=True,
    last_error='', queued_events=0, running_calls=0, abandoned_calls=0,
    call_limit=64, state_age_s=12.5)

LOST = dataclasses.replace(
    WELL, state=connection_spec.ConnectionState.BROKEN, events=False,
    last_error='the daemon closed it', breaker=connection_spec.Breaker.OPEN,
    lost_for_s=3.0)


class RecordingObserver:
    """Remembers names and outcomes."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str]] = []
        self.verbs: list[tuple[str, str]] = []

    def call(self, name: str, outcome: str, took_s: float) -> None:
        assert took_s >= 0
        self.calls.append((name, outcome))

    def verb(self, name: str, outcome: str, took_s: float) -> None:
        assert took_s >= 0
        self.verbs.append((name, outcome))


def well(**fields: Any) -> connection_spec.ConnectionStatus:
    """Return a status of a connection that works."""
    return dataclasses.replace(WELL, **fields)


def lost(**fields: Any) -> connection_spec.ConnectionStatus:
    """Return a status of one that was lost three seconds ago."""
    return dataclasses.replace(LOST, **fields)
