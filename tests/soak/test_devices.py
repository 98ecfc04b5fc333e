# SPDX-License-Identifier: Apache-2.0

"""Months of one guest's devices in minutes.

Run by ``tools/test --soak``. ``NOVA_LIBVIRT_SOAK_CYCLES`` says how many times
it gets a volume and a port, and loses both.
"""

import dataclasses
import logging
import os

from nova_libvirt_driver.testing import libvirtd
from tests.functional import test_device_cycles

_RUN = '/run/openvswitch'
_DATABASE = f'{_RUN}/conf.db'
_NO_LOG = '--log-file=/dev/null'
_SCHEMA = '/usr/share/openvswitch/vswitch.ovsschema'


class DevicesTest(test_device_cycles.DeviceCyclesTest):
    """The ports are those of Open vSwitch, with a data path of its own."""

    cycles = int(os.environ.get('NOVA_LIBVIRT_SOAK_CYCLES', '500'))
    nic = dataclasses.replace(
        test_device_cycles.NIC, virtualport_type='openvswitch',
        interface_id=test_device_cycles.NIC.id)

    def setUp(self) -> None:
        logging.disable(logging.INFO)
        self.addCleanup(logging.disable, logging.NOTSET)
        super().setUp()

    def make_bridge(self) -> None:
        for command in (
                ['mkdir', '-p', _RUN], ['mount', '-t', 'tmpfs', 'ovs', _RUN],
                ['ovsdb-tool', 'create', _DATABASE, _SCHEMA],
                ['ovsdb-server', _DATABASE, f'--remote=punix:{_RUN}/db.sock',
                 '--detach', '--no-chdir', '--pidfile', _NO_LOG],
                ['ovs-vsctl', '--no-wait', 'init'],
                ['ovs-vswitchd', '--detach', '--no-chdir', '--pidfile',
                 _NO_LOG],
                ['ovs-vsctl', 'add-br', self.nic.source, '--', 'set',
                 'bridge', self.nic.source, 'datapath_type=netdev']):
            self.do(*command)

    def do(self, *command: str) -> str:
        """Run a command on the host; return what it printed."""
        done = self.host.run(command)
        if done.returncode:
            raise libvirtd.HostError(f'{command[0]}: {done.stderr}')
        return done.stdout

    def plugged(self) -> list[str]:
        return self.do('ovs-vsctl', 'list-ports', self.nic.source).split()
