# SPDX-License-Identifier: Apache-2.0

"""The driver over libvirt's test driver."""

import pathlib

import fixtures

from tests.nova.conformance import base


class SimulatedTest(base.ConformanceTest):
    """Each test has a host of its own, without guests."""

    left_out = {
        **base.ConformanceTest.left_out,
        'test_get_console_output': 'its guests write nothing',
        'test_get_spice_console': 'its guests have no ports',
        'test_get_vnc_console': 'its guests have no ports',
    }

    def uri(self) -> str:
        node = pathlib.Path(
            self.useFixture(fixtures.TempDir()).path) / 'node.xml'
        node.write_text('<node/>')
        return f'test://{node}'
