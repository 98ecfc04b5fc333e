# SPDX-License-Identifier: Apache-2.0

"""Former names of devices that have files of their own now."""

from nova_libvirt_driver.xmlmodel.devices import memballoon
from nova_libvirt_driver.xmlmodel.devices import rng
from nova_libvirt_driver.xmlmodel.devices import vsock

Memballoon = memballoon.Memballoon
Rng = rng.Rng
Vsock = vsock.Vsock
