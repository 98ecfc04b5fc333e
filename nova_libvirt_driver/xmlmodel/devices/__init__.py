# SPDX-License-Identifier: Apache-2.0

"""Devices of a domain, one file for each kind."""
