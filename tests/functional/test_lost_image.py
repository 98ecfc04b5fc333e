# SPDX-License-Identifier: Apache-2.0

"""Real guests whose image is gone from the cache, or is to go."""

import os

from nova_libvirt_driver import exception
from nova_libvirt_driver import ports
from nova_libvirt_driver.spec import guest as guest_spec
from nova_libvirt_driver.spec import instance as instance_spec
from nova_libvirt_driver.storage import backing
from tests.functional import guest_base

State = instance_spec.PowerState
HARD = guest_spec.RebootType.HARD


class LostImageTest(guest_base.GuestTestCase):

    def setUp(self) -> None:
        super().setUp()
        self.spec = self.boot_guest('lost')
        self.driver.spawn(self.spec)
        self.wait_console(self.spec, 'lost is up')
        disk = self.instances_path / self.spec.uuid / 'disk'
        base = backing.base(str(disk))
        assert base is not None
        self.base = base.path

    def test_a_stopped_guest_starts_from_the_image_again(self) -> None:
        self.driver.power_off(self.spec)
        os.unlink(self.base)
        os.truncate(self.instances_path / self.spec.uuid / 'console.log', 0)

        self.driver.power_on(self.spec)

        self.wait_console(self.spec, 'lost is up')

    def test_a_running_guest_is_rebooted_with_it_or_not_at_all(self) -> None:
        os.unlink(self.base)

        self.assertRaises(
            exception.StorageFailure, self.driver.reboot, self.spec, HARD,
            images=ports.NullImages())
        self.assertIs(State.RUNNING, self.state(self.spec))
        self.driver.reboot(self.spec, HARD)

        self.assertIs(State.RUNNING, self.state(self.spec))
        self.assertTrue(os.path.exists(self.base))

    def test_the_image_of_a_domain_of_others_stays(self) -> None:
        self.driver.power_off(self.spec)
        xml = self.driver.get_domain_xml(self.spec, inactive=True)
        folder = self.instances_path / self.spec.uuid
        moved = self.host.directory / 'moved'
        os.rename(folder, moved)
        self.host.virsh('undefine', 'lost')
        other = self.host.directory / 'other.xml'
        other.write_text(xml.replace(str(folder), str(moved)))
        self.host.virsh('define', str(other))
        self.config.config(
            group='image_cache',
            remove_unused_original_minimum_age_seconds=0)

        removed = self.make_guest_driver().manage_image_cache()

        self.assertEqual([], removed)
        self.assertTrue(os.path.exists(self.base))
