# SPDX-License-Identifier: Apache-2.0

"""Write the files of all services; run by ``up`` and ``restart-compute``."""

import argparse
import pathlib

from config import cinder
from config import cloud as cloud_config
from config import compute
from config import glance
from config import keystone
from config import neutron
from config import nova
from config import placement
from config import rights
from config import uwsgi


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ('state', 'venv', 'compute-venv'):
        parser.add_argument(f'--{name}', required=True, type=pathlib.Path)
    for name in ('address', 'password', 'region', 'compute-driver',
                 'virt-type', 'concurrency', 'compute-options'):
        parser.add_argument(f'--{name}', required=True)
    parser.add_argument('--hosts', required=True, type=int)
    parser.add_argument('--rbd-secret', default='')
    return parser.parse_args()


def main() -> None:
    """Write them."""
    cloud = cloud_config.Cloud(**vars(_arguments()))
    (cloud.state / 'lock').mkdir(exist_ok=True)
    for service in (keystone, glance, placement, neutron, nova, compute,
                    rights, cinder, uwsgi):
        service.write(cloud)


if __name__ == '__main__':
    main()
