# SPDX-License-Identifier: Apache-2.0

"""How many files a reader has to follow Nova's verbs through."""

import subprocess
import sys
import unittest

from tests.nova import environments

MOST = {'spawn': 71, 'get_info': 11, 'pause': 14, 'destroy': 33}


class HopsTest(unittest.TestCase):

    def test_verbs_do_not_cross_too_many_files(self) -> None:
        said = subprocess.run(
            [sys.executable, '-W', 'ignore',
             environments.ROOT / 'tools' / 'hops.py', '--nova'],
            capture_output=True, text=True, check=True).stdout
        found = {words[0]: int(words[3]) for words in map(
            str.split, said.splitlines())}

        self.assertEqual(MOST.keys(), found.keys())
        self.assertEqual({}, {verb: files for verb, files in found.items()
                              if files > MOST[verb]})
