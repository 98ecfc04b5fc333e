# SPDX-License-Identifier: Apache-2.0

"""What the services of the cloud are told, and what the cloud contains."""
