# SPDX-License-Identifier: Apache-2.0

"""Options of the image cache; names as Nova has them."""

from oslo_config import cfg

GROUP = 'image_cache'

OPTS = (
    cfg.BoolOpt(
        'remove_unused_base_images',
        default=True,
        help="""
Remove cached images that no disk uses.

Related options: ``remove_unused_original_minimum_age_seconds``.
"""),
    cfg.IntOpt(
        'remove_unused_original_minimum_age_seconds',
        default=86400, min=0,
        help="""
Seconds since its last use after which a cached image is removed.
"""),
    cfg.IntOpt(
        'manager_interval',
        default=2400, min=-1,
        help="""
Seconds between two looks for cached images that no disk uses.

Possible values: 0, to look at each audit (``[nova_libvirt_driver]
audit_interval``); -1, to look never. Under nova-compute it is Nova that keeps
to this interval.
"""),
    cfg.StrOpt(
        'subdirectory_name',
        default='_base',
        help="""
Folder of the cached images, below ``[DEFAULT] instances_path``.
"""),
)
