# SPDX-License-Identifier: Apache-2.0

"""The figures of all guests, for monitors that must not wait for libvirt.

Who asks gets the last ones at once, and causes new ones to be asked for.
"""

from collections.abc import Callable
from collections.abc import Mapping
import threading
import time

from oslo_log import log as logging

from nova_libvirt_driver.calls import worker as worker_module
from nova_libvirt_driver import exception
from nova_libvirt_driver.spec import diagnostics as diagnostics_spec

LOG = logging.getLogger(__name__)

Figures = Mapping[str, diagnostics_spec.Diagnostics]

_STOP_S = 1.0


class GuestFigures:
    """Keeps the last figures; one thread asks for the next ones.

    :param ask: returns the figures of all guests by uuid; may take long
    """

    def __init__(self, ask: Callable[[], Figures]) -> None:
        self._ask = ask
        self._worker = worker_module.Worker('guest-figures')
        # Held for a few instructions only.
        self._lock = threading.Lock()
        self._is_asking = False
        self._latest: tuple[Figures, float | None] = {}, None

    def latest(self) -> tuple[Figures, float | None]:
        """Return the last figures, and how many seconds old they are.

        The age is None before the first ones have come.
        """
        with self._lock:
            begin, self._is_asking = not self._is_asking, True
            figures, asked_at = self._latest
        if begin:
            self._worker.submit(self._look)
        return figures, (
            None if asked_at is None else time.monotonic() - asked_at)

    def stop(self) -> None:
        """Ask for no more; waits for a second at most."""
        self._worker.stop(_STOP_S)

    def _look(self) -> None:
        asked_at = time.monotonic()
        try:
            figures = self._ask()
        except (exception.DriverError, NotImplementedError) as error:
            # What is remembered grows old, which is a figure, too.
            LOG.debug('Cannot read the figures of the guests: %s', error)
        else:
            self._latest = figures, asked_at
        finally:
            self._is_asking = False
