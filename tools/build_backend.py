# SPDX-License-Identifier: Apache-2.0

"""The PEP 517 build backend: ``pbr.build`` with a fallback version.

pbr takes the version from ``PBR_VERSION``, from the ``PKG-INFO`` of an sdist
or from git, and refuses to build when there is none of them: an archive of
the tree, a clone git does not trust (another owner), a machine without git.
Such a build gets ``FALLBACK``, which sorts before every release.
"""

import os
import subprocess

from pbr.build import *  # noqa: F401,F403

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
