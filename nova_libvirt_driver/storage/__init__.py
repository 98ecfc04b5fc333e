# SPDX-License-Identifier: Apache-2.0

"""Disks of instances, the images they are based on, and their records."""
