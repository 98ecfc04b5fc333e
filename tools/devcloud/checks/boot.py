# SPDX-License-Identifier: Apache-2.0

"""Boot a server, wait for its console, reach it by ssh, and delete it."""

import argparse
import sys

from checks import session


def main() -> int:
    """Run the check."""
    parser = argparse.ArgumentParser(
        prog='tools/devcloud/boot-test', description=__doc__)
    parser.add_argument(
        'network', nargs='?', default='private', choices=('private', 'none'),
        help='what the server is connected to (%(default)s)')
    arguments = parser.parse_args()
    with session.Check('boot') as check:
        server = check.boot(arguments.network, image_id=check.image())
        for line in check.console_ready(server).splitlines():
            if 'devcloud' in line:
                print(f'          {line}')
        if arguments.network != 'none':
            address = check.address(server)
            check.until(
                lambda: check.ssh(address, 'hostname; uname -r'),
                'ssh', 120)
    return check.result()


if __name__ == '__main__':
    sys.exit(main())
