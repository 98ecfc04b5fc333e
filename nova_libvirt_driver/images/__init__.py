# SPDX-License-Identifier: Apache-2.0

"""Images and flavors of a service that has no image service."""
