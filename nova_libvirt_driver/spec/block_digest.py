# SPDX-License-Identifier: Apache-2.0

"""A checksum for files that are mostly holes.

It is the SHA-512 of the SHA-512 of each MiB, and of the length in eight
bytes. That of a MiB of zeros is known, so a hole costs next to nothing,
whether it is one or was written out.
"""

import hashlib

ALGORITHM = 'sha512-of-mib'

_BLOCK_BYTES = 1 << 20
_ZEROS = bytes(_BLOCK_BYTES)
_AT_ONCE = 1024


def _hash(block: bytes | bytearray) -> bytes:
    return hashlib.sha512(block).digest()


_ZERO_HASH = _hash(_ZEROS)


class BlockDigest:
    """Takes bytes and zeros in turn; like an object of :mod:`hashlib`."""

    def __init__(self) -> None:
        self._outer = hashlib.sha512()
        self._block = bytearray()
        self._length = 0

    def update(self, data: bytes) -> None:
        """Take some bytes."""
        self._length += len(data)
        view = memoryview(data)
        while view:
            room = _BLOCK_BYTES - len(self._block)
            self._block += view[:room]
            view = view[room:]
            if len(self._block) == _BLOCK_BYTES:
                self._end_block()

    def skip_zeros(self, count: int) -> None:
        """Take that many zeros."""
        begun = (-len(self._block)) % _BLOCK_BYTES
        first = min(count, begun)
        self.update(_ZEROS[:first])
        blocks, rest = divmod(count - first, _BLOCK_BYTES)
        self._length += blocks * _BLOCK_BYTES
        for done in range(0, blocks, _AT_ONCE):
            self._outer.update(_ZERO_HASH * min(_AT_ONCE, blocks - done))
        self.update(_ZEROS[:rest])

    def hexdigest(self) -> str:
        """Return the checksum of all that was taken."""
        whole = self._outer.copy()
        if self._block:
            whole.update(_hash(self._block))
        whole.update(self._length.to_bytes(8, 'big'))
        return whole.hexdigest()

    def _end_block(self) -> None:
        self._outer.update(
            _ZERO_HASH if self._block == _ZEROS else _hash(self._block))
        self._block.clear()
