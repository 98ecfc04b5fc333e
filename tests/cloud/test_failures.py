# SPDX-License-Identifier: Apache-2.0

"""What goes wrong ends well: a reason for the user, and nothing left."""

import pathlib
import tempfile
import threading
from typing import Any

from tests.cloud import base
from tests.cloud import host

LOAD = 3


class FailureTest(base.CloudTest):

    def server(self, **options: Any) -> Any:
        """Ask for a server, and do not wait for it."""
        nova = self.check.cloud.compute
        server = nova.create_server(
            name=self.check.name, flavor_id=nova.find_flavor('42').id,
            networks=[{'uuid': self.check.cloud.network.find_network(
                'private').id}], **options)
        self.check.callback(nova.wait_for_delete, server, interval=1)
        self.check.callback(nova.delete_server, server)
        return server

    def enabled(self) -> bool:
        """Tell whether the host takes servers."""
        service, = self.check.cloud.compute.services(binary='nova-compute')
        return bool(service.state == 'up' and service.status == 'enabled')

    def image(self, size_mib: int) -> Any:
        """Make an image, a disk without anything on it."""
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / 'disk'
            host.run('qemu-img', 'create', '-q', '-f', 'qcow2', str(path),
                     f'{size_mib}M')
            glance = self.check.cloud.image
            image = glance.create_image(
                name=self.check.name, data=path.read_bytes(),
                disk_format='qcow2', container_format='bare')
        self.check.callback(glance.delete_image, image)
        return image

    def failure(self, image: Any) -> str:
        """Return what a user reads whose server did not come to be."""
        server = self.server(image_id=image.id)
        failed = base.settled(self.check, server, 'ERROR')
        message = str(failed.fault['message'])
        self.check.say(message)
        return message

    def test_an_image_that_is_too_large(self) -> None:
        message = self.failure(self.image(size_mib=2048))

        self.assertIn('does not fit on the disk', message)

    def test_an_image_that_is_not_what_was_uploaded(self) -> None:
        image = self.image(size_mib=64)
        stored = host.STATE / 'glance' / 'images' / image.id
        stored.write_bytes(b'This is no disk.'.ljust(stored.stat().st_size))

        message = self.failure(image)

        self.assertIn(image.id, message)
        self.assertIn('it is damaged', message)

    def test_a_build_that_is_killed_leaves_nothing(self) -> None:
        server = self.server(image_id=self.check.image())
        self.check.until(
            lambda: self.check.cloud.compute.get_server(
                server.id).task_state == 'spawning', 'spawning')

        host.crash('nova-compute')

        self.check.until(
            lambda: self.check.cloud.compute.get_server(
                server.id).status in ('ERROR', 'ACTIVE'), 'decided', 120)
        self.check.until(self.enabled, 'the host is back', 120)
        again = self.check.boot(image_id=self.check.image())
        self.assertEqual('ACTIVE', again.status)

    def test_servers_outlive_libvirt(self) -> None:
        servers = [
            self.check.boot(image_id=self.check.image())
            for _ in range(LOAD)]
        nova = self.check.cloud.compute
        before = [host.process(nova.get_server(server.id).instance_name)
                  for server in servers]
        late = self.server(image_id=self.check.image())
        load = threading.Thread(
            target=nova.reboot_server, args=(servers[0], 'HARD'))
        load.start()

        host.crash('libvirtd', 3)

        load.join()
        self.check.until(self.enabled, 'the host is back', 120)
        for server in servers[1:]:
            base.settled(self.check, server, 'ACTIVE')
        self.assertEqual(before[1:], [
            host.process(nova.get_server(server.id).instance_name)
            for server in servers[1:]])
        for server in (servers[0], late):
            base.rested(self.check, server)
        for server in servers:
            nova.reboot_server(server, 'HARD')
            base.settled(self.check, server, 'ACTIVE')
