# SPDX-License-Identifier: Apache-2.0

"""The small drive that tells a guest who it is."""
