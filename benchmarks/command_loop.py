# SPDX-License-Identifier: Apache-2.0

"""How a process under test gets its commands: see ``benchmarks.subjects``."""

from collections.abc import Callable
import json
import os
import sys
import traceback
from typing import Any
from typing import IO
from typing import NoReturn

Answer = dict[str, Any]


def private_output() -> IO[str]:
    """Return the standard output; what others print goes elsewhere."""
    output = os.fdopen(os.dup(1), 'w')
    os.dup2(2, 1)
    return output


def serve(
        answer: Callable[[dict[str, Any]], Answer], output: IO[str],
        first: Answer) -> NoReturn:
    """Answer until the standard input ends; then the process ends.

    :param output: from :func:`private_output`, before all else
    :param first: said at once, when the process is ready
    """
    print(json.dumps(first), file=output, flush=True)
    for line in sys.stdin:
        try:
            found = answer(json.loads(line))
        except NotImplementedError:
            found = {'unsupported': True}
        except Exception:
            found = {'error': traceback.format_exc()}
        print(json.dumps(found), file=output, flush=True)
    # Nova's threads would keep the process.
    os._exit(0)
