# SPDX-License-Identifier: Apache-2.0

"""Sphinx configuration of the release notes, which reno reads from git."""

project = 'nova-libvirt-driver release notes'
copyright = 'nova-libvirt-driver contributors'

extensions = ['reno.sphinxext']

html_theme = 'alabaster'
