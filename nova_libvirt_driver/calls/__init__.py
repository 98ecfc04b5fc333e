# SPDX-License-Identifier: Apache-2.0

"""Calls of libvirt: deadlines, turns, threads, shared answers."""
