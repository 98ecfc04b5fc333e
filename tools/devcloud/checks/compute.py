# SPDX-License-Identifier: Apache-2.0

"""nova-compute of the cloud's hosts, seen from inside."""

import os
import pathlib
import subprocess

OURS = 'nova_libvirt_driver.LibvirtDriver'
NOVAS = 'libvirt.LibvirtDriver'
NAMES = {OURS: 'this driver', NOVAS: "Nova's own"}
STATE = pathlib.Path(os.environ['DEVCLOUD_STATE'])
DEVCLOUD = pathlib.Path(__file__).parents[1]
RESTART_LIMIT_S = 240


def restart(driver: str, options: str = '') -> None:
    """Restart nova-compute with a driver; return when it reports.

    :param driver: as nova.conf names it
    :param options: more of its options, as SECTION.NAME=VALUE with spaces
        between
    """
    subprocess.run(
        ['env', f'COMPUTE_DRIVER={driver}', f'COMPUTE_OPTIONS={options}',
         str(DEVCLOUD / 'restart-compute')],
        check=True, stdout=subprocess.PIPE, timeout=RESTART_LIMIT_S)
