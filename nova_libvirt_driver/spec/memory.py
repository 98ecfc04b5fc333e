# SPDX-License-Identifier: Apache-2.0

"""Memory of a guest."""

import dataclasses
import enum


class MemorySource(enum.StrEnum):
    """What backs a guest's memory."""

    ANONYMOUS = 'anonymous'
    FILE = 'file'
    MEMFD = 'memfd'


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class MemorySpec:
    """Memory of one guest."""

    size_mib: int
    source: MemorySource | None = None
    """None takes the host's policy."""
    page_size_kib: int | None = None
    """Size of huge pages, None for pages of the usual size."""
    locked: bool = False
    """Never swapped out; counts fully against the host."""
    shared: bool = False
    """Other processes may map it, as vhost-user and virtiofs need."""
    balloon: bool = True
    """Has a memory balloon, which also counts what the guest uses."""
    encrypted: bool = False
