# SPDX-License-Identifier: Apache-2.0

"""Another host, whose files are below a folder of this one."""

from collections.abc import Callable
import pathlib
import shutil


class OtherHost:
    """Takes files there, as a carrier."""

    def __init__(
            self, root: pathlib.Path, *, is_shared: bool = False) -> None:
        self._root = root
        self._is_shared = is_shared

    def there(self, path: str) -> pathlib.Path:
        """Return where a file of that path is."""
        return self._root / path.lstrip('/')

    def open(self, folder: str) -> bool:
        self.there(folder).mkdir(parents=True, exist_ok=True)
        return self._is_shared

    def collect(self, xml: str, folder: str) -> None:
        """Do nothing: libvirt keeps nothing elsewhere."""

    def copy(
            self, source: str, target: str,
            watch: Callable[[], object]) -> None:
        watch()
        shutil.copyfile(source, self.there(target))

    def remove(self, folder: str) -> None:
        shutil.rmtree(self.there(folder))
