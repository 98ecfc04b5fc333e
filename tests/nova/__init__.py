# SPDX-License-Identifier: Apache-2.0

"""The driver under an installed Nova; see tools/nova-env."""
