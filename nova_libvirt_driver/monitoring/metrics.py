# SPDX-License-Identifier: Apache-2.0

"""The metrics of one driver, for Prometheus.

Imported only where metrics are wanted: it needs the extra ``metrics``. They
are in a registry of their own, so those of a hosting service are left alone.
"""

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence

import prometheus_client
from prometheus_client import metrics_core
from prometheus_client import registry as registry_module

from nova_libvirt_driver.spec import connection as connection_spec
from nova_libvirt_driver.spec import diagnostics as diagnostics_spec
from nova_libvirt_driver.spec import health as health_spec
from nova_libvirt_driver import version

CONTENT_TYPE = prometheus_client.CONTENT_TYPE_LATEST

_PREFIX = 'nova_libvirt_'
_GUEST = ('uuid', 'name')
_NS_PER_S = 1e9
_BYTES_PER_MIB = 1 << 20
_VERDICTS = tuple(health_spec.Verdict)

_CALL_BUCKETS_S = (
    0.001, 0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_VERB_BUCKETS_S = (
    0.005, 0.02, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800)

Figures = tuple[diagnostics_spec.GuestFigures, float | None]
State = tuple[connection_spec.ConnectionStatus, health_spec.Health]


class Metrics:
    """Counts and measures; implements ``ports.Observer``.

    :param state: returns how the driver is now; asks nothing that may hang
    :param figures: returns the figures of guests, and how old they are; so
        does this; None leaves them out
    """

    def __init__(
            self, host: str, state: Callable[[], State],
            figures: Callable[[], Figures] | None = None) -> None:
        self._registry = prometheus_client.CollectorRegistry()
        self._calls = prometheus_client.Histogram(
            f'{_PREFIX}call_duration_seconds',
            'How long calls into libvirt took.', ('call', 'outcome'),
            buckets=_CALL_BUCKETS_S, registry=self._registry)
        self._verbs = prometheus_client.Histogram(
            f'{_PREFIX}verb_duration_seconds',
            'How long verbs of the driver took.', ('verb', 'outcome'),
            buckets=_VERB_BUCKETS_S, registry=self._registry)
        prometheus_client.Info(
            f'{_PREFIX}driver', 'The driver.', registry=self._registry
        ).info({'version': version.version(), 'host': host})
        self._registry.register(_Present(state))
        if figures is not None:
            self._registry.register(_Guests(figures))

    def call(self, name: str, outcome: str, took_s: float) -> None:
        """Take note of one call into libvirt."""
        self._calls.labels(name, outcome).observe(took_s)

    def verb(self, name: str, outcome: str, took_s: float) -> None:
        """Take note of one verb."""
        self._verbs.labels(name, outcome).observe(took_s)

    def text(self) -> bytes:
        """Return everything in the text format of Prometheus."""
        return prometheus_client.generate_latest(self._registry)


class _Present(registry_module.Collector):
    """What is read when it is asked for, and kept nowhere."""

    def __init__(self, state: Callable[[], State]) -> None:
        self._state = state

    def describe(self) -> Iterator[metrics_core.Metric]:
        # Else it would be asked for once when it is registered.
        return iter(())

    def collect(self) -> Iterator[metrics_core.Metric]:
        status, health = self._state()
        yield _gauge('health', 'How the driver is: 0 healthy, 1 degraded, 2 '
                     'unavailable.', _VERDICTS.index(health.verdict))
        yield _reasons(health)
        yield _gauge('connected', 'There is a connection to libvirt.',
                     status.state is connection_spec.ConnectionState.CONNECTED)
        yield _gauge('connection_state_age_seconds',
                     'How long the connection has been as it is.',
                     status.state_age_s)
        yield _counter('reconnects', 'How often a connection was got back.',
                       status.reconnects)
        yield _gauge('breaker_open', 'Callers are refused at once.',
                     status.breaker is connection_spec.Breaker.OPEN)
        yield _gauge('events_delivered', 'Events of guests arrive.',
                     status.events)
        yield _gauge('calls_running', 'Calls into libvirt that run in '
                     'threads of their own, abandoned ones included.',
                     status.running_calls)
        yield _gauge('calls_abandoned',
                     'Calls of these whose caller has given up.',
                     status.abandoned_calls)
        yield _gauge('calls_limit', 'How many of these there may be.',
                     status.call_limit)
        yield _gauge('events_queued', 'Events that wait for their listener.',
                     status.queued_events)
        yield _counter('events_coalesced', 'Events that were left out '
                       'because later ones of the guest waited, too.',
                       status.coalesced_events)
        yield _gauge('guests_quarantined', 'Guests that do not answer.',
                     len(status.unresponsive))


class _Guests(registry_module.Collector):
    """The figures of each guest."""

    def __init__(self, figures: Callable[[], Figures]) -> None:
        self._figures = figures

    def describe(self) -> Iterator[metrics_core.Metric]:
        return iter(())

    def collect(self) -> Iterator[metrics_core.Metric]:
        figures, age_s = self._figures()
        if age_s is None:
            return
        yield _gauge('guest_figures_age_seconds', 'How old the figures of '
                     'guests are.', age_s)
        state = metrics_core.GaugeMetricFamily(
            f'{_PREFIX}guest_state', 'How a guest is: 1 for its state.',
            labels=(*_GUEST, 'state'))
        for uuid, one in figures.items():
            state.add_metric((uuid, one.name, one.state), 1)
        yield state
        for name, text, value in _OF_GUESTS:
            yield _family(name, text, _GUEST, (
                ((uuid, one.name), value(one))
                for uuid, one in figures.items()))
        for name, text, field in _OF_DISKS:
            yield _family(f'disk_{name}_total', text, (*_GUEST, 'disk'), (
                ((uuid, one.name, disk.target_dev), getattr(disk, field))
                for uuid, one in figures.items() for disk in one.disks))
        for name, text, field in _OF_NICS:
            yield _family(
                f'network_{name}_total', text, (*_GUEST, 'interface'), (
                    ((uuid, one.name, nic.target_dev), getattr(nic, field))
                    for uuid, one in figures.items() for nic in one.nics))


def _family(
        name: str, text: str, labels: Sequence[str],
        samples: Iterable[tuple[Sequence[str], float | None]],
) -> metrics_core.Metric:
    """Return a metric; what libvirt does not say is left out."""
    kind = (metrics_core.CounterMetricFamily if name.endswith('_total')
            else metrics_core.GaugeMetricFamily)
    family = kind(f'{_PREFIX}guest_{name}', text, labels=labels)
    for values, value in samples:
        if value is not None:
            family.add_metric(values, value)
    return family


def _vcpu_s(guest: diagnostics_spec.Diagnostics) -> float | None:
    return (sum(guest.vcpu_times_ns) / _NS_PER_S if guest.vcpu_times_ns
            else None)


def _bytes(mib: int | None) -> int | None:
    return None if mib is None else mib * _BYTES_PER_MIB


_OF_GUESTS: tuple[tuple[
    str, str, Callable[[diagnostics_spec.Diagnostics], float | None]],
    ...] = (
    ('vcpu_seconds_total', 'Time of processors that a guest had.', _vcpu_s),
    ('vcpus', 'Virtual CPUs that a guest has.',
     lambda guest: len(guest.vcpu_times_ns) or None),
    ('memory_bytes', 'Memory that a guest has.',
     lambda guest: _bytes(guest.memory_mib)),
    ('memory_used_bytes', 'What its process has in the memory of the host.',
     lambda guest: _bytes(guest.memory_used_mib)))

_OF_DISKS = tuple(
    (name, f'{text} of a disk of a guest.', name) for name, text in (
        ('read_bytes', 'Bytes read'), ('write_bytes', 'Bytes written'),
        ('read_requests', 'Reads'), ('write_requests', 'Writes'),
        ('errors', 'Errors')))

_OF_NICS = tuple(
    (f'{way}_{name}', f'{text} by an interface of a guest.',
     f'{short}_{field}')
    for way, short, done in (('receive', 'rx', 'received'),
                             ('transmit', 'tx', 'sent'))
    for name, field, text in (
        ('bytes', 'bytes', f'Bytes {done}'),
        ('packets', 'packets', f'Packets {done}'),
        ('errors', 'errors', f'Errors of what was to be {done}'),
        ('drops', 'drop', f'Packets lost that were to be {done}')))


def _gauge(name: str, text: str, value: float) -> metrics_core.Metric:
    return metrics_core.GaugeMetricFamily(
        f'{_PREFIX}{name}', text, value=float(value))


def _counter(name: str, text: str, value: float) -> metrics_core.Metric:
    return metrics_core.CounterMetricFamily(
        f'{_PREFIX}{name}', text, value=float(value))


def _reasons(health: health_spec.Health) -> metrics_core.Metric:
    family = metrics_core.GaugeMetricFamily(
        f'{_PREFIX}health_reason', 'What speaks against the driver.',
        labels=('reason',))
    for reason in health.reasons:
        family.add_metric((reason.name,), 1)
    return family
