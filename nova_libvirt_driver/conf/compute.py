# SPDX-License-Identifier: Apache-2.0

"""Options of the compute service as a whole."""

import socket

from oslo_config import cfg
from oslo_utils import netutils

from nova_libvirt_driver.spec import status_socket

GROUP = 'DEFAULT'
EPHEMERAL_FORMATS = ('ext2', 'ext3', 'ext4', 'xfs', 'ntfs', 'vfat')

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
        default=status_socket.STATE_PATH,
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
    cfg.BoolOpt(
        'force_config_drive',
        default=False,
        help="""
Give every instance a config drive, whether it asks for one or not.
"""),
    cfg.StrOpt(
        'config_drive_format',
        default='iso9660',
        choices=('iso9660', 'vfat'),
        help="""
File system of config drives.
"""),
    cfg.BoolOpt(
        'force_raw_images',
        default=True,
        help="""
Convert images to raw when they come into the cache.
"""),
    cfg.BoolOpt(
        'use_cow_images',
        default=True,
        help="""
Keep disks as overlays over the cached image.

Related options: ``[libvirt] images_type``.
"""),
    cfg.StrOpt(
        'preallocate_images',
        default='none',
        choices=('none', 'space'),
        help="""
Whether new disks take all their room at once.

Possible values: ``none``, a disk takes room when it is written to;
``space``, all of it when it is made, and a server that has not enough is
refused. QEMU writes to such disks with native I/O.
"""),
    cfg.StrOpt(
        'default_ephemeral_format',
        choices=EPHEMERAL_FORMATS,
        help="""
File system of ephemeral disks; unset is ``vfat``.

``xfs`` needs xfsprogs on the host, and ``ntfs`` needs ntfs-3g.
"""),
)
