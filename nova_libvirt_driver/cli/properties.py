# SPDX-License-Identifier: Apache-2.0

"""Properties that were typed: unlike those of an image, all must be known."""

from collections.abc import Iterable
from collections.abc import Mapping

from nova_libvirt_driver.cli import errors
from nova_libvirt_driver.cli import naming
from nova_libvirt_driver import exception
from nova_libvirt_driver.images import properties
from nova_libvirt_driver.spec import guest as guest_spec


def apply(
        spec: guest_spec.GuestSpec,
        asked: Mapping[str, str]) -> guest_spec.GuestSpec:
    """Return the guest with what the properties ask for.

    :raises UsageError: a property has a value that it cannot have
    """
    try:
        return properties.apply(spec, asked)
    except exception.InvalidRequest as error:
        raise errors.UsageError(
            str(error.fields['reason']),
            'correct --property, or the property of the image') from error


def check(names: Iterable[str]) -> None:
    """See whether properties that were typed are known.

    :raises UsageError: one is not
    """
    for name in names:
        if name not in properties.CHANGES:
            raise errors.UsageError(
                f'there is no property {name}',
                naming.advice(name, properties.CHANGES,
                              'nova-libvirt help server create'))
