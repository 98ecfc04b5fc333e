# SPDX-License-Identifier: Apache-2.0

"""Print in seconds what a driver adds to the imports of nova-compute.

``python -m benchmarks.import_time MODULE``, with the Python of
``tools/nova-env``.
"""

import importlib
import os
import sys
import time

SERVICE = ('nova.cmd.compute', 'nova.compute.manager')
"""What the service has imported when it loads its driver."""


def main(module: str) -> float:
    """Return how long the import takes after that of the service."""
    os.environ['OS_NOVA_DISABLE_EVENTLET_PATCHING'] = 'true'
    for name in SERVICE:
        importlib.import_module(name)
    start_s = time.perf_counter()
    importlib.import_module(module)
    return time.perf_counter() - start_s


if __name__ == '__main__':
    print(main(sys.argv[1]))
