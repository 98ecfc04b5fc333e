# SPDX-License-Identifier: Apache-2.0

"""The driver as nova-compute sees it; the only part that imports nova."""
