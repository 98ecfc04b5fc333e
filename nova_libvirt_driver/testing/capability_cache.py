# SPDX-License-Identifier: Apache-2.0

"""What libvirt learned about the installed QEMU, kept between hosts.

Owns one folder of the user. Nothing here judges whether a file is still
right: libvirt compares versions, the binaries' change times and the kernel
with what a file says, and probes again when something differs.
"""

import os
import pathlib
import pwd
import shutil
import tempfile

_BELOW_CACHE = pathlib.Path('qemu', 'capabilities')


def default_folder() -> pathlib.Path:
    """Return the folder of the current user; it need not exist.

    A test may have moved HOME and TMPDIR into a folder of its own, which
    would make every test probe again: the user's entry decides.
    """
    base = os.environ.get('XDG_CACHE_HOME')
    if not base:
        base = os.path.join(pwd.getpwuid(os.geteuid()).pw_dir, '.cache')
    return pathlib.Path(base, 'nova-libvirt-driver', 'qemu-capabilities')


def load(host_cache: pathlib.Path, shared: pathlib.Path) -> None:
    """Give a new host's cache folder what is known already."""
    target = host_cache / _BELOW_CACHE
    target.mkdir(parents=True)
    for source in shared.glob('*.xml'):
        shutil.copy(source, target)


def save(host_cache: pathlib.Path, shared: pathlib.Path) -> None:
    """Keep what a host has learned; hosts may do so at the same time."""
    shared.mkdir(mode=0o700, parents=True, exist_ok=True)
    for source in (host_cache / _BELOW_CACHE).glob('*.xml'):
        content = source.read_bytes()
        if not _holds(shared / source.name, content):
            _replace(shared / source.name, content)


def _holds(path: pathlib.Path, content: bytes) -> bool:
    try:
        return path.read_bytes() == content
    except FileNotFoundError:
        return False


def _replace(path: pathlib.Path, content: bytes) -> None:
    with tempfile.NamedTemporaryFile(
            dir=path.parent, prefix='.', delete=False) as new:
        new.write(content)
    os.replace(new.name, path)
