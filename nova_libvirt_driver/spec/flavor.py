# SPDX-License-Identifier: Apache-2.0

"""How large an instance is."""

from collections.abc import Mapping
import dataclasses


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Flavor:
    """Sizes of an instance."""

    name: str
    vcpus: int
    memory_mib: int
    root_gib: int = 0
    """Size of the root disk; 0 takes the image's, up to the host's limit."""
    ephemeral_gib: int = 0
    swap_mib: int = 0
    id: str = ''
    extra_specs: Mapping[str, str] = dataclasses.field(default_factory=dict)
