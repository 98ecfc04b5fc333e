# SPDX-License-Identifier: Apache-2.0

"""Checks of a running cloud, each a module to run inside it."""
