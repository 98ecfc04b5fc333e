# SPDX-License-Identifier: Apache-2.0

"""A Linux kernel from a package of Debian's, unpacked and never installed.

Owns the download and the order in which modules have to be loaded.
"""

from collections.abc import Iterable
import dataclasses
import lzma
import pathlib
import re
import subprocess

META_PACKAGE = 'linux-image-cloud-amd64'
"""Depends on the kernel for virtual machines: few drivers, quick to boot."""
META_PACKAGE_OF_ALL = 'linux-image-amd64'
"""Depends on the kernel with all drivers, such as those of USB."""

_APT_TIMEOUT_S = 300.0
# Root's folders are closed to apt's own user.
_AS_ROOT = ('-o', 'APT::Sandbox::User=root')
_DEPENDS = re.compile(rb'\0depends=([^\0]*)\0')


class KernelUnavailable(Exception):
    """There is no kernel to be had; the message says what is missing."""


@dataclasses.dataclass(frozen=True)
class Kernel:
    """An unpacked kernel."""

    image: pathlib.Path
    modules: pathlib.Path
    """Folder with the module files of its version."""

    def module_files(self, names: Iterable[str]) -> list[pathlib.Path]:
        """Return the files of modules and of what these need, in order.

        Modules that are compressed, as in Debian 13, are unpacked.

        :raises KernelUnavailable: it has no such module
        """
        known = {_plain(path.name.partition('.')[0]): path
                 for path in self.modules.rglob('*.ko*')}
        ordered: dict[str, pathlib.Path] = {}
        for name in names:
            _add(_plain(name), known, ordered)
        return list(ordered.values())


def fetch(
        folder: pathlib.Path, meta_package: str = META_PACKAGE) -> Kernel:
    """Download a kernel and unpack it into a folder.

    Takes seconds; asks for the list of packages when there is none.

    :param meta_package: package that depends on the one of the kernel
    :raises KernelUnavailable: it cannot be had
    """
    package = _package_name(meta_package)
    if package is None:
        _run(['apt-get', *_AS_ROOT, 'update'], folder)
        package = _package_name(meta_package)
    if package is None:
        raise KernelUnavailable(
            f'apt knows no package {meta_package}: a Linux guest needs '
            'the package lists of Debian.')
    _run(['apt-get', *_AS_ROOT, 'download', package], folder)
    archive = next(folder.glob('*.deb'))
    _run(['dpkg', '-x', str(archive), str(folder)], folder)
    return Kernel(
        image=next(folder.glob('boot/vmlinuz-*')),
        modules=_modules(folder))


def _modules(folder: pathlib.Path) -> pathlib.Path:
    # Below usr since Debian 13.
    for parent in (folder / 'lib', folder / 'usr' / 'lib'):
        for found in parent.glob('modules/*'):
            return found
    raise KernelUnavailable('The package of the kernel has no modules.')


def _package_name(meta_package: str) -> str | None:
    said = _run(['apt-cache', 'depends', meta_package], pathlib.Path('/'),
                may_fail=True)
    found = re.search(r'Depends: (linux-image-\S+)', said)
    return found[1] if found else None


def _run(argv: list[str], folder: pathlib.Path, *,
         may_fail: bool = False) -> str:
    try:
        done = subprocess.run(
            argv, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True,
            text=True, check=False, timeout=_APT_TIMEOUT_S)
    except OSError as error:
        raise KernelUnavailable(
            f'A Linux guest needs {argv[0]}: {error.strerror}.') from error
    if done.returncode and not may_fail:
        raise KernelUnavailable(
            f'{" ".join(argv[:4])} failed: {done.stderr.strip()[-500:]}')
    return done.stdout


def _plain(name: str) -> str:
    # A module's file may have the one where its name has the other.
    return name.replace('-', '_')


def _add(name: str, known: dict[str, pathlib.Path],
         ordered: dict[str, pathlib.Path]) -> None:
    if name in ordered:
        return
    if name not in known:
        raise KernelUnavailable(f'The kernel has no module {name}.')
    path = _unpacked(known[name])
    found = _DEPENDS.search(path.read_bytes())
    for needed in found[1].decode().split(',') if found else ():
        if needed:
            _add(_plain(needed), known, ordered)
    ordered[name] = path


def _unpacked(path: pathlib.Path) -> pathlib.Path:
    if path.suffix != '.xz':
        return path
    plain = path.with_suffix('')
    plain.write_bytes(lzma.decompress(path.read_bytes()))
    return plain
