# SPDX-License-Identifier: Apache-2.0

"""Images made to deceive, of every format that QEMU reads.

Each is a few kilobytes that are packed here. Where a format has a place that
can name another file, there is an image that names one there; where it has a
size, a count or an offset, there are images with those at their limits.
"""

from collections.abc import Iterator
import dataclasses
import struct
import typing
import uuid

MIB = 1 << 20
_LIMITS_32 = (0, 1, 0x7fffffff, 0xffffffff)
_LIMITS_64 = (0, 1, (1 << 63) - 1, (1 << 64) - 512)


@dataclasses.dataclass(frozen=True)
class Hostile:
    """One image."""

    format: str
    """What it is made to be taken for."""
    name: str
    content: bytes
    declared: str
    """What its owner says it is."""
    names_file: bool
    """It has the name of another file where QEMU may look for one."""


def images(target: str) -> Iterator[Hostile]:
    """Return all images.

    :param target: path of the file that is named; its last part is also
        named alone, as a file beside the image
    """
    for format, declared, make in _MAKERS:
        for name, content in make(target):
            names = not name.startswith(_LIMIT)
            for said in {declared, 'raw'}:
                yield Hostile(format, name, content, said, names)


def harmless() -> Iterator[Hostile]:
    """Return an image of each format as the others are before the change."""
    for format, content in (
            ('qcow2', _qcow2()), ('vmdk', _vmdk(_text().encode())),
            ('vdi', _vdi()), ('vpc', vhd()), ('vhdx', _vhdx())):
        yield Hostile(format, 'unchanged', content, format, False)


_Made = Iterator[tuple[str, bytes]]
# How the name of an image begins that names no file.
_LIMIT = 'limit '


def _names(target: str) -> tuple[str, ...]:
    """Return what may be said where the name of a file is expected."""
    beside = target.rpartition('/')[2]
    return (target, f'file:{target}', beside, f'json:{{"driver":"raw","file":'
            f'{{"driver":"file","filename":"{target}"}}}}',
            f'nbd+unix:///?socket={target}')


def _one(field: str, value: int) -> typing.Any:
    return {field: value}


# qcow2, and the format before it.

def _qcow2(
        version: int = 3, backing: int = 0, backing_bytes: int = 0,
        bits: int = 16, size: int = MIB, crypt: int = 0, l1: int = 1,
        l1_at: int = 196608, table_at: int = 65536, table: int = 1,
        snapshots: int = 0, snapshots_at: int = 0, incompatible: int = 0,
        autoclear: int = 0, order: int = 4, header: int = 104,
        extensions: bytes = b'', name: bytes = b'') -> bytes:
    head = struct.pack(
        '>4sIQIIQIIQQIIQ', b'QFI\xfb', version, backing, backing_bytes, bits,
        size, crypt, l1, l1_at, table_at, table, snapshots, snapshots_at)
    if version >= 3:
        head += struct.pack(
            '>QQQII', incompatible, 0, autoclear, order, header)
    content = bytearray(5 * 65536)
    head += extensions
    content[:len(head)] = head
    content[512:512 + len(name)] = name
    struct.pack_into('>Q', content, 65536, 131072)
    struct.pack_into('>5H', content, 131072, 1, 1, 1, 1, 1)
    struct.pack_into('>Q', content, 196608, 1 << 63 | 262144)
    return bytes(content)


def snapshots(count: int) -> bytes:
    """Return a qcow2 image that has snapshots of its own."""
    begin = _qcow2(snapshots=count, snapshots_at=5 * 65536)
    return begin + b''.join(
        struct.pack('>QIHHIIQIIQQ', 196608, 1, 8, 16, 0, 0, 0, 0, 16, 0, MIB)
        + f'{number:08}{number:016}'.encode() for number in range(count))


def _extension(kind: int, data: bytes, length: int | None = None) -> bytes:
    size = len(data) if length is None else length
    return struct.pack('>II', kind, size) + data.ljust(
        -(-len(data) // 8) * 8, b'\0')


def _make_qcow2(target: str) -> _Made:
    for name in map(str.encode, _names(target)):
        for version in (2, 3):
            yield f'backing file, version {version}', _qcow2(
                version, 512, len(name), name=name)
        yield 'backing file with its format', _qcow2(
            backing=512, backing_bytes=len(name), name=name,
            extensions=_extension(0xe2792aca, b'raw'))
        data = _extension(0x44415441, name)
        yield 'data file', _qcow2(incompatible=4, extensions=data)
        yield 'raw data file', _qcow2(
            incompatible=4, autoclear=2, extensions=data)
        yield 'name of a data file', _qcow2(extensions=data)
        yield 'data file behind other extensions', _qcow2(
            incompatible=4,
            extensions=_extension(0x6803f857, b'x' * 48) + data)
    yield 'data file without a name', _qcow2(incompatible=4)
    for version in (2, 3):
        yield 'length of a backing file', _qcow2(version, 0, 10)
        yield 'place of a backing file', _qcow2(version, 1 << 63, 1023)


def _make_qcow2_limits(target: str) -> _Made:
    for kind in (0x23852875, 0x0537be77, 0x6803f857, 0xe2792aca):
        for length in (16, 65536, 0xffffffff):
            yield 'limit extension', _qcow2(extensions=_extension(
                kind, b'\xff' * 16, length), autoclear=1)
    for count in (1, 100, 20000):
        yield 'limit snapshots that are there', snapshots(count)
    yield from _make_qcow2_fields()
    for bits in (8, 9, 21, 22, 63):
        yield 'limit bits', _qcow2(bits=bits)
    for entry in _LIMITS_64[1:]:
        content = bytearray(_qcow2())
        struct.pack_into('>Q', content, 262144, entry & ~1)
        yield 'limit cluster', bytes(content)


def _make_qcow2_fields() -> _Made:
    for value in _LIMITS_32:
        for field in ('bits', 'crypt', 'l1', 'table', 'snapshots', 'order',
                      'header', 'version'):
            if (field, value) not in (('l1', 1), ('table', 1), ('crypt', 0),
                                      ('snapshots', 0)):
                yield f'limit {field}', _qcow2(**_one(field, value))
    for value in _LIMITS_64:
        for field in ('size', 'l1_at', 'table_at', 'snapshots_at',
                      'incompatible'):
            if (field, value) not in (
                    ('snapshots_at', 0), ('incompatible', 0)):
                yield f'limit {field}', _qcow2(**_one(field, value))


def _make_qcow(target: str) -> _Made:
    for name in map(str.encode, _names(target)):
        head = struct.pack(
            '>4sIQIIQBBHIQ', b'QFI\xfb', 1, 48, len(name), 0, MIB, 12, 9, 0,
            0, 4096)
        yield 'backing file', (head + name).ljust(65536, b'\0')
    yield 'limit size', struct.pack(
        '>4sIQIIQBBHIQ', b'QFI\xfb', 1, 0, 0, 0, (1 << 64) - 1, 12, 9, 0, 0,
        48).ljust(65536, b'\0')


def _make_qed(target: str) -> _Made:
    for name in map(str.encode, _names(target)):
        for features in (1, 5):
            yield 'backing file', (struct.pack(
                '<4sIIIQQQQQII', b'QED\0', 65536, 4, 1, features, 0, 0,
                65536, MIB, 72, len(name)) + name).ljust(MIB, b'\0')


# vmdk: text in a file of its own, or behind a header.

_TYPES = ('monolithicSparse', 'streamOptimized', 'monolithicFlat', 'vmfs',
          'vmfsSparse', 'vmfsThin', 'seSparse', 'twoGbMaxExtentSparse',
          'twoGbMaxExtentFlat', 'custom', 'fullDevice', 'partitionedDevice',
          'vmfsRaw', 'vmfsRDM', '')


def _text(
        kind: str = 'monolithicSparse', parent: str = 'ffffffff',
        extent: str = 'RW 2048 SPARSE "x.vmdk"', before: str = '',
        after: str = '') -> str:
    return (f'# Disk DescriptorFile\n{before}version=1\nCID=cafebabe\n'
            f'parentCID={parent}\ncreateType="{kind}"\n{after}{extent}\n')


def _vmdk(
        text: bytes, capacity: int = 2048, grain: int = 128, start: int = 1,
        sectors: int = 20, entries: int = 512, directory: int = 26,
        first: int = 128, version: int = 1, flags: int = 3,
        compression: int = 0, spare: int = 21) -> bytes:
    head = struct.pack(
        '<4sIIQQQQIQQQB4sH', b'KDMV', version, flags, capacity, grain, start,
        sectors, entries, spare, directory, first, 0, b'\n \r\n', compression)
    content = bytearray(head.ljust(512, b'\0') + text)
    content.extend(bytes(max(0, 131072 - len(content))))
    for at in (spare, directory):
        if 21 <= at < 128:
            struct.pack_into('<I', content, at * 512, at + 1)
    return bytes(content)


def _make_vmdk(target: str) -> _Made:
    for name in (target, target.rpartition('/')[2]):
        hint = f'parentFileNameHint="{name}"\n'
        # QEMU takes the first of each, in comment lines too.
        comment = f'# parentCID=cafebabe\n# {hint}'
        good = _text().encode()
        yield 'parent', _vmdk(_text(parent='cafebabe', after=hint).encode())
        yield 'parent in comments', _vmdk(_text(before=comment).encode())
        yield 'parent behind a comment sign', _vmdk(
            _text(after=f'#{hint}').encode())
        yield 'parent within a line', _vmdk(
            _text(after=f'ddb.comment = "{hint[:-1]}"\n').encode())
        yield 'parent in capitals', _vmdk(
            _text(parent='CAFEBABE', after=hint.upper()).encode())
        yield 'parent behind the descriptor', _vmdk(
            good.ljust(512, b' ') + comment.encode(), sectors=1)
        yield 'parent behind a descriptor of no sectors', _vmdk(
            _text(before=comment).encode(), sectors=0)
        yield 'parent behind the end of the text', _vmdk(
            good + b'\0' + comment.encode())
        yield 'parent at the end of what is searched', _vmdk(
            good.ljust(10240 - len(comment), b' ') + comment.encode(),
            directory=40, spare=35)
        yield 'parent where the header points elsewhere', _vmdk(
            _text(before=comment).encode().ljust(20 * 512, b'\0')
            + _text().encode(), start=21)
        yield 'descriptor elsewhere', _vmdk(
            good.ljust(20 * 512, b'\0') + _text(
                'monolithicFlat',
                extent=f'RW 2048 FLAT "{name}" 0').encode(),
            start=21, capacity=0)
        yield 'second extent', _vmdk(_text(
            extent=f'RW 9 SPARSE "x"\nRW 9 FLAT "{name}" 0').encode())
        yield 'text without its first line', _text(
            'monolithicFlat', extent=f'RW 2048 FLAT "{name}" 0'
        ).partition('\n')[2].encode()
        footer = _vmdk(
            _text(before=comment).encode(), directory=(1 << 64) - 1)
        yield 'parent in a stream', footer + struct.pack(
            '<QII', 1, 0, 3).ljust(512, b'\0') + _vmdk(b'')[:512] + bytes(512)
    yield from _make_vmdk_types(target)
    yield from _make_vmdk_limits()


def _make_vmdk_types(target: str) -> _Made:
    for kind in _TYPES:
        for words in ('FLAT "{}" 0', 'VMFS "{}"', 'SPARSE "{}"',
                      'VMFSSPARSE "{}"', 'SESPARSE "{}"', 'ZERO',
                      'FLAT "\\\\.\\{}" 0'):
            extent = f'RW 2048 {words.format(target)}'
            if kind in _TYPES[:4] or words.startswith(('FL', 'SP')):
                yield f'text {kind}', _text(
                    kind, extent=extent).encode().ljust(1024, b'\n')
                yield f'embedded {kind}', _vmdk(
                    _text(kind, extent=extent).encode(), capacity=0)
        yield f'embedded {kind} with a size', _vmdk(_text(
            kind, extent=f'RW 2048 FLAT "{target}" 0').encode())
    cowd = struct.pack('<4s10I', b'COWD', 1, 3, 2048, 1, 4, 1, 0, 0, 0, 0)
    yield 'old sparse extent', cowd.ljust(65536, b'\0')
    yield 'parent by its number alone', _vmdk(
        _text(parent='cafebabe').encode())


def _make_vmdk_limits() -> _Made:
    text = _text().encode()
    for value in _LIMITS_64:
        for field in ('capacity', 'grain', 'start', 'sectors', 'directory',
                      'first', 'spare'):
            if (field, value) != ('start', 1):
                yield f'limit {field}', _vmdk(text, **{field: value})
    for value in _LIMITS_32:
        for field in ('entries', 'version', 'flags'):
            if (field, value) != ('version', 1):
                yield f'limit {field}', _vmdk(text, **{field: value})


def _vdi(
        kind: int = 1, table: int = 512, data: int = MIB, size: int = MIB,
        block: int = MIB, blocks: int = 1, allocated: int = 0,
        link: bytes = bytes(16), parent: bytes = bytes(16), extra: int = 0,
        entry: int = 0xffffffff, version: int = 0x10001) -> bytes:
    content = bytearray(65536)
    content[:20] = b'<<< QEMU VM Virtual '
    struct.pack_into('<IIIII', content, 64, 0xbeda107f, version, 0x180, kind,
                     0)
    struct.pack_into('<II', content, 340, table, data)
    struct.pack_into('<I', content, 360, 512)
    struct.pack_into('<QIIII', content, 368, size, block, extra, blocks,
                     allocated)
    content[424:440], content[440:456] = link, parent
    struct.pack_into('<I', content, 512, entry)
    return bytes(content)


def _make_vdi(target: str) -> _Made:
    other = uuid.uuid4().bytes
    yield 'link to another image', _vdi(link=other)
    yield 'parent', _vdi(parent=other)
    for kind in (0, 3, 4):
        yield 'kind with a parent', _vdi(kind=kind)
    for value in _LIMITS_32:
        for field in ('table', 'data', 'block', 'blocks', 'allocated',
                      'extra', 'version'):
            yield f'limit {field}', _vdi(**_one(field, value))
    for value in _LIMITS_64:
        yield 'limit size', _vdi(size=value)
    yield 'limit entry', _vdi(entry=0xfffffffd, allocated=0xfffffffe)


def vhd(
        kind: int = 3, size: int = MIB, data: int = 512, table: int = 1536,
        entries: int = 1, block: int = 2 * MIB, parent: bytes = b'',
        name: bytes = b'', locator: bytes = b'',
        bat: int = 0xffffffff) -> bytes:
    """Return a VHD image of a disk without data; a dynamic one."""
    footer = struct.pack(
        '>8sIIQI4sI4sQQHBBI', b'conectix', 2, 0x10000, data, 0, b'qemu',
        0x50003, b'Wi2k', size, size, 30, 4, 17, kind).ljust(512, b'\0')
    footer = (footer[:64] + struct.pack('>I', ~sum(footer) & 0xffffffff)
              + footer[68:])
    head = struct.pack(
        '>8sQQIII', b'cxsparse', (1 << 64) - 1, table, 0x10000, entries,
        block).ljust(40, b'\0') + parent.ljust(24, b'\0')
    head = (head + name.ljust(512, b'\0') + locator).ljust(1024, b'\0')
    head = (head[:36] + struct.pack('>I', ~sum(head) & 0xffffffff)
            + head[40:])
    return (footer + head + struct.pack('>I', bat).ljust(512, b'\xff')
            + name.ljust(512, b'\0') + footer)


def _make_vhd(target: str) -> _Made:
    wide = target.encode('utf-16-be')
    other = uuid.uuid4().bytes
    locator = struct.pack('>4sIIIQ', b'W2ku', 512, len(wide), 0, 2048)
    yield 'parent', vhd(4, parent=other, name=wide, locator=locator)
    yield 'identifier of a parent', vhd(parent=other)
    yield 'name of a parent', vhd(name=wide)
    yield 'place of a parent', vhd(locator=locator)
    for kind in (0, 1, 2, 4, 5, 6, 0xffffffff):
        yield 'kind with a parent', vhd(kind)
    for value in _LIMITS_32:
        for field in ('entries', 'block', 'bat'):
            yield f'limit {field}', vhd(**_one(field, value))
    for value in _LIMITS_64:
        for field in ('size', 'data', 'table'):
            yield f'limit {field}', vhd(**_one(field, value))
        # A fixed one has its footer at its end only.
        yield 'limit size of a fixed one', bytes(4096) + vhd(
            2, size=value)[-512:]


# vhdx: of a template that QEMU made, only what is in its metadata changes.

def _vhdx(
        flags: int = 0, block: int = 8 * MIB, size: int = MIB,
        sector: int = 512, count: int = 5, items: bytes = b'',
        table_at: int = 3 * MIB, metadata_at: int = 2 * MIB,
        regions: int = 2) -> bytes:
    content = bytearray(4 * MIB)
    content[:8] = b'vhdxfile'
    for at in (64, 128):
        header = bytearray(4096)
        struct.pack_into('<4sIQ', header, 0, b'head', 0, at)
        struct.pack_into('<HHIQ', header, 64, 0, 1, MIB, MIB)
        struct.pack_into('<I', header, 4, _crc32c(bytes(header)))
        content[at * 1024:at * 1024 + 4096] = header
    table = bytearray(65536)
    struct.pack_into('<4sII', table, 0, b'regi', 0, regions)
    for place, name, at in (
            (16, '2dc27766-f623-4200-9d64-115e9bfd4a08', table_at),
            (48, '8b7ca206-4790-4b9a-b8fe-575f050f886e', metadata_at)):
        struct.pack_into('<16sQII', table, place,
                         uuid.UUID(name).bytes_le, at, MIB, 1)
    struct.pack_into('<I', table, 4, _crc32c(bytes(table)))
    for at in (192, 256):
        content[at * 1024:at * 1024 + 65536] = table
    head = struct.pack('<8s2xH20x', b'metadata', count)
    for name, at, length in (
            ('caa16737-fa36-4d43-b3b6-33f0aa44e76b', 65536, 8),
            ('2fa54224-cd1b-4876-b211-5dbed83bf4b8', 65544, 8),
            ('beca12ab-b2e6-4523-93ef-c309e000c746', 65552, 16),
            ('8141bf1d-a96f-4709-ba47-f233a8faab5f', 65568, 4),
            ('cda348c7-445d-4471-9cc9-e9885251c556', 65572, 4)):
        head += struct.pack('<16sIII4x', uuid.UUID(name).bytes_le, at,
                            length, 6)
    head += items
    values = struct.pack('<IIQ16sII', block, flags, size, b'x' * 16, sector,
                         512)
    content[2 * MIB:2 * MIB + len(head)] = head
    content[2 * MIB + 65536:2 * MIB + 65536 + len(values)] = values
    return bytes(content)


def _crc32c(data: bytes) -> int:
    crc = 0xffffffff
    for byte in data.rstrip(b'\0'):
        crc = crc >> 8 ^ _CRC32C[(crc ^ byte) & 0xff]
    # A zero byte is one step of the table, too.
    for _ in range(len(data) - len(data.rstrip(b'\0'))):
        crc = crc >> 8 ^ _CRC32C[crc & 0xff]
    return crc ^ 0xffffffff


def _crc32c_table() -> tuple[int, ...]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (0x82f63b78 if value & 1 else 0)
        table.append(value)
    return tuple(table)


_CRC32C = _crc32c_table()


def _make_vhdx(target: str) -> _Made:
    wide = target.encode('utf-16-le')
    locator = struct.pack(
        '<16sIII4x', uuid.UUID('a8d35f2d-b30b-454d-abf7-d3d84834ab0c'
                               ).bytes_le, 65600, 20 + len(wide), 4)
    yield 'parent', _vhdx(flags=2)
    yield 'place of a parent', _vhdx(count=6, items=locator)
    yield 'parent and its place', _vhdx(flags=2, count=6, items=locator)
    for value in (0, 0xffffffff):
        for field in ('block', 'sector', 'regions'):
            yield f'limit {field}', _vhdx(**_one(field, value))
    for value in (0, 2048, 0xffff):
        yield 'limit count', _vhdx(count=value)
    for value in ((1 << 46) + 1, 1 << 62, (1 << 64) - 1):
        for field in ('size', 'table_at', 'metadata_at'):
            yield f'limit {field}', _vhdx(**_one(field, value))


# Formats that are not taken at all.

def _make_others(target: str) -> _Made:
    name = target.encode()
    yield 'limit parallels', struct.pack(
        '<16sIIIIIQII', b'WithoutFreeSpace', 2, 16, 30, 2048, 1, 2048, 0, 0
    ).ljust(65536, b'\0')
    yield 'limit parallels, extended', struct.pack(
        '<16sIIIIIQII', b'WithouFreSpacExt', 2, 16, 30, 2048, 1, 2048, 0, 0
    ).ljust(65536, b'\0')
    yield 'limit bochs', struct.pack(
        '<32s16s16s', b'Bochs Virtual HD Image', b'Redolog', b'Growing'
    ).ljust(65536, b'\0')
    yield 'limit luks', b'LUKS\xba\xbe\0\1'.ljust(65536, b'\0')
    yield 'limit luks 2', b'LUKS\xba\xbe\0\2'.ljust(65536, b'\0')
    for text in _names(target):
        # Bytes that only a tool which guesses would take for a name.
        yield 'limit name of a protocol', text.encode().ljust(4096, b'\n')
    yield 'json', b'json:{"driver":"raw","file.filename":"' + name + b'"}'


def _make_cloop(target: str) -> _Made:
    script = (b'#!/bin/sh\n#V2.0 Format\nmodprobe cloop file=$0 && '
              b'mount -r -t iso9660 /dev/cloop $1\n')
    yield 'limit cloop', script.ljust(128, b'\0') + struct.pack(
        '>II', 65536, 16).ljust(4096, b'\0')


def _make_dmg(target: str) -> _Made:
    yield 'limit dmg', bytes(65536) + struct.pack(
        '>4sII', b'koly', 4, 512).ljust(512, b'\0')


_MAKERS = (
    ('qcow2', 'qcow2', _make_qcow2),
    ('qcow2', 'qcow2', _make_qcow2_limits), ('qcow', 'qcow2', _make_qcow),
    ('qed', 'qed', _make_qed), ('vmdk', 'vmdk', _make_vmdk),
    ('vdi', 'vdi', _make_vdi), ('vpc', 'vpc', _make_vhd),
    ('vhdx', 'vhdx', _make_vhdx), ('others', 'raw', _make_others),
    ('cloop', 'iso', _make_cloop), ('dmg', 'iso', _make_dmg))
