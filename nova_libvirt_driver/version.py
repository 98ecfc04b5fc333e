# SPDX-License-Identifier: Apache-2.0

"""The version of the installed distribution."""

import importlib.metadata

DISTRIBUTION = 'nova-libvirt-driver'


def version() -> str:
    """Return the installed version, ``unknown`` in a bare source tree."""
    try:
        return importlib.metadata.version(DISTRIBUTION)
    except importlib.metadata.PackageNotFoundError:
        return 'unknown'
