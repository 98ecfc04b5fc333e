# SPDX-License-Identifier: Apache-2.0

"""Options that say which hypervisor to use; names as Nova has them."""

from oslo_config import cfg

GROUP = 'libvirt'

OPTS = (
    cfg.StrOpt(
        'virt_type',
        default='kvm',
        choices=('kvm', 'lxc', 'qemu', 'parallels'),
        help="""
Kind of guests that this host runs.

It also chooses the URI to connect to, unless ``connection_uri`` does.
"""),
    cfg.StrOpt(
        'connection_uri',
        default='',
        help="""
URI of the libvirt connection.

Possible values: empty, for the default of ``virt_type``
(``qemu:///system`` for kvm and qemu); or any URI of libvirt, for example
``qemu:///session``, ``qemu:///embed?root=/srv/guests`` or
``test:///default``.

Related options: ``virt_type``.
"""),
    cfg.StrOpt(
        'cpu_mode',
        choices=('host-model', 'host-passthrough', 'custom', 'maximum',
                 'none'),
        help="""
CPU that guests get.

Unset, it is ``host-model``, or where libvirt has no such thing (aarch64)
``host-passthrough`` or ``maximum``. With ``none`` it is the hypervisor's own
default, which is older than some operating systems want.

Related options: ``cpu_models`` for ``custom``.
"""),
    cfg.ListOpt(
        'cpu_models',
        default=[],
        help="""
CPU models for the mode ``custom``, the first that the host has is taken.

Related options: ``cpu_mode``.
"""),
    cfg.ListOpt(
        'cpu_model_extra_flags',
        default=[],
        help="""
CPU flags that every guest gets in addition to those of its model.

A flag may have ``+`` before it, or ``-`` to take it away.
"""),
    cfg.ListOpt(
        'hw_machine_type',
        default=[],
        help="""
Machine type for each architecture, as in ``x86_64=q35``.
"""),
    cfg.StrOpt(
        'images_type',
        default='default',
        choices=('raw', 'flat', 'qcow2', 'default'),
        help="""
How disks of instances are kept.

Possible values: ``qcow2``, an overlay over the cached image; ``raw`` and
``flat``, a full copy; ``default``, which is ``qcow2`` unless
``[DEFAULT] use_cow_images`` says otherwise.
"""),
    cfg.StrOpt(
        'disk_prefix',
        help="""
Prefix of the names of disks, instead of the one that fits their bus.
"""),
    cfg.ListOpt(
        'disk_cachemodes',
        default=[],
        help="""
Cache mode for each kind of disk, as in ``file=directsync,block=none``.

Possible values: ``default``, ``none``, ``writethrough``, ``writeback``,
``directsync``, ``unsafe`` for ``file``, ``block`` and ``network``.
"""),
    cfg.StrOpt(
        'hw_disk_discard',
        choices=('ignore', 'unmap'),
        help="""
Whether guests may give room on their disks back.
"""),
    cfg.StrOpt(
        'snapshot_image_format',
        choices=('raw', 'qcow2', 'vmdk', 'vdi'),
        help="""
Format of snapshots; unset, that of the disk.
"""),
    cfg.BoolOpt(
        'snapshot_compression',
        default=False,
        help="""
Compress snapshots in format qcow2.
"""),
    cfg.IntOpt(
        'mem_stats_period_seconds',
        default=10,
        help="""
Seconds between two looks at the memory statistics of a guest's balloon.

Possible values: zero or less for guests without a balloon.
"""),
    cfg.StrOpt(
        'rng_dev_path',
        default='/dev/urandom',
        help="""
Source of random numbers for guests that have such a device.
"""),
    cfg.StrOpt(
        'sysinfo_serial',
        default='unique',
        choices=('none', 'os', 'hardware', 'auto', 'unique'),
        help="""
Serial number in the firmware tables of a guest.

Possible values: ``unique``, the uuid of the instance; ``os`` and
``hardware``, one of the host's, which tells guests that they share it;
``auto``, either of the two; ``none``.
"""),
    cfg.IntOpt(
        'num_pcie_ports',
        default=0, min=0, max=28,
        help="""
PCIe ports for devices that are plugged in later; 0 for libvirt's choice.
"""),
    cfg.IntOpt(
        'device_detach_attempts',
        default=8, min=1,
        help="""
How often a guest is asked to let go of a device.

Related options: ``device_detach_timeout``.
"""),
    cfg.IntOpt(
        'device_detach_timeout',
        default=20, min=1,
        help="""
Seconds that a guest may take to let go of a device each time it is asked.

Related options: ``device_detach_attempts``.
"""),
    cfg.IntOpt(
        'tb_cache_size',
        min=0,
        help="""
Size in MiB of QEMU's cache for translated code, with ``virt_type`` qemu.

Unset, QEMU may take up to 1 GiB for each guest.
"""),
    cfg.BoolOpt(
        'use_virtio_for_bridges',
        default=True,
        help="""
Give guests virtio interfaces unless their image names another model.

Otherwise libvirt chooses, as a rule rtl8139.
"""),
    cfg.IntOpt(
        'rx_queue_size',
        choices=(256, 512, 1024),
        help="""
Length of a virtio interface's receive queue.
"""),
    cfg.IntOpt(
        'tx_queue_size',
        choices=(256, 512, 1024),
        help="""
Length of a virtio interface's transmit queue.
"""),
    cfg.IntOpt(
        'file_backed_memory',
        default=0, min=0,
        help="""
Room in MiB for guests' memory in files; 0 keeps it in anonymous memory.
"""),
    cfg.IntOpt(
        'wait_soft_reboot_seconds',
        default=120,
        help="""
Seconds that a guest may take for a soft reboot before it becomes a hard one.
"""),
)
