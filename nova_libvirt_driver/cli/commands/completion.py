# SPDX-License-Identifier: Apache-2.0

"""``nova-libvirt complete``: a script that completes commands in a shell.

The script is cliff's; here is only how to install it.
"""

from cliff import complete


class Complete(complete.CompleteCommand):
    """Print a script for bash that completes commands and options.

    For this shell: source <(nova-libvirt complete). For all: nova-libvirt
    complete | sudo tee /etc/bash_completion.d/nova-libvirt >/dev/null
    """
