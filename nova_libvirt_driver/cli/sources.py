# SPDX-License-Identifier: Apache-2.0

"""Where a command gets its answers: the local driver or a service.

Both are imported when they are needed only: the driver brings libvirt, the
client of the service the message bus.
"""

import argparse
from collections.abc import Iterator
import contextlib
import os
import time
from typing import Any
from typing import TextIO
from typing import TYPE_CHECKING

from oslo_config import cfg

from nova_libvirt_driver.cli import configuration
from nova_libvirt_driver.cli.doctor import check_connection
from nova_libvirt_driver.compute import demo_folder
from nova_libvirt_driver.compute import embedded
from nova_libvirt_driver.compute import paths
from nova_libvirt_driver import exception
from nova_libvirt_driver import ports

if TYPE_CHECKING:
    from nova_libvirt_driver.cli import volumes as local_volumes
    from nova_libvirt_driver.compute import remote
    from nova_libvirt_driver.compute import rpc_client
    from nova_libvirt_driver import driver as driver_module
    from nova_libvirt_driver.images import local as local_images

_TIMEOUT_S = 10.0
_POLL_S = 0.1
_LOG_OUTPUTS = 'LIBVIRT_LOG_OUTPUTS'
_IMAGES, _VOLUMES = 'images', 'volumes'


def driver(*, read_only: bool = True) -> 'driver_module.LibvirtDriver':
    """Return a driver that connects when it is first asked something.

    The configuration must be loaded.

    :raises ImportError: the binding of libvirt is not installed
    """
    # Libvirt reads it when it is loaded. Without any it writes its warnings,
    # such as those of a lost daemon, before the table.
    os.environ.setdefault(_LOG_OUTPUTS, '4:file:/dev/null')
    from nova_libvirt_driver import driver as driver_module

    virtapi = ports.VirtAPI(
        ports.NullNotifier(), ports.NullServiceState(),
        images=images(cfg.CONF))
    return driver_module.LibvirtDriver(virtapi, read_only=read_only)


def images(conf: cfg.ConfigOpts) -> 'local_images.LocalImages':
    """Return the images of this host; they need not be there yet."""
    from nova_libvirt_driver.images import local as local_images

    return local_images.LocalImages(images_path(conf))


def images_path(conf: cfg.ConfigOpts) -> str:
    """Return the folder of the images of this host."""
    return os.path.join(conf.state_path, _IMAGES)


def volumes(conf: cfg.ConfigOpts) -> 'local_volumes.LocalVolumes':
    """Return the volumes of this host; there need not be any yet."""
    from nova_libvirt_driver.cli import volumes as local_volumes
    from nova_libvirt_driver.conf import policy as policy_module
    from nova_libvirt_driver.storage import qemu_img
    from nova_libvirt_driver.storage import tool

    policy = policy_module.storage(conf)
    return local_volumes.LocalVolumes(
        os.path.join(conf.state_path, _VOLUMES),
        qemu_img.QemuImg(tool.Tool(policy), policy))


@contextlib.contextmanager
def local(
        arguments: argparse.Namespace, *, read_only: bool = True,
        ) -> Iterator['driver_module.LibvirtDriver']:
    """Lend a driver for this host, to ask it something.

    That is the one in the running service, if there is one for the same
    state folder and the command line names no other hypervisor.

    :param read_only: False is for questions that libvirt does not answer
        on a connection that only looks
    :raises HypervisorUnavailable: another process has it
    """
    conf = configuration.load(arguments)
    if getattr(arguments, 'rpc', None):
        with _remote(conf, arguments) as client:
            yield _served(client)
        return
    made = in_service(conf, arguments) or driver(read_only=read_only)
    try:
        yield made
    finally:
        made.cleanup_host(conf.host)


def in_service(
        conf: cfg.ConfigOpts, arguments: argparse.Namespace,
        ) -> 'driver_module.LibvirtDriver | None':
    """Return the driver in the running service, None for one of our own.

    Then an embedded hypervisor is ready, and no other command has it.

    :raises HypervisorUnavailable: another process has it
    """
    deadline = time.monotonic() + (arguments.timeout or embedded.HELD_S)
    while True:
        served = _service(conf, arguments)
        if served is not None:
            return served
        try:
            embedded.hold(conf.libvirt.connection_uri, conf.host, 0)
        except exception.HypervisorUnavailable:
            if time.monotonic() >= deadline:
                raise
        else:
            embedded.prepare(conf)
            return None
        # Another command has it, or a service that is about to serve.
        time.sleep(_POLL_S)


def _service(
        conf: cfg.ConfigOpts, arguments: argparse.Namespace,
        ) -> 'driver_module.LibvirtDriver | None':
    path = paths.service_socket(conf)
    if not os.path.exists(path):
        return None
    from nova_libvirt_driver.compute import remote

    served = _served(remote.LocalClient(path, conf.host))
    try:
        uri = served.uri()
    except exception.ServiceLost:
        # It was killed, or is that of another user.
        return None
    if arguments.uri not in (None, uri):
        return None
    # For what is said of it, and asks the configuration.
    conf.set_override('connection_uri', uri, group='libvirt')
    return served


def elsewhere(socket: str) -> 'driver_module.LibvirtDriver':
    """Return the driver in the service of another host.

    :param socket: at which commands are served there, as seen from here
    """
    from nova_libvirt_driver.compute import remote

    return _served(remote.LocalClient(socket, socket))


def _served(client: 'remote.Client') -> 'driver_module.LibvirtDriver':
    from nova_libvirt_driver.compute import remote

    # It has those of the methods that commands call.
    made: Any = remote.RemoteDriver(client)
    found: driver_module.LibvirtDriver = made
    return found


def is_served(driver: 'driver_module.LibvirtDriver') -> bool:
    """Say whether a driver is in a service, and not in this process."""
    from nova_libvirt_driver.compute import remote

    return isinstance(driver, remote.RemoteDriver)


@contextlib.contextmanager
def working(
        arguments: argparse.Namespace,
        ) -> Iterator['driver_module.LibvirtDriver']:
    """Lend the driver of this host, to do something.

    :raises HypervisorUnavailable: libvirt cannot be used now
    """
    with local(arguments, read_only=False) as made:
        # Raises unless libvirt can be reached now.
        made.get_host_facts()
        if not is_served(made):
            made.init_host(cfg.CONF.host)
            _tidy(made)
        yield made


def _tidy(made: 'driver_module.LibvirtDriver') -> None:
    """Remove what killed processes have left; no reason to do no more."""
    with contextlib.suppress(exception.DriverError, OSError):
        images(cfg.CONF).sweep()
        demo_folder.sweep(made, cfg.CONF.instances_path)


def is_pretended(driver: 'driver_module.LibvirtDriver') -> bool:
    """Say whether the hypervisor is libvirt's own for tests.

    It knows none of the guests with files of this host, and is the default
    where QEMU is not found.
    """
    return driver.uri().startswith('test:')


def forgets(driver: 'driver_module.LibvirtDriver') -> bool:
    """Say whether nothing of a server stays when this process ends."""
    return is_held(driver) and is_pretended(driver)


def is_held(driver: 'driver_module.LibvirtDriver') -> bool:
    """Say whether this process keeps its hypervisor from all others."""
    return (check_connection.is_in_process(driver.uri())
            and not is_served(driver))


def is_elsewhere(
        arguments: argparse.Namespace,
        driver: 'driver_module.LibvirtDriver') -> bool:
    """Say whether the guests are on another host than this command."""
    return bool(getattr(arguments, 'rpc', None)) or (
        check_connection.is_remote(driver.uri()))


def note_end(
        stream: TextIO, driver: 'driver_module.LibvirtDriver',
        name: str) -> None:
    """Write a note if a server that runs now will not run on.

    The guests of an embedded QEMU are processes of their own, and do.
    """
    if forgets(driver):
        stream.write(f'note: {driver.uri()} lives in this process: {name} is '
                     'gone when the command ends\n')


def status(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return what the service that ``--rpc`` names says of itself.

    :raises InvalidConfiguration: no message bus is configured
    """
    with _remote(configuration.load(arguments), arguments) as client:
        said: dict[str, Any] = client.call('status', {})
        return said


@contextlib.contextmanager
def _remote(
        conf: cfg.ConfigOpts, arguments: argparse.Namespace,
        ) -> Iterator['rpc_client.ComputeClient']:
    from nova_libvirt_driver.compute import rpc_client

    client = rpc_client.ComputeClient(
        conf, arguments.rpc, timeout_s=arguments.timeout or _TIMEOUT_S)
    try:
        yield client
    finally:
        client.close()
