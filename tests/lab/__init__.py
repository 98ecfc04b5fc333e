# SPDX-License-Identifier: Apache-2.0

"""The driver on a kernel with all of its modules, and on real KVM.

They run inside the lab, see tools/lab/lab; ``tools/test --lab`` does it.
"""
