# SPDX-License-Identifier: Apache-2.0

"""Options of Nova's group [libvirt]."""

import csv
import io
import os
import unittest

from nova.conf import libvirt as nova_libvirt
from oslo_config import cfg

from nova_libvirt_driver import conf
from nova_libvirt_driver.conf import libvirt
from nova_libvirt_driver.nova_plugin import options
from tests.nova import environments

TABLE = environments.ROOT / 'doc/source/admin/nova-options.csv'
REGENERATE = os.environ.get('NOVA_LIBVIRT_GOLDEN') == 'regenerate'
VOLUMES = ('iscsi', 'iser', 'nfs', 'ceph', 'quobyte', 'smbfs', 'vzstorage',
           'remote_filesystem', 'rbd', 'volume', 'num_', 'use_default_aio')


class OptionsTest(unittest.TestCase):

    def setUp(self) -> None:
        self.conf = cfg.ConfigOpts()
        nova_libvirt.register_opts(self.conf)
        conf.register_opts(self.conf)
        self.conf([], default_config_files=[])

    def test_what_is_not_set_is_nobodys_business(self) -> None:
        self.assertEqual([], list(options.report(self.conf)))

    def test_what_is_set_is_told(self) -> None:
        self.conf.set_override('virt_type', 'qemu', 'libvirt')
        self.conf.set_override('live_migration_with_native_tls', True,
                               'libvirt')

        self.assertEqual(
            [('live_migration_with_native_tls', 'ignored',
              'there is no live migration yet'),
             ('virt_type', 'honoured', '')],
            list(options.report(self.conf)))

    def test_only_what_is_about_volumes_is_said_to_be(self) -> None:
        left = [name for name in self.conf.libvirt
                if options.remark(name) == 'there are no volumes yet'
                and not name.startswith(VOLUMES)]

        self.assertEqual([], left)

    @unittest.skipIf(environments.nova_release() < 34,
                     'the table has the options of 34')
    def test_the_documentation_has_all_of_them(self) -> None:
        lines = io.StringIO()
        csv.writer(lines, lineterminator='\n').writerows(
            options.table(self.conf))
        if REGENERATE:
            TABLE.write_text(lines.getvalue())

        self.assertEqual(
            TABLE.read_text(), lines.getvalue(),
            'set NOVA_LIBVIRT_GOLDEN=regenerate to write it anew')

    def test_what_is_honoured_has_a_name_of_novas(self) -> None:
        theirs = cfg.ConfigOpts()
        nova_libvirt.register_opts(theirs)

        self.assertEqual(set(), {opt.dest for opt in libvirt.OPTS}
                         - set(theirs.libvirt))
