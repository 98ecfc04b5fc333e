# SPDX-License-Identifier: Apache-2.0

"""Libvirt's XML as objects: one line for a field reads and writes it."""
