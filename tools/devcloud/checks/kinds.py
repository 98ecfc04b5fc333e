# SPDX-License-Identifier: Apache-2.0

"""Kinds of guests that an operator has when a host changes its driver."""

import dataclasses
from typing import Any

# What nova-compute needs for all of these.
OPTIONS = (
    'libvirt.swtpm_enabled=true key_manager.backend=devcloud_keys.KeyManager')
# With these, others have one processor left, and no ISO 9660.
APART = (
    'DEFAULT.config_drive_format=vfat '
    'compute.cpu_shared_set=0 compute.cpu_dedicated_set=1')


@dataclasses.dataclass(frozen=True)
class Kind:
    """One kind: what is asked for, and what is done to it."""

    name: str
    image: str = 'guest'
    """The one that knows virtio, or the whole one."""

    properties: dict[str, str] = dataclasses.field(default_factory=dict)
    kernel: bool = False
    """Whether kernel and initial file system are images of their own."""

    vcpus: int = 1
    memory_mib: int = 128
    swap_mib: int = 0
    ephemeral_gib: int = 0
    extra_specs: dict[str, str] = dataclasses.field(default_factory=dict)
    config_drive: bool = False
    ports: int = 1
    verb: str = 'reboot'
    """How a new driver gets to start it: reboot, start or resume."""

    options: str = ''
    """Of nova-compute, as long as there are guests of the kind."""

    def flavor(self) -> dict[str, Any]:
        """Return the flavor but for its name and extra specs."""
        return {'ram': self.memory_mib, 'vcpus': self.vcpus, 'disk': 1,
                'swap': self.swap_mib, 'ephemeral': self.ephemeral_gib}


KINDS = (
    Kind('pc', properties={'hw_machine_type': 'pc'}),
    Kind('q35', image='whole', properties={'hw_machine_type': 'q35'},
         config_drive=True, verb='start'),
    Kind('UEFI', image='whole', memory_mib=192, properties={
        'hw_machine_type': 'q35', 'hw_firmware_type': 'uefi'}),
    Kind('TPM', extra_specs={
        'hw:tpm_version': '2.0', 'hw:tpm_model': 'tpm-crb'}),
    Kind('swap and ephemeral disk', swap_mib=64, ephemeral_gib=1,
         verb='start'),
    Kind('kernel image', kernel=True),
    Kind('SCSI, as Windows', image='whole', config_drive=True, properties={
        'hw_disk_bus': 'scsi', 'hw_vif_model': 'e1000',
        'hw_pointer_model': 'usbtablet', 'hw_video_model': 'vga'}),
    Kind('config drive, ISO 9660', config_drive=True, verb='start'),
    Kind('config drive, VFAT', config_drive=True, options=APART),
    Kind('two ports', ports=2, vcpus=2),
    Kind('pinned', options=APART, extra_specs={'hw:cpu_policy': 'dedicated'}),
    Kind('huge pages', extra_specs={'hw:mem_page_size': 'large'}),
    Kind('saved memory', verb='resume'),
)
