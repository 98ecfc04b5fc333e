# SPDX-License-Identifier: Apache-2.0

"""One guest: what can be asked of it, and done with it.

A handle keeps no object of libvirt: it survives a lost connection, and may
be used from several threads. Every method blocks, and every one may raise
what :meth:`reach.Reach.call` raises.
"""

from collections.abc import Iterable
import contextlib
import json

import libvirt
from oslo_log import log as logging

from nova_libvirt_driver.calls import errors
from nova_libvirt_driver.calls import protocol
from nova_libvirt_driver.events import decode
from nova_libvirt_driver.events import expecting
from nova_libvirt_driver import exception
from nova_libvirt_driver.guest import addresses
from nova_libvirt_driver.guest import agent as agent_module
from nova_libvirt_driver.guest import block
from nova_libvirt_driver.guest import device as device_module
from nova_libvirt_driver.guest import devices
from nova_libvirt_driver.guest import reach as reach_module
from nova_libvirt_driver.spec import console as console_spec
from nova_libvirt_driver.spec import event as event_spec
from nova_libvirt_driver.spec import instance as instance_spec
from nova_libvirt_driver.spec import nic as nic_spec

LOG = logging.getLogger(__name__)

Expectation = expecting.Expectation
_State = instance_spec.PowerState

START_TIMEOUT_S = 300.0

# Libvirt gives a killed QEMU 15 s to go away, each time.
_DESTROY_TRIES = 3
_DESTROY_TIMEOUT_S = 90.0

# Removes saved memory from the disk, too.
_UNDEFINE_TIMEOUT_S = 60.0

# QEMU repeats the request that failed as soon as the guest goes on.
_STEADY_S = 2.0
_BY_STORAGE, _NO_ROOM = 'ioerror', 'no-space'
_STORAGE_HINT = (
    'make room on the file system of the disk, or repair its storage; then '
    'unpause the instance: it goes on where it stopped')

_ANY_ADDRESS = ('', '0.0.0.0', '::')

_UNDEFINE_BASE = (libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE
                  | libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA)
_UNDEFINE_MORE = (_UNDEFINE_BASE
                  | libvirt.VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA)
_UNDEFINE_KEEP = (libvirt.VIR_DOMAIN_UNDEFINE_KEEP_NVRAM,
                  libvirt.VIR_DOMAIN_UNDEFINE_KEEP_TPM)
_UNDEFINE_DROP = (libvirt.VIR_DOMAIN_UNDEFINE_NVRAM,
                  libvirt.VIR_DOMAIN_UNDEFINE_TPM)

_WITH_TPM_FLAGS = 8_009_000

# With QEMU's own default values, in milliseconds; it knows none by itself.
_ANNOUNCE = json.dumps({'execute': 'announce-self', 'arguments': {
    'initial': 50, 'max': 550, 'rounds': 5, 'step': 100}})


class Guest:
    """One domain that is ours."""

    def __init__(self, reach: reach_module.Reach, name: str) -> None:
        self._reach = reach
        self._name = name

    @property
    def uuid(self) -> str:
        """The domain's uuid, hence the instance's."""
        return self._reach.uuid

    @property
    def name(self) -> str:
        """The domain's name when it was looked up."""
        return self._name

    @property
    def agent(self) -> agent_module.Agent:
        """The agent inside the guest."""
        return agent_module.Agent(self._reach)

    def addresses(self) -> list[nic_spec.FoundAddress]:
        """Return under which addresses it can be reached."""
        return addresses.of_guest(self._reach)

    def disk(self, target_dev: str) -> block.Disk:
        """Return the handle of one disk; it need not exist."""
        return block.Disk(self._reach, target_dev)

    def device(self, key: device_module.Key) -> device_module.Device:
        """Return the handle of one disk or interface; it need not exist."""
        return device_module.Device(self._reach, key)

    # Looking.

    def state(self) -> reach_module.GuestState:
        """Ask for the power state and the reason of it."""
        return self._reach.state()

    def is_active(self) -> bool:
        """Say whether the guest has a process.

        Also while that is going away, when the state is SHUTDOWN already.
        """
        return bool(self._reach.look('ask whether the guest is up',
                                     lambda domain: domain.isActive()))

    def xml(self, *, inactive: bool = False, migratable: bool = False) -> str:
        """Return the XML of the domain, without secrets.

        :param inactive: how it will be at its next start
        :param migratable: as another host takes it
        """
        flags = libvirt.VIR_DOMAIN_XML_INACTIVE if inactive else 0
        flags |= libvirt.VIR_DOMAIN_XML_MIGRATABLE if migratable else 0
        return self._reach.look('read the XML of the guest',
                                lambda domain: domain.XMLDesc(flags))

    def console(
            self, kind: str, host_address: str
    ) -> console_spec.ConsoleAddress:
        """Say where a console answers now.

        The port of a guest that is gone may be another tenant's a moment
        later.

        :param kind: a :class:`console_spec.GraphicsKind`, or ``serial`` for
            the first serial port with a TCP server
        :param host_address: of a console that listens on all addresses
        :raises ConsoleUnavailable: there is none, or the guest is stopped
        """
        xml = self.xml()
        if not devices.is_live(xml):
            raise self._unavailable(kind, 'the guest is stopped')
        server = (devices.serial_server(xml) if kind == 'serial'
                  else devices.graphics(xml, kind))
        if server is None:
            raise self._unavailable(kind, 'it was not asked for')
        # One with encryption only has no other port.
        port = server.port or server.tls_port
        if port is None:
            raise self._unavailable(kind, 'it has no port')
        return console_spec.ConsoleAddress(
            host_address if server.address in _ANY_ADDRESS
            else server.address, port, server.tls_port)

    def _unavailable(
            self, kind: str, reason: str) -> exception.ConsoleUnavailable:
        return exception.ConsoleUnavailable(
            instance=self.uuid, kind=kind, reason=reason)

    def expecting(
            self, *kinds: type[event_spec.GuestEvent],
    ) -> contextlib.AbstractContextManager[Expectation]:
        """See every event of these kinds of the guest from now on."""
        return self._reach.link.expecting(self.uuid, *kinds)

    # Power.

    def start(
            self, *, paused: bool = False,
            timeout_s: float = START_TIMEOUT_S) -> None:
        """Start the guest, from its saved memory when there is any.

        :param paused: its CPUs do not run yet
        :raises WrongState: it is up already
        """
        flags = libvirt.VIR_DOMAIN_START_PAUSED if paused else 0
        self._reach.call(
            'start the guest', lambda domain: domain.createWithFlags(flags),
            needs=reach_module.DOWN, timeout_s=timeout_s)

    def forward(
            self, nic: nic_spec.NicKey,
            forwards: Iterable[nic_spec.PortForward]) -> None:
        """Let ports of the host lead to the guest, until its QEMU ends.

        Libvirt knows this of the network of passt only, so QEMU is asked.

        :param nic: an interface on QEMU's own network
        :raises WrongState: QEMU cannot have a port
        """
        def order(domain: protocol.Domain) -> str:
            # Only here, as hardly anything needs it.
            import libvirt_qemu

            found = device_module.find(devices.read(domain.XMLDesc(0)), nic)
            if found is None or not found.alias:
                return f'it has no {nic}'
            for one in forwards:
                said: str = libvirt_qemu.qemuMonitorCommand(
                    domain, f'hostfwd_add host{found.alias} {one.protocol}:'
                    f'{one.address}:{one.host_port}-:{one.guest_port}',
                    libvirt_qemu.VIR_DOMAIN_QEMU_MONITOR_COMMAND_HMP)
                if said.strip():
                    return said.strip()
            return ''

        said = self._reach.call('forward ports to the guest', order)
        if said:
            raise exception.WrongState(
                tried='forward ports to it', instance=self.uuid,
                state=f'without them: {said}')

    def announce(self) -> None:
        """Have QEMU tell the network again where the guest is.

        Libvirt calls the guest tainted from then on.

        :raises UnsupportedOperation: it is not a guest of QEMU's
        :raises WrongState: it is not up, or QEMU refuses
        """
        def order(domain: protocol.Domain) -> str:
            # Only here, as hardly anything needs it.
            import libvirt_qemu

            said: str = libvirt_qemu.qemuMonitorCommand(domain, _ANNOUNCE, 0)
            return said

        said = self._reach.call('announce the guest to the network', order,
                                needs=reach_module.UP)
        if 'return' not in json.loads(said):
            raise exception.WrongState(
                tried='announce it to the network', instance=self.uuid,
                state=f'refused by QEMU: {said.strip()}')

    def destroy(self) -> None:
        """Cut the power; a stopped guest is fine, and one that hangs."""
        self._reach.look('destroy the guest', _destroy,
                         timeout_s=_DESTROY_TIMEOUT_S)
        self._reach.link.quarantine.release(self.uuid)

    def shutdown(self, *, button: bool = False) -> None:
        """Ask the guest to shut down, and do not wait for it.

        :param button: press its power button even if it has an agent;
            libvirt takes the word of an agent for the deed
        :raises WrongState: it does not run
        """
        self._reach.call('shut down the guest',
                         _press_button if button
                         else lambda domain: domain.shutdown(),
                         needs=(_State.RUNNING,))

    def pause(self) -> None:
        """Stop the CPUs; a paused guest is fine.

        :raises WrongState: it is not up
        """
        self._reach.call('pause the guest', lambda domain: domain.suspend(),
                         needs=reach_module.UP)

    def resume(self) -> None:
        """Let the CPUs run again; a running guest is fine.

        :raises WrongState: it is neither paused nor running
        """
        try:
            self._reach.call('resume the guest',
                             lambda domain: domain.resume(),
                             needs=(_State.PAUSED,))
        except exception.WrongState:
            if self.state().power != _State.RUNNING:
                raise

    def unpause(self) -> None:
        """Let the CPUs run again, for good; a running guest is fine.

        One that QEMU paused because a disk failed has to go on for two
        seconds.

        :raises WrongState: it is neither paused nor running; or a disk
            fails, so QEMU has paused it again
        """
        was_stopped = self._is_stopped_by_storage()
        with self.expecting(event_spec.LifecycleEvent) as news:
            self.resume()
            if was_stopped and news.wait(
                    lambda change: self._is_stopped_by_storage(), _STEADY_S):
                raise exception.WrongState(
                    tried='unpause it', instance=self.uuid,
                    state=f'paused again: {self._storage_failure()}',
                    hint=_STORAGE_HINT)

    def _is_stopped_by_storage(self) -> bool:
        return self.state() == (_State.PAUSED, _BY_STORAGE)

    def _storage_failure(self) -> str:
        words = [f'disk {device} ' + (
            'has no room' if word == _NO_ROOM else 'fails')
            for device, word in sorted(self.disk_errors().items())]
        return ', '.join(words) or 'a disk fails'

    def disk_errors(self) -> dict[str, str]:
        """Return what is wrong with disks, by target device.

        Words are ``no-space``, and ``unspec`` for any other error.
        """
        return self._reach.call(
            'ask for errors of the disks', lambda domain: {
                device: decode.disk_error(number)
                for device, number in domain.diskErrors(0).items()})

    def inject_nmi(self) -> None:
        """Send the guest a non-maskable interrupt.

        :raises WrongState: it is not up
        """
        self._reach.call('send an interrupt to the guest',
                         lambda domain: domain.injectNMI(0),
                         needs=reach_module.UP)

    # Memory on disk.

    def save(self, *, timeout_s: float | None = None) -> None:
        """Save the memory to disk and stop the guest.

        After a failure, and when it takes too long, the guest goes on as
        before.

        :param timeout_s: default is ``job_timeout``
        :raises CallTimeout: it took too long
        :raises WrongState: it is not up
        """
        try:
            self._reach.call('save the guest',
                             lambda domain: domain.managedSave(0),
                             needs=reach_module.UP, timeout_s=(
                                 timeout_s or self._reach.link.job_timeout_s))
        except exception.CallTimeout:
            if not self._was_saved_late():
                raise

    def _was_saved_late(self) -> bool:
        """End a save that takes too long; say whether it was done by then."""
        try:
            self.abort_job()
        except (exception.GuestUnresponsive,
                exception.LibvirtFailure) as error:
            LOG.info('Could not abort saving the memory: %s', error,
                     instance={'uuid': self.uuid})
            return self.has_saved() and not self.is_active()
        return False

    def has_saved(self) -> bool:
        """Say whether there is saved memory."""
        return bool(self._reach.look(
            'look for saved memory',
            lambda domain: domain.hasManagedSaveImage(0)))

    def saved_xml(self) -> str:
        """Return the XML that saved memory goes on with, secrets included.

        :raises UnsupportedOperation: the hypervisor does not show it
        """
        return self._reach.call(
            'read the XML of saved memory',
            lambda domain: domain.managedSaveGetXMLDesc(
                libvirt.VIR_DOMAIN_SAVE_IMAGE_XML_SECURE))

    def define_saved(self, xml: str) -> None:
        """Change what saved memory goes on with, for example paths.

        :raises LibvirtFailure: the guest would see another machine
        """
        self._reach.call(
            'change the XML of saved memory',
            lambda domain: domain.managedSaveDefineXML(xml, 0))

    def remove_saved(self) -> None:
        """Remove saved memory; there need not be any."""
        def remove(domain: protocol.Domain) -> None:
            # Libvirt's QEMU driver fails when there is none.
            if domain.hasManagedSaveImage(0):
                domain.managedSaveRemove(0)

        self._reach.call('remove saved memory', remove)

    def abort_job(self) -> None:
        """End the job that is under way, for example one that saves.

        :raises LibvirtFailure: there is none
        """
        self._reach.call('abort the job of the guest',
                         lambda domain: domain.abortJob())

    # Definition.

    def undefine(self, *, keep_state: bool) -> None:
        """Remove the definition, and saved memory with it.

        A running guest goes on until it stops.

        :param keep_state: keep what firmware and TPM remember
        """
        self._reach.look('undefine the guest',
                         lambda domain: _undefine(domain, keep_state),
                         timeout_s=_UNDEFINE_TIMEOUT_S)

    def set_display_name(self, name: str) -> None:
        """Write the name that users see into the metadata.

        :raises InvalidRequest: the name cannot be written as XML
        """
        self._reach.call(
            'set the display name of the guest',
            lambda domain: reach_module.set_display_name(domain, name))


def _destroy(domain: protocol.Domain) -> None:
    for remaining in reversed(range(_DESTROY_TRIES)):
        try:
            domain.destroy()
            return
        except libvirt.libvirtError as error:
            if errors.is_broken_link(error):
                raise
            if not domain.isActive():
                return
            if not (remaining and errors.is_busy(error)):
                raise


def _press_button(domain: protocol.Domain) -> int:
    try:
        return domain.shutdownFlags(
            libvirt.VIR_DOMAIN_SHUTDOWN_ACPI_POWER_BTN)
    except libvirt.libvirtError as error:
        # Libvirt's test driver has one way only.
        if not errors.is_flag_unknown(error):
            raise
    return domain.shutdown()


def _undefine(domain: protocol.Domain, keep_state: bool) -> None:
    nvram, tpm = _UNDEFINE_KEEP if keep_state else _UNDEFINE_DROP
    best = _UNDEFINE_MORE | nvram
    if domain.connect().getLibVersion() >= _WITH_TPM_FLAGS:
        best |= tpm
    # Libvirt's test driver knows the last ones only.
    for flags in (best, _UNDEFINE_BASE, 0):
        try:
            domain.undefineFlags(flags)
            return
        except libvirt.libvirtError as error:
            if not flags or not errors.is_flag_unknown(error):
                raise
