# SPDX-License-Identifier: Apache-2.0

"""Attach, extend, detach and attach again a volume; boot from one."""

import argparse
import sys
from typing import Any

from checks import session

# 3.42 extends a volume in use; 2.60 is what Nova's own client would use.
VERSIONS = {
    'block_storage_default_microversion': '3.60',
    'compute_default_microversion': '2.60',
}
LIST_DISKS = 'for d in /sys/block/vd*; do echo ${d##*/} $(cat $d/size); done'
WRITE = ('echo written before >/tmp/x;'
         ' dd if=/tmp/x of=/dev/vdb seek=1000 conv=sync 2>/dev/null; sync')
READ = 'dd if=/dev/vdb skip=1000 count=1 2>/dev/null | head -n 1'


class Volumes:
    """The volumes of a check and the disks of its guest."""

    def __init__(self, check: session.Check) -> None:
        self.check = check
        self.cinder = check.cloud.block_storage

    def make(self) -> Any:
        """Make a volume of 1 GiB."""
        volume = self.cinder.create_volume(name=self.check.name, size=1)
        self.check.callback(self._delete, volume)
        self.becomes(volume, 'available', 'volume')
        return volume

    def _delete(self, volume: Any) -> None:
        self.becomes(volume, 'available', 'volume free')
        self.cinder.delete_volume(volume)
        self.cinder.wait_for_delete(volume)

    def is_now(self, volume: Any, status: str) -> bool:
        """Return whether the volume has that status."""
        return bool(self.cinder.get_volume(volume.id).status == status)

    def becomes(self, volume: Any, status: str, what: str) -> None:
        """Wait for a status."""
        self.check.until(lambda: self.is_now(volume, status), what)

    def disks(self, address: str) -> dict[str, int]:
        """Return the sizes of the guest's disks in MiB."""
        lines = self.check.ssh(address, LIST_DISKS).splitlines()
        return {name: int(sectors) // 2048
                for name, sectors in (line.split() for line in lines)}

    def attach(self, server: Any, volume: Any, address: str) -> None:
        """Attach a volume, and wait until the guest sees it."""
        self.check.cloud.compute.create_volume_attachment(
            server, volume_id=volume.id)
        self.becomes(volume, 'in-use', 'attached')
        self.check.until(
            lambda: 'vdb' in self.disks(address), 'the guest sees it')

    def detach(self, server: Any, volume: Any, address: str) -> None:
        """Detach a volume, and wait until the guest no longer sees it."""
        self.check.cloud.compute.delete_volume_attachment(server, volume.id)
        self.becomes(volume, 'available', 'detached')
        self.check.until(
            lambda: 'vdb' not in self.disks(address),
            'the guest no longer sees it')


def _attach_and_detach(check: session.Check, volumes: Volumes) -> None:
    volume = volumes.make()
    server = check.boot(image_id=check.image())
    address = check.address(server)
    check.until(lambda: check.ssh(address, 'hostname'), 'ssh', 120)
    volumes.attach(server, volume, address)
    check.ssh(address, WRITE)
    volumes.cinder.extend_volume(volume, 2)
    check.until(
        lambda: volumes.is_now(volume, 'in-use') and
        volumes.disks(address).get('vdb') == 2048,
        'extended, and the guest sees 2048 MiB')
    volumes.detach(server, volume, address)
    volumes.attach(server, volume, address)
    check.until(
        lambda: check.ssh(address, READ) == 'written before',
        'what was written is there')
    volumes.detach(server, volume, address)


def _boot_from_volume(check: session.Check, volumes: Volumes) -> None:
    nova = check.cloud.compute
    server = check.boot(block_device_mapping_v2=[{
        'boot_index': 0, 'uuid': check.image(), 'source_type': 'image',
        'destination_type': 'volume', 'volume_size': 1,
        'delete_on_termination': True}])
    address = check.address(server)
    check.until(lambda: check.ssh(address, 'hostname'), 'ssh', 120)
    root = next(iter(nova.volume_attachments(server))).volume_id
    check.say(f'the root disk is volume {root}; {volumes.disks(address)}')
    nova.reboot_server(server, 'HARD')
    # Active it was before, too.
    check.until(
        lambda: nova.get_server(server.id).status != 'ACTIVE', 'rebooting')
    check.until(
        lambda: nova.get_server(server.id).status == 'ACTIVE',
        'rebooted', 120)
    check.until(lambda: check.ssh(address, 'hostname'), 'ssh', 120)


def _check() -> None:
    with session.Check('volume', **VERSIONS) as check:
        volumes = Volumes(check)
        _attach_and_detach(check, volumes)
        _boot_from_volume(check, volumes)
    left = [volume.name or volume.id for volume in volumes.cinder.volumes()]
    if left:
        raise session.Failed(f'volumes left: {left}')


def main() -> int:
    """Run the check."""
    argparse.ArgumentParser(
        prog='tools/devcloud/volume-test', description=__doc__,
        epilog='It needs volumes: DEVCLOUD_CINDER=1 tools/devcloud/up',
    ).parse_args()
    return session.run(_check)


if __name__ == '__main__':
    sys.exit(main())
