# SPDX-License-Identifier: Apache-2.0

"""The ports of a server."""

from collections.abc import Iterator
import contextlib
import dataclasses
import importlib
import json
import tempfile
import types
from typing import Any
import unittest
from unittest import mock

from nova import exception as nova_exception
from nova.network import model as network_model
from nova import objects
from os_vif import exception as os_vif_exception

import nova.conf
from nova_libvirt_driver import base
from nova_libvirt_driver import conf
from nova_libvirt_driver import exception
from nova_libvirt_driver.nova_plugin import attachments
from nova_libvirt_driver.nova_plugin import interfaces
from nova_libvirt_driver.nova_plugin import network
from nova_libvirt_driver.nova_plugin import translate
from nova_libvirt_driver import ports
from nova_libvirt_driver.spec import guest as guest_spec
from nova_libvirt_driver.testing import fake_attachment
from nova_libvirt_driver.testing import specs
from tests.nova import environments
from tests.nova import test_translate

CONF = nova.conf.CONF

OTHER = 'b14c8de1-19c8-4af8-b040-3b28f00caec3'


def timeout() -> BaseException:
    """Return what tells that a word has not come in time."""
    kind = getattr(nova_exception, 'InstanceEventTimeout', None)
    if kind is None:
        # That of Nova 31.
        kind = importlib.import_module('eventlet').Timeout
    made: BaseException = kind()
    return made


@contextlib.contextmanager
def overridden(options: dict[str, Any]) -> Iterator[None]:
    """Set options in ``[libvirt]``."""
    for name, value in options.items():
        CONF.set_override(name, value, 'libvirt')
    try:
        yield
    finally:
        for name in options:
            CONF.clear_override(name, 'libvirt')


class FakeCore(base.ComputeDriver):
    """Knows of volumes no more than that they are connected or not.

    :param folder: of the file that says so
    """

    def __init__(self, folder: str) -> None:
        self._folder = folder

    def volume_attachment(self, *args: Any, **kwargs: Any) -> Any:
        return fake_attachment.FakeAttachment(f'{self._folder}/volumes')


class FakeVirtAPI:
    """Waits for events, or runs out of time.

    :param error: what the end of the waiting raises
    """

    def __init__(self, error: BaseException | None = None) -> None:
        self.waited: list[list[tuple[str, str]]] = []
        self._error = error

    @contextlib.contextmanager
    def wait_for_instance_event(
            self, instance: Any, events: Any, timeout: int,
            error_callback: Any) -> Iterator[None]:
        self.waited.append(events)
        yield
        if self._error is not None:
            raise self._error


class NetworkTest(unittest.TestCase):

    def setUp(self) -> None:
        conf.register_opts(CONF)
        for name in ('plug', 'unplug'):
            patch = mock.patch(f'os_vif.{name}', autospec=True)
            setattr(self, name, patch.start())
            self.addCleanup(patch.stop)
        self.addCleanup(CONF.clear_override, 'vif_plugging_is_fatal')

    def existing(self, *vifs: Any) -> network.Ports:
        return network.Ports(test_translate.make_instance(), vifs)

    def network(
            self, virtapi: FakeVirtAPI, *,
            active: bool = False) -> network.NewPorts:
        return network.NewPorts(
            test_translate.make_instance(),
            [test_translate.make_vif('ovs', active=active)], virtapi,
            complete=self.complete)

    def complete(self, spec: guest_spec.GuestSpec) -> guest_spec.GuestSpec:
        return dataclasses.replace(spec, name='whole')

    def calls(self) -> tuple[int, int]:
        """Return how often a port was plugged, and unplugged."""
        return (getattr(self, 'plug').call_count,
                getattr(self, 'unplug').call_count)

    def test_nobody_waits_for_ports_before_they_are_needed(self) -> None:
        info = mock.MagicMock()

        made = network.NewPorts(
            test_translate.make_instance(), info, FakeVirtAPI(),
            complete=self.complete)

        self.assertEqual([], info.mock_calls)
        self.assertEqual(
            'whole', made.prepare(specs.guest_spec('bare', 'image')).name)

    def test_ports_are_plugged_and_waited_for(self) -> None:
        virtapi = FakeVirtAPI()

        with self.network(virtapi).connect() as wait:
            self.assertEqual((1, 0), self.calls())

        self.assertTrue(wait)
        self.assertEqual(
            [[('network-vif-plugged', test_translate.PORT_ID)]],
            virtapi.waited)

    def test_a_port_that_is_there_is_not_waited_for(self) -> None:
        virtapi = FakeVirtAPI()

        with self.network(virtapi, active=True).connect() as wait:
            self.assertEqual((1, 0), self.calls())

        self.assertFalse(wait)
        self.assertEqual([], virtapi.waited)

    def test_what_a_spawn_has_plugged_is_unplugged(self) -> None:
        made = self.network(FakeVirtAPI())

        made.revert()
        self.assertEqual((0, 0), self.calls())
        with made.connect():
            pass
        made.revert()
        self.assertEqual((1, 1), self.calls())

    def test_an_existing_server_waits_for_no_event(self) -> None:
        with self.existing(
                test_translate.make_vif('ovs', active=False)).connect() as (
                    wait):
            self.assertEqual((1, 0), self.calls())

        self.assertFalse(wait)

    def test_a_hard_reboot_waits_for_what_the_option_names(self) -> None:
        for kind, details, names, waits in (
                ('ovs', {}, ['normal'], True), ('ovs', {}, ['direct'], False),
                ('ovs', {}, [], False), ('bridge', {}, ['normal'], True),
                # Its end on the host is not there, and is plugged anew.
                ('ovs', {'ovs_hybrid_plug': True}, ['normal'], True),
                ('vhostuser', {'vhostuser_socket': '/run/one',
                               'vhostuser_ovs_plug': True}, ['normal'],
                 False)):
            with self.subTest(kind=kind, details=details, names=names):
                self.option(names)
                virtapi = FakeVirtAPI()
                made = network.RestartedPorts(test_translate.make_instance(), [
                    test_translate.make_vif(
                        kind, active=True, details=details)], virtapi)

                with made.connect() as wait:
                    pass

                self.assertEqual((waits, int(waits)),
                                 (wait, len(virtapi.waited)))

    def test_a_hard_reboot_does_not_wait_for_what_stays(self) -> None:
        self.option(['normal'])
        vif = test_translate.make_vif('tap', active=True)
        # Every host has it.
        vif['devname'] = 'lo'
        virtapi = FakeVirtAPI()
        made = network.RestartedPorts(
            test_translate.make_instance(), [vif], virtapi)

        with mock.patch('nova.privsep.linux_net.create_tap_dev',
                        autospec=True):
            with made.connect() as wait:
                pass

        self.assertEqual((False, []), (wait, virtapi.waited))

    def option(self, names: list[str]) -> None:
        """Name the kinds of ports that a hard reboot waits for."""
        CONF.set_override('wait_for_vif_plugged_event_during_hard_reboot',
                          names, 'workarounds')
        self.addCleanup(
            CONF.clear_override,
            'wait_for_vif_plugged_event_during_hard_reboot', 'workarounds')

    def test_only_what_was_not_plugged_before_is_unplugged(self) -> None:
        # Every host has the second device.
        for device, unplugged in (('tap-missing', 1), ('lo', 0)):
            with self.subTest(device=device), mock.patch.multiple(
                    'nova.privsep.linux_net', autospec=True,
                    create_tap_dev=mock.DEFAULT,
                    delete_net_dev=mock.DEFAULT) as linux_net:
                vif = test_translate.make_vif('tap')
                vif['devname'] = device
                made = self.existing(vif)
                with made.connect():
                    pass

                made.revert()

                self.assertEqual(
                    unplugged, linux_net['delete_net_dev'].call_count)

    def test_a_bridge_of_its_own_tells_whether_a_port_is_plugged(
            self) -> None:
        # Libvirt plugs the first one, when its guest starts.
        for details, unplugged in (({}, 0), ({'ovs_hybrid_plug': True}, 1)):
            with self.subTest(details=details):
                getattr(self, 'unplug').reset_mock()
                made = self.existing(
                    test_translate.make_vif('ovs', details=details))
                with made.connect():
                    pass

                made.revert()

                self.assertEqual(unplugged, self.calls()[1])

    def test_a_removed_server_is_unplugged_whoever_plugged_it(self) -> None:
        self.existing(test_translate.make_vif('ovs')).disconnect()

        self.assertEqual((0, 1), self.calls())

    def test_a_port_that_cannot_be_unplugged_does_not_stop_a_removal(
            self) -> None:
        vifs = [test_translate.make_vif('ovs') for _ in range(2)]
        getattr(self, 'unplug').side_effect = (
            os_vif_exception.ExceptionBase('no bridge'))

        with self.assertLogs(interfaces.LOG.logger, 'ERROR') as logs:
            self.existing(*vifs).disconnect()

        self.assertEqual((0, 2), self.calls())
        self.assertEqual(2, len(logs.output))
        with self.assertRaises(nova_exception.NovaException):
            interfaces.unplug(test_translate.make_instance(), vifs)

    def test_a_port_that_makes_no_sense_does_not_stop_the_service(
            self) -> None:
        # The compute manager knows one error, and plugs all when it starts.
        vifs = [test_translate.make_vif('strange'),
                test_translate.make_vif('ovs', vnic_type='direct'),
                network_model.VIF(id=OTHER)]
        for vif in vifs:
            with self.subTest(vif=vif), self.assertRaises(
                    nova_exception.VirtualInterfacePlugException):
                interfaces.plug(test_translate.make_instance(), [vif])

        with self.assertLogs(interfaces.LOG.logger, 'ERROR') as logs:
            self.existing(*vifs).disconnect()
        self.assertEqual(len(vifs), len(logs.output))

    @unittest.skipIf(environments.nova_release() < 34,
                     'with this Nova, os-vif makes no taps')
    def test_a_tap_has_queues_if_its_guest_has(self) -> None:
        vif = test_translate.make_vif('ovs', details={
            'ovs_create_tap': True})
        for wanted, asked, options in (
                (False, {}, {}),
                (True, {}, {}),
                (False, {'hw_vif_model': 'e1000'}, {}),
                (False, {}, {'max_queues': 1}),
                (True, {}, {'virt_type': 'qemu'})):
            instance = test_translate.make_instance(system_metadata={
                f'image_{name}': value for name, value in {
                    'hw_vif_multiqueue_enabled': str(
                        wanted or bool(asked or options)), **asked}.items()})
            with self.subTest(asked=asked, options=options), overridden(
                    options):
                interfaces.plug(instance, [vif])

                plugged = getattr(self, 'plug').call_args.args[0]
                self.assertIs(wanted, plugged.port_profile.multiqueue)
                nic, = translate.guest(translate.Request(
                    instance, instance.image_meta, [vif])).nics
                self.assertEqual(wanted, (nic.queues or 1) > 1)

    def test_an_interrupted_server_is_looked_up(self) -> None:
        for answer, unplugged in (
                ([self.known(CONF.host)], 1),
                (nova_exception.InstanceNotFound(instance_id='gone'), 0)):
            getattr(self, 'unplug').reset_mock()
            with self.subTest(answer=answer):
                for found in self.interrupted(answer):
                    found.disconnect()

                self.assertEqual(unplugged, self.calls()[1])

    def test_an_interrupted_port_is_looked_up_by_its_name(self) -> None:
        for name, unplugged in ((f'port {test_translate.PORT_ID}', 1),
                                ('port gone', 0)):
            getattr(self, 'unplug').reset_mock()
            with self.subTest(name=name), mock.patch.object(
                    objects.Instance, 'get_by_uuid', autospec=True,
                    side_effect=[self.known(CONF.host)]):
                found = attachments.interrupted_device(
                    FakeCore(''), test_translate.make_instance(), name, None)
                if found is not None:
                    found.disconnect()

                self.assertEqual(unplugged, self.calls()[1])

    def test_a_port_that_nova_has_lost_is_known_by_its_memo(self) -> None:
        vif = test_translate.make_vif('ovs')
        memo = json.loads(json.dumps(
            network.Port(test_translate.make_instance(), vif).memo))
        known = self.known(CONF.host)
        known.info_cache.network_info = network_model.NetworkInfo()
        for owner, unplugged in ((None, 1), (known.uuid, 1), (OTHER, 0)):
            getattr(self, 'unplug').reset_mock()
            with self.subTest(owner=owner), mock.patch.object(
                    objects.Instance, 'get_by_uuid', autospec=True,
                    side_effect=[known]), mock.patch.object(
                    objects.VirtualInterface, 'get_by_uuid', autospec=True,
                    side_effect=[owner and objects.VirtualInterface(
                        instance_uuid=owner)]):
                found = attachments.interrupted_device(
                    FakeCore(''), known, f'port {vif["id"]}', memo)
                if found is not None:
                    found.disconnect()

                self.assertEqual(unplugged, self.calls()[1])

    def test_a_port_that_is_new_is_unplugged_after_a_failure(self) -> None:
        vif = test_translate.make_vif('vhostuser', details={
            'vhostuser_socket': '/run/one', 'vhostuser_ovs_plug': True})
        for is_new, unplugged in ((True, 1), (False, 0)):
            getattr(self, 'unplug').reset_mock()
            made = network.Port(
                test_translate.make_instance(), vif, is_new=is_new)
            with made.connect():
                pass

            made.revert()

            self.assertEqual(unplugged, self.calls()[1])

    def test_one_that_is_not_here_is_not_started_again(self) -> None:
        for host, deleted, words in (
                (CONF.host, False, ''), ('other', False, 'on host other'),
                (CONF.host, True, 'deleted'), ('', False, 'not known')):
            known = self.known(host)
            known.deleted = deleted
            first = self.interrupted([known] if host else (
                nova_exception.InstanceNotFound(instance_id='one')))[0]
            with self.subTest(host=host, deleted=deleted):
                try:
                    with first.connect():
                        pass
                except exception.WrongState as error:
                    self.assertIn(words or 'no error', str(error))
                else:
                    self.assertEqual('', words)

    def known(self, host: str) -> objects.Instance:
        """Return a server with a port, as Nova's database has it."""
        vifs = [test_translate.make_vif('ovs')]
        return test_translate.make_instance(
            host=host, root_device_name='/dev/vda',
            info_cache=objects.InstanceInfoCache(
                network_info=network_model.NetworkInfo(vifs)))

    def test_what_the_database_does_not_know_was_not_deleted(self) -> None:
        deleted = self.known(CONF.host)
        deleted.deleted = True
        for answer, home in (
                (self.known(CONF.host), ports.Home.HERE),
                (self.known('two'), ports.Home.ELSEWHERE),
                (deleted, ports.Home.DELETED),
                (nova_exception.InstanceNotFound(instance_id='one'),
                 ports.Home.UNKNOWN)):
            with self.subTest(home=home), mock.patch.object(
                    objects.Instance, 'get_by_uuid', autospec=True,
                    side_effect=[answer]):
                self.assertIs(home, attachments.home(
                    test_translate.make_instance()))

    def test_only_a_deleted_server_loses_what_was_not_written(self) -> None:
        deleted = self.known(CONF.host)
        deleted.deleted = True
        memo = {'connection_info': {
            'driver_volume_type': 'rbd', 'serial': OTHER, 'data': {}}}
        for answer, is_forced in (
                (self.known(CONF.host), False), (deleted, True),
                (nova_exception.InstanceNotFound(instance_id='one'), False)):
            with self.subTest(answer=answer), mock.patch.object(
                    objects.Instance, 'get_by_uuid', autospec=True,
                    side_effect=[answer]):
                core: Any = types.SimpleNamespace(
                    volume_attachment=lambda *what, force: force)
                self.assertEqual(is_forced, attachments.interrupted_device(
                    core, test_translate.make_instance(), OTHER, memo))

    def interrupted(self, answer: Any) -> ports.Attachments:
        """Return the attachments, when the database gives that answer."""
        folder = self.enterContext(tempfile.TemporaryDirectory())
        with mock.patch.object(
                objects.Instance, 'get_by_uuid', autospec=True,
                side_effect=answer), mock.patch.object(
                objects.BlockDeviceMappingList, 'get_by_instance_uuid',
                autospec=True,
                return_value=objects.BlockDeviceMappingList(objects=[])):
            return attachments.interrupted(
                FakeCore(folder), test_translate.make_instance())

    def test_a_word_that_does_not_come_is_an_error(self) -> None:
        with self.assertRaises(
                nova_exception.VirtualInterfaceCreateException):
            with self.network(FakeVirtAPI(timeout())).connect():
                pass

    def test_unless_that_is_not_fatal(self) -> None:
        CONF.set_override('vif_plugging_is_fatal', False)

        with self.network(FakeVirtAPI(timeout())).connect() as wait:
            pass

        self.assertTrue(wait)
