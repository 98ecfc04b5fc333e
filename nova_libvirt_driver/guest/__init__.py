# SPDX-License-Identifier: Apache-2.0

"""Guests as libvirt has them."""
