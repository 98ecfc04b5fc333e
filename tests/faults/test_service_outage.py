# SPDX-License-Identifier: Apache-2.0

"""The service, the command and a daemon that dies and returns."""

import json
import subprocess
import time

from nova_libvirt_driver.testing import fake_ports
from nova_libvirt_driver.testing import fixtures
from tests.functional import base
from tests.functional import process

wait_until = fake_ports.wait_until

_UNREACHABLE = 5


class OutageTest(process.ServiceTestCase):

    def setUp(self) -> None:
        super().setUp()
        self.host = self.useFixture(fixtures.PrivateHost('outage')).host
        self.config_file = self.configure(
            '[libvirt]', f'connection_uri = {self.host.uri}',
            '[nova_libvirt_driver]', 'reconnect_interval_max = 1')

    def follow_events(self) -> 'subprocess.Popen[str]':
        process = subprocess.Popen(
            [*self.client_command(), 'events', '--follow', '-f', 'json'],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        return process

    def test_daemon_killed_and_started_again(self) -> None:
        service = self.run_service('--config-file', self.config_file)
        service.wait_for('connected to qemu+unix')
        events = self.follow_events()
        assert events.stderr is not None and events.stdout is not None
        self.assertIn('note: connected', events.stderr.readline())

        base.start_guest(self.host, 'guest')
        event = json.loads(events.stdout.readline())
        self.assertEqual(('guest', 'started'),
                         (event['server'], event['event']))

        limit_s = self.start_limit_s()
        self.host.kill_daemon()
        began = time.monotonic()
        listing = self.run_client('server', 'list')
        took_s = time.monotonic() - began
        self.assertEqual(_UNREACHABLE, listing.returncode)
        self.assertIn('libvirt on host node1 cannot be used',
                      listing.stderr)
        self.assertIn('Next:', listing.stderr)
        self.assertLess(took_s, limit_s)
        wait_until(lambda: not self.record()['enabled'], 'disabled')
        self.assertEqual('driver', self.record()['disabled_by'])
        self.assertIn('cannot open', str(self.record()['reason']))
        self.assertIn('note: no connection', events.stderr.readline())

        self.host.start_daemon()
        self.host.wait_ready()
        wait_until(lambda: self.record()['enabled'], 'enabled again')
        rows = json.loads(
            self.run_client('server', 'list', '--all', '-f', 'json').stdout)
        self.assertEqual([('guest', 'running')],
                         [(row['Name'], row['Status']) for row in rows])
        self.assertEqual(1, service.err.count(
            '"event_type": "compute.libvirt.error"'), service.err)

        # Who follows has a connection of its own, which may be back later; it
        # would find out afterwards that the guest has stopped.
        self.assertIn('note: connected', events.stderr.readline())
        self.host.virsh('destroy', 'guest')
        event = json.loads(events.stdout.readline())
        self.assertEqual(('guest', 'stopped', False),
                         (event['server'], event['event'],
                          event['synthesized']))
