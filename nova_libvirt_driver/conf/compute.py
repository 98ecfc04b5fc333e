# SPDX-License-Identifier: Apache-2.0

"""Options of the compute service as a whole."""

import socket

from oslo_config import cfg
from oslo_utils import netutils

GROUP = 'DEFAULT'

OPTS = (
    cfg.StrOpt(
        'host',
        default=socket.gethostname(),
        sample_default='<current hostname>',
        help="""
Name of this compute host.

It names the service in its record, in messages and in notifications. It
need not be a name that can be resolved.
"""),
    cfg.HostAddressOpt(
        'my_ip',
        default=netutils.get_my_ipv4(),
        sample_default='<address of the default route>',
        help="""
Address under which other hosts reach this one.

Stated in error notifications.
"""),
    cfg.StrOpt(
        'compute_driver',
        default='nova_libvirt_driver.LibvirtDriver',
        help="""
Driver class that the compute service loads.

Possible values: the module path of a subclass of
``nova_libvirt_driver.base.ComputeDriver``.
"""),
    cfg.StrOpt(
        'state_path',
        default='/var/lib/nova-libvirt',
        help="""
Folder in which the compute service keeps what it must remember.

The service makes it if need be.
"""),
    cfg.StrOpt(
        'instances_path',
        default='$state_path/instances',
        help="""
Folder in which the disks of instances are kept.

Its file system is what the host offers as local disk.
"""),
)
