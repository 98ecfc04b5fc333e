# SPDX-License-Identifier: Apache-2.0

"""Checks of what is installed: libvirt, qemu-img and its sandbox."""

import re
import shutil
import subprocess

from nova_libvirt_driver.cli.doctor import checks
from nova_libvirt_driver.host import versions
from nova_libvirt_driver.spec import host as host_spec
from nova_libvirt_driver.spec import policy
from nova_libvirt_driver.storage import sandbox as sandbox_module

MIN_LIBVIRT = 8_000_000
MIN_QEMU = 6_002_000

_BINDING = checks.Topic('libvirt binding')
_LIBRARY = checks.Topic('libvirt library')
_QEMU_IMG = checks.Topic('qemu-img')
SANDBOX = checks.Topic('image sandbox')

_TIMEOUT_S = 5

_SANDBOX_FIX = (
    'install bubblewrap (Debian: bubblewrap) and allow user namespaces '
    'to the user of the service (sysctl user.max_user_namespaces, '
    'AppArmor); run doctor as that user')


def binding(found: versions.Versions) -> checks.Check:
    """Check that the binding can be imported."""
    if found.problem:
        return _BINDING.failure(
            f'cannot be imported: {found.problem}',
            'install the C library (Debian: libvirt0; to build the binding '
            'libvirt-dev pkg-config gcc), then: pip install libvirt-python')
    return _BINDING.ok(found.binding)


def library(found: versions.Versions) -> checks.Check:
    """Check that the C library is new enough."""
    if not found.library:
        return _LIBRARY.skipped('not known without the binding')
    if _number(found.library) < MIN_LIBVIRT:
        return _LIBRARY.failure(
            f'{found.library} is older than {host_spec.dotted(MIN_LIBVIRT)}',
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


def sandbox(wanted: str) -> checks.Check:
    """Try a sandbox, as this user.

    :param wanted: option ``image_tool_sandbox``
    """
    if wanted == policy.ToolSandbox.OFF:
        return SANDBOX.warning(
            'is off: a fault in qemu-img could open files of this host to a '
            'tenant', 'set [nova_libvirt_driver] image_tool_sandbox to '
            'preferred or required')
    problem = sandbox_module.problem()
    if not problem:
        return SANDBOX.ok('bubblewrap works')
    if wanted == policy.ToolSandbox.REQUIRED:
        return SANDBOX.failure(
            f'{problem}; no image can be read', _SANDBOX_FIX)
    return SANDBOX.warning(
        f'{problem}; programs that read images run with limits only',
        _SANDBOX_FIX)


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
            f'{version} is older than {host_spec.dotted(MIN_QEMU)}',
            'upgrade QEMU')
    return _QEMU_IMG.ok(f'{version} ({path})')


def _number(version: str) -> int:
    major, minor, micro = version.split('.')
    return int(major) * 1000000 + int(minor) * 1000 + int(micro)
