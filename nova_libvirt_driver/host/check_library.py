# SPDX-License-Identifier: Apache-2.0

"""Checks of what is installed: libvirt's binding, its library, qemu-img.

Works where any of it is missing, so it imports libvirt in its functions.
"""

import dataclasses
import importlib.metadata
import re
import shutil
import subprocess

from nova_libvirt_driver.host import checks

MIN_LIBVIRT = 8_000_000
MIN_QEMU = 6_002_000

_BINDING = checks.Topic('libvirt binding')
_LIBRARY = checks.Topic('libvirt library')
_QEMU_IMG = checks.Topic('qemu-img')

_TIMEOUT_S = 5


@dataclasses.dataclass(frozen=True, slots=True)
class Versions:
    """Installed versions; empty where something is missing."""

    binding: str = ''
    library: str = ''
    problem: str = ''
    """Why the binding cannot be imported, or empty."""


def dotted(number: int) -> str:
    """Return a version as libvirt counts it in dotted form."""
    return f'{number // 1000000}.{number // 1000 % 1000}.{number % 1000}'


def versions() -> Versions:
    """Return the versions of libvirt's binding and library."""
    try:
        import libvirt
    except ImportError as error:
        return Versions(problem=str(error))
    try:
        binding = importlib.metadata.version('libvirt-python')
    except importlib.metadata.PackageNotFoundError:
        # Distributions may ship it without metadata.
        binding = 'unknown'
    return Versions(binding, dotted(libvirt.getVersion()))


def binding(found: Versions) -> checks.Check:
    """Check that the binding can be imported."""
    if found.problem:
        return _BINDING.failure(
            f'cannot be imported: {found.problem}',
            'install the C library (Debian: libvirt0; to build the binding '
            'libvirt-dev pkg-config gcc), then: pip install libvirt-python')
    return _BINDING.ok(found.binding)


def library(found: Versions) -> checks.Check:
    """Check that the C library is new enough."""
    if not found.library:
        return _LIBRARY.skipped('not known without the binding')
    if _number(found.library) < MIN_LIBVIRT:
        return _LIBRARY.failure(
            f'{found.library} is older than {dotted(MIN_LIBVIRT)}',
            'upgrade libvirt')
    return _LIBRARY.ok(found.library)


def qemu_img(hypervisor: str) -> checks.Check:
    """Check that qemu-img is there, where guests need it.

    :param hypervisor: type as libvirt names it, empty when not known
    """
    path = shutil.which('qemu-img')
    if path is not None:
        return _qemu_img_version(path)
    if hypervisor not in ('', 'QEMU'):
        return _QEMU_IMG.skipped(f'not needed for hypervisor {hypervisor}')
    return _QEMU_IMG.failure(
        'not found on PATH', 'install it (Debian: qemu-utils)')


def _qemu_img_version(path: str) -> checks.Check:
    done = subprocess.run(
        [path, '--version'], capture_output=True, text=True,
        timeout=_TIMEOUT_S, check=False)
    found = re.search(r'version (\d+)\.(\d+)\.(\d+)', done.stdout)
    if done.returncode or found is None:
        return _QEMU_IMG.failure(
            f'{path} does not work: {done.stderr or done.stdout}',
            'install it again (Debian: qemu-utils)')
    version = '.'.join(found.groups())
    if _number(version) < MIN_QEMU:
        return _QEMU_IMG.failure(
            f'{version} is older than {dotted(MIN_QEMU)}', 'upgrade QEMU')
    return _QEMU_IMG.ok(f'{version} ({path})')


def _number(version: str) -> int:
    major, minor, micro = version.split('.')
    return int(major) * 1000000 + int(minor) * 1000 + int(micro)
