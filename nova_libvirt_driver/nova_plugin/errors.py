# SPDX-License-Identifier: Apache-2.0

"""Our errors as those that Nova's compute manager knows."""

from collections.abc import Iterator
import contextlib

from nova import exception as nova_exception

from nova_libvirt_driver import exception

TABLE: tuple[tuple[type[exception.DriverError], type[Exception]], ...] = (
    (exception.HypervisorUnavailable, nova_exception.HypervisorUnavailable),
    (exception.CallBudgetExhausted, nova_exception.HypervisorUnavailable),
    (exception.InstanceNotFound, nova_exception.InstanceNotFound),
    (exception.InstanceExists, nova_exception.InstanceExists),
    (exception.ImageNotFound, nova_exception.ImageNotFound),
    (exception.ImageRefused, nova_exception.ImageUnacceptable),
    (exception.FlavorTooSmall, nova_exception.FlavorDiskTooSmall),
    (exception.ConsoleUnavailable, nova_exception.ConsoleNotAvailable),
    (exception.AgentUnavailable, nova_exception.QemuGuestAgentNotEnabled),
    (exception.InvalidConfiguration, nova_exception.InvalidConfiguration),
    (exception.InvalidRequest, nova_exception.InvalidRequest),
    (exception.DriverError, nova_exception.NovaException),
)
"""Which class of Nova's stands for ours; the first that fits."""


def translate(error: exception.DriverError) -> Exception:
    """Return the error of Nova's that says the same."""
    kind = next(theirs for ours, theirs in TABLE if isinstance(error, ours))
    advice = error.next_step
    return kind(f'{error}; {advice}' if advice else str(error))


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """Turn errors of the driver into Nova's.

    :raises NovaException: or another class of the table, caused by ours
    """
    try:
        yield
    except exception.DriverError as error:
        raise translate(error) from error
