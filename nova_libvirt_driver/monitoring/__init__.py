# SPDX-License-Identifier: Apache-2.0

"""What a running driver tells monitors of itself, without asking libvirt."""
