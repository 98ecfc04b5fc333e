# SPDX-License-Identifier: Apache-2.0

"""Switches pbr on; everything else is declared in pyproject.toml."""

import setuptools

setuptools.setup(pbr=True)
