# SPDX-License-Identifier: Apache-2.0

"""What the driver needs more rights for than its user has.

A service that is not root may not read what libvirt gives to QEMU's user or
to root: console logs, and the disks of guests. The functions that help with
that are in ``functions``, and take nothing but names out of fixed sets: the
folder of the instances comes from the configuration files, never from the
caller. ``client`` is the only module for the rest of the package.
"""
