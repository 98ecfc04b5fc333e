# SPDX-License-Identifier: Apache-2.0

"""The supervisor under faults: who makes them, and what they meet."""
