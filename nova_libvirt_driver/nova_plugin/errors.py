# SPDX-License-Identifier: Apache-2.0

"""The border between our errors and what Nova shows of one.

Whatever a verb raises becomes an instance's fault, which its owner reads, and
a notification. The words of libvirt, QEMU and the system name paths, addresses
and other guests, so none of them crosses (CVE-2019-14433): Nova gets a class
that its compute manager acts on and a fixed sentence, the log of the compute
service gets the rest, under the id of the request.
"""

from collections.abc import Callable
from collections.abc import Iterator
import contextlib
import dataclasses
import functools
import inspect
import re
from typing import Any

from cursive import exception as cursive_exception
from nova import exception as nova_exception
from oslo_log import log as logging
from oslo_utils import uuidutils

from nova_libvirt_driver import exception

LOG = logging.getLogger(__name__)

_SIZE = re.compile(r'[\d.]+ GiB', re.ASCII)

_PASS = (NotImplementedError, cursive_exception.SignatureVerificationError)
"""What is not Nova's, and has a meaning for the compute manager."""


@dataclasses.dataclass(frozen=True, slots=True)
class Face:
    """What Nova is shown of one class of ours."""

    kind: type[Exception]
    sentence: str
    """May name the ``%(instance)s`` and the ``%(image)s``, and sizes."""


TABLE: tuple[tuple[type[Exception], Face], ...] = (
    (exception.CallTimeout, Face(
        nova_exception.HypervisorUnavailable,
        'The hypervisor did not answer in time.')),
    (exception.HypervisorUnavailable, Face(
        nova_exception.HypervisorUnavailable,
        'The compute host has no connection to its hypervisor.')),
    (exception.CallBudgetExhausted, Face(
        nova_exception.HypervisorUnavailable,
        'The hypervisor does not answer; too many calls wait for it.')),
    (exception.OperationRefused, Face(
        nova_exception.NovaException,
        'The hypervisor does not allow this operation.')),
    (exception.InstanceNotFound, Face(
        nova_exception.InstanceNotFound,
        'Instance %(instance)s was not found on its compute host.')),
    (exception.InstanceExists, Face(
        nova_exception.InstanceExists,
        'Instance %(instance)s, or what an earlier one has left, exists '
        'already on the compute host.')),
    (exception.UnsupportedOperation, Face(
        nova_exception.NovaException,
        'The hypervisor does not support this operation.')),
    (exception.LibvirtFailure, Face(
        nova_exception.NovaException,
        'The hypervisor failed to do it.')),
    (exception.WaitTimeout, Face(
        nova_exception.NovaException,
        'The guest did not do in time what it was asked to do.')),
    (exception.FlavorTooSmall, Face(
        nova_exception.FlavorDiskTooSmall,
        'The image does not fit on the disk that the flavor gives: it needs '
        '%(needed)s, the flavor gives %(given)s.')),
    (exception.InvalidConfiguration, Face(
        nova_exception.InvalidConfiguration,
        'The compute host is not configured correctly.')),
    (exception.InvalidRequest, Face(
        nova_exception.InvalidRequest,
        'The compute host cannot build what flavor, image or request ask '
        'for.')),
    (exception.MigrationFailed, Face(
        nova_exception.MigrationError,
        'The guest could not be moved while it runs, and is where it was.')),
    (exception.MigrationUnclear, Face(
        nova_exception.MigrationError,
        'It cannot be seen on which of the two hosts the guest is.')),
    (exception.DeviceAttachFailed, Face(
        nova_exception.NovaException,
        'The guest has no place for another device of this kind.')),
    (exception.DeviceDetachFailed, Face(
        nova_exception.DeviceDetachFailed,
        'The guest has not let go of the device.')),
    (exception.WrongState, Face(
        nova_exception.NovaException,
        'The guest is not in a state that allows this operation.')),
    (exception.GuestBusy, Face(
        nova_exception.NovaException,
        'Another operation of the guest is under way.')),
    (exception.GuestUnresponsive, Face(
        nova_exception.NovaException, 'The guest does not respond.')),
    (exception.ForeignDomain, Face(
        nova_exception.NovaException,
        'The guest is not managed by this compute service.')),
    (exception.ConsoleUnavailable, Face(
        nova_exception.ConsoleNotAvailable,
        'The guest has no console of this kind now.')),
    (exception.AgentUnavailable, Face(
        nova_exception.QemuGuestAgentNotEnabled,
        'The QEMU guest agent is not enabled or does not answer.')),
    (exception.ImageNotFound, Face(
        nova_exception.ImageNotFound, 'Image %(image)s was not found.')),
    (exception.ImageRefused, Face(
        nova_exception.ImageUnacceptable,
        'Image %(image)s is unacceptable: it is damaged, not of the format '
        'that it is declared to have, or refers to other files.')),
    (exception.VolumeFailure, Face(
        nova_exception.NovaException,
        'The compute host could not connect a volume, or found another one '
        'in its place.')),
    (exception.StorageFailure, Face(
        nova_exception.NovaException,
        "The compute host could not read or write the instance's files.")),
    (exception.DriverError, Face(
        nova_exception.NovaException, 'The operation failed.')),
    (OSError, Face(
        nova_exception.NovaException,
        'The compute host could not read or write a file or a socket.')),
    (Exception, Face(
        nova_exception.NovaException,
        'The operation failed for an unexpected reason.')),
)
"""Which class of Nova's stands for ours, and its words; the first match."""


def translate(error: Exception, instance: Any = None) -> Exception:
    """Return what Nova may show in place of an error that is not its own.

    :param instance: Nova's, if the verb has one
    """
    face = next(face for kind, face in TABLE if isinstance(error, kind))
    fields = getattr(error, 'fields', {})
    return face.kind(face.sentence % {
        'instance': getattr(instance, 'uuid', None) or _named(
            fields.get('instance')),
        'image': _named(fields.get('image')),
        'needed': _sized(fields.get('needed')),
        'given': _sized(fields.get('given'))})


@contextlib.contextmanager
def keeping_addresses(instance: Any) -> Iterator[None]:
    """Remove a guest within; if it may still run, it keeps its addresses.

    After any other error the compute manager releases them.

    :raises InstancePowerOffFailure: it may still run
    """
    try:
        yield
    except (exception.GuestUnresponsive, exception.HypervisorUnavailable,
            exception.CallBudgetExhausted) as error:
        raise nova_exception.InstancePowerOffFailure(
            reason=str(translate(error, instance))) from error


def _sized(value: object) -> str:
    return str(value) if _SIZE.fullmatch(str(value)) else 'another size'


def _named(value: object) -> str:
    # A name that is not an identifier could be a path.
    return str(value) if uuidutils.is_uuid_like(value) else '(unnamed)'


def border(driver: type) -> type:
    """Put the border around each public method of a class."""
    for name, method in list(vars(driver).items()):
        if inspect.isfunction(method) and not name.startswith('_'):
            setattr(driver, name, _guarded(method))
    return driver


def _guarded(verb: Callable[..., Any]) -> Callable[..., Any]:
    parameters = inspect.signature(verb).parameters
    place = (list(parameters).index('instance')
             if 'instance' in parameters else None)

    @functools.wraps(verb)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        try:
            return verb(*args, **kwargs)
        except Exception as error:
            face = shown(verb.__name__, error, kwargs.get('instance') or (
                args[place] if place is not None and place < len(args)
                else None))
        # Out of the handler: Nova keeps a traceback in the fault, with all
        # that an error was caused by.
        raise face

    return guarded


def shown(verb: str, error: Exception, instance: Any) -> Exception:
    """Write down an error, and return what may be shown of it."""
    if isinstance(error, nova_exception.NovaException):
        # Its words are Nova's or the plug-in's; its causes may be anyone's.
        if error.__cause__ or error.__context__ or _notes(error):
            _write(verb, error, instance)
        return _without_causes(error)
    if isinstance(error, _PASS):
        return _without_causes(error)
    _write(verb, error, instance)
    return translate(error, instance)


def _write(verb: str, error: Exception, instance: Any) -> None:
    advice = getattr(error, 'next_step', '')
    details = f'{error}; {advice}' if advice else str(error)
    details = '; '.join((details, *_notes(error)))
    about = {} if instance is None else {'instance': instance}
    if isinstance(error, exception.InstanceNotFound):
        # The compute manager asks in order to find out.
        LOG.debug('%s: %s', verb, details, **about)
    elif isinstance(error, exception.DriverError):
        LOG.error('%s failed: %s', verb, details, **about)
    else:
        LOG.error('%s failed: %s: %s', verb, type(error).__name__, details,
                  exc_info=error, **about)


def _notes(error: Exception) -> list[str]:
    return list(getattr(error, '__notes__', ()))


def _without_causes(error: Exception) -> Exception:
    error.__cause__ = error.__context__ = None
    if hasattr(error, '__notes__'):
        del error.__notes__
    return error
