# SPDX-License-Identifier: Apache-2.0

"""The driver under an installed Nova; see tools/nova-env.

Test cases are those of unittest or oslotest. What ``tests.base`` gives each
test would leave Nova's configuration unparsed for the next one.
"""
