# SPDX-License-Identifier: Apache-2.0

"""Frozen values that describe guests and hosts; no input, no output."""
