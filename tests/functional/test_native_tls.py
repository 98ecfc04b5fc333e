# SPDX-License-Identifier: Apache-2.0

"""Memory and disks that QEMU encrypts on their way to another host."""

import contextlib
import pathlib
import shutil
import subprocess
import tempfile
from typing import ClassVar

from nova_libvirt_driver import exception
from tests.functional import pair
from tests.functional import test_live_migration

_CONFIG = """
[req]
prompt = no
distinguished_name = name
x509_extensions = usage
[name]
CN = {name}
[usage]
{usage}
"""
_OF_CA = """basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign"""
_OF_HOST = """basicConstraints = CA:FALSE
extendedKeyUsage = serverAuth, clientAuth
subjectAltName = IP:{address}"""


class NativeTlsTest(test_live_migration.LiveMigrationTestCase):
    """Each host has certificates, as qemu.conf says."""

    certificates: ClassVar[pathlib.Path]

    @classmethod
    def start_hosts(cls, stack: contextlib.ExitStack) -> None:
        cls.certificates = pathlib.Path(tempfile.mkdtemp())
        stack.callback(shutil.rmtree, cls.certificates)
        for authority in ('ours', 'other'):
            folder = cls.certificates / authority
            folder.mkdir()
            _make(folder, 'ca', _OF_CA, signed_by=None)
        for name in pair.NAMES:
            folder = cls.certificates / name
            folder.mkdir()
            cls.certify(name)
        cls.hosts = pair.hosts(stack, lambda name: {
            'default_tls_x509_cert_dir': str(cls.certificates / name)})

    @classmethod
    def certify(
            cls, name: str, authority: str = 'ours',
            address: str | None = None) -> None:
        """Give a host a certificate, in place of the one that it has."""
        folder = cls.certificates / name
        usage = _OF_HOST.format(address=address or pair.ADDRESSES[
            pair.NAMES.index(name)])
        _make(folder, 'server', usage, signed_by=cls.certificates / authority)
        for kind in ('cert', 'key'):
            shutil.copy(folder / f'server-{kind}.pem',
                        folder / f'client-{kind}.pem')
        shutil.copy(cls.certificates / authority / 'ca-cert.pem', folder)

    def test_only_the_host_that_is_certified_gets_a_guest(self) -> None:
        self.connect(self.source, live_migration_with_native_tls=True)
        spec = self.running(2)
        for authority, address in (
                ('other', None), ('ours', '192.0.2.99')):
            with self.subTest(authority=authority, address=address):
                self.certify('two', authority, address)
                there = self.prepare(spec, self.source, self.target)

                error = self.assertRaises(
                    exception.MigrationFailed, self.go, there, self.source,
                    self.target)

                self.assertRegex(str(error), '(?i)certificate')
                self.roll_back(spec)
                self.assert_only_at(self.source, spec)
        before = self.count(self.source, spec, above=self.count(
            self.source, spec, above=0))
        self.certify('two')

        self.move(spec, self.source, self.target)

        self.assert_only_at(self.target, spec)
        self.count(self.target, spec, above=before)


def _make(
        folder: pathlib.Path, name: str, usage: str,
        signed_by: pathlib.Path | None) -> None:
    """Make a key and a certificate."""
    config = folder / f'{name}.cnf'
    config.write_text(_CONFIG.format(name=name, usage=usage))
    signer = [] if signed_by is None else [
        '-CA', str(signed_by / 'ca-cert.pem'),
        '-CAkey', str(signed_by / 'ca-key.pem')]
    subprocess.run(
        ['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt',
         'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2',
         '-config', str(config), '-keyout', str(folder / f'{name}-key.pem'),
         '-out', str(folder / f'{name}-cert.pem'), *signer],
        check=True, capture_output=True)
