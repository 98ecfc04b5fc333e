# SPDX-License-Identifier: Apache-2.0

"""Finds the driver class that the configuration names, and makes it one.

It knows no driver by name and gives no second guess: a name that does not
lead to a subclass of ``ComputeDriver`` is an error.
"""

import importlib
from types import ModuleType
from typing import Any

from nova_libvirt_driver import base
from nova_libvirt_driver import exception

_BINDING_MODULES = ('libvirt', 'libvirtmod')


def load(name: str, virtapi: Any) -> base.ComputeDriver:
    """Return a new driver of the named class.

    :param name: ``package.module.Class``
    :param virtapi: handed to the driver as it is
    :raises DriverNotLoadable: the name does not lead to a driver
    :raises LibvirtMissing: the driver needs libvirt's binding in vain
    """
    try:
        return driver_class(name)(virtapi)
    except ImportError as error:
        raise _import_failure(name, error) from error


def driver_class(name: str) -> type[base.ComputeDriver]:
    """Return the named class.

    :raises DriverNotLoadable: the name does not lead to a driver
    :raises LibvirtMissing: the driver needs libvirt's binding in vain
    """
    module_name, _, class_name = name.strip().rpartition('.')
    if not module_name or not class_name:
        raise exception.DriverNotLoadable(
            name=name, reason='it is not of the form module.Class')
    try:
        found = getattr(_module(name, module_name), class_name)
    except AttributeError as error:
        raise exception.DriverNotLoadable(
            name=name,
            reason=f'module {module_name} has no {class_name}') from error
    except ImportError as error:
        raise _import_failure(name, error) from error
    return _checked(name, found)


def _module(name: str, module_name: str) -> ModuleType:
    try:
        return importlib.import_module(module_name)
    except (ImportError, exception.DriverError):
        raise
    except Exception as error:
        # Importing somebody's module runs somebody's code.
        raise exception.DriverNotLoadable(
            name=name, reason=f'importing {module_name} failed: '
            f'{type(error).__name__}: {error}') from error


def _checked(name: str, found: object) -> type[base.ComputeDriver]:
    if isinstance(found, type) and issubclass(found, base.ComputeDriver):
        return found
    raise exception.DriverNotLoadable(
        name=name, reason='it is not a subclass of '
        'nova_libvirt_driver.base.ComputeDriver')


def _import_failure(name: str, error: ImportError) -> exception.DriverError:
    if error.name in _BINDING_MODULES or 'libvirt.so' in str(error):
        return exception.LibvirtMissing(reason=str(error))
    return exception.DriverNotLoadable(name=name, reason=str(error))
