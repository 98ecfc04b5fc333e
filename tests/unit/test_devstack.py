# SPDX-License-Identifier: Apache-2.0

"""The plugin of DevStack, run with functions that say what they would do."""

import pathlib
import subprocess

from tests import base

ROOT = pathlib.Path(__file__).parents[2]
FUNCTIONS = '''
is_service_enabled() { [[ "$1" == n-cpu ]]; }
getent() { [[ "$2" == kvm ]]; }
for name in sudo setup_develop iniset add_user_to_group; do
    eval "$name() { echo $name \\"\\$@\\"; }"
done
DEST=/opt/stack NOVA_CONF=/etc/nova/nova.conf NOVA_CONF_DIR=/etc/nova
STACK_USER=stack
'''


def does(*phase: str) -> list[str]:
    """Return what a phase of DevStack has the plugin do."""
    return subprocess.run(
        ['bash', '-euc', f'{FUNCTIONS}\n. devstack/plugin.sh "$@"', 'bash',
         *phase], cwd=ROOT, capture_output=True, check=True,
        text=True).stdout.splitlines()


class DevstackTest(base.TestCase):

    def test_nova_compute_gets_the_driver_and_its_rights(self) -> None:
        filters = 'rootwrap.d/nova-libvirt-driver.filters'

        self.assertEqual([
            'iniset /etc/nova/nova.conf DEFAULT compute_driver '
            'nova_libvirt_driver.LibvirtDriver',
            'sudo install -o root -g root -m 644 /opt/stack/'
            f'nova-libvirt-driver/etc/nova_libvirt_driver/{filters} '
            f'/etc/nova/{filters}',
            'add_user_to_group stack kvm'], does('stack', 'post-config'))
        self.assertTrue(
            (ROOT / 'etc' / 'nova_libvirt_driver' / filters).exists())
        self.assertEqual(
            [f'sudo rm -f /etc/nova/{filters}'], does('clean', ''))

    def test_other_phases_make_nothing(self) -> None:
        self.assertEqual(['setup_develop /opt/stack/nova-libvirt-driver'],
                         does('stack', 'install'))
        self.assertEqual([], does('unstack', ''))
