# SPDX-License-Identifier: Apache-2.0

"""Hypervisors that live in the process of the command, and end with it."""

from typing import TextIO

from nova_libvirt_driver.host import check_connection


def forgets(uri: str) -> bool:
    """Say whether nothing of a server stays when this process ends."""
    return check_connection.is_in_process(uri) and uri.startswith('test:')


def tell(stream: TextIO, uri: str, name: str) -> None:
    """Write a note if a server that runs now will not run on."""
    if check_connection.is_in_process(uri):
        fate = 'is gone' if forgets(uri) else 'stops'
        stream.write(f'note: {uri} lives in this process: {name} {fate} '
                     'when the command ends\n')
