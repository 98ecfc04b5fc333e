# SPDX-License-Identifier: Apache-2.0

"""Print what one driver tells Nova of a host.

Run ``python -m tests.nova.answers DRIVER URI FILE``: DRIVER is a class with
its module, FILE is Nova's configuration. In a process of its own, since
Nova's driver starts threads and leaves them.
"""

import json
import os
import sys
from typing import Any

from nova.compute import provider_tree
from nova import config
from nova import objects
from oslo_utils import importutils

import nova.conf

OURS = 'nova_libvirt_driver.nova_plugin.driver.NovaLibvirtDriver'
NOVAS = 'nova.virt.libvirt.driver.LibvirtDriver'
NODE_UUID = '3f9d2c5e-7a61-4a0a-9b1d-5a4a3d9b6c10'


def main(name: str, uri: str, path: str) -> dict[str, Any]:
    """Return the record of the node, its inventory and its traits."""
    objects.register_all()
    config.parse_args(['nova', '--config-file', path],
                      default_config_files=[path])
    # As the compute manager does.
    nova.conf.neutron.register_dynamic_opts(nova.conf.CONF)
    nova.conf.CONF.set_override('connection_uri', uri, 'libvirt')
    # It looks for guests of before there was PCPU.
    objects.ComputeNode.get_by_nodename = lambda context, name: (
        objects.ComputeNode(numa_topology=None))
    driver = importutils.import_object(name, None)
    if name == OURS:
        driver.init_host(nova.conf.CONF.host)
    node = driver.get_available_nodes()[0]
    tree = provider_tree.ProviderTree()
    tree.new_root(node, NODE_UUID)
    driver.update_provider_tree(tree, node)
    found = tree.data(node)
    return {
        'record': driver.get_available_resource(node),
        'inventory': found.inventory, 'traits': sorted(found.traits),
        'nodes': driver.get_nodenames_by_uuid(),
        'cpu_times': driver.get_host_cpu_stats()}


if __name__ == '__main__':
    print(json.dumps(main(*sys.argv[1:])))
    sys.stdout.flush()
    # Nova's threads would keep the process.
    os._exit(0)
