# SPDX-License-Identifier: Apache-2.0

"""Volumes: disks that a volume service keeps, and the way to them."""
