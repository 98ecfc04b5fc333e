# SPDX-License-Identifier: Apache-2.0

"""Nova in this process, as nova-compute has prepared it.

Whatever needs that imports this module, since Nova parses its configuration
once in a process.
"""

from nova import config
from nova import objects
import os_vif

CONF = config.CONF

objects.register_all()
os_vif.initialize()
config.parse_args(['tests'], default_config_files=[], configure_db=False,
                  init_rpc=False)
