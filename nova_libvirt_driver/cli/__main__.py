# SPDX-License-Identifier: Apache-2.0

"""The entry point of ``nova-libvirt``.

Also runs it from a source tree: ``python -m nova_libvirt_driver.cli``.
"""

from collections.abc import Sequence
import sys

from nova_libvirt_driver.cli import quick


def main(argv: Sequence[str] | None = None) -> int:
    """Run the client; the entry point of the program.

    :param argv: arguments without the program's name, by default those of
        the process
    """
    arguments = sys.argv[1:] if argv is None else argv
    code = quick.run(arguments)
    if code is not None:
        return code
    # Only now: it takes long to load.
    from nova_libvirt_driver.cli import app
    return app.main(arguments)


if __name__ == '__main__':
    sys.exit(main())
