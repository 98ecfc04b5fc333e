# SPDX-License-Identifier: Apache-2.0

"""What placement knows of the host and its servers."""

import os
from typing import Any

from tests.cloud import base


class PlacementTest(base.CloudTest):

    def setUp(self) -> None:
        super().setUp()
        self.placement = self.check.cloud.placement
        self.provider = next(iter(self.placement.resource_providers()))

    def inventory(self) -> dict[str, Any]:
        """Return the host's inventory by resource class."""
        return {
            inventory.resource_class: inventory for inventory in
            self.placement.resource_provider_inventories(self.provider)}

    def allocated(self, consumer: str) -> dict[str, int]:
        """Return what is allocated to a consumer on the host."""
        answer = self.placement.get(f'/allocations/{consumer}').json()
        allocations = answer['allocations'].get(self.provider.id, {})
        return dict(allocations.get('resources', {}))

    def test_the_host_offers_what_it_has(self) -> None:
        found = self.inventory()

        self.assertEqual(os.cpu_count(), found['VCPU'].total)
        self.assertGreater(found['MEMORY_MB'].total, 1024)
        self.assertEqual(512, found['MEMORY_MB'].reserved)
        self.assertGreater(found['DISK_GB'].total, 1)
        self.assertEqual(16.0, found['VCPU'].allocation_ratio)

    def test_a_server_takes_what_its_flavor_says(self) -> None:
        flavor = self.check.cloud.compute.find_flavor('42')
        server = self.check.boot(image_id=self.check.image())
        wanted = {'VCPU': flavor.vcpus, 'MEMORY_MB': flavor.ram,
                  'DISK_GB': flavor.disk}

        self.assertEqual(wanted, self.allocated(server.id))
        self.check.cloud.compute.delete_server(server)
        self.check.cloud.compute.wait_for_delete(server, interval=1)
        self.assertEqual({}, self.allocated(server.id))
