# SPDX-License-Identifier: Apache-2.0

"""One protected, self-renewing connection to libvirt."""
