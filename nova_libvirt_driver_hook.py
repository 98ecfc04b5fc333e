# SPDX-License-Identifier: Apache-2.0

"""How nova-compute finds the driver.

Nova looks for its driver below ``nova.virt`` and nowhere else (29 to 34), so
``compute_driver = nova_libvirt_driver.LibvirtDriver`` makes it import
``nova.virt.nova_libvirt_driver``. No file is put there: a line in a ``.pth``
file, which ``tools/build_backend.py`` puts into the wheel, calls
:func:`install` at each start of Python.

A module beside the package, not in it: Python reads ``.pth`` files before it
knows the folder of its script, and a package imported then would stay for
the whole process, also where the script stands beside another copy of it.
For the same reason nothing is imported here before that name is asked for.
"""

import sys

ALIAS = 'nova.virt.nova_libvirt_driver'
DRIVER_MODULE = 'nova_libvirt_driver.nova_plugin.driver'


class Finder:
    """Finds one module, whose name is :data:`ALIAS`.

    Python imports ``nova.virt`` before it asks: without Nova there is no
    such module.
    """

    @staticmethod
    def find_spec(
            name: str, path: object = None,
            target: object = None) -> object:
        """Return the spec of the module, None for any other name."""
        if name != ALIAS:
            return None
        from importlib import machinery
        return machinery.ModuleSpec(
            name, Loader, origin=DRIVER_MODULE)  # type: ignore[arg-type]


class Loader:
    """Makes that module: it has our driver under the name that Nova wants."""

    @staticmethod
    def create_module(spec: object) -> None:
        """Leave it to Python."""

    @staticmethod
    def exec_module(module: object) -> None:
        """Give the module its class."""
        import importlib
        driver = importlib.import_module(DRIVER_MODULE)
        setattr(module, 'LibvirtDriver', driver.NovaLibvirtDriver)


def install() -> None:
    """Let Python ask the finder after all others; idempotent."""
    finders: list[object] = sys.meta_path  # type: ignore[assignment]
    if Finder not in finders:
        finders.append(Finder)
