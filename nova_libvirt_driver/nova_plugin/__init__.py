# SPDX-License-Identifier: Apache-2.0

"""The driver as nova-compute sees it; the only part that imports nova.

``NovaLibvirtDriver`` is what Nova loads. It calls ``LibvirtDriver``, which
does the work and knows nothing of Nova.
"""
