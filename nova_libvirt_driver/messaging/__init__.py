# SPDX-License-Identifier: Apache-2.0

"""Notifications and transports of oslo.messaging."""
