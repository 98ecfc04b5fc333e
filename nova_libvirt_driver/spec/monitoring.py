# SPDX-License-Identifier: Apache-2.0

"""Where monitors ask a driver how it is, as options say."""

import dataclasses


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Values of options."""

    host: str
    status_socket: str = ''
    """Path of the socket; empty for none."""
    metrics_listen: str = '127.0.0.1'
    metrics_port: int = 0
    """0 for no metrics."""
    guest_metrics: bool = True
    """Figures of each guest are among the metrics."""
    service_down_grace_s: float = 5.0
    """How long a lost connection is no outage yet."""
