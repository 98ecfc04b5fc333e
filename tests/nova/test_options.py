# SPDX-License-Identifier: Apache-2.0

"""Options that Nova's own driver reads."""

import ast
from collections.abc import Iterator
import csv
import io
import os
import pathlib
import re
import tempfile
import unittest

import nova.conf
from nova import virt
from oslo_config import cfg

from nova_libvirt_driver import conf
from nova_libvirt_driver.conf import libvirt
from nova_libvirt_driver.nova_plugin import options
from tests.nova import environments

TABLE = environments.ROOT / 'doc/source/admin/nova-options.csv'
REGENERATE = os.environ.get('NOVA_LIBVIRT_GOLDEN') == 'regenerate'

MODULES = (
    nova.conf.compute, nova.conf.devices, nova.conf.imagecache,
    nova.conf.libvirt, nova.conf.netconf, nova.conf.paths, nova.conf.spice,
    nova.conf.workarounds)

# What Nova's own driver consists of, below nova/virt.
PARTS = ('libvirt/**/*.py', 'disk/**/*.py', 'image/**/*.py',
         'block_device.py', 'configdrive.py', 'driver.py', 'hardware.py',
         'imagecache.py', 'images.py', 'netutils.py')
NO_OPTIONS = {
    # Of oslo.config itself.
    '[DEFAULT] config_file',
    # A group whose name is looked up.
    '[DEFAULT] neutron_tunnel',
}


def read_by_nova() -> set[str]:
    """Return the options outside [libvirt] that Nova's own driver reads."""
    folder = pathlib.Path(virt.__path__[0])
    groups = set(nova.conf.CONF)
    found = set()
    for part in PARTS:
        for path in folder.glob(part):
            for chain in chains(ast.parse(path.read_text())):
                if chain[0] not in groups or chain[0] in nova_defaults():
                    found.add(f'[DEFAULT] {chain[0]}')
                elif len(chain) > 1:
                    found.add(f'[{chain[0]}] {chain[1]}')
    return {name for name in found - NO_OPTIONS
            if not name.startswith('[libvirt]')}


def nova_defaults() -> set[str]:
    """Return the names of the options of Nova's group [DEFAULT]."""
    return {name for name in nova.conf.CONF
            if not isinstance(nova.conf.CONF[name], cfg.ConfigOpts.GroupAttr)}


def chains(tree: ast.AST) -> Iterator[list[str]]:
    """Yield what is looked up in Nova's configuration, as a list of names."""
    for node in ast.walk(tree):
        names: list[str] = []
        while isinstance(node, ast.Attribute):
            names.insert(0, node.attr)
            node = node.value
        if isinstance(node, ast.Name) and names:
            names.insert(0, node.id)
            if names[:3] == ['nova', 'conf', 'CONF']:
                del names[:2]
            if names[0] == 'CONF' and len(names) > 1:
                yield names[1:]


class OptionsTest(unittest.TestCase):

    def setUp(self) -> None:
        # Not the one that other tests have changed: it does not forget.
        self.conf = cfg.ConfigOpts()
        for module in MODULES:
            module.register_opts(self.conf)
        conf.register_opts(self.conf)
        self.conf([], default_config_files=[])
        # All groups of Nova's are registered there.
        self.all = nova.conf.CONF
        nova.conf.neutron.register_dynamic_opts(self.all)
        conf.register_opts(self.all)

    def test_what_is_not_set_is_nobodys_business(self) -> None:
        self.assertEqual([], list(options.report(self.conf)))

    def test_what_is_set_is_told(self) -> None:
        self.read('[libvirt]\nvirt_type = qemu\n'
                  '[devices]\nenabled_mdev_types = nvidia-35\n')

        self.assertEqual(
            [('[libvirt] virt_type', 'honoured', ''),
             ('[devices] enabled_mdev_types', 'ignored',
              'no device of the host is given to guests yet')],
            list(options.report(self.conf)))

    def test_options_of_other_groups_are_told_too(self) -> None:
        self.read('[DEFAULT]\npreallocate_images = space\nmy_ip = 10.0.0.1\n'
                  '[spice]\nrequire_secure = true\n'
                  '[image_cache]\nsubdirectory_name = images\n'
                  'remove_unused_resized_minimum_age_seconds = 7\n')

        self.assertEqual({
            '[DEFAULT] preallocate_images': 'honoured',
            '[DEFAULT] my_ip': 'honoured',
            '[spice] require_secure': 'honoured',
            '[image_cache] subdirectory_name': 'honoured',
            '[image_cache] remove_unused_resized_minimum_age_seconds':
                'not applicable',
        }, {name: verdict for name, verdict, _ in options.report(self.conf)})

    def test_groups_of_mediated_devices_are_told(self) -> None:
        text = ('[devices]\nenabled_mdev_types = nvidia-35\n'
                '[mdev_nvidia-35]\nmdev_class = CUSTOM_VGPU\n')
        self.read(text)
        nova.conf.devices.register_dynamic_opts(self.conf)
        self.read(text)

        self.assertEqual(
            ['[devices] enabled_mdev_types',
             '[mdev_nvidia-35] mdev_class'],
            [name for name, _, _ in options.report(self.conf)])

    def read(self, text: str) -> None:
        """Read a configuration file."""
        with tempfile.NamedTemporaryFile('w', suffix='.conf') as file:
            file.write(text)
            file.flush()
            self.conf([], default_config_files=[file.name])

    def test_each_option_is_known(self) -> None:
        self.assertEqual([], [
            name for name in self.conf.libvirt
            if options.verdict(name)[1] == 'this driver does not know it'])

    def test_what_is_ignored_belongs_to_what_is_to_come(self) -> None:
        ignored = {name: remark for name, verdict, remark in options.table(
            self.all) if verdict == options.IGNORED}

        self.assertEqual({}, {
            name: remark for name, remark in ignored.items()
            if not re.search('given to guests yet', remark)})

    def test_what_is_refused_is_so_with_another_value_only(self) -> None:
        self.read('[libvirt]\ninject_partition = -2\npmem_namespaces =\n'
                  '[compute]\nvmdk_allowed_types = monolithicSparse,'
                  'streamOptimized\n'
                  '[workarounds]\ndisable_libvirt_livesnapshot = false\n')
        self.assertEqual([], list(options.refused(self.conf)))
        self.assertEqual({'honoured'}, {
            verdict for _, verdict, _ in options.report(self.conf)})

        self.read('[libvirt]\ninject_partition = -1\n'
                  '[DEFAULT]\nvirt_mkfs = linux=mkfs\n'
                  '[compute]\nvmdk_allowed_types = monolithicFlat\n'
                  '[workarounds]\ndisable_libvirt_livesnapshot = true\n')
        names = [name for name, _ in options.refused(self.conf)]

        self.assertEqual(
            ['[libvirt] inject_partition', '[DEFAULT] virt_mkfs',
             '[compute] vmdk_allowed_types',
             '[workarounds] disable_libvirt_livesnapshot'], names)
        self.assertEqual({'refused'}, {
            verdict for _, verdict, _ in options.report(self.conf)})

    @unittest.skipIf(environments.nova_release() < 34,
                     'the table has the options of 34')
    def test_each_option_that_novas_driver_reads_has_a_verdict(self) -> None:
        known = {name for name, _, _ in options.table(self.all)}

        self.assertGreater(len(read_by_nova()), 60)
        self.assertEqual(set(), read_by_nova() - known)

    @unittest.skipIf(environments.nova_release() < 34,
                     'the table has the options of 34')
    def test_the_documentation_has_all_of_them(self) -> None:
        lines = io.StringIO()
        csv.writer(lines, lineterminator='\n').writerows(
            options.table(self.all))
        if REGENERATE:
            TABLE.write_text(lines.getvalue())

        self.assertEqual(
            TABLE.read_text(), lines.getvalue(),
            'set NOVA_LIBVIRT_GOLDEN=regenerate to write it again')

    def test_what_is_honoured_has_a_name_of_novas(self) -> None:
        theirs = cfg.ConfigOpts()
        nova.conf.libvirt.register_opts(theirs)

        self.assertEqual(set(), {opt.dest for opt in libvirt.OPTS}
                         - set(theirs.libvirt))
