# SPDX-License-Identifier: Apache-2.0

"""What monitors get to see, as plain JSON types."""

import dataclasses
import functools
import json
import os
from typing import Any

from nova_libvirt_driver.spec import connection as connection_spec
from nova_libvirt_driver.spec import health as health_spec
from nova_libvirt_driver import version

FORMAT = 1
"""Rises when a field changes its meaning or goes away."""


def make(
        host: str, status: connection_spec.ConnectionStatus,
        health: health_spec.Health) -> dict[str, Any]:
    """Return the document about one driver."""
    return {
        'format': FORMAT, 'host': host, 'pid': os.getpid(),
        'driver_version': _version(),
        'health': dataclasses.asdict(health),
        'connection': dataclasses.asdict(status)}


def text(document: dict[str, Any]) -> bytes:
    """Return a document as one line of JSON."""
    return json.dumps(document).encode() + b'\n'


@functools.cache
def _version() -> str:
    # It is read from a file, and does not change while the process lives.
    return version.version()
