# SPDX-License-Identifier: Apache-2.0

"""Starting a guest that is stopped, whatever stopped it."""

from nova_libvirt_driver import exception
from nova_libvirt_driver.guest import handle
from nova_libvirt_driver.guest import reach
from nova_libvirt_driver.operations.steps import domains as domains_module
from nova_libvirt_driver.operations.steps import exclusive as exclusive_module
from nova_libvirt_driver.operations.steps import rebuild as rebuild_module
from nova_libvirt_driver import ports
from nova_libvirt_driver.spec import guest as guest_spec

OPERATION = 'start'


class PowerOn:
    """Starts guests from a domain made anew, or from saved memory.

    When the start fails, the domain is defined as it was before.
    """

    def __init__(
            self, domains: domains_module.Domains,
            rebuild: rebuild_module.Rebuild,
            exclusive: exclusive_module.Exclusive) -> None:
        self._domains = domains
        self._rebuild = rebuild
        self._exclusive = exclusive

    def power_on(
            self, spec: guest_spec.GuestSpec,
            progress: ports.Progress) -> None:
        """Start a guest; see :meth:`base.ComputeDriver.power_on`.

        :raises WrongState: it is suspended, and would lose its memory
        """
        with self._exclusive.hold(spec, OPERATION, progress) as watched:
            guest = self._domains.guests.find_or_none(spec)
            if guest is not None and _is_up(guest):
                return
            if guest is not None and guest.has_saved():
                raise exception.WrongState(
                    tried='start it', instance=spec.uuid,
                    state='suspended: resume it')
            if guest is not None and self._rebuild.is_rescued(spec):
                # Its domain is the rescue's; only unrescue makes another.
                guest.start()
            else:
                self._rebuild.run(spec, guest, watched)

    def resume(self, spec: guest_spec.GuestSpec) -> None:
        """Go on from saved memory; see :meth:`base.ComputeDriver.resume`.

        :raises WrongState: there is no saved memory
        """
        with self._exclusive.hold(spec, 'resume', ports.NullProgress()):
            guest = self._domains.guests.find(spec)
            if not guest.has_saved():
                raise exception.WrongState(
                    tried='resume it', instance=spec.uuid,
                    state=f'{guest.state().power.name.lower()}, not '
                    'suspended')
            guest.start()

    def resume_state_on_host_boot(self, spec: guest_spec.GuestSpec) -> None:
        """Start a guest after a boot of the host; one that is up stays.

        Saved memory is taken where there is some.
        """
        with self._exclusive.hold(spec, OPERATION, ports.NullProgress()):
            guest = self._domains.guests.find_or_none(spec)
            if guest is not None and _is_up(guest):
                return
            if guest is not None and guest.has_saved():
                guest.start()
            else:
                self._rebuild.run(spec, guest, ports.NullProgress())


def _is_up(guest: handle.Guest) -> bool:
    return guest.state().power in reach.UP
