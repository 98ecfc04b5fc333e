# SPDX-License-Identifier: Apache-2.0

"""What becomes of the options of Nova's group ``[libvirt]``."""

from collections.abc import Iterator

from oslo_config import cfg

from nova_libvirt_driver.conf import libvirt

HONOURED, IGNORED = 'honoured', 'ignored'

_MIGRATION = 'there is no live migration yet'
_VOLUMES = 'there are no volumes yet'
_IMAGES = 'disks are files: images_type is qcow2 or raw'
_POWER = 'the power of dedicated processors is left as it is'

_WHY = {
    'cpu_power_': _POWER,
    'device_detach_': 'nothing is detached yet',
    'enabled_perf_events': 'there are no performance events yet',
    'gid_maps': 'there are no containers',
    'images_cpu_time_limit': 'take [nova_libvirt_driver] image_tool_cpu',
    'images_address_space_limit':
        'take [nova_libvirt_driver] image_tool_memory',
    'images_rbd_': _IMAGES,
    'images_volume_group': _IMAGES,
    'inject_': 'nothing is written into disks; the config drive is the way',
    'live_migration_': _MIGRATION,
    'migration_inbound_addr': _MIGRATION,
    'num_intel_tdx_guests': 'there is no encrypted memory by TDX yet',
    'pmem_namespaces': 'there is no persistent memory yet',
    'rescue_': 'a rescue boots as its image says',
    'snapshots_directory': 'copies are made below instances_path/snapshots',
    'sparse_logical_volumes': _IMAGES,
    'swtpm_': 'what TPMs remember is not copied to other hosts yet',
    'uid_maps': 'there are no containers',
    'use_virtio_for_bridges': 'cards are virtio unless the image says so',
    # What is left is about volumes.
    '': _VOLUMES,
}
"""Why options of these names, or whose names begin so, are not heeded."""

_HONOURED = frozenset(opt.dest for opt in libvirt.OPTS) | {
    'max_queues', 'realtime_scheduler_priority', 'rescue_image_id',
    'supported_tpm_secret_security', 'swtpm_enabled'}


def remark(name: str) -> str:
    """Return why an option is not heeded, empty for one that is."""
    if name in _HONOURED:
        return ''
    return next(why for start, why in _WHY.items() if name.startswith(start))


def table(conf: cfg.ConfigOpts) -> Iterator[tuple[str, str, str]]:
    """Yield name, verdict and remark of each option of the group."""
    for name in sorted(conf.libvirt):
        why = remark(name)
        yield name, IGNORED if why else HONOURED, why


def report(conf: cfg.ConfigOpts) -> Iterator[tuple[str, str, str]]:
    """Yield name, verdict and remark of each option that somebody has set.

    :param conf: Nova's, after its files were read
    """
    for row in table(conf):
        location = conf.get_location(row[0], 'libvirt')
        if location is not None and location.location not in (
                cfg.Locations.opt_default, cfg.Locations.set_default):
            yield row
