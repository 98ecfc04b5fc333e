# SPDX-License-Identifier: Apache-2.0

"""Where the files of an instance are, as its domain names them."""

import os


def is_own(path: str, folder: str) -> bool:
    """Say whether a file is one of an instance's folder.

    The folder may have been moved since, or be named by another link.

    :param path: as the domain names it; looked at only if it is in a folder
        of the same name that is not this one
    :param folder: of the instance, named after its uuid
    """
    if path.startswith(f'{folder}/'):
        return True
    above = os.path.dirname(path)
    return os.path.basename(above) == os.path.basename(folder) and (
        not os.path.exists(above)
        or os.path.realpath(above) == os.path.realpath(folder))
