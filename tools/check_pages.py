# SPDX-License-Identifier: Apache-2.0

"""Finds what HTML pages load from other places; fails when there is any.

``python tools/check_pages.py FOLDER ...`` looks at pages and style sheets
below the folders. A link that a reader may follow is none of these.
"""

import pathlib
import re
import sys

from lxml import html

_ELSEWHERE = re.compile(r'\s*(?:[a-z][a-z0-9+.-]*:)?//', re.IGNORECASE)
_STYLE = re.compile(
    r'(?:@import\s+(?:url\()?|url\()\s*["\']?([^"\')\s;]+)', re.IGNORECASE)
_ADDRESS = re.compile(r'https?://[^"\'\s]+')
_LOADING = ('src', 'srcset', 'data', 'poster', 'background')
_LOADED_LINKS = {'stylesheet', 'icon', 'preload', 'prefetch', 'preconnect',
                 'dns-prefetch', 'modulepreload', 'manifest'}


def _of_page(text):
    for element in html.fromstring(text).iter():
        if not isinstance(element.tag, str):
            continue
        for name in _LOADING:
            yield from element.get(name, '').split(',')
        if element.tag == 'link' and (
                _LOADED_LINKS & set(element.get('rel', '').lower().split())):
            yield element.get('href', '')
        yield from _of_style(element.get('style', ''))
        if element.tag == 'style':
            yield from _of_style(element.text or '')
        elif element.tag == 'script':
            yield from _ADDRESS.findall(element.text or '')


def _of_style(text):
    return _STYLE.findall(text)


def main(folders):
    """Print what is loaded from elsewhere; return an exit status."""
    looked_at = found = 0
    for path in (path for folder in folders
                 for path in sorted(pathlib.Path(folder).rglob('*'))):
        if path.suffix not in ('.html', '.css'):
            continue
        looked_at += 1
        text = path.read_text(encoding='utf-8')
        loaded = _of_page(text) if path.suffix == '.html' else _of_style(text)
        for place in filter(_ELSEWHERE.match, loaded):
            print(f'{path} loads {place}', file=sys.stderr)
            found += 1
    if not looked_at:
        print('there are no pages', file=sys.stderr)
    return int(bool(found) or not looked_at)


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
