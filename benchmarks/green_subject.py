# SPDX-License-Identifier: Apache-2.0

"""The same as ``benchmarks.scale_subject`` in a process of eventlet's.

Eventlet has to come before everything else.
"""

import sys


def main(name: str, *words: str) -> None:
    """Let eventlet replace threads, as nova-compute does or by hand."""
    if name in ('ours', 'in-tree'):
        from nova import monkey_patch
        monkey_patch.patch()
    else:
        import eventlet
        eventlet.monkey_patch()
    from benchmarks import scale_subject
    scale_subject.main(name, *words)


if __name__ == '__main__':
    main(*sys.argv[1:])
