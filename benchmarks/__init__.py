# SPDX-License-Identifier: Apache-2.0

"""Measures of the driver, side by side with what it is built on."""
