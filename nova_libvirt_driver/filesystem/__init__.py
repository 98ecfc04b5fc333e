# SPDX-License-Identifier: Apache-2.0

"""Files that other users of the machine, or accidents, may have touched."""
