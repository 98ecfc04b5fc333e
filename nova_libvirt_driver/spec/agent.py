# SPDX-License-Identifier: Apache-2.0

"""What the agent in a guest says."""

import dataclasses


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a command in a guest has ended."""

    exit_code: int
    """128 and more where a signal has ended it, as in a shell."""
    stdout: bytes = b''
    stderr: bytes = b''
