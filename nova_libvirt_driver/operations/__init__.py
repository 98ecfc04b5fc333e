# SPDX-License-Identifier: Apache-2.0

"""The verbs of the contract that take more than one step.

One module for each; what several of them do alike is in ``steps``.
"""
