#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0

"""Counts how many of the driver's files a reader has to follow a verb through.

usage: tools/hops.py [--nova] [--files]

Runs verbs on libvirt's own ``test:///default``, in a folder of its own, and
prints for each of them how many functions of the package are called and in
how many files these are: on the thread of the caller, and on those that it
starts.

  --nova   under the Nova of this Python instead, see tools/nova-env; needs
           one that looks up no servers in its database when it starts (34)
  --files  name the files, too
"""

import argparse
import collections
from collections.abc import Callable
from collections.abc import Iterator
import contextlib
import logging
import pathlib
import sys
import tempfile
import threading
from types import FrameType
from typing import Any
import uuid

from oslo_config import cfg

ROOT = pathlib.Path(__file__).parents[1] / 'nova_libvirt_driver'

sys.path.insert(0, str(ROOT.parent))

_URI = 'test:///default'
_HOST = 'hops'
_FLAVOR = {'name': 'tiny', 'vcpus': 1, 'memory_mb': 64, 'root_gb': 0}

Verbs = dict[str, Callable[[], object]]


class Trail:
    """How often functions of each file were called."""

    def __init__(self) -> None:
        self.calls: collections.Counter[str] = collections.Counter()
        self.threads = {threading.current_thread()}

    def note(self, frame: FrameType, event: str, argument: object) -> None:
        """Take note of a call, as a profiler's hook."""
        # What other threads happen to start meanwhile is not of the verb.
        if event != 'call' or (
                threading.current_thread() not in self.threads):
            return
        if frame.f_code is threading.Thread.start.__code__:
            self.threads.add(frame.f_locals['self'])
        path = pathlib.Path(frame.f_code.co_filename)
        if path.is_relative_to(ROOT):
            self.calls[path.relative_to(ROOT).as_posix()] += 1


def follow(verb: Callable[[], object]) -> collections.Counter[str]:
    """Return how often functions of each file were called by a verb."""
    trail = Trail()
    threading.setprofile(trail.note)
    sys.setprofile(trail.note)
    try:
        verb()
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    return trail.calls


@contextlib.contextmanager
def alone(folder: str) -> Iterator[Verbs]:
    """Lend the verbs of a driver that nothing hosts."""
    from nova_libvirt_driver import conf
    from nova_libvirt_driver import driver as driver_module
    from nova_libvirt_driver import ports
    from nova_libvirt_driver.testing import specs

    conf.register_opts(cfg.CONF)
    cfg.CONF([], project=_HOST, default_config_files=[])
    _configure(folder)
    driver = driver_module.LibvirtDriver(ports.VirtAPI(
        ports.NullNotifier(), ports.NullServiceState()))
    spec = specs.guest_spec('one')
    driver.init_host(_HOST)
    yield {
        'spawn': lambda: driver.spawn(spec),
        'get_info': lambda: driver.get_info(spec),
        'pause': lambda: driver.pause(spec),
        'destroy': lambda: driver.destroy(spec)}
    driver.cleanup_host(_HOST)


@contextlib.contextmanager
def under_nova(folder: str) -> Iterator[Verbs]:
    """Lend the verbs of the driver that Nova loads."""
    from nova import conf as nova_conf
    from nova import config
    from nova import context as nova_context
    from nova import objects
    from nova_libvirt_driver.nova_plugin import driver as driver_module

    objects.register_all()
    config.parse_args([_HOST], default_config_files=[], configure_db=False,
                      init_rpc=False)
    nova_conf.neutron.register_dynamic_opts(nova_conf.CONF)
    _configure(folder)
    # Nova has no database here.
    for kind in objects.VirtualInterfaceList, objects.BlockDeviceMappingList:
        kind.get_by_instance_uuid = lambda context, uuid: ()
    driver: Any = driver_module.NovaLibvirtDriver(None)
    context = nova_context.get_admin_context()
    instance = _instance(context)
    image = objects.ImageMeta.from_dict({'properties': {}})
    driver.init_host(_HOST)
    yield {
        'spawn': lambda: driver.spawn(
            context, instance, image, [], None, {}, [], {}),
        'get_info': lambda: driver.get_info(instance),
        'pause': lambda: driver.pause(instance),
        'destroy': lambda: driver.destroy(context, instance, [], {})}
    driver.cleanup_host(_HOST)


def _instance(context: Any) -> Any:
    from nova import objects

    flavor = objects.Flavor(
        id=1, flavorid='1', ephemeral_gb=0, swap=0, extra_specs={}, **_FLAVOR)
    return objects.Instance(
        context, id=1, uuid=str(uuid.uuid4()), image_ref='',
        display_name='hops', user_id='user', project_id='project',
        kernel_id='', ramdisk_id='', flavor=flavor, numa_topology=None,
        trusted_certs=None, vm_mode=None, os_type=None, config_drive='',
        system_metadata={}, metadata={}, task_state=None, host=_HOST)


def _configure(folder: str) -> None:
    cfg.CONF.set_override('instances_path', f'{folder}/instances')
    cfg.CONF.set_override('connection_uri', _URI, 'libvirt')
    cfg.CONF.set_override('virt_type', 'qemu', 'libvirt')


def main() -> None:
    assert __doc__ is not None
    parser = argparse.ArgumentParser(
        usage=__doc__, add_help=True, allow_abbrev=False)
    parser.add_argument('--nova', action='store_true')
    parser.add_argument('--files', action='store_true')
    arguments = parser.parse_args()
    logging.disable()
    host = under_nova if arguments.nova else alone
    with (tempfile.TemporaryDirectory(prefix='hops-') as folder,
          host(folder) as verbs):
        for name, verb in verbs.items():
            calls = follow(verb)
            print(f'{name:10} {calls.total():6} calls {len(calls):4} files')
            for path in calls if arguments.files else ():
                print(f'  {path}')


if __name__ == '__main__':
    main()
