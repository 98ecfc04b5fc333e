# SPDX-License-Identifier: Apache-2.0

"""Amounts of memory with the units that libvirt knows."""

# Of the letter, the binary and the decimal factor.
_FACTORS: dict[str, tuple[int, int]] = {
    letter: (1024 ** power, 1000 ** power)
    for power, letter in enumerate('kmgtpe', start=1)}


def factor(unit: str) -> int:
    """Return how many bytes a unit has; case does not matter.

    :raises ValueError: libvirt has no such unit
    """
    lower = unit.lower()
    if lower in ('b', 'byte', 'bytes'):
        return 1
    binary, decimal = _FACTORS.get(lower[:1], (0, 0))
    if binary and lower[1:] in ('', 'ib'):
        return binary
    if decimal and lower[1:] == 'b':
        return decimal
    raise ValueError(f'{unit!r} is not a unit of memory')


def convert(value: int, unit: str, wanted: str) -> int:
    """Return an amount in another unit, rounded up as libvirt does.

    :raises ValueError: libvirt has no such unit
    """
    if unit == wanted:
        return value
    return -(-value * factor(unit) // factor(wanted))
