# SPDX-License-Identifier: Apache-2.0

import hypothesis
from hypothesis import strategies

from nova_libvirt_driver.xmlmodel import domain
from nova_libvirt_driver.xmlmodel import features
from nova_libvirt_driver.xmlmodel import size
from tests import base

_UNITS = {
    'b': 1, 'bytes': 1, 'byte': 1,
    'KB': 1000, 'k': 1 << 10, 'KiB': 1 << 10, 'kib': 1 << 10,
    'MB': 1000 ** 2, 'M': 1 << 20, 'MiB': 1 << 20,
    'GB': 1000 ** 3, 'G': 1 << 30, 'GiB': 1 << 30,
    'TB': 1000 ** 4, 'T': 1 << 40, 'TiB': 1 << 40,
    'PB': 1000 ** 5, 'P': 1 << 50, 'PiB': 1 << 50,
    'EB': 1000 ** 6, 'E': 1 << 60, 'EiB': 1 << 60,
}

_AMOUNTS = strategies.integers(0, 1 << 60)


class SizeTest(base.TestCase):

    def test_every_unit_of_libvirt_is_known(self) -> None:
        self.assertEqual(_UNITS, {unit: size.factor(unit)
                                  for unit in _UNITS})

    def test_other_units_are_refused(self) -> None:
        for unit in ('', 'x', 'iB', 'KiBi', 'KBB', 'bit', 'ZiB'):
            self.assertRaises(ValueError, size.factor, unit)

    @hypothesis.given(_AMOUNTS)
    def test_what_is_written_is_read(self, amount: int) -> None:
        made = domain.Domain()
        made.memory_kib = amount
        made.features.tb_cache = amount

        again = domain.Domain.parse(made.to_xml())

        self.assertEqual((amount, amount),
                         (again.memory_kib, again.features.tb_cache))

    @hypothesis.given(_AMOUNTS, strategies.sampled_from(sorted(_UNITS)))
    def test_any_unit_is_read_and_rounded_up(
            self, amount: int, unit: str) -> None:
        made = domain.Domain.parse(
            f'<domain><memory unit="{unit}">{amount}</memory></domain>')

        kib = made.memory_kib

        assert kib is not None
        exact = amount * _UNITS[unit]
        self.assertTrue((kib - 1) * 1024 < exact <= kib * 1024)

    def test_without_a_unit_it_is_kib(self) -> None:
        made = domain.Domain.parse('<domain><memory>512</memory></domain>')
        self.assertEqual(512, made.memory_kib)

        made.memory_kib = 1024

        self.assertIn('<memory unit="KiB">1024</memory>', made.to_xml())

    def test_an_attribute_has_its_unit_beside_it(self) -> None:
        made = domain.Domain.parse(
            '<domain><cpu><numa><cell memory="1" unit="GiB"/></numa></cpu>'
            '</domain>')

        self.assertEqual(1 << 20, made.cpu.cells[0].memory_kib)

    def test_another_unit_replaces_the_one_there(self) -> None:
        made = features.Features.parse(
            '<features><tcg><tb-cache unit="GiB">1</tb-cache></tcg>'
            '</features>')
        self.assertEqual(1024, made.tb_cache)

        made.tb_cache = 32

        self.assertIn('<tb-cache unit="MiB">32<', made.to_xml())
