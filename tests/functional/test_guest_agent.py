# SPDX-License-Identifier: Apache-2.0

"""What goes through the guest agent, with a Linux guest that has one."""

import os
import signal
import time

from lxml import etree

from nova_libvirt_driver import exception
from nova_libvirt_driver.guest import agent
from nova_libvirt_driver.guest import freeze
from nova_libvirt_driver.guest import handle
from nova_libvirt_driver.operations.steps import shutdown
from nova_libvirt_driver import ports
from nova_libvirt_driver.spec import agent as agent_spec
from nova_libvirt_driver.spec import device as device_spec
from nova_libvirt_driver.testing import fake_ports
from nova_libvirt_driver.testing import linux_guest
from tests.functional import boot_guest

wait_until = fake_ports.wait_until

CANARY = 'canary-9f27d1'
INSTANCE = boot_guest.INSTANCE
CHANNEL = ("<channel type='unix'><target type='virtio' "
           "name='org.qemu.guest_agent.0'/></channel>")
BOOT_S = 240.0


class AgentTest(boot_guest.BootGuestTestCase):

    def boot(self) -> handle.Guest:
        """Start the Linux guest and wait for its agent."""
        guest = self.start()
        wait_until(lambda: self.printed('ready'), 'the boot',
                   timeout_s=BOOT_S)
        wait_until(guest.agent.is_connected, 'the agent')
        return guest

    def start(self) -> handle.Guest:
        """Start the Linux guest."""
        linux = linux_guest.build()
        domain = etree.fromstring(self.xml(CHANNEL))
        os_element = domain.find('os')
        assert os_element is not None
        for tag, text in (('kernel', str(linux.kernel)),
                          ('initrd', str(linux.initrd)),
                          ('cmdline', linux_guest.kernel_arguments())):
            etree.SubElement(os_element, tag).text = text
        for memory in domain.iterfind('memory'):
            memory.text = str(linux_guest.MEMORY_MIB)
        guest = self.guests.define(
            etree.tostring(domain, encoding='unicode'), INSTANCE)
        guest.start()
        return guest

    def printed(self, words: str) -> int:
        """Return how often the guest has printed something."""
        if not self.console.exists():
            return 0
        return self.console.read_bytes().count(
            b'guest: ' + words.encode())

    def test_agent_freezes_thaws_and_sets_a_password(self) -> None:
        guest = self.boot()

        freeze.freeze(guest)
        freeze.thaw(guest)
        with freeze.frozen(guest) as is_frozen:
            self.assertTrue(is_frozen)
        guest.agent.set_user_password(
            device_spec.FeatureSpec().administrator, CANARY)

        for command, times in (('fsfreeze-freeze', 2), ('fsfreeze-thaw', 2),
                               ('set-user-password', 1)):
            wait_until(lambda: self.printed(
                f'agent guest-{command}') == times, command)
        self.assertNotIn(CANARY, self.log.output)

    def test_agent_runs_a_command(self) -> None:
        guest = self.boot()

        outcome = guest.agent.execute(['/bin/hello', 'you'], timeout_s=120)

        self.assertEqual(
            agent_spec.Outcome(exit_code=3, stdout=b'hello\n',
                               stderr=b'hm\n'), outcome)
        wait_until(lambda: self.printed('exec /bin/hello') == 1, 'the order')

    def test_agent_of_a_guest_that_boots_is_waited_for(self) -> None:
        guest = self.start()
        self.assertFalse(guest.agent.is_connected())

        guest.agent.await_connected(BOOT_S)

        self.assertTrue(guest.agent.is_connected())
        self.assertEqual(1, guest.agent.freeze())

    def test_agent_that_does_nothing_does_not_keep_a_guest_up(self) -> None:
        guest = self.boot()

        # A second press of the button would come as late as that.
        self.assertTrue(shutdown.run(
            guest, 120, 10, ports.NullProgress()))

        self.assertFalse(guest.is_active())
        self.assertEqual(1, self.printed('power button'))

    def test_mute_agent_is_not_waited_for(self) -> None:
        guest = self.boot()
        pid = self.host.guest_pid('one')
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        self.addCleanup(os.kill, pid, signal.SIGCONT)

        for act in (guest.agent.freeze, guest.agent.thaw):
            self.assertRaises(exception.AgentUnavailable, act, timeout_s=1)
        os.kill(pid, signal.SIGCONT)

        # What it answers now is too late, and nobody is confused by it.
        self.assertEqual(1, guest.agent.freeze())
        self.assertEqual(1, guest.agent.thaw())


class WithoutAgentTest(boot_guest.BootGuestTestCase):

    def test_channel_that_nobody_opens_is_told_soon(self) -> None:
        guest = self.define(CHANNEL)
        guest.start()
        self.wait_booted()
        began = time.monotonic()

        self.assertFalse(guest.agent.is_connected())
        for act in (lambda: freeze.freeze(guest), lambda: freeze.thaw(guest),
                    lambda: guest.agent.set_user_password('root', CANARY)):
            error = self.assertRaises(exception.AgentUnavailable, act)
            self.assertIn('not connected', str(error))
        self.assertLess(
            time.monotonic() - began, 2 * agent.CONNECT_TIMEOUT_S + 30)

    def test_guest_without_a_channel_has_no_agent(self) -> None:
        guest = self.define()
        guest.start()

        error = self.assertRaises(
            exception.AgentUnavailable, guest.agent.freeze)

        self.assertIn('not configured', str(error))
