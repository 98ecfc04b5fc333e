# SPDX-License-Identifier: Apache-2.0

from nova_libvirt_driver.storage import image_fetch
from tests import base


def report(**fields: object) -> dict[str, object]:
    return {'filename': '/i', 'format': 'vmdk', **fields}


class ReportTest(base.TestCase):

    def test_what_names_another_file_is_refused(self) -> None:
        for found, reason in (
                (report(**{'backing-filename': '/x'}), 'backing file'),
                (report(**{'full-backing-filename': '/x'}), 'backing file'),
                (report(**{'format-specific': {'data': {
                    'data-file': '/x'}}}), 'data file'),
                (report(**{'format-specific': {'data': {'extents': [
                    {'filename': '/i'}, {'filename': '/x'}]}}}), 'extent'),
                (report(children=[{'name': 'file'}, {'name': 'extents.0'}]),
                 'several files'),
                (report(encrypted=True), 'encrypted'),
                (report(**{'format-specific': {'data': {'corrupt': True}}}),
                 'corrupt')):
            self.assertIn(reason, image_fetch.report_refusal(found))

    def test_an_image_of_one_file_is_not(self) -> None:
        for found in (
                report(), report(children=[{'name': 'file'}]),
                report(**{'format-specific': {'data': {
                    'extents': [{'filename': '/i'}], 'corrupt': False}}})):
            self.assertEqual('', image_fetch.report_refusal(found))
