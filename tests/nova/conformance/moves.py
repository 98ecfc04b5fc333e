# SPDX-License-Identifier: Apache-2.0

"""Resize on the same host, from Nova's API down to real QEMU."""

import pathlib
from typing import Any
from unittest import mock

from lxml import etree
from nova import context as nova_context
from nova import exception as nova_exception
from nova import objects

import nova.conf
from tests.nova.conformance import volumes

CONF = nova.conf.CONF
IMAGE = '155d900f-4e14-4e4c-a73d-069cbf4541e6'


class ResizeTest(volumes.QemuServersTestCase):

    CAST_AS_CALL = False

    def setUp(self) -> None:
        super().setUp()
        self.flags(allow_resize_to_same_host=True)
        self.flavors = [self.flavor(number) for number in (1, 2)]

    def flavor(self, number: int) -> str:
        """Make a flavor that is so many times the smallest one."""
        made: dict[str, Any] = self.admin_api.post_flavor({'flavor': {
            'name': f'flavor {number}', 'ram': 64 * number,
            'vcpus': number, 'disk': number, 'id': f'10{number}',
            'OS-FLV-EXT-DATA:ephemeral': 0, 'swap': 0}})
        return str(made['id'])

    def server(self) -> dict[str, Any]:
        """Return a server that boots from an image and has a volume."""
        made = self.api.post_server({'server': {
            'flavorRef': self.flavors[0], 'name': 'one', 'networks': 'none',
            'imageRef': IMAGE}})
        found: dict[str, Any] = self._wait_for_state_change(made, 'ACTIVE')
        self.attach(found)
        return found

    def resize(
            self, server: dict[str, Any], flavor: int,
            state: str = 'VERIFY_RESIZE') -> None:
        self.api.post_server_action(server['id'], {'resize': {
            'flavorRef': self.flavors[flavor]}})
        self._wait_for_state_change(server, state)

    def end(self, server: dict[str, Any], action: str, state: str) -> None:
        self.api.post_server_action(server['id'], {action: None})
        self._wait_for_state_change(server, state)

    def folders(self, server: dict[str, Any]) -> list[str]:
        """Return what follows the uuid in the names of its folders."""
        path = pathlib.Path(CONF.instances_path)
        return sorted(found.name.replace(server['id'], '')
                      for found in path.glob(f"{server['id']}*"))

    def hardware(self, server: dict[str, Any]) -> tuple[str, ...]:
        """Return memory, CPUs, and the serial numbers of disks."""
        domain = etree.fromstring(self.driver.domain_xml(server['id']))
        return (domain.findtext('memory', ''), domain.findtext('vcpu', ''),
                *self.serials(server))

    def test_a_server_is_resized_and_confirmed(self) -> None:
        server = self.server()
        self.resize(server, 1)

        self.assertEqual(('131072', '2', volumes.DATA), self.hardware(server))
        self.assertEqual(['', '_resize'], self.folders(server))
        self.end(server, 'confirmResize', 'ACTIVE')
        self.assertEqual([''], self.folders(server))
        self.api.post_server_action(
            server['id'], {'reboot': {'type': 'HARD'}})
        self._wait_for_state_change(server, 'ACTIVE')
        self.assertEqual(('131072', '2', volumes.DATA), self.hardware(server))
        self._delete_server(server)
        self.assertEqual([], self.folders(server))

    def test_a_resize_is_reverted(self) -> None:
        server = self.server()
        self._stop_server(server)
        self._start_server(server)
        before = self.driver.domain_xml(server['id'])
        self.resize(server, 1)

        self.end(server, 'revertResize', 'ACTIVE')

        self.assertEqual(('65536', '1', volumes.DATA), self.hardware(server))
        self.assertEqual([''], self.folders(server))
        self.assertEqual(
            [line for line in before.splitlines() if '<address' in line],
            [line for line in self.driver.domain_xml(
                server['id']).splitlines() if '<address' in line])

    def test_a_stopped_server_stays_stopped(self) -> None:
        server = self.server()
        self._stop_server(server)
        self.resize(server, 1)
        self.end(server, 'confirmResize', 'SHUTOFF')
        self._start_server(server)

        self.assertEqual(('131072', '2', volumes.DATA), self.hardware(server))

    def test_a_server_whose_resize_waits_is_deleted(self) -> None:
        server = self.server()
        self.resize(server, 1)

        self._delete_server(server)

        self.assertEqual([], self.folders(server))
        self.assertEqual([], self.driver.list_instance_uuids())

    def test_a_smaller_disk_is_refused_and_the_server_runs_on(self) -> None:
        server = self.server()
        self.resize(server, 1)
        self.end(server, 'confirmResize', 'ACTIVE')

        self.api.post_server_action(server['id'], {'resize': {
            'flavorRef': self.flavors[0]}})
        self._wait_for_action_fail_completion(
            server, 'resize', 'compute_resize_instance')

        self.assertEqual('ACTIVE', self.api.get_server(
            server['id'])['status'])
        self.assertEqual(('131072', '2', volumes.DATA), self.hardware(server))
        self.assertIn('running', self.host.virsh('domstate', server['id']))

    def test_a_server_that_cannot_go_is_started_again(self) -> None:
        server = self.server()
        with mock.patch(
                'nova_libvirt_driver.storage.disks.Disks.copy',
                autospec=True, side_effect=nova_exception.NovaException('x')):
            self.api.post_server_action(server['id'], {'resize': {
                'flavorRef': self.flavors[1]}})
            self._wait_for_action_fail_completion(
                server, 'resize', 'compute_resize_instance')

        self.assertEqual('ACTIVE', self.api.get_server(
            server['id'])['status'])
        self.assertEqual(('65536', '1', volumes.DATA), self.hardware(server))
        self.assertIn('running', self.host.virsh('domstate', server['id']))
        self.assertEqual([''], self.folders(server))

    def test_a_service_that_was_killed_rolls_back(self) -> None:
        server = self.server()
        self.resize(server, 1)
        instance = objects.Instance.get_by_uuid(
            nova_context.get_admin_context(), server['id'],
            expected_attrs=['system_metadata', 'flavor'])
        instance.task_state = 'resize_migrating'
        instance.vm_state = 'active'
        instance.flavor = instance.old_flavor
        instance.save()
        self.host.virsh('destroy', server['id'])

        self.compute.manager._init_instance(
            nova_context.get_admin_context(), instance)

        self.assertEqual(('65536', '1', volumes.DATA), self.hardware(server))
        self.assertEqual([''], self.folders(server))
