# SPDX-License-Identifier: Apache-2.0

"""The facet of the socket between guest and host."""

from nova_libvirt_driver.configurators import inputs as inputs_module
from nova_libvirt_driver import exception
from nova_libvirt_driver.xmlmodel import domain as domain_module

# The lower ones are the hypervisor's and the host's; 2**32 - 1 is "any".
_FIRST, _LAST = 3, 2 ** 32 - 2


def apply(domain: domain_module.Domain, inputs: inputs_module.Inputs) -> None:
    """Add the socket.

    :raises InvalidRequest: its number belongs to somebody else
    """
    cid = inputs.spec.devices.vsock_cid
    if cid is None:
        return
    if not _FIRST <= cid <= _LAST:
        raise exception.InvalidRequest(
            reason=f'{cid} cannot be the number of a guest\'s socket')
    element = domain.devices.vsocks.add()
    element.model = 'virtio'
    element.cid_auto = False
    element.cid_address = cid
