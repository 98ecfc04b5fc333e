# SPDX-License-Identifier: Apache-2.0

"""The life of a server under the driver that runs."""

from tests.cloud import life


class LifeTest(life.Life):
    pass
