# SPDX-License-Identifier: Apache-2.0

"""The compute host as libvirt and the system describe it."""
