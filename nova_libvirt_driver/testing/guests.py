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

# Instead of a halt: waits, 18 times a second, then turns the power off by the
# ACPI of QEMU's machine "pc".
_OFF = b''.join((
    b'\xfb',          # 1f        sti             ; the clock ends a halt
    b'\xb9%b',        # 20        mov cx, ticks
    b'\xf4',          # 23  tick: hlt
    b'\xe2\xfd',      # 24        loop tick
    b'\xba\xf8\x03',  # 26        mov dx, 0x3f8
    b'\xb0\x2e',      # 29        mov al, '.'
    b'\xee',          # 2b        out dx, al
    b'\xba\x04\x06',  # 2c        mov dx, 0x604   ; PM1a control
    b'\xb8\x00\x20',  # 2f        mov ax, 0x2000  ; sleep: off
    b'\xef',          # 32        out dx, ax
    b'\xf4',          # 33        hlt
))
_TICKS_PER_S = 18

# Writes the number to the second sector of a disk before it prints it, having
# read there what it wrote last. Uses the BIOS for that, so with a stack.
_WRITE = bytes.fromhex(
    'fafc31c08ed88ec08ed0bc007c'        # 00  cli; cld; ds, es, ss and sp
    'b442bb0080e84d00'                  # 0d  again: read the sector to 0x8000
    'be007dbf0080b90400'                # 15  compare it with the text,
    '803efd7d007404f3a77525'            # 1e  but not the first time
    'c606fd7d01'                        # 29  there was a first time
    'bf077dfe05803d397606c605304febf3'  # 2e  count: as above
    'b443bb007de81c00'                  # 3e  write the sector from 0x7d00
    'be007de82800ebbf'                  # 46  print the text; again
    'be0080c7060880210a'                # 4e  lost: what is there, and a !
    'c6060a8000e81500f4ebfd'            # 57  print that; halt
    '891ef47cbef07c8a16ee7cb000cd13'    # 62  disk: by the packet, drive dl
    '72dbc3'                            # 71  one that fails is lost; ret
    'ac84c0741188c4bafd03eca82074fbb2'  # 74  print: as above; ret
    'f888e0eeebeac3')
_PACKET = bytes.fromhex('10000100000000000100000000000000')
_DRIVE_OFFSET = 0xEE


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


def power_off_sector(message: str, after_s: int) -> bytes:
    """Return a disk whose guest turns itself off a while after its line.

    On a machine of the type "pc"; it writes a dot before. See
    :func:`boot_sector` for the rest.
    """
    ticks = (after_s * _TICKS_PER_S).to_bytes(2, 'little')
    return _sector(_CODE[:0x1f] + _OFF % ticks, message)


def writing_sector(drive: int = 0x80) -> bytes:
    """Return a disk of 512 bytes whose guest counts on a disk as well.

    Before a line it writes the number to the second sector of a disk, where
    it has to find the one before. If it does not, or the disk fails, it
    writes what it found with a ``!`` behind, and halts. See
    :func:`counting_sector`.

    :param drive: of the BIOS, 0x80 for the disk that it boots from
    """
    code = _WRITE.ljust(_DRIVE_OFFSET, b'\0') + bytes([drive, 0]) + _PACKET
    return _sector(code, _FIRST)


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
