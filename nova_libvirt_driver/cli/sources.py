# SPDX-License-Identifier: Apache-2.0

"""Where a command gets its answers: the local driver or a service.

Both are imported when they are needed only: the driver brings libvirt, the
client of the service the message bus.
"""

import argparse
from collections.abc import Iterator
import contextlib
import os
from typing import TextIO
from typing import TYPE_CHECKING

from oslo_config import cfg

from nova_libvirt_driver.cli import configuration
from nova_libvirt_driver.cli.doctor import check_connection
from nova_libvirt_driver.compute import demo_folder
from nova_libvirt_driver.compute import embedded
from nova_libvirt_driver import exception
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
    embedded.prepare(conf)
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
        _tidy(made)
        yield made


def _tidy(made: 'driver_module.LibvirtDriver') -> None:
    """Remove what killed processes have left; no reason to do no more."""
    with contextlib.suppress(exception.DriverError, OSError):
        images(cfg.CONF).sweep()
        demo_folder.sweep(made, cfg.CONF.instances_path)


def forgets(uri: str) -> bool:
    """Say whether nothing of a server stays when this process ends."""
    return check_connection.is_in_process(uri) and uri.startswith('test:')


def note_end(stream: TextIO, uri: str, name: str) -> None:
    """Write a note if a server that runs now will not run on.

    The guests of an embedded QEMU are processes of their own, and do.
    """
    if forgets(uri):
        stream.write(f'note: {uri} lives in this process: {name} is gone '
                     'when the command ends\n')


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
