# SPDX-License-Identifier: Apache-2.0

"""A guest that is a real Linux: a kernel of Debian's and busybox, no more.

It boots in seconds under emulation with 128 MiB, and tells on its first
serial port what it sees; see :mod:`linux_init` for what it says. Kernel and
initial file system are made once and kept in a folder of the user's.
"""

from collections.abc import Iterator
import contextlib
import dataclasses
import fcntl
import hashlib
import os
import pathlib
import shutil
import subprocess
import tempfile

from nova_libvirt_driver.testing import capability_cache
from nova_libvirt_driver.testing import debian_kernel
from nova_libvirt_driver.testing import linux_init

MEMORY_MIB = 128
"""Memory that suffices after a BIOS."""

UEFI_MEMORY_MIB = 256
"""Memory that suffices after UEFI, which crashes with less."""

# All but the first saves time under emulation.
_ARGUMENTS = ('console=ttyS0 quiet loglevel=3 no_timer_check tsc=reliable '
              'mitigations=off random.trust_cpu=on')

_VERSION = '1'
_FOLDERS = ('bin', 'dev', 'proc', 'sys', 'modules', 'etc', 'drive')


class GuestUnavailable(Exception):
    """The guest cannot be made here; the message says what is missing."""


@dataclasses.dataclass(frozen=True)
class LinuxGuest:
    """A kernel and its initial file system, as files not to be changed."""

    kernel: pathlib.Path
    initrd: pathlib.Path


def kernel_arguments(name: str = '') -> str:
    """Return what the kernel is told.

    :param name: one word, which the guest says as ``guest: image=NAME``
    """
    return f'{_ARGUMENTS} guest.image={name}' if name else _ARGUMENTS


def default_folder(*, usb: bool = False) -> pathlib.Path:
    """Return where the guest is kept; it need not exist."""
    made_from = '\n'.join((
        _VERSION, linux_init.script(), *_modules(usb)))
    digest = hashlib.sha256(made_from.encode()).hexdigest()[:12]
    return capability_cache.default_folder().with_name(
        f'linux-guest-{digest}')


def _modules(usb: bool) -> tuple[str, ...]:
    return linux_init.MODULES + (linux_init.USB_MODULES if usb else ())


def build(
        folder: pathlib.Path | None = None, *,
        usb: bool = False) -> LinuxGuest:
    """Return the guest, made first if need be, which takes some 10 s.

    Several processes may do so at a time; one makes it, the others wait.

    :param folder: where it is kept (default: below the user's cache)
    :param usb: with a larger kernel, which knows USB
    :raises GuestUnavailable: what it is made of cannot be had
    """
    target = folder or default_folder(usb=usb)
    target.parent.mkdir(parents=True, exist_ok=True)
    with _locked(target):
        if not target.exists():
            _make(target, usb)
    return LinuxGuest(
        kernel=target / 'vmlinuz', initrd=target / 'initrd')


@contextlib.contextmanager
def _locked(target: pathlib.Path) -> Iterator[None]:
    with open(target.with_name(f'{target.name}.lock'), 'wb') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _make(target: pathlib.Path, usb: bool) -> None:
    busybox = shutil.which('busybox')
    if busybox is None or shutil.which('cpio') is None:
        raise GuestUnavailable('A Linux guest needs busybox and cpio: install '
                               'the packages busybox-static and cpio.')
    with tempfile.TemporaryDirectory(
            dir=target.parent, prefix='.linux-guest-') as work:
        new = pathlib.Path(work, 'new')
        new.mkdir()
        kernel = _fetch(pathlib.Path(work), usb)
        shutil.copy(kernel.image, new / 'vmlinuz')
        root = pathlib.Path(work, 'root')
        _fill(root, pathlib.Path(busybox), kernel, _modules(usb))
        (new / 'initrd').write_bytes(_pack(root))
        os.replace(new, target)


def _fetch(work: pathlib.Path, usb: bool) -> debian_kernel.Kernel:
    folder = work / 'kernel'
    folder.mkdir()
    try:
        return debian_kernel.fetch(
            folder, debian_kernel.META_PACKAGE_OF_ALL if usb
            else debian_kernel.META_PACKAGE)
    except debian_kernel.KernelUnavailable as error:
        raise GuestUnavailable(str(error)) from error


def _fill(root: pathlib.Path, busybox: pathlib.Path,
          kernel: debian_kernel.Kernel, modules: tuple[str, ...]) -> None:
    for name in _FOLDERS:
        (root / name).mkdir(parents=True)
    shutil.copy(busybox.resolve(), root / 'bin' / 'busybox')
    order = []
    for path in kernel.module_files(modules):
        shutil.copy(path, root / 'modules' / path.name)
        order.append(f'{path.name}\n')
    (root / 'modules' / 'order').write_text(''.join(order))
    (root / 'init').write_text(linux_init.script())
    (root / 'init').chmod(0o755)


def _pack(root: pathlib.Path) -> bytes:
    names = sorted(str(path.relative_to(root)) for path in root.rglob('*'))
    # Not compressed: unpacking takes half a second under emulation.
    return subprocess.run(
        ['cpio', '--create', '--format=newc', '--quiet', '--owner=0:0',
         '--reproducible'],
        cwd=root, input='\n'.join(names).encode(), capture_output=True,
        check=True).stdout
