# SPDX-License-Identifier: Apache-2.0

"""What ``nova-libvirt doctor`` looks at, one file for each kind."""
