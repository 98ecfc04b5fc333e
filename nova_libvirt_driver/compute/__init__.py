# SPDX-License-Identifier: Apache-2.0

"""The stand-alone compute service: one process that hosts one driver."""
