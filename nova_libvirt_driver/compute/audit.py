# SPDX-License-Identifier: Apache-2.0

"""The periodic look at the host, and what the last one has found.

Now and then it also lets the driver remove unused images.

What others show of the host (RPC, the report on SIGUSR2) comes from here, so
that showing costs no call to libvirt and works while libvirt is down.
"""

from collections.abc import Callable
import dataclasses
import datetime
import itertools
import threading

from oslo_log import log as logging

from nova_libvirt_driver import base
from nova_libvirt_driver.calls import runtime
from nova_libvirt_driver.compute import record
from nova_libvirt_driver.spec import host as host_spec
from nova_libvirt_driver.spec import instance as instance_spec

LOG = logging.getLogger(__name__)

_TIDYING_INTERVAL_S = 2400


@dataclasses.dataclass(frozen=True, slots=True)
class Audit:
    """What the last audit that worked has found, and what failed since."""

    at: str = ''
    """When it was made, ISO 8601 in UTC; empty when none has worked."""
    facts: host_spec.HostFacts | None = None
    resources: host_spec.HostResources | None = None
    instances: tuple[instance_spec.InstanceSummary, ...] = ()
    error: str = ''
    """Why the newest attempt failed; empty when it worked."""


class PeriodicAudit:
    """Audits the driver's host every *interval_s* seconds.

    :param tidying_interval_s: seconds between two looks for cached images
        that no disk uses; 0 for one at each audit, less for none
    """

    def __init__(
            self, driver: base.ComputeDriver, interval_s: float,
            clock: Callable[[], datetime.datetime] = record.utc_now, *,
            tidying_interval_s: float = _TIDYING_INTERVAL_S) -> None:
        self._driver = driver
        self._interval_s = interval_s
        self._audits_per_tidying = 0 if tidying_interval_s < 0 else max(
            1, round(tidying_interval_s / interval_s))
        self._clock = clock
        self._stopped = threading.Event()
        self._thread: runtime.Thread | None = None
        self.last = Audit()

    def start(self) -> None:
        """Start the thread; its first audit runs at once."""
        self._thread = runtime.Thread(
            target=self._run, name='compute-audit', daemon=True)
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """End the thread; an audit that hangs in libvirt is left alone."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join(timeout_s)

    def run_once(self) -> Audit:
        """Audit now and return what was found.

        Blocks as long as the driver takes.

        :raises Exception: whatever the driver raises; noted as well
        """
        try:
            audit = self._look()
        except Exception as error:
            self._note_failure(error)
            raise
        if self.last.error:
            LOG.info('The audit of the host works again')
        self.last = audit
        return audit

    def _look(self) -> Audit:
        driver = self._driver
        node = driver.get_available_nodes()[0]
        return Audit(
            at=self._clock().isoformat(timespec='seconds'),
            facts=driver.get_host_facts(),
            resources=driver.get_available_resource(node),
            instances=tuple(driver.list_instance_summaries()))

    def _note_failure(self, error: Exception) -> None:
        # Once for each outage, not once for each attempt.
        if not self.last.error:
            LOG.warning('The audit of the host failed: %s', error)
        text = str(error) or type(error).__name__
        self.last = dataclasses.replace(self.last, error=text)

    def _tidy(self) -> None:
        try:
            self._driver.manage_image_cache()
        except NotImplementedError:
            LOG.debug('The driver keeps no images')
        except Exception as error:
            LOG.warning('The image cache was not cleaned up: %s', error)

    def _run(self) -> None:
        for number in itertools.count():
            try:
                self.run_once()
                if self._audits_per_tidying and (
                        number % self._audits_per_tidying == 0):
                    self._tidy()
            except Exception:
                LOG.debug('The audit failed', exc_info=True)
            if self._stopped.wait(self._interval_s):
                return
