# SPDX-License-Identifier: Apache-2.0

"""From specs to the XML of a guest, one facet of it in each file."""
