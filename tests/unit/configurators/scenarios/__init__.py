# SPDX-License-Identifier: Apache-2.0

"""Guests whose XML is kept in golden files, by the name of the file."""

from collections.abc import Mapping
import itertools

from nova_libvirt_driver.configurators import inputs as inputs_module
from tests.unit.configurators.scenarios import boot
from tests.unit.configurators.scenarios import cpu
from tests.unit.configurators.scenarios import device
from tests.unit.configurators.scenarios import disk
from tests.unit.configurators.scenarios import memory
from tests.unit.configurators.scenarios import nic
from tests.unit.configurators.scenarios import whole

_MODULES = (boot, cpu, device, disk, memory, nic, whole)

SCENARIOS: Mapping[str, inputs_module.Inputs] = dict(
    itertools.chain.from_iterable(
        module.SCENARIOS.items() for module in _MODULES))
