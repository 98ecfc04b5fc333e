# SPDX-License-Identifier: Apache-2.0

import hashlib
import os

from nova_libvirt_driver.spec import block_digest
from tests import base

MIB = 1 << 20


class BlockDigestTest(base.TestCase):

    def test_it_is_what_it_says(self) -> None:
        content = os.urandom(MIB) + bytes(2 * MIB) + b'end'
        digest = block_digest.BlockDigest()

        digest.update(content)

        parts = b''.join(
            hashlib.sha512(content[start:start + MIB]).digest()
            for start in range(0, len(content), MIB))
        self.assertEqual(
            hashlib.sha512(parts + len(content).to_bytes(8, 'big')
                           ).hexdigest(), digest.hexdigest())

    def test_a_hole_counts_like_zeros(self) -> None:
        for before, hole in ((b'', 0), (b'x', 5), (b'x' * 7, 3 * MIB),
                             (b'y' * MIB, 2 * MIB), (b'', 1025 * MIB + 3)):
            whole, holed = (block_digest.BlockDigest() for _ in range(2))
            whole.update(before)
            whole.update(bytes(hole))
            whole.update(b'end')

            holed.update(before)
            holed.skip_zeros(hole)
            holed.update(b'end')

            self.assertEqual(whole.hexdigest(), holed.hexdigest())
