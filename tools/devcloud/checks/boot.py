# SPDX-License-Identifier: Apache-2.0

"""Boot a server, wait for its console, reach it by ssh, and delete it."""

import argparse
import sys

from checks import session


def _boot(network: str) -> None:
    with session.Check('boot') as check:
        server = check.boot(network, image_id=check.image())
        for line in check.console_ready(server).splitlines():
            if 'devcloud' in line:
                print(f'          {line}')
        if network != 'none':
            address = check.address(server)
            check.until(
                lambda: check.ssh(address, 'hostname; uname -r'),
                'ssh', 120)


def main() -> int:
    """Run the check."""
    parser = argparse.ArgumentParser(
        prog='tools/devcloud/boot-test', description=__doc__)
    parser.add_argument(
        'network', nargs='?', default='private', choices=('private', 'none'),
        help='what the server is connected to (%(default)s)')
    network = parser.parse_args().network
    return session.run(lambda: _boot(network))


if __name__ == '__main__':
    sys.exit(main())
