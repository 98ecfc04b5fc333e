# SPDX-License-Identifier: Apache-2.0

"""Options of the image cache; names as Nova has them."""

from oslo_config import cfg

GROUP = 'image_cache'

OPTS = (
    cfg.IntOpt(
        'remove_unused_original_minimum_age_seconds',
        default=86400, min=0,
        help="""
Age in seconds at which a cached image that nobody uses is removed.
"""),
)
