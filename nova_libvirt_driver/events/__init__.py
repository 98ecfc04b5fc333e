# SPDX-License-Identifier: Apache-2.0

"""What libvirt says of guests, from its callbacks to those who wait."""
