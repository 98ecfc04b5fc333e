# SPDX-License-Identifier: Apache-2.0

"""Disks of instances, the images they are made of, and their records."""
