# SPDX-License-Identifier: Apache-2.0

"""TPMs, and their secrets in the key manager."""

from typing import Any
import unittest
from unittest import mock

from castellan.tests.unit.key_manager import mock_key_manager
from nova import config
from nova import context as nova_context
from nova import exception as nova_exception
from nova import objects

from nova_libvirt_driver import base
from nova_libvirt_driver import driver
from nova_libvirt_driver import exception
from nova_libvirt_driver.nova_plugin import tpm
from nova_libvirt_driver.nova_plugin import translate
from nova_libvirt_driver.testing import fake_libvirt
from tests.nova import environments
from tests.nova import test_translate

WANTED = {'hw:tpm_version': '2.0'}


class TpmTest(unittest.TestCase):

    def setUp(self) -> None:
        super().setUp()
        config.CONF.set_override('swtpm_enabled', True, 'libvirt')
        self.addCleanup(
            config.CONF.clear_override, 'swtpm_enabled', 'libvirt')
        self.keys = mock_key_manager.MockKeyManager()
        self.hypervisor = fake_libvirt.FakeHypervisor()
        for target, value in (
                ('nova.crypto._get_key_manager', lambda: self.keys),
                ('libvirt.openAuth', self.hypervisor.open_auth)):
            patch = mock.patch(target, value)
            patch.start()
            self.addCleanup(patch.stop)
        save = mock.patch.object(objects.Instance, 'save', autospec=True)
        save.start()
        self.addCleanup(save.stop)
        self.context = nova_context.RequestContext('u', 'p')
        self.core: base.ComputeDriver = driver.LibvirtDriver()
        self.core.init_host('here')
        self.addCleanup(self.core.cleanup_host, 'here')

    def instance(self, **extra_specs: str) -> objects.Instance:
        return test_translate.make_instance({**WANTED, **{
            f'hw:{name}': value for name, value in extra_specs.items()}})

    def start(self, instance: objects.Instance) -> list[Any]:
        """Return what libvirt has while the guest is started."""
        with tpm.opened(self.core, self.context, instance):
            return list(self.hypervisor.secrets)

    def test_each_start_has_the_secret_of_the_first(self) -> None:
        instance = self.instance()

        first, again = self.start(instance), self.start(instance)

        self.assertEqual(first, again)
        self.assertEqual(instance.system_metadata['vtpm_secret_uuid'],
                         first[0].uuid)
        self.assertEqual(
            self.keys.get(self.context, first[0].uuid).get_encoded(),
            first[0].value)
        self.assertEqual([], self.hypervisor.secrets)

    def test_the_domain_names_it(self) -> None:
        instance = self.instance()
        self.start(instance)

        made = translate.guest(translate.Request(
            instance, test_translate.make_image())).devices.tpm

        assert made is not None
        self.assertEqual(
            ('2.0', 'tpm-tis', instance.system_metadata['vtpm_secret_uuid']),
            (made.version, made.model, made.secret_uuid))

    @unittest.skipIf(environments.nova_release() < 33,
                     'this Nova knows secrets of users only')
    def test_one_of_the_host_is_asked_for_once(self) -> None:
        instance = self.instance(tpm_secret_security='host')
        first = self.start(instance)
        self.keys.keys.clear()

        self.assertEqual(first, self.start(instance))

        tpm.forget(self.core, self.context, instance, True)
        self.assertEqual([], self.hypervisor.secrets)

    def test_a_secret_that_is_lost_is_no_other_secret(self) -> None:
        instance = self.instance()
        self.start(instance)
        self.keys.keys.clear()

        with self.assertRaisesRegex(
                nova_exception.NovaException, 'has no secret'):
            self.start(instance)

    def test_without_a_tpm_nobody_is_asked(self) -> None:
        instance = test_translate.make_instance()

        self.assertEqual([], self.start(instance))
        tpm.forget(self.core, self.context, instance, True)
        self.assertNotIn('secretLookupByUsage', self.hypervisor.calls)

    def test_a_host_without_tpms_refuses(self) -> None:
        config.CONF.set_override('swtpm_enabled', False, 'libvirt')

        with self.assertRaisesRegex(
                exception.InvalidRequest, 'swtpm_enabled'):
            translate.guest(translate.Request(
                self.instance(), test_translate.make_image()))
        # A guest of before is not kept from its other verbs.
        self.assertEqual([], self.start(self.instance()))
