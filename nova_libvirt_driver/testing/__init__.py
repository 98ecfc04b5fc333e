# SPDX-License-Identifier: Apache-2.0

"""Shipped rigs and fakes for everything that is tested against libvirt.

Owns private libvirt hosts, tiny bootable guests and a fake connection. It
refuses to be part of the driver: no module of the driver imports it, and of
the front doors only the demonstration does, for its guest.
"""
