# SPDX-License-Identifier: Apache-2.0

from lxml import etree

from tests import base as tests_base
from tests.unit.configurators import base
from tests.unit.configurators import scenarios


class GoldenTest(tests_base.TestCase):

    def test_xml_is_as_in_the_golden_files(self) -> None:
        differences = [
            base.golden_difference(name, base.build(inputs))
            for name, inputs in scenarios.SCENARIOS.items()]

        self.assertEqual('', '\n'.join(filter(None, differences)))
        # Afterwards, because a file that is new may just have been written.
        self.assertEqual(
            sorted(scenarios.SCENARIOS),
            sorted(path.stem for path in base.GOLDEN.glob('*.xml')))

    def test_golden_files_obey_the_schema_of_libvirt(self) -> None:
        schema = etree.RelaxNG(file=str(base.SCHEMA))
        wrong = {}
        for path in sorted(base.GOLDEN.glob('*.xml')):
            if not schema.validate(etree.parse(path)):
                wrong[path.name] = str(schema.error_log)

        self.assertEqual({}, wrong)

    def test_xml_is_the_same_each_time(self) -> None:
        for name, inputs in scenarios.SCENARIOS.items():
            self.assertEqual(base.build(inputs), base.build(inputs), name)
