# SPDX-License-Identifier: Apache-2.0

import pathlib
import subprocess
import sys

import fixtures

from tests import base

CHECK = pathlib.Path(__file__).parents[2] / 'tools' / 'check_pages.py'

LOADING = (
    '<script src="https://example.org/a.js"></script>',
    '<script src="//example.org/a.js"></script>',
    '<script>fetch("https://example.org/b.js")</script>',
    '<link rel="stylesheet" href="https://example.org/a.css">',
    '<link rel="dns-prefetch" href="//example.org">',
    '<img src="http://example.org/a.png">',
    '<img src="a.png" srcset="a.png 1x, https://example.org/b.png 2x">',
    '<iframe src="https://example.org"></iframe>',
    '<object data="https://example.org/a.svg"></object>',
    '<p style="background: url(https://example.org/a.png)">',
    '<style>@import "https://example.org/a.css";</style>')
STYLES = (
    '@import url("https://example.org/a.css");',
    '@font-face { src: url(//example.org/a.woff2) }')
HARMLESS = (
    '<p>plain</p>',
    '<a href="https://example.org">a link to follow</a>',
    '<link rel="canonical" href="https://example.org">',
    '<script src="_static/a.js?v=1"></script><img src="a.png">',
    '<img src="data:image/png;base64,iVBORw0KGgo=">')


class PagesTest(base.TestCase):

    def setUp(self) -> None:
        super().setUp()
        self.folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)

    def check(self) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, str(CHECK), str(self.folder)],
            stderr=subprocess.PIPE, text=True, check=False, timeout=60)

    def test_whatever_a_page_loads_from_elsewhere_is_found(self) -> None:
        for number, text in enumerate(LOADING):
            (self.folder / f'{number}.html').write_text(text)
        for number, text in enumerate(STYLES):
            (self.folder / f'{number}.css').write_text(text)

        done = self.check()

        self.assertEqual(1, done.returncode)
        self.assertEqual(
            {path.name for path in self.folder.iterdir()},
            {pathlib.Path(line.split()[0]).name
             for line in done.stderr.splitlines()})

    def test_links_and_what_is_beside_the_page_are_harmless(self) -> None:
        (self.folder / 'page.html').write_text('\n'.join(HARMLESS))

        done = self.check()

        self.assertEqual((0, ''), (done.returncode, done.stderr))

    def test_a_folder_without_pages_is_an_error(self) -> None:
        self.assertEqual(1, self.check().returncode)
