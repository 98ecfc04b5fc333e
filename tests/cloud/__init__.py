# SPDX-License-Identifier: Apache-2.0

"""The driver in a real cloud; run by ``tools/test --cloud``.

They need the cloud of ``tools/devcloud/up`` and run inside it.
"""
