# SPDX-License-Identifier: Apache-2.0

"""Sphinx configuration; the build needs no network."""

from importlib import metadata

from cliff import commandmanager

from nova_libvirt_driver.cli import commands

# The directive looks for commands among entry points; ours are in a table.
commandmanager.CommandManager = lambda *args: commands.CommandTable()

project = 'nova-libvirt-driver'
copyright = 'nova-libvirt-driver contributors'
release = metadata.version(project)
version = release

extensions = [
    'cliff.sphinxext',
    'oslo_config.sphinxext',
]

# It comes with Sphinx and needs no git, so an unpacked archive builds too.
html_theme = 'alabaster'
html_theme_options = {
    'description': 'A compute virt driver for libvirt',
    'fixed_sidebar': True,
    'page_width': '1100px',
}

# Options that every command has, described once.
autoprogram_cliff_application = 'nova-libvirt'
autoprogram_cliff_ignored = [
    '--help',
    '--column',
    '--fit-width',
    '--format',
    '--max-width',
    '--noindent',
    '--prefix',
    '--print-empty',
    '--quote',
    '--sort-ascending',
    '--sort-column',
    '--sort-descending',
    '--variable',
]
