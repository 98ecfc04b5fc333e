# SPDX-License-Identifier: Apache-2.0

import os

import fixtures

from nova_libvirt_driver.filesystem import paths
from tests import base

UUID = '6d3a1a52-3f6c-4a5b-9c1e-0a1b2c3d4e5f'


class PathsTest(base.TestCase):

    def setUp(self) -> None:
        super().setUp()
        self.root = self.useFixture(fixtures.TempDir()).path
        for name in ('ours', 'theirs'):
            os.makedirs(os.path.join(self.root, name, UUID))
        os.symlink('ours', os.path.join(self.root, 'link'))

    def is_own(self, *words: str) -> bool:
        return paths.is_own(os.path.join(self.root, *words),
                            os.path.join(self.root, 'ours', UUID))

    def test_a_folder_may_be_linked_or_have_been_moved(self) -> None:
        for above in ('ours', 'link', 'gone'):
            self.assertTrue(self.is_own(above, UUID, 'disk'), above)

    def test_files_of_others_are_theirs(self) -> None:
        for words in (('theirs', UUID, 'disk'), ('ours', 'other', 'disk'),
                      ('gone', 'disk'), ('',)):
            self.assertFalse(self.is_own(*words), words)
