# SPDX-License-Identifier: Apache-2.0

"""Rescued guests that one driver leaves to the other.

What Nova's own driver does is done here by hand, with its files: before a
rescue it keeps the definition in ``unrescue.xml``, and after it removes that
and all files whose names end in ``.rescue``.
"""

import pathlib
import shutil

from nova_libvirt_driver.spec import guest as guest_spec
from nova_libvirt_driver.spec import instance as instance_spec
from tests.functional import guest_base

State = instance_spec.PowerState


class HandoverTest(guest_base.GuestTestCase):

    def setUp(self) -> None:
        super().setUp()
        self.spec = self.boot_guest('web')
        self.driver.spawn(self.spec)
        self.folder = pathlib.Path(self.instances_path, self.spec.uuid)

    def define_and_start(self, xml: str) -> None:
        self.host.virsh('destroy', 'web')
        path = self.folder / 'new.xml'
        path.write_text(xml)
        self.host.virsh('define', str(path))
        self.host.virsh('start', 'web')
        path.unlink()

    def assert_runs_from_its_disk(self) -> None:
        self.assertIs(State.RUNNING, self.state(self.spec))
        xml = self.driver.get_domain_xml(self.spec)
        self.assertIn(f"'{self.folder}/disk'", xml)
        self.assertNotIn('.rescue', xml)
        self.assertEqual([], [
            path.name for path in self.folder.iterdir()
            if 'rescue' in path.name])

    def test_a_guest_that_novas_own_driver_has_rescued(self) -> None:
        before = self.host.virsh('dumpxml', '--inactive', 'web')
        (self.folder / 'unrescue.xml').write_text(before)
        shutil.copy(self.folder / 'disk', self.folder / 'disk.rescue')
        self.define_and_start(before.replace(
            f"'{self.folder}/disk'", f"'{self.folder}/disk.rescue'"))

        # As after a switch of the host.
        self.driver = self.make_guest_driver()
        self.driver.unrescue(self.spec)

        self.assert_runs_from_its_disk()

    def test_a_guest_that_novas_own_driver_unrescues(self) -> None:
        before = self.host.virsh('dumpxml', '--inactive', 'web')
        self.driver.rescue(self.spec, self.spec.storage.image_id)
        kept = (self.folder / 'unrescue.xml').read_text()
        self.assertEqual(before.strip(), kept.strip())

        self.define_and_start(kept)
        (self.folder / 'unrescue.xml').unlink()
        for path in self.folder.glob('*.rescue'):
            path.unlink()

        self.assert_runs_from_its_disk()
        # And back.
        self.driver.reboot(self.spec, guest_spec.RebootType.HARD)
        self.assert_runs_from_its_disk()
        self.driver.rescue(self.spec, self.spec.storage.image_id)
        self.driver.unrescue(self.spec)
        self.assert_runs_from_its_disk()
