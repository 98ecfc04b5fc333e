# SPDX-License-Identifier: Apache-2.0

"""Guests, and what is to be told of them."""

import dataclasses

import libvirt

from nova_libvirt_driver.spec import event as event_spec
from nova_libvirt_driver.testing import fake_libvirt

_Transition = event_spec.Transition

# What may follow which, in the life of a guest.
NEXT = {
    'shutdown': {_Transition.STARTED: 'running'},
    'running': {_Transition.STOPPED: 'shutdown',
                _Transition.PAUSED: 'paused'},
    'paused': {_Transition.STOPPED: 'shutdown',
               _Transition.RESUMED: 'running'},
}
STATES = {libvirt.VIR_DOMAIN_SHUTOFF: 'shutdown',
          libvirt.VIR_DOMAIN_RUNNING: 'running',
          libvirt.VIR_DOMAIN_PAUSED: 'paused'}
EVENTS = {
    _Transition.STARTED: (libvirt.VIR_DOMAIN_RUNNING,
                          libvirt.VIR_DOMAIN_EVENT_STARTED),
    _Transition.STOPPED: (libvirt.VIR_DOMAIN_SHUTOFF,
                          libvirt.VIR_DOMAIN_EVENT_STOPPED),
    _Transition.PAUSED: (libvirt.VIR_DOMAIN_PAUSED,
                         libvirt.VIR_DOMAIN_EVENT_SUSPENDED),
    _Transition.RESUMED: (libvirt.VIR_DOMAIN_RUNNING,
                          libvirt.VIR_DOMAIN_EVENT_RESUMED),
}


@dataclasses.dataclass(slots=True)
class Watched:
    """A guest and what the listener knows of it."""

    guest: fake_libvirt.Guest
    state: str
    """As the events have left it."""
    domain_id: int
    live: list[_Transition] = dataclasses.field(default_factory=list)
    """What has happened since it was last looked at, with a subscription."""
    missed: set[int] = dataclasses.field(default_factory=set)
    """When anything has happened without one: the listings before it."""

    def net(self) -> list[_Transition]:
        """Return what is to be seen of what was missed."""
        now = STATES[self.guest.state]
        arrival = [_Transition.STARTED] + (
            [_Transition.PAUSED] if now == 'paused' else [])
        if now == 'shutdown':
            return [_Transition.STOPPED] if self.state != now else []
        if self.state == 'shutdown':
            return arrival
        if self.domain_id != self.guest.id:
            return [_Transition.STOPPED, *arrival]
        if self.state == now:
            return []
        return [_Transition.PAUSED if now == 'paused'
                else _Transition.RESUMED]
