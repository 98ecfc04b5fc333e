# SPDX-License-Identifier: Apache-2.0

"""TPMs, and their secrets in the key manager."""

import tempfile
from typing import Any
import unittest
from unittest import mock
import uuid

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
from nova_libvirt_driver.spec import device as device_spec
from nova_libvirt_driver.testing import fake_libvirt
from nova_libvirt_driver.testing import fake_secret
from nova_libvirt_driver.testing import specs
from tests.nova import environments
from tests.nova import test_attached_volumes
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
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        config.CONF.set_override('instances_path', folder.name)
        self.addCleanup(config.CONF.clear_override, 'instances_path')
        self.core: base.ComputeDriver = driver.LibvirtDriver()
        self.core.init_host('here')
        self.addCleanup(self.core.cleanup_host, 'here')

    def instance(self, **extra_specs: str) -> objects.Instance:
        return test_translate.make_instance({**WANTED, **{
            f'hw:{name}': value for name, value in extra_specs.items()}})

    def start(self, instance: objects.Instance) -> list[Any]:
        """Return what libvirt has while the guest is started."""
        made = self.secret(instance)
        self.prepared = made.prepare(translate.guest(translate.Request(
            instance, test_translate.make_image())))
        with made.connect():
            return list(self.hypervisor.secrets)

    def secret(self, instance: objects.Instance) -> tpm.Secret:
        return tpm.Secret(
            self.core, self.context, instance, destroy_secrets=True)

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

        made = self.prepared.devices.tpm

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

        self.secret(instance).disconnect()
        self.assertEqual([], self.hypervisor.secrets)

    @unittest.skipIf(environments.nova_release() < 33,
                     'this Nova knows secrets of users only')
    def test_one_of_the_host_goes_when_the_first_start_fails(self) -> None:
        instance = self.instance(tpm_secret_security='host')
        for left in (0, 1):
            made = self.secret(instance)
            made.prepare(translate.guest(translate.Request(
                instance, test_translate.make_image())))
            with made.connect():
                pass

            made.revert()

            self.assertEqual(left, len(self.hypervisor.secrets))
            self.start(instance)

    def test_one_that_libvirt_takes_too_late_goes(self) -> None:
        instance = self.instance()
        made = self.secret(instance)
        made.prepare(translate.guest(translate.Request(
            instance, test_translate.make_image())))
        self.hypervisor.fail_next('secretDefineXML', OSError('no answer'))
        with self.assertRaises(OSError), made.connect():
            pass
        self.hypervisor.secrets.append(fake_secret.Kept(
            instance.system_metadata['vtpm_secret_uuid'], instance.uuid,
            private=True, ephemeral=True))

        made.revert()

        self.assertEqual([], self.hypervisor.secrets)

    def spawn(self, instance: objects.Instance) -> str:
        """Make a guest without disks; return its XML."""
        spec = specs.guest_spec(
            'web', '', uuid=instance.uuid,
            devices=device_spec.DeviceSpec(tpm=tpm.spec(instance)))
        self.addCleanup(self.core.destroy, spec)
        self.core.spawn(spec, attachments=[self.secret(instance)])
        return str(self.hypervisor.guests[0].xml)

    def test_a_guest_is_made_with_the_secret_that_it_gets(self) -> None:
        instance = self.instance()

        xml = self.spawn(instance)

        self.assertIn(instance.system_metadata['vtpm_secret_uuid'], xml)
        self.assertEqual([], self.hypervisor.secrets)

    @unittest.skipIf(environments.nova_release() < 33,
                     'this Nova knows secrets of users only')
    def test_one_of_the_host_stays_if_the_guest_starts(self) -> None:
        instance = self.instance(tpm_secret_security='host')
        self.hypervisor.fail_next('createWithFlags', OSError('no memory'))

        self.assertRaises(OSError, self.spawn, instance)
        self.assertEqual([], self.hypervisor.secrets)
        self.spawn(instance)

        self.assertEqual(1, len(self.hypervisor.secrets))

    def test_a_secret_that_is_lost_is_no_other_secret(self) -> None:
        instance = self.instance()
        self.start(instance)
        self.keys.keys.clear()

        with self.assertRaisesRegex(
                nova_exception.NovaException, 'has no secret'):
            self.start(instance)

    def test_a_flavor_that_is_given_up_takes_its_secret_along(self) -> None:
        without = test_translate.make_instance().flavor
        for kept, secrets in ((without, 0), (None, 1)):
            instance = self.instance()
            self.keys.keys.clear()
            self.start(instance)
            gone = instance.flavor

            tpm.forget_unused(self.context, instance,
                              kept=kept or instance.flavor, gone=gone)

            self.assertEqual(secrets, len(self.keys.keys))
            self.assertEqual(
                secrets, 'vtpm_secret_uuid' in instance.system_metadata)

    @unittest.skipIf(environments.nova_release() < 34,
                     'this Nova sends no secrets')
    def test_one_of_the_host_goes_along(self) -> None:
        instance = self.instance(tpm_secret_security='host')
        kept, = self.start(instance)
        data = objects.LibvirtLiveMigrateData()

        tpm.tell(self.core, instance, data)
        self.secret(instance).disconnect()
        self.assertEqual([], self.hypervisor.secrets)
        coming = tpm.Coming(self.core, self.context, instance, data)
        coming.prepare(specs.guest_spec('web', ''))
        with coming.connect():
            self.assertEqual([kept], self.hypervisor.secrets)

        self.assertEqual([kept], self.hypervisor.secrets)
        coming.revert()
        self.assertEqual([], self.hypervisor.secrets)

    def test_one_that_cannot_be_sent_keeps_a_server_here(self) -> None:
        for security in ('user', 'deployment', 'host'):
            instance = self.instance(tpm_secret_security=security)
            data = objects.LibvirtLiveMigrateData()
            with self.assertRaisesRegex(
                    nova_exception.MigrationPreCheckError, 'secret of its'):
                tpm.tell(self.core, instance, data)
            self.assertNotIn('vtpm_secret_value', data)

    def test_a_server_that_goes_on_elsewhere_takes_its_secret_along(
            self) -> None:
        here = config.CONF.host
        for host, state in ((here, 'resize_reverting'), ('other', None)):
            instance = self.instance()
            first = self.start(instance)
            instance.host, instance.task_state = host, state

            self.secret(instance).disconnect()

            self.assertEqual(first, self.start(instance))

    @unittest.skipIf(environments.nova_release() >= 33,
                     'this Nova deletes it by itself')
    def test_a_server_that_is_deleted_takes_its_secret_along(self) -> None:
        instance = self.instance()
        self.start(instance)
        instance.host, instance.task_state = config.CONF.host, 'deleting'

        self.secret(instance).disconnect()

        self.assertEqual({}, self.keys.keys)

    def test_without_a_tpm_nobody_is_asked(self) -> None:
        instance = test_translate.make_instance()

        self.assertEqual([], self.start(instance))
        self.secret(instance).disconnect()
        tpm.tell(self.core, instance, objects.LibvirtLiveMigrateData())
        self.assertNotIn('secretLookupByUsage', self.hypervisor.calls)

    def test_a_host_without_tpms_refuses(self) -> None:
        config.CONF.set_override('swtpm_enabled', False, 'libvirt')

        with self.assertRaisesRegex(
                exception.InvalidRequest, 'swtpm_enabled'):
            translate.guest(translate.Request(
                self.instance(), test_translate.make_image()))
        # A guest of before is not kept from its removal.
        self.secret(self.instance()).disconnect()


@unittest.skipIf(environments.nova_release() < 34,
                 'this Nova sends no secrets')
class LiveTest(test_attached_volumes.VerbsTestCase):
    """A server with a secret of the host comes, or goes, while it runs."""

    def setUp(self) -> None:
        super().setUp()
        self.option('swtpm_enabled', True, 'libvirt')
        self.instance.flavor = test_translate.make_instance({
            **WANTED, 'hw:tpm_secret_security': 'host'}).flavor
        self.instance.system_metadata['vtpm_secret_uuid'] = str(uuid.uuid4())

    def data(self, **fields: Any) -> objects.LibvirtLiveMigrateData:
        return objects.LibvirtLiveMigrateData(
            is_shared_instance_path=True, bdms=[], **fields)

    def test_one_that_does_not_come_leaves_no_secret(self) -> None:
        self.instance.uuid = str(uuid.uuid4())
        self.root = self.info()
        self.driver.pre_live_migration(
            self.context, self.instance, self.block_devices(), [], None,
            self.data(vtpm_secret_value='c2VjcmV0',
                      vtpm_secret_uuid=self.instance.system_metadata[
                          'vtpm_secret_uuid']))
        kept, = self.hypervisor.secrets
        self.assertEqual(
            (self.instance.uuid, b'c2VjcmV0'), (kept.usage_name, kept.value))

        self.driver.rollback_live_migration_at_destination(
            self.context, self.instance, [], self.block_devices())

        self.assertEqual([], self.hypervisor.secrets)

    def test_one_that_goes_leaves_no_secret(self) -> None:
        other = fake_libvirt.FakeHypervisor()
        self.hypervisor.others['qemu+tcp://two/system'] = other
        self.hypervisor.guests[0].goes_to = other.guests
        core: Any = self.driver._core
        with core.holding_tpm_secret(self.instance, device_spec.TpmSecret(
                uuid=self.instance.system_metadata['vtpm_secret_uuid'],
                value=b'c2VjcmV0', kept=True)):
            pass

        def post(*arguments: Any) -> None:
            self.assertEqual(1, len(self.hypervisor.secrets))
            self.driver.post_live_migration_at_source(
                self.context, self.instance, [])
            self.instance.host = 'two'

        self.driver.live_migration(
            self.context, self.instance, 'two', post, self.fail,
            migrate_data=self.data())

        self.assertEqual([], self.hypervisor.secrets)
