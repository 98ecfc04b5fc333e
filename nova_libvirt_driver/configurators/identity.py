# SPDX-License-Identifier: Apache-2.0

"""Who a guest is: the facet of name, uuid and kind of virtualization."""

from nova_libvirt_driver.configurators import inputs as inputs_module
from nova_libvirt_driver import exception
from nova_libvirt_driver.spec import instance as instance_spec
from nova_libvirt_driver.xmlmodel import domain as domain_module

# Libvirt makes file names of it.
_NAME_MAX = 200


def apply(domain: domain_module.Domain, inputs: inputs_module.Inputs) -> None:
    """Name the guest.

    :raises InvalidRequest: name or uuid cannot be a domain's
    """
    spec = inputs.spec
    _check_name(spec.name)
    if not instance_spec.is_uuid(spec.uuid):
        raise exception.InvalidRequest(
            reason=f'{spec.uuid!r} is no uuid in its canonical form')
    domain.type = inputs.policy.virt_type
    domain.name = spec.name
    domain.uuid = spec.uuid


def _check_name(name: str) -> None:
    if not name.strip() or name != name.strip() or name in ('.', '..'):
        raise exception.InvalidRequest(
            reason=f'{name!r} cannot be the name of a domain')
    if '/' in name or len(name.encode()) > _NAME_MAX:
        raise exception.InvalidRequest(
            reason=f'the name {name!r} of a domain has a slash, or more '
            f'than {_NAME_MAX} bytes')
