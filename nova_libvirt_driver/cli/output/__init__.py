# SPDX-License-Identifier: Apache-2.0

"""How the client shows things to a person."""
