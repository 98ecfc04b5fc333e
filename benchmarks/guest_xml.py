# SPDX-License-Identifier: Apache-2.0

"""How long the XML of guests and a look at images take.

Run ``python -m benchmarks.guest_xml`` at the top of the tree. The XML is
measured beside lxml, which reads and writes the same text. The goal is for
a guest as most are, and for the fastest round, as there is nothing to compare
it with; the full guest shows how the time grows.
"""

from collections.abc import Callable
import os
import pathlib
import subprocess
import sys
import tempfile

from lxml import etree

from benchmarks import guest_specs
from benchmarks import measure
from benchmarks import options
from nova_libvirt_driver.configurators import builder
from nova_libvirt_driver.configurators import inputs as inputs_module
from nova_libvirt_driver.spec import policy as policy_spec
from nova_libvirt_driver.storage import inspection
from nova_libvirt_driver.storage import qemu_img as qemu_img_module
from nova_libvirt_driver.storage import tool as tool_module
from nova_libvirt_driver.testing import guests
from nova_libvirt_driver.xmlmodel import domain as domain_model

ROUNDS = 201
IMAGE_ROUNDS = 31
IMAGE_MIB = 64
_MIB = 1 << 20


def main() -> int:
    """Measure, print the result and return the exit code."""
    arguments = options.parse(__doc__ or '', rounds=ROUNDS)
    rows = []
    for name, inputs in guest_specs.GUESTS.items():
        rows += _xml(name, inputs, arguments.rounds)
    with tempfile.TemporaryDirectory() as folder:
        rows += _images(
            pathlib.Path(folder), min(arguments.rounds, IMAGE_ROUNDS))
    return measure.finish(rows, arguments.json)


def _xml(
        name: str, inputs: inputs_module.Inputs,
        rounds: int) -> list[measure.Row]:
    xml = builder.build(inputs).to_xml()
    times = measure.in_turns({
        'build': _way(lambda: builder.build(inputs).to_xml()),
        'parse': _way(lambda: domain_model.Domain.parse(xml)),
        'lxml': _way(lambda: _copied(xml)),
    }, rounds)
    what = f'XML of a {name} guest ({len(xml)} bytes)'
    return [
        measure.time_row(f'{what}: build', times['build']),
        measure.fastest_row('  undisturbed', times['build'],
                            at_most_ms=None if name == 'full' else 1.0),
        measure.ratio_row('  to lxml reading and writing it',
                          times['build'], times['lxml']),
        measure.time_row(f'{what}: parse', times['parse'])]


def _copied(xml: str) -> str:
    node = etree.fromstring(xml)
    etree.indent(node)
    return etree.tostring(node, encoding='unicode')


def _images(folder: pathlib.Path, rounds: int) -> list[measure.Row]:
    raw, qcow2 = folder / 'raw', folder / 'qcow2'
    raw.write_bytes(guests.boot_sector('up')
                    + os.urandom(IMAGE_MIB * _MIB - guests.SECTOR_BYTES))
    subprocess.run(['qemu-img', 'convert', '-f', 'raw', '-O', 'qcow2',
                    str(raw), str(qcow2)], check=True)
    policy = policy_spec.StoragePolicy(instances_path=str(folder))
    tool = qemu_img_module.QemuImg(tool_module.Tool(policy), policy)
    times = measure.in_turns({
        'raw': _way(lambda: inspection.inspect(str(raw), 'raw')),
        'qcow2': _way(lambda: inspection.inspect(str(qcow2), 'qcow2')),
        'qemu-img': _way(lambda: subprocess.run(
            ['qemu-img', 'info', '-f', 'qcow2', '--output=json',
             str(qcow2)], check=True, stdout=subprocess.DEVNULL)),
        'info': _way(lambda: tool.virtual_size_bytes(str(qcow2), 'qcow2')),
    }, rounds)
    what = f'inspection of a {IMAGE_MIB} MiB image'
    return [
        measure.time_row(f'{what}: raw', times['raw']),
        measure.ratio_row(
            '  to qemu-img info', times['raw'], times['qemu-img']),
        measure.time_row(f'{what}: qcow2', times['qcow2']),
        measure.ratio_row(
            '  to qemu-img info', times['qcow2'], times['qemu-img']),
        measure.time_row('size of a qcow2 disk', times['info'])]


def _way(function: Callable[[], object]) -> Callable[[], float]:
    return lambda: measure.timed(function)


if __name__ == '__main__':
    sys.exit(main())
