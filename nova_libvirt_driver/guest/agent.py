# SPDX-License-Identifier: Apache-2.0

"""The agent inside a guest, as far as libvirt speaks to it.

What it answers comes from the tenant: nothing of it is taken but numbers and
addresses, and what a command printed.
"""

import base64
from collections.abc import Callable
from collections.abc import Sequence
import json
import time
from typing import Any
from typing import TypeVar

import libvirt

from nova_libvirt_driver.calls import errors
from nova_libvirt_driver.calls import protocol
from nova_libvirt_driver import exception
from nova_libvirt_driver.guest import devices
from nova_libvirt_driver.guest import reach as reach_module
from nova_libvirt_driver.spec import agent as agent_spec
from nova_libvirt_driver.spec import event as event_spec
from nova_libvirt_driver.spec import instance as instance_spec

T = TypeVar('T')

_NEEDS = (instance_spec.PowerState.RUNNING,)

_CHANNEL = 'org.qemu.guest_agent.0'

ANSWER_TIMEOUT_S = 10
CONNECT_TIMEOUT_S = 5.0
_LOOK_S = 0.2

# For another caller who is asking the same agent.
_MARGIN_S = 5.0


class Agent:
    """The guest agent of one guest.

    Every call ends soon after the time that the agent has for an answer;
    by itself libvirt waits for ever for an agent that was there once.
    """

    def __init__(self, reach: reach_module.Reach) -> None:
        self._reach = reach

    def is_connected(self) -> bool:
        """Say whether the guest has opened the agent's channel.

        True is no promise that the agent answers.
        """
        return self._channel_state() == 'connected'

    def await_connected(self, timeout_s: float = CONNECT_TIMEOUT_S) -> None:
        """Wait for an agent that is about to come, as in a guest that boots.

        Returns at once when the guest has no channel for it, or does not
        run: libvirt says so when it is to ask the agent.

        :raises AgentUnavailable: it has not come in time
        """
        def is_settled(change: event_spec.GuestEvent | None) -> bool:
            if isinstance(change, event_spec.AgentEvent):
                return change.connected
            return not self._is_absent()

        with self._reach.link.expecting(
                self._reach.uuid, event_spec.AgentEvent) as news:
            if self._is_absent() and not news.wait(is_settled, timeout_s):
                raise exception.AgentUnavailable(
                    instance=self._reach.uuid,
                    reason='it is not connected, and has not connected '
                    f'within {timeout_s:g} s')

    def _is_absent(self) -> bool:
        return (self._channel_state() == 'disconnected'
                and self._reach.state().power in _NEEDS)

    def _channel_state(self) -> str | None:
        xml = self._reach.look('look for the guest agent',
                               lambda domain: domain.XMLDesc(0))
        return next((channel.target_state
                     for channel in devices.read(xml).channels
                     if channel.target_name == _CHANNEL), None)

    def freeze(self, *, timeout_s: int = ANSWER_TIMEOUT_S) -> int:
        """Freeze the file systems; return how many.

        After a failure they may be frozen a little later: thaw them in any
        case.

        :raises AgentUnavailable: it is not there, or does not answer
        :raises WrongState: the guest does not run
        """
        return self._ask(
            'freeze the file systems of the guest',
            lambda domain: domain.fsFreeze(None, 0), timeout_s)

    def thaw(self, *, timeout_s: int = ANSWER_TIMEOUT_S) -> int:
        """Thaw the file systems; return how many were frozen.

        :raises AgentUnavailable: it is not there, or does not answer
        :raises WrongState: the guest does not run
        """
        return self._ask(
            'thaw the file systems of the guest',
            lambda domain: domain.fsThaw(None, 0), timeout_s)

    def addresses(self, *, timeout_s: int = ANSWER_TIMEOUT_S) -> dict[
            str, Any]:
        """Return the addresses of the guest's interfaces, as libvirt does.

        :raises AgentUnavailable: it is not there, or does not answer
        :raises WrongState: the guest does not run
        """
        return self._ask(
            'ask the guest for its addresses',
            lambda domain: domain.interfaceAddresses(
                libvirt.VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_AGENT, 0),
            timeout_s)

    def set_user_password(
            self, user: str, password: str, *,
            timeout_s: int = ANSWER_TIMEOUT_S) -> None:
        """Set the password of a user of the guest.

        Waits for an agent that is about to come. Errors name neither the user
        nor the password. When it fails, the old password may be the valid one
        or the new.

        :raises AgentUnavailable: it is not there, or does not answer
        :raises InvalidRequest: the password is empty
        :raises WrongState: the guest does not run
        """
        if not password:
            raise exception.InvalidRequest(
                reason='the password must not be empty')

        def is_set(domain: protocol.Domain) -> bool:
            try:
                domain.setUserPassword(user, password, 0)
            except libvirt.libvirtError as error:
                # The guest words it, and may well say the password.
                if not errors.is_agent_refusal(error):
                    raise
                return False
            return True

        self.await_connected()
        if not self._ask('set a password in the guest', is_set, timeout_s):
            raise exception.AgentUnavailable(
                instance=self._reach.uuid,
                reason='it refused to set the password')

    def execute(
            self, words: Sequence[str], *, timeout_s: float,
            watch: Callable[[], object] = lambda: None) -> agent_spec.Outcome:
        """Run a program in the guest, and wait for its end.

        Waits for an agent that is about to come. One that does not end in
        time runs on.

        :param words: path of the program, and its arguments
        :param watch: called now and then; what it raises ends the wait
        :raises AgentUnavailable: it is not there, does not answer, or does
            not run programs
        :raises InvalidRequest: there is no word
        :raises WaitTimeout: the program has not ended in time
        :raises WrongState: the guest does not run
        """
        if not words:
            raise exception.InvalidRequest(reason='no command given')
        self.await_connected()
        deadline = time.monotonic() + timeout_s
        process = self._order('guest-exec', {
            'path': words[0], 'arg': list(words[1:]), 'capture-output': True,
        }).get('pid')
        while True:
            said = self._order('guest-exec-status', {'pid': process})
            if said.get('exited'):
                return self._outcome(said)
            if time.monotonic() >= deadline:
                raise exception.WaitTimeout(
                    awaited='the end of the command', timeout_s=timeout_s)
            # Who does not wait for it any more says so by this.
            watch()
            time.sleep(_LOOK_S)

    def _outcome(self, said: dict[str, Any]) -> agent_spec.Outcome:
        try:
            return agent_spec.Outcome(
                exit_code=(128 + int(said['signal']) if 'signal' in said
                           else int(said['exitcode'])),
                stdout=base64.b64decode(said.get('out-data', '')),
                stderr=base64.b64decode(said.get('err-data', '')))
        except (KeyError, TypeError, ValueError) as error:
            raise self._senseless() from error

    def _order(self, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """Give the agent an order of its own protocol."""
        # Only here, as hardly anything needs it.
        import libvirt_qemu

        order = json.dumps({'execute': name, 'arguments': arguments})

        def give(domain: protocol.Domain) -> str | None:
            try:
                said: str = libvirt_qemu.qemuAgentCommand(
                    domain, order, ANSWER_TIMEOUT_S, 0)
            except libvirt.libvirtError as error:
                # The guest words it.
                if not errors.is_agent_refusal(error):
                    raise
                return None
            return said

        said = self._ask(
            'run a command in the guest', give, ANSWER_TIMEOUT_S)
        if said is None:
            raise exception.AgentUnavailable(
                instance=self._reach.uuid, reason='it refused to run the '
                'command: there is no such program, or it may not run any')
        try:
            found = json.loads(said)['return']
        except (KeyError, TypeError, ValueError) as error:
            raise self._senseless() from error
        if not isinstance(found, dict):
            raise self._senseless()
        return found

    def _senseless(self) -> exception.AgentUnavailable:
        return exception.AgentUnavailable(
            instance=self._reach.uuid, reason='its answer makes no sense')

    def _ask(
            self, tried: str, function: Callable[[protocol.Domain], T],
            timeout_s: int) -> T:
        def ask(domain: protocol.Domain) -> T:
            try:
                domain.agentSetResponseTimeout(timeout_s, 0)
            except libvirt.libvirtError as error:
                # Libvirt's test driver, whose agents answer at once.
                if not errors.is_unsupported(error):
                    raise
            return function(domain)

        # Libvirt first looks whether it answers at all, then asks it.
        return self._reach.call(
            tried, ask, needs=_NEEDS, timeout_s=2 * timeout_s + _MARGIN_S)
