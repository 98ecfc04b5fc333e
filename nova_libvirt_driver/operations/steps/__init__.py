# SPDX-License-Identifier: Apache-2.0

"""What several operations have in common; no operation by itself."""
