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
    cfg.ListOpt(
        'enabled_perf_events',
        default=[],
        help="""
What the kernel counts for guests, in libvirt's words, as ``cpu_clock``.

``cmt``, ``mbml`` and ``mbmt`` are left out: kernels have them no more.
"""),
    cfg.StrOpt(
        'snapshots_directory',
        default='$instances_path/snapshots',
        help="""
Folder in which a copy of a disk is until it is uploaded.
"""),
    cfg.IntOpt(
        'images_cpu_time_limit',
        default=30, min=1,
        help="""
CPU time in seconds that a look at an image may take.

Conversions may take ``[nova_libvirt_driver] image_tool_cpu``.
"""),
    cfg.IntOpt(
        'images_address_space_limit',
        default=2, min=1,
        help="""
Memory in GiB that a look at an image may take.

Conversions may take ``[nova_libvirt_driver] image_tool_memory``.
"""),
    cfg.StrOpt(
        'live_migration_uri',
        help="""
URI of the libvirt daemon of another host, for live migration.

``%s`` in it is the address of that host. Unset, it is
``qemu+tcp://%s/system``, or with the scheme of ``live_migration_scheme``.
"""),
    cfg.StrOpt(
        'live_migration_scheme',
        help="""
Scheme of the URI to the libvirt daemon of another host, for live migration.

It is what stands behind ``qemu+``; unset, ``tcp``. ``live_migration_uri``
counts more.
"""),
    cfg.HostDomainOpt(
        'live_migration_inbound_addr',
        help="""
Address of this host to which guests come by live migration.

Unset, it is the host's name.
"""),
    cfg.BoolOpt(
        'live_migration_tunnelled',
        default=False,
        help="""
Send memory through the connection between the libvirt daemons.

It is slow, and disks cannot be copied; see
``live_migration_with_native_tls``.
"""),
    cfg.BoolOpt(
        'live_migration_with_native_tls',
        default=False,
        help="""
Let QEMU encrypt the memory, and the disks, that it sends to another host.

All hosts need certificates for that. Excludes ``live_migration_tunnelled``.
"""),
    cfg.BoolOpt(
        'live_migration_permit_auto_converge',
        default=False,
        help="""
Slow down a guest that writes faster than its memory is sent.

Without effect together with ``live_migration_permit_post_copy``.
"""),
    cfg.BoolOpt(
        'live_migration_permit_post_copy',
        default=False,
        help="""
Let a guest run on the other host before all of its memory is there.

That happens when a migration is to be completed by force. When the connection
between the hosts breaks then, the guest stands still until it is repaired.
Without effect together with ``live_migration_tunnelled``.
"""),
    cfg.IntOpt(
        'live_migration_parallel_connections',
        default=1, min=1,
        help="""
Number of connections by which memory is sent.

It is one with ``live_migration_permit_post_copy``, and with
``live_migration_tunnelled``.
"""),
    cfg.IntOpt(
        'live_migration_bandwidth',
        default=0, min=0,
        help="""
MiB that a live migration may send in a second; 0 for no limit.
"""),
    cfg.IntOpt(
        'live_migration_downtime',
        default=500, min=100,
        help="""
Milliseconds for which a guest may stand still at the end of its migration.

It begins with 300 at most, and grows to this value in
``live_migration_downtime_steps`` steps.
"""),
    cfg.IntOpt(
        'live_migration_downtime_steps',
        default=10, min=3,
        help="""
Steps in which ``live_migration_downtime`` is reached.
"""),
    cfg.IntOpt(
        'live_migration_downtime_delay',
        default=75, min=3,
        help="""
Seconds between two of these steps, for each GiB of memory and disks.

At least 2 GiB count.
"""),
    cfg.IntOpt(
        'live_migration_completion_timeout',
        default=800, min=0,
        help="""
Seconds that a live migration may take for each GiB; 0 for no limit.

At least 2 GiB count. What happens then, ``live_migration_timeout_action``
says.
"""),
    cfg.StrOpt(
        'live_migration_timeout_action',
        default='abort',
        choices=('abort', 'force_complete'),
        help="""
What is done to a live migration that takes too long.

Possible values: ``abort``, the guest stays; ``force_complete``, it is
switched to post-copy where that is permitted, else the guest is paused until
all of its memory is there.
"""),
    cfg.IntOpt(
        'live_migration_monitor_interval',
        default=5, min=1,
        help="""
Seconds between two reports of how far a live migration is.
"""),
)
