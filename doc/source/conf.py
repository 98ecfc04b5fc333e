# SPDX-License-Identifier: Apache-2.0

"""Sphinx configuration; the build needs no network."""

from importlib import metadata

from cliff import commandmanager

from nova_libvirt_driver.cli import table

# The directive looks for commands among entry points; ours are in a table.
commandmanager.CommandManager = lambda *args: table.CommandTable()

project = 'nova-libvirt-driver'
copyright = 'nova-libvirt-driver contributors'
release = metadata.version(project)
version = release

extensions = [
    'cliff.sphinxext',
    'oslo_config.sphinxext',
    'sphinx.ext.autodoc',
    'sphinx_feature_classification.support_matrix',
]

# Most literal blocks are pictures and output, not Python.
highlight_language = 'text'
# It would make a dash of the two hyphens of an option.
smartquotes = False

# One that loads nothing from elsewhere; tools/check_pages.py looks.
html_theme = 'alabaster'
html_theme_options = {'fixed_sidebar': True, 'page_width': '1100px'}

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
