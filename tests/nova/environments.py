# SPDX-License-Identifier: Apache-2.0

"""Virtual environments that are thrown away.

They share the libraries of the environment that runs the tests, by links, so
that one is made in a second.
"""

import functools
import importlib.metadata
import os
import pathlib
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import unittest

ROOT = pathlib.Path(__file__).parents[2]
SITE = pathlib.Path(sysconfig.get_path('purelib'))
PACKAGE = 'nova_libvirt_driver'
TIMEOUT_S = 300


def run(*command: object, **environ: str) -> str:
    """Run a command to its end and return what it printed."""
    done = subprocess.run(
        [str(word) for word in command], cwd='/', text=True,
        capture_output=True, timeout=TIMEOUT_S,
        env={**os.environ, 'PYTHONWARNINGS': 'ignore', **environ})
    if done.returncode:
        raise AssertionError(f'{command}: {done.stdout}{done.stderr}')
    return done.stdout


@functools.cache
def work() -> pathlib.Path:
    """Return a folder for all that the tests of a module make."""
    folder = tempfile.TemporaryDirectory(prefix='nova-loading-')
    unittest.addModuleCleanup(_forget)
    unittest.addModuleCleanup(folder.cleanup)
    return pathlib.Path(folder.name)


def _forget() -> None:
    for made in (work, libraries, nova_folder, nova_source, our_source,
                 our_wheel):
        made.cache_clear()


def nova_release() -> int:
    """Return the major number of the Nova that is installed here."""
    return int(importlib.metadata.version('nova').partition('.')[0])


@functools.cache
def libraries() -> pathlib.Path:
    """Return a site folder with what Nova needs, but neither Nova nor us."""
    folder = work() / 'libraries'
    folder.mkdir()
    for entry in SITE.iterdir():
        name = entry.name.lower()
        if not (name.startswith(('nova', '__editable__'))
                or name.endswith('.pth')):
            (folder / entry.name).symlink_to(entry)
    return folder


@functools.cache
def nova_folder() -> pathlib.Path:
    """Return a site folder with Nova only."""
    folder = work() / 'nova'
    folder.mkdir()
    for entry in (SITE / 'nova', *SITE.glob('nova-*.dist-info')):
        (folder / entry.name).symlink_to(entry)
    return folder


@functools.cache
def nova_source() -> pathlib.Path:
    """Return the unpacked sdist of the same Nova."""
    folder = work() / 'sdist'
    run(sys.executable, '-m', 'pip', 'download', '-q', '--no-deps',
        '--no-build-isolation', '--no-binary', ':all:', '-d', folder,
        f'nova=={importlib.metadata.version("nova")}')
    archive, = folder.glob('nova-*.tar.gz')
    run('tar', '-xzf', archive, '-C', folder)
    source, = (path for path in folder.iterdir() if path.is_dir())
    return source


@functools.cache
def our_source() -> pathlib.Path:
    """Return a copy of this tree; builds leave files in it."""
    tree = work() / 'tree'
    shutil.copytree(ROOT, tree, ignore=shutil.ignore_patterns(
        '.*', 'build', '*.egg-info'))
    return tree


@functools.cache
def our_wheel() -> pathlib.Path:
    """Return a wheel of this tree."""
    folder = work() / 'wheel'
    run(sys.executable, '-m', 'pip', 'wheel', '-q', '--no-deps',
        '--no-build-isolation', '-w', folder, our_source())
    wheel, = folder.glob('*.whl')
    return wheel


class Environment:
    """A virtual environment that is thrown away.

    :param links: site folders that it has in addition to its own
    :param environ: for all that is run in it
    """

    def __init__(self, name: str, *links: pathlib.Path,
                 options: tuple[str, ...] = (), **environ: str) -> None:
        self.folder = work() / name
        self._environ = environ
        run(sys.executable, '-m', 'venv', '--without-pip', *options,
            self.folder)
        self.python = self.folder / 'bin' / 'python'
        self.site = pathlib.Path(self.run(
            '-c', 'import sysconfig; '
            'print(sysconfig.get_path("purelib"))').strip())
        # Read after the entries of editable installations, hence its name.
        (self.site / 'zz.pth').write_text(
            ''.join(f'{link}\n' for link in links))

    def run(self, *words: object, **environ: str) -> str:
        """Run its Python to the end and return what it printed."""
        return run(self.python, *words, **{**self._environ, **environ})

    def link(self, folder: pathlib.Path) -> None:
        """Let its own site folder hold what another one holds."""
        for entry in folder.iterdir():
            (self.site / entry.name).symlink_to(entry)

    def install(self, *words: object) -> None:
        """Install something that needs nothing more."""
        run(sys.executable, '-m', 'pip', '--python', self.python, 'install',
            '-q', '--no-deps', '--no-build-isolation', *words,
            **self._environ)

    def uninstall(self, name: str) -> None:
        run(sys.executable, '-m', 'pip', '--python', self.python,
            'uninstall', '-q', '-y', name, **self._environ)

    def configuration(self, driver: str) -> pathlib.Path:
        """Write a file for nova-compute; return its path."""
        path = self.folder / 'nova.conf'
        path.write_text(f'[DEFAULT]\ncompute_driver = {driver}\n'
                        f'state_path = {self.folder}\n')
        return path
