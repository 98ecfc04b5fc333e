# SPDX-License-Identifier: Apache-2.0

"""The commands of ``nova-libvirt``, one file for each group."""
