# SPDX-License-Identifier: Apache-2.0

"""One protected, self-renewing connection to libvirt.

Only this package, ``guest`` and ``host`` may import the libvirt binding.
"""
