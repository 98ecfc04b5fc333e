# SPDX-License-Identifier: Apache-2.0

"""The PEP 517 build backend: ``pbr.build`` and two things more.

First, a version for a tree that tells none.

pbr takes the version from ``PBR_VERSION``, from the ``PKG-INFO`` of an sdist
or from git, and refuses to build when there is none of them: an archive of
the tree, a clone git does not trust (another owner), a machine without git.
Such a build gets ``FALLBACK``, which sorts before every release.

Second, a ``.pth`` file in each wheel, also in that of an editable
installation: setuptools has no place for one.
"""

import base64
import csv
import hashlib
import io
import os
import subprocess
import zipfile

from pbr import build as pbr_build
from pbr.build import *  # noqa: F401,F403

PTH_NAME = 'nova_libvirt_driver.pth'

# Run at each start of Python; it must not fail when half of this package is
# gone.
PTH_TEXT = """\
import sys; exec("try:\\n import nova_libvirt_driver_hook as hook\\n \
hook.install()\\nexcept Exception:\\n pass")
"""

FALLBACK = '0.0.0.dev0'


def _git_knows_the_version() -> bool:
    # The prefix is empty at the top of a work tree only: a repository that
    # merely encloses an unpacked archive says nothing about its version.
    command = ['git', 'rev-parse', '--show-prefix', '--verify', 'HEAD']
    try:
        result = subprocess.run(command, capture_output=True, text=True)
    except OSError:
        return False
    return result.returncode == 0 and result.stdout.startswith('\n')


if not (
    os.environ.get('PBR_VERSION')
    or os.path.exists('PKG-INFO')
    or _git_knows_the_version()
):
    os.environ['PBR_VERSION'] = FALLBACK


def build_wheel(
        wheel_directory, config_settings=None, metadata_directory=None):
    """Build a wheel, with the ``.pth`` file in it."""
    name = pbr_build.build_wheel(
        wheel_directory, config_settings, metadata_directory)
    _add_pth(os.path.join(wheel_directory, name))
    return name


def build_editable(
        wheel_directory, config_settings=None, metadata_directory=None):
    """Build the wheel of an editable installation, likewise."""
    name = pbr_build.build_editable(
        wheel_directory, config_settings, metadata_directory)
    _add_pth(os.path.join(wheel_directory, name))
    return name


def _add_pth(path):
    """Add the file to a wheel and to the wheel's record of its files."""
    with zipfile.ZipFile(path) as wheel:
        members = {item: wheel.read(item) for item in wheel.infolist()}
    data = PTH_TEXT.encode()
    with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as wheel:
        wheel.writestr(_pth_member(members), data)
        for item, content in members.items():
            if item.filename.endswith('.dist-info/RECORD'):
                content = _record_line(data).encode() + content
            wheel.writestr(item, content)


def _pth_member(members):
    # As old as the others, and readable for all: not every installer sets
    # modes of its own.
    member = zipfile.ZipInfo(
        PTH_NAME, max(item.date_time for item in members))
    member.compress_type = zipfile.ZIP_DEFLATED
    member.external_attr = 0o100644 << 16
    return member


def _record_line(data):
    digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest())
    line = io.StringIO()
    csv.writer(line, lineterminator='\n').writerow((
        PTH_NAME, f'sha256={digest.rstrip(b"=").decode()}', len(data)))
    return line.getvalue()
