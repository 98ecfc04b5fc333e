# SPDX-License-Identifier: Apache-2.0

"""Options of serial consoles over TCP; names as Nova has them."""

from oslo_config import cfg

GROUP = 'serial_console'

OPTS = (
    cfg.StrOpt(
        'port_range',
        default='10000:20000',
        regex=r'^\d+:\d+$',
        help="""
First and last TCP port for the serial consoles of guests.
"""),
)
