# SPDX-License-Identifier: Apache-2.0

"""Sizes for instances of a service that keeps no flavors."""

from nova_libvirt_driver import exception
from nova_libvirt_driver.spec import flavor as flavor_spec


def builtin() -> tuple[flavor_spec.Flavor, ...]:
    """Return the flavors there always are, the smallest first."""
    return _BUILTIN


def find(name: str) -> flavor_spec.Flavor:
    """Return the flavor of a name.

    :raises InvalidRequest: there is none; says which there are
    """
    for flavor in _BUILTIN:
        if flavor.name == name:
            return flavor
    names = ', '.join(flavor.name for flavor in _BUILTIN)
    raise exception.InvalidRequest(
        reason=f'there is no flavor {name!r}; there are {names}, and any '
               f'other size by its numbers')


def custom(vcpus: int, ram_mib: int, disk_gib: int) -> flavor_spec.Flavor:
    """Return a flavor of any size; its name tells the numbers.

    :param disk_gib: 0 takes the size of the image
    :raises InvalidRequest: a number makes no sense
    """
    if vcpus < 1 or ram_mib < 1 or disk_gib < 0:
        raise exception.InvalidRequest(
            reason=f'a flavor has at least 1 virtual CPU, 1 MiB of memory '
                   f'and 0 GiB of disk, not {vcpus}, {ram_mib} and '
                   f'{disk_gib}')
    return _flavor(
        f'custom-{vcpus}-{ram_mib}-{disk_gib}', vcpus, ram_mib, disk_gib)


def _flavor(
        name: str, vcpus: int, ram_mib: int, disk_gib: int
) -> flavor_spec.Flavor:
    return flavor_spec.Flavor(
        id=name, name=name, vcpus=vcpus, memory_mib=ram_mib,
        root_gib=disk_gib)


_BUILTIN = (
    _flavor('nano', 1, 64, 0),
    _flavor('tiny', 1, 512, 1),
    _flavor('small', 1, 2048, 20),
    _flavor('medium', 2, 4096, 40),
    _flavor('large', 4, 8192, 80),
)
