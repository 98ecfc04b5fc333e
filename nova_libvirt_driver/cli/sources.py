# SPDX-License-Identifier: Apache-2.0

"""Where a command gets its answers: the local driver or a service.

Both are imported when they are needed only: the driver brings libvirt, the
client of the service the message bus.
"""

import argparse
from collections.abc import Iterator
import contextlib
import os
from typing import TYPE_CHECKING

from oslo_config import cfg

from nova_libvirt_driver.cli import configuration
from nova_libvirt_driver import ports

if TYPE_CHECKING:
    from nova_libvirt_driver.compute import rpc_client
    from nova_libvirt_driver import driver as driver_module
    from nova_libvirt_driver.images import local as local_images

_TIMEOUT_S = 10.0
_IMAGES = 'images'


def driver(*, read_only: bool = True) -> 'driver_module.LibvirtDriver':
    """Return a driver that connects when it is first asked something.

    The configuration must be loaded.

    :raises ImportError: the binding of libvirt is not installed
    """
    from nova_libvirt_driver import driver as driver_module

    virtapi = ports.VirtAPI(
        ports.NullNotifier(), ports.NullServiceState(),
        images=images(cfg.CONF))
    return driver_module.LibvirtDriver(virtapi, read_only=read_only)


def images(conf: cfg.ConfigOpts) -> 'local_images.LocalImages':
    """Return the images of this host; they need not be there yet."""
    from nova_libvirt_driver.images import local as local_images

    return local_images.LocalImages(os.path.join(conf.state_path, _IMAGES))


@contextlib.contextmanager
def local(
        arguments: argparse.Namespace, *, read_only: bool = True,
        ) -> Iterator['driver_module.LibvirtDriver']:
    """Lend a driver for this host, to ask it something.

    :param read_only: False is for questions that libvirt does not answer
        on a connection that only looks
    """
    conf = configuration.load(arguments)
    made = driver(read_only=read_only)
    try:
        yield made
    finally:
        made.cleanup_host(conf.host)


@contextlib.contextmanager
def working(
        arguments: argparse.Namespace,
        ) -> Iterator['driver_module.LibvirtDriver']:
    """Lend a driver for this host, to do something.

    :raises HypervisorUnavailable: libvirt cannot be used now
    """
    with local(arguments, read_only=False) as made:
        # Raises unless libvirt can be reached now.
        made.get_host_facts()
        made.init_host(cfg.CONF.host)
        yield made


@contextlib.contextmanager
def remote(
        arguments: argparse.Namespace,
        ) -> Iterator['rpc_client.ComputeClient']:
    """Lend a client of the compute service that ``--rpc`` names.

    :raises InvalidConfiguration: no message bus is configured
    """
    conf = configuration.load(arguments)
    from nova_libvirt_driver.compute import rpc_client

    client = rpc_client.ComputeClient(
        conf, arguments.rpc, timeout_s=arguments.timeout or _TIMEOUT_S)
    try:
        yield client
    finally:
        client.close()
