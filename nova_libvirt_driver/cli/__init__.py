# SPDX-License-Identifier: Apache-2.0

"""The command line client, ``nova-libvirt``.

It owns what a person types and reads. It starts without Nova, eventlet and
the message bus, and reaches libvirt through the driver only.
"""
