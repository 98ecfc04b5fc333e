# SPDX-License-Identifier: Apache-2.0

"""What can go wrong, as one small tree.

::

    DriverError
     +- InvalidConfiguration        an option has a value that cannot work
     |   +- DriverNotLoadable       [DEFAULT] compute_driver names no driver
     |   +- StatePathUnusable       [DEFAULT] state_path cannot be written
     |   +- AlreadyRunning          another service minds the same host
     +- LibvirtMissing              the libvirt binding cannot be imported
     +- HypervisorUnavailable       no usable connection to libvirt
     |   +- CallTimeout             a call outlived its deadline
     +- CallBudgetExhausted         too many calls run or hang
     +- OperationRefused            libvirt forbids it (read-only, rights)
     +- InstanceNotFound            no domain with that uuid or name
     +- UnsupportedOperation        this hypervisor or libvirt cannot do it
     +- LibvirtFailure              any other error that libvirt reported
     +- RemoteError                 a compute service answered with an error
     |   +- ServiceLost             it ended before it answered
     +- Cancelled                   it was stopped on request, and undone
     +- WaitTimeout                 what was waited for did not come in time
     +- InvalidRequest              what was asked for makes no sense
     |   +- InstanceExists          the name or uuid is taken
     |   +- FlavorTooSmall          the flavor cannot hold the image
     +- WrongState                  the guest is not in the state it takes
    |   +- GaveWay                 it is to be deleted or stopped
     +- GuestUnresponsive           its monitor does not answer
     |   +- GuestBusy               another job of the guest goes on
     +- MigrationFailed             a live migration failed; the guest stayed
     |   +- MigrationCancelled      it was aborted
     +- MigrationUnclear            where the guest is cannot be seen
     |   +- MigrationBroken         its memory is in parts on two hosts
     +- DeviceAttachFailed          a guest did not get a device
     +- DeviceDetachFailed          a guest keeps a device
     +- ForeignDomain               the domain is not one of ours
     +- ConsoleUnavailable          the guest has no such console now
     +- AgentUnavailable            the guest agent is not there or mute
     +- ImageNotFound               no image with that identifier
     +- ImageRefused                the image is not what it is declared to be
     +- VolumeFailure               a volume cannot be connected or used
     +- StorageFailure              a disk could not be made, read or removed
         +- PrivilegesMissing       the service's user may not get at a file
         +- ToolFailure             a program that works on disks failed

Each class carries a message template with named fields and, where there is
one, the next step an operator can take. Errors of libvirt become these in
``calls.errors`` and nowhere else.
"""

from collections.abc import Mapping
from typing import ClassVar


class DriverError(Exception):
    """Root of every error this package raises on purpose.

    :param fields: values for the named fields of :attr:`template`
    """

    template: ClassVar[str] = '%(reason)s'
    """Message with named fields; every field needs a value or a default."""

    defaults: ClassVar[Mapping[str, object]] = {}
    """Values of fields that the raiser may leave out."""

    advice: ClassVar[str] = ''
    """The next step for an operator; may use the same fields."""

    def __init__(self, **fields: object) -> None:
        self.fields: dict[str, object] = {**self.defaults, **fields}
        super().__init__(self.template % self.fields)

    @property
    def next_step(self) -> str:
        """What an operator can do about it, or an empty text."""
        return self.advice % self.fields

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.fields)


def _rebuild(
        kind: type[DriverError], fields: dict[str, object]) -> DriverError:
    return kind(**fields)


def again(error: BaseException | None) -> DriverError | None:
    """Return a copy of one of our errors, None for anything else.

    For the one who raises it as well: one that several threads raise has the
    tracebacks of all of them.
    """
    if isinstance(error, DriverError):
        return type(error)(**error.fields)
    return None


class InvalidConfiguration(DriverError):
    """An option has a value with which nothing can work."""

    template = 'invalid configuration: %(reason)s'
    advice = 'correct the option and start again'


class DriverNotLoadable(InvalidConfiguration):
    """``[DEFAULT] compute_driver`` names nothing that is a driver."""

    template = 'compute driver %(name)r cannot be loaded: %(reason)s'
    advice = ('set [DEFAULT] compute_driver to '
              'nova_libvirt_driver.LibvirtDriver, or to the module path of '
              'another subclass of nova_libvirt_driver.base.ComputeDriver')


class StatePathUnusable(InvalidConfiguration):
    """The service cannot keep its state in the configured place."""

    template = '[DEFAULT] state_path %(path)s cannot be used: %(reason)s'
    advice = 'name a folder that this user may write with --state-path'


class AlreadyRunning(InvalidConfiguration):
    """Another service minds this host."""

    template = ('another nova-libvirt-compute runs for host %(host)s: '
                '%(path)s is locked')
    advice = ('end it, or give this one a folder of its own with '
              '--state-path')


class LibvirtMissing(DriverError):
    """The libvirt binding, or the C library below it, is not installed."""

    template = 'the libvirt binding for Python cannot be imported: %(reason)s'
    advice = ('install the C library (Debian: libvirt0, to build the binding '
              'libvirt-dev pkg-config gcc) and then: pip install '
              'libvirt-python')


class HypervisorUnavailable(DriverError):
    """There is no usable connection to libvirt on this host."""

    template = 'libvirt on host %(host)s cannot be used: %(reason)s'
    defaults = {
        'reason': 'the connection is lost',
        'uri': '',
        'hint': 'see whether libvirt runs and [libvirt] connection_uri is '
                'right: nova-libvirt doctor',
    }
    advice = '%(hint)s'


class CallTimeout(HypervisorUnavailable):
    """A call outlived its deadline; its thread was abandoned."""

    template = ('libvirt on host %(host)s cannot be used: %(call)s gave no '
                'answer within %(timeout_s)g s')
    advice = ('libvirt hangs; look at its log, and restart it if it does not '
              'recover (guests go on running)')


class CallBudgetExhausted(DriverError):
    """So many calls run or hang in libvirt that no other could start."""

    template = ('%(call)s was not started: %(limit)d calls into libvirt are '
                'already running or abandoned')
    advice = ('libvirt hangs or is very slow; restart it (guests go on '
              'running), or raise [nova_libvirt_driver] native_threads')


class OperationRefused(DriverError):
    """Libvirt does not let this connection do it."""

    template = 'libvirt refused to %(tried)s: %(reason)s'
    advice = ('the connection may be read-only, or its user lacks the right; '
              'check the connection URI and the libvirt group')


class InstanceNotFound(DriverError):
    """No domain on this host has that uuid or name."""

    template = 'instance %(instance)s was not found on host %(host)s'
    advice = 'list what there is: nova-libvirt server list'


class UnsupportedOperation(DriverError):
    """The hypervisor or this version of libvirt cannot do it."""

    template = 'libvirt cannot %(tried)s on this connection: %(reason)s'
    advice = 'see what the connection supports: nova-libvirt doctor'


class LibvirtFailure(DriverError):
    """Any other error that libvirt reported, with its numbers."""

    template = ('libvirt failed to %(tried)s: %(reason)s '
                '(libvirt error %(code)d, domain %(domain)d)')
    defaults = {'hint': "look at libvirt's log"}
    advice = '%(hint)s'


class RemoteError(DriverError):
    """A compute service answered a remote call with an error, or not."""

    template = 'compute service on host %(host)s: %(reason)s'
    advice = ('see whether nova-libvirt-compute runs there and both sides '
              'have the same transport_url')


class ServiceLost(RemoteError):
    """The compute service of this machine ended before it answered.

    What it was doing is finished or undone by the next process that opens
    its hypervisor: the service itself, or a command.
    """

    template = ('the compute service of host %(host)s ended before it '
                'answered to %(tried)s')
    defaults = {
        'changes': True,
        'hint': 'see what became of it: nova-libvirt operations list, and '
                'nova-libvirt server list'}
    advice = '%(hint)s'


class Cancelled(DriverError):
    """A verb was ended on request; what it had begun is undone."""

    template = 'cancelled: %(reason)s'
    advice = 'try again'


class WaitTimeout(DriverError):
    """Something that was waited for did not come in time."""

    template = '%(awaited)s did not come within %(timeout_s)g s'
    advice = "look at the guest's console log and at libvirt's log"


class InvalidRequest(DriverError):
    """What was asked for makes no sense, or is not allowed."""

    template = 'invalid request: %(reason)s'
    advice = 'correct the request; nothing was changed'


class InstanceExists(InvalidRequest):
    """Another domain or folder on this host has that name or uuid."""

    template = ('instance %(instance)s exists already on host %(host)s'
                '%(which)s')
    defaults = {
        'which': '',
        'hint': 'choose another name, or delete the other instance first'}
    advice = '%(hint)s'


class FlavorTooSmall(InvalidRequest):
    """The flavor does not hold what the image needs."""

    template = ('image %(image)s does not fit: it needs %(needed)s, the '
                'flavor gives %(given)s')
    advice = 'choose a larger flavor'


class WrongState(DriverError):
    """The guest is not in a state in which this can be done."""

    template = 'cannot %(tried)s: instance %(instance)s is %(state)s'
    defaults = {
        'hint': 'bring the instance into the state it takes, and try again'}
    advice = '%(hint)s'


class GaveWay(WrongState):
    """An operation ended because another one asked it to."""


class GuestUnresponsive(DriverError):
    """The monitor of the guest's QEMU does not answer; other guests do."""

    template = ('it was not possible to %(tried)s: instance %(instance)s '
                'does not answer: %(reason)s')
    defaults = {'reason': 'its QEMU stands still'}
    advice = ('see why its QEMU process stands still (storage that hangs, a '
              'stop signal); it can be stopped by force or deleted meanwhile')


class GuestBusy(GuestUnresponsive):
    """Libvirt waits for another job of the guest."""

    advice = 'wait for the other job, or see what it is: virsh domjobinfo'


class MigrationFailed(DriverError):
    """A live migration has failed; the guest is where it was."""

    template = ('Instance %(instance)s was not live-migrated to '
                '%(destination)s: %(reason)s')
    advice = 'remove the cause, and migrate it again'


class MigrationCancelled(MigrationFailed):
    """A live migration was aborted; the guest is where it was."""


class MigrationUnclear(DriverError):
    """Whether a guest has moved cannot be seen."""

    template = ('It cannot be seen whether instance %(instance)s is on '
                '%(destination)s: %(reason)s. Nothing was started, stopped '
                'or removed')
    defaults = {'hint': 'see with virsh on both hosts where the guest runs'}
    advice = '%(hint)s'


class MigrationBroken(MigrationUnclear):
    """A guest is on another host without all of its memory.

    It must not run where it was; what is there of it must not go either.
    """

    template = ('Instance %(instance)s is on %(destination)s, and some of its '
                'memory is not: %(reason)s. Neither part was stopped or '
                'removed')
    defaults = {'hint': 'let the two hosts reach each other: the rest of its '
                'memory follows by itself then. Or delete the instance'}


class DeviceAttachFailed(DriverError):
    """A guest cannot have another device, or not this one."""

    template = ('cannot attach %(device)s to instance %(instance)s: '
                '%(reason)s')
    defaults = {'hint': 'stop the instance, attach it, and start it'}
    advice = '%(hint)s'


class DeviceDetachFailed(DriverError):
    """A device is still in the guest; what it needs of the host stays.

    The field ``cause`` is ``ignored``, ``paused``, ``refused`` or
    ``unresponsive``.
    """

    template = ('%(device)s is still attached to instance %(instance)s: '
                '%(reason)s')
    defaults = {
        'cause': '',
        'hint': 'unmount it in the guest and try again, or stop the '
                'instance: it is without the device then'}
    advice = '%(hint)s'


class ForeignDomain(DriverError):
    """The domain is not this service's; it is left alone.

    :param folder: of the instances of the service that has it; empty when
        it was not made by this driver or Nova
    """

    template = ('domain %(instance)s on host %(host)s %(reason)s and is left '
                'alone')
    defaults = {'folder': ''}
    advice = '%(hint)s'

    def __init__(self, **fields: object) -> None:
        folder = fields.get('folder')
        super().__init__(**{
            'reason': f'belongs to the service with its instances in {folder}'
            if folder else 'does not belong to this driver',
            'hint': 'use that service, or name its state folder with '
            '--state-path' if folder else
            'use virsh for domains that were made by something else',
            **fields})


class ConsoleUnavailable(DriverError):
    """The guest has no console of that kind now."""

    template = 'instance %(instance)s has no %(kind)s console: %(reason)s'
    defaults = {'reason': 'it was not asked for, or the guest is stopped'}
    advice = 'start the instance, or make it with such a console'


class AgentUnavailable(DriverError):
    """The guest agent is not set up, not connected, or does not answer."""

    template = 'the guest agent of instance %(instance)s: %(reason)s'
    defaults = {'reason': 'it does not answer'}
    advice = ('make the instance with a guest agent channel and see that '
              'qemu-guest-agent runs in it')


class ImageNotFound(DriverError):
    """There is no image with that identifier or name."""

    template = 'image %(image)s was not found'
    advice = 'list what there is: nova-libvirt image list'


class ImageRefused(DriverError):
    """The image is not what it is declared to be, or it is dangerous."""

    template = 'image %(image)s is refused: %(reason)s'
    defaults = {'hint': 'upload an image that is one file, without a backing '
                        'file, and declare the format that it has'}
    advice = '%(hint)s'


class VolumeFailure(DriverError):
    """A volume cannot be connected, or the host has another one for it."""

    template = 'volume %(volume)s: %(reason)s'
    defaults = {
        'hint': 'see what the volume service says of it and of its '
                'attachments'}
    advice = '%(hint)s'


class StorageFailure(DriverError):
    """A disk, a folder or a file could not be made, read or removed."""

    template = 'storage: %(reason)s'
    defaults = {'path': ''}
    advice = '%(hint)s'

    def __init__(self, **fields: object) -> None:
        path = fields.get('path')
        # The name of a file that was opened by descriptor is a number.
        named = path if isinstance(path, str) else ''
        where = f': {named}' if named else ''
        super().__init__(**{
            'hint': f'see whether there is room and the right to write{where}',
            **fields, 'path': named})


class PrivilegesMissing(StorageFailure):
    """The service's user may not get at a file, and has no way to."""

    template = 'user %(user)s may not %(tried)s %(path)s: %(reason)s'
    advice = ('let the user %(user)s run privsep-helper as root, as the page '
              '"Running as an unprivileged user" of the administrator\'s '
              'guide shows; nova-libvirt doctor says whether it can')


class ToolFailure(StorageFailure):
    """A program that works on disks was started and failed."""
