# SPDX-License-Identifier: Apache-2.0

"""Which libvirt is installed here.

Works where any of it is missing, so it imports libvirt in its function.
"""

import dataclasses
import importlib.metadata

from nova_libvirt_driver.spec import host as host_spec


@dataclasses.dataclass(frozen=True, slots=True)
class Versions:
    """Installed versions; empty where something is missing."""

    binding: str = ''
    library: str = ''
    problem: str = ''
    """Why the binding cannot be imported, or empty."""


def installed() -> Versions:
    """Return the versions of libvirt's binding and library."""
    try:
        import libvirt
    except ImportError as error:
        return Versions(problem=str(error))
    try:
        binding = importlib.metadata.version('libvirt-python')
    except importlib.metadata.PackageNotFoundError:
        # Distributions may ship it without metadata.
        binding = 'unknown'
    return Versions(binding, host_spec.dotted(libvirt.getVersion()))
