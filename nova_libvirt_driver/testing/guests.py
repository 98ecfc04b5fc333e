# SPDX-License-Identifier: Apache-2.0

"""The smallest guests: a boot sector and the domain XML to start it.

Owns the bytes and the XML and nothing else: it writes no file and talks to
no hypervisor, so that demonstrations, tests and rigs can share it.
"""

import os
import uuid as uuid_module

from lxml import etree

SECTOR_BYTES = 512
_MESSAGE_OFFSET = 0x100
_SIGNATURE_OFFSET = 0x1FE
_SIGNATURE = b'\x55\xaa'
MESSAGE_MAX_BYTES = _SIGNATURE_OFFSET - _MESSAGE_OFFSET - len(b'\r\n\0')
"""Longest message that fits; line end and terminator come after it."""

# 16-bit real mode, entered by the BIOS at physical address 0x7c00. It reads
# the zero-terminated text at 0x7d00 (offset 0x100 of this sector).
_CODE = b''.join((
    b'\xfa',          # 00        cli             ; halt means halt
    b'\xfc',          # 01        cld
    b'\x31\xc0',      # 02        xor ax, ax
    b'\x8e\xd8',      # 04        mov ds, ax
    b'\xbe\x00\x7d',  # 06        mov si, 0x7d00
    b'\xac',          # 09  next: lodsb
    b'\x84\xc0',      # 0a        test al, al
    b'\x74\x11',      # 0c        jz halt
    b'\x88\xc4',      # 0e        mov ah, al
    b'\xba\xfd\x03',  # 10        mov dx, 0x3fd   ; COM1 line status
    b'\xec',          # 13  wait: in al, dx
    b'\xa8\x20',      # 14        test al, 0x20   ; transmitter empty?
    b'\x74\xfb',      # 16        jz wait
    b'\xb2\xf8',      # 18        mov dl, 0xf8    ; COM1 data, 0x3f8
    b'\x88\xe0',      # 1a        mov al, ah
    b'\xee',          # 1c        out dx, al
    b'\xeb\xea',      # 1d        jmp next
    b'\xf4',          # 1f  halt: hlt
    b'\xeb\xfd',      # 20        jmp halt        ; only an NMI gets here
))

# Instead of a halt: counts the text, eight digits, up by one and begins again.
_COUNT = b''.join((
    b'\xbf\x07\x7d',  # 1f  count: mov di, 0x7d07 ; the last digit
    b'\xfe\x05',      # 22  digit: inc byte [di]
    b'\x80\x3d\x39',  # 24        cmp byte [di], '9'
    b'\x76\xdd',      # 27        jbe 0x06
    b'\xc6\x05\x30',  # 29        mov byte [di], '0'
    b'\x4f',          # 2c        dec di        ; carry
    b'\xeb\xf3',      # 2d        jmp digit
))
_FIRST = '00000000'


def boot_sector(message: str) -> bytes:
    """Return a disk of 512 bytes whose guest writes one line and halts.

    The line, ended by CR LF, goes to the first serial port. Afterwards the
    guest uses no processor time and runs until it is destroyed: it does not
    answer an ACPI shutdown. As it is, the sector boots from an IDE disk;
    SeaBIOS reads no virtio disk of less than a cylinder (504 KiB), so for
    virtio make the file at least 1 MiB long.

    :raises ValueError: when the message is not ASCII, holds a NUL or is
        longer than :data:`MESSAGE_MAX_BYTES`.
    """
    if not message.isascii() or '\0' in message:
        raise ValueError('A boot message is ASCII text without NUL.')
    if len(message) > MESSAGE_MAX_BYTES:
        raise ValueError(
            f'A boot message has at most {MESSAGE_MAX_BYTES} characters, '
            f'this one has {len(message)}.')
    return _sector(_CODE, message)


def counting_sector() -> bytes:
    """Return a disk of 512 bytes whose guest never stops writing lines.

    Each is a number of eight digits, one more than the last, from 0 on; see
    :func:`boot_sector` for the rest. The guest takes all of a processor.
    """
    return _sector(_CODE[:0x1f] + _COUNT, _FIRST)


def boot_guest_xml(
    name: str,
    disk_path: str | os.PathLike[str],
    serial_path: str | os.PathLike[str],
    *,
    memory_mib: int = 32,
    uuid: str | None = None,
) -> str:
    """Return the domain XML of a real guest under QEMU without KVM.

    The disk is raw and is never probed; the first serial port goes to a
    file, which libvirt truncates at every start. No network, no display.
    """
    domain = _domain('qemu', name, memory_mib, uuid)
    os_type = etree.SubElement(etree.SubElement(domain, 'os'), 'type')
    os_type.set('arch', 'x86_64')
    os_type.set('machine', 'pc')
    os_type.text = 'hvm'
    _add_features(domain)
    devices = etree.SubElement(domain, 'devices')
    _add_disk(devices, os.fspath(disk_path))
    _add_serial(devices, os.fspath(serial_path))
    # libvirt adds a USB controller by itself; nobody needs it.
    etree.SubElement(devices, 'controller', type='usb', model='none')
    return etree.tostring(domain, encoding='unicode', pretty_print=True)


def guest_xml_for_test_driver(
    name: str, *, memory_mib: int = 32, uuid: str | None = None
) -> str:
    """Return the domain XML of a guest for libvirt's ``test`` driver.

    Nothing runs: the guest exists only in the memory of the process.
    """
    domain = _domain('test', name, memory_mib, uuid)
    os_element = etree.SubElement(domain, 'os')
    etree.SubElement(os_element, 'type').text = 'hvm'
    return etree.tostring(domain, encoding='unicode', pretty_print=True)


def _sector(code: bytes, message: str) -> bytes:
    text = message.encode('ascii') + b'\r\n\0'
    sector = code.ljust(_MESSAGE_OFFSET, b'\0') + text
    return sector.ljust(_SIGNATURE_OFFSET, b'\0') + _SIGNATURE


def _domain(
    kind: str, name: str, memory_mib: int, uuid: str | None
) -> etree._Element:
    domain = etree.Element('domain', type=kind)
    etree.SubElement(domain, 'name').text = name
    guest_uuid = uuid or str(uuid_module.uuid4())
    etree.SubElement(domain, 'uuid').text = guest_uuid
    memory = etree.SubElement(domain, 'memory', unit='MiB')
    memory.text = str(memory_mib)
    etree.SubElement(domain, 'vcpu').text = '1'
    return domain


def _add_features(domain: etree._Element) -> None:
    features = etree.SubElement(domain, 'features')
    etree.SubElement(features, 'acpi')
    # QEMU would reserve up to 1 GiB per guest for translated code.
    tcg = etree.SubElement(features, 'tcg')
    etree.SubElement(tcg, 'tb-cache', unit='MiB').text = '32'


def _add_disk(devices: etree._Element, path: str) -> None:
    disk = etree.SubElement(devices, 'disk', type='file', device='disk')
    etree.SubElement(disk, 'driver', name='qemu', type='raw')
    etree.SubElement(disk, 'source', file=path)
    # IDE boots a file of any size, see boot_sector.
    etree.SubElement(disk, 'target', dev='hda', bus='ide')


def _add_serial(devices: etree._Element, path: str) -> None:
    serial = etree.SubElement(devices, 'serial', type='file')
    etree.SubElement(serial, 'source', path=path)
    etree.SubElement(serial, 'target', port='0')
