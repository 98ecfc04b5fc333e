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
     +- CallBudgetExhausted         too many abandoned calls still hang
     +- OperationRefused            libvirt forbids it (read-only, rights)
     +- InstanceNotFound            no domain with that uuid or name
     +- UnsupportedOperation        this hypervisor or libvirt cannot do it
     +- LibvirtFailure              any other error that libvirt reported
     +- RemoteError                 a compute service answered with an error
     +- DemoFailed                  the demonstration guest did not do its part

Each class carries a message template with named fields and, where there is
one, the next step an operator can take. Errors of libvirt become these in
``connection.errors`` and nowhere else.
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
    """The service cannot keep its state where it is told to."""

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
        'hint': 'see whether the libvirt daemon runs and [libvirt] '
                'connection_uri is right: nova-libvirt doctor',
    }
    advice = '%(hint)s'


class CallTimeout(HypervisorUnavailable):
    """A call outlived its deadline; its thread was abandoned."""

    template = ('libvirt on host %(host)s cannot be used: %(call)s gave no '
                'answer within %(timeout_s)g s')
    advice = ('libvirt hangs; look at its log, restart the daemon if it does '
              'not recover (guests go on running)')


class CallBudgetExhausted(DriverError):
    """So many calls already hang in libvirt that no other may start."""

    template = ('%(call)s was not started: %(limit)d calls into libvirt are '
                'already running or abandoned')
    advice = ('libvirt hangs; restart the daemon (guests go on running), or '
              'raise [nova_libvirt_driver] native_threads')


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
    advice = "look at the libvirt daemon's log"


class RemoteError(DriverError):
    """A compute service answered a remote call with an error, or not."""

    template = 'compute service on host %(host)s: %(reason)s'
    advice = ('see whether nova-libvirt-compute runs there and both sides '
              'have the same transport_url')


class DemoFailed(DriverError):
    """Something that the demonstration waited for did not come."""

    template = 'the demonstration failed: %(reason)s'
    advice = "look at the libvirt daemon's log and at the guest's log"
