# SPDX-License-Identifier: Apache-2.0

"""Show that guests see the same hardware under either driver.

Guests are built by Nova's own driver; their host is switched to the driver of
this tree, which starts them again, and then back, where they are started once
more. Each time they are asked over their console what they find around them.
The exit status is 1 if that is not the same.
"""

import argparse
from collections.abc import Iterable
from concurrent import futures
import pathlib
import re
import subprocess
import sys
from typing import Any

from checks import compute
from checks import console
from checks import kinds
from checks import session

Facts = dict[str, str]

HUGE_PAGES = pathlib.Path('/proc/sys/vm/nr_hugepages')
# Of 2 MiB; for the one guest that has some.
PAGES = 96
AT_ONCE = 4
LIMIT_S = 600
# The machine type, and what the guest can't see.
_DOMAIN = {
    'host: machine': re.compile(r"<type [^>]*machine='([^']*)'"),
    'host: pinned': re.compile(r"<vcpupin [^>]*cpuset='([^']*)'"),
    'host: huge pages': re.compile(r"<page size='(\d+)'"),
    'host: TPM': re.compile(r"<tpm model='([^']*)'"),
}
_BOOT = 'boot id'
_CLOCK = 'machine clock'
_MEMORY = 'machine memory'
# What differs between what a guest was built with and the rest, and why.
KNOWN = {
    'QEMU USB Keyboard':
        'Nova writes down hw_input_bus of a guest that it has built, by '
        'which its own driver, too, adds a keyboard at the next hard reboot',
}
# What firmware keeps memory for.
_IN_MEMORY = 'QEMU USB Keyboard'
# What a guest gives up when it ran unevenly while it booted, as on a busy
# machine.
_UNSTABLE_CLOCK = 'tsc '
VERSIONS = {'compute_default_microversion': '2.90'}


class Guest:
    """One guest, and what it said each time it was asked."""

    def __init__(self, check: session.Check, kind: kinds.Kind) -> None:
        self.kind = kind
        self.said: list[tuple[str, Facts]] = []
        self._check = check
        self._nova = check.cloud.compute
        self._name = f'{check.name} {kind.name}'
        self._server = self._create()

    def _create(self) -> Any:
        neutron = self._check.cloud.network
        private = neutron.find_network('private').id
        server = self._nova.create_server(
            name=self._name, flavor_id=self._flavor(), image_id=self._image(),
            networks=[{'uuid': private}] * self.kind.ports,
            config_drive=self.kind.config_drive)
        self._check.callback(self._delete, server)
        return server

    def _flavor(self) -> str:
        flavor = self._nova.create_flavor(
            name=self._name, **self.kind.flavor())
        self._check.callback(self._nova.delete_flavor, flavor)
        self._nova.create_flavor_extra_specs(flavor, {
            'hw_rng:allowed': 'True', **self.kind.extra_specs})
        return str(flavor.id)

    def _image(self) -> str:
        properties = {'hw_rng_model': 'virtio', **self.kind.properties}
        if self.kind.kernel:
            properties |= {
                'kernel_id': self._upload('vmlinuz', 'aki'),
                'ramdisk_id': self._upload('initrd', 'ari')}
        return self._upload(f'{self.kind.image}.qcow2', 'qcow2', **properties)

    def _upload(self, name: str, kind: str, **properties: str) -> str:
        glance = self._check.cloud.image
        image = glance.create_image(
            name=f'{self._name} {name}', disk_format=kind,
            container_format=kind if kind in ('aki', 'ari') else 'bare',
            filename=str(compute.STATE / 'image' / name),
            allow_duplicates=True, **properties)
        self._check.callback(glance.delete_image, image)
        return str(image.id)

    def _delete(self, server: Any) -> None:
        self._nova.delete_server(server)
        self._nova.wait_for_delete(server, wait=LIMIT_S, interval=1)

    def ask(self, title: str) -> None:
        """Ask over the console, and keep what it says."""
        domain = str(self._nova.get_server(self._server.id).instance_name)
        definition = subprocess.run(
            ['virsh', 'dumpxml', domain], check=True, stdout=subprocess.PIPE,
            text=True).stdout
        facts = console.hardware(domain, LIMIT_S)
        facts[_CLOCK] = facts.get(_CLOCK, '').replace(_UNSTABLE_CLOCK, '')
        facts |= {name: ', '.join(pattern.findall(definition))
                  for name, pattern in _DOMAIN.items()}
        self.said.append((title, facts))
        self._check.say(f'{self.kind.name}: {title}, {len(facts)} facts')

    def wait(self, status: str = 'ACTIVE') -> None:
        """Wait until nothing is being done to the server.

        :raises Failed: it has another status then
        """
        def done() -> Any:
            server = self._nova.get_server(self._server.id)
            if server.status == 'ERROR':
                raise session.Failed(
                    f'{self.kind.name}: {server.fault["message"]}')
            return not server.task_state and server.status == status

        self._check.until(done, f'{self.kind.name}: {status}', LIMIT_S)

    def leave(self) -> None:
        """Do what has to be done before the host is switched."""
        if self.kind.verb == 'start':
            self._nova.stop_server(self._server)
            self.wait('SHUTOFF')
        elif self.kind.verb == 'resume':
            self._nova.suspend_server(self._server)
            self.wait('SUSPENDED')

    def take(self, title: str) -> None:
        """Start it by the driver of now, and ask it.

        A guest that goes on where it was is asked about that, too, and then
        started again.
        """
        if self.kind.verb == 'start':
            self._nova.start_server(self._server)
        else:
            if self.kind.verb == 'resume':
                self._nova.resume_server(self._server)
                self.wait()
                self.ask(f'{title}, resumed')
            self._nova.reboot_server(self._server, 'HARD')
        self.wait()
        self.ask(title)

    def differences(self) -> list[str]:
        """Return the names of facts that are not the same each time."""
        names = list(dict.fromkeys(
            name for _, facts in self.said for name in facts))
        return [name for name in names if name != _BOOT and len({
            facts.get(name) for _, facts in self.said}) > 1
            and not self._known(name)] + self._boots()

    def _known(self, name: str) -> str:
        """Return why a fact is another one after the build, if it is."""
        first, *others = [facts.get(name) for _, facts in self.said]
        if len(set(others)) != 1:
            return ''
        if name == _MEMORY and first != others[0]:
            return self._added(_IN_MEMORY)
        return ''.join(
            reason for what, reason in KNOWN.items()
            if first is None and what in str(others[0]))

    def _added(self, what: str) -> str:
        """Return why a guest has a device since its second start, if so."""
        first, *others = [
            any(what in value for value in facts.values())
            for _, facts in self.said]
        return KNOWN[what] if not first and all(others) else ''

    def _boots(self) -> list[str]:
        """Return the boot's name if it went on or ended when it should not."""
        boots = [facts.get(_BOOT) for _, facts in self.said]
        went_on = [before == after for before, after in zip(boots, boots[1:])]
        expected = [title.endswith('resumed') for title, _ in self.said[1:]]
        return [] if went_on == expected else [_BOOT]

    def table(self) -> Iterable[str]:
        """Yield the lines of what it said, side by side."""
        different = self.differences()
        yield f'== {self.kind.name}'
        yield _line('', [title for title, _ in self.said])
        for name in dict.fromkeys(
                name for _, facts in self.said for name in facts):
            first, *others = [
                facts.get(name, 'absent') for _, facts in self.said]
            if name != _BOOT or name in different:
                yield _line(name, [first, *(
                    'same' if value == first else value for value in others
                )]) + ('  <-- different' if name in different else '')
        yield from (f'known: {reason}' for reason in sorted({
            self._known(name) for _, facts in self.said
            for name in facts} - {''}))


def _line(name: str, values: list[str]) -> str:
    return ' | '.join((f'{name:26}', *values))


def _all(guests: list[Guest], method: str, *arguments: str) -> None:
    """Do it with some guests at a time, and fail if one of them did."""
    with futures.ThreadPoolExecutor(AT_ONCE) as pool:
        for future in [pool.submit(getattr(guest, method), *arguments)
                       for guest in guests]:
            future.result()


def _give_pages(check: session.Check) -> None:
    """Set memory aside for huge pages, which are the machine's."""
    before = HUGE_PAGES.read_text()
    HUGE_PAGES.write_text(str(int(before) + PAGES))
    check.callback(HUGE_PAGES.write_text, before)
    if int(HUGE_PAGES.read_text()) < int(before) + PAGES:
        raise session.Failed('the machine has no memory for huge pages')


def walk(chosen: list[kinds.Kind], maker: str = compute.NOVAS,
         keeper: str = compute.OURS) -> list[Guest]:
    """Build guests, switch their host and back, and ask them each time.

    nova-compute has this tree's driver and no more options afterwards, and
    the guests are gone.

    :param chosen: kinds that need the same options of nova-compute
    :param maker: the driver that builds them, and gets them back
    :param keeper: the driver that they are given to
    """
    options = ' '.join(dict.fromkeys(
        [kinds.OPTIONS, *(kind.options for kind in chosen)]))
    with session.Check('same', **VERSIONS) as check:
        check.callback(compute.restart, compute.OURS)
        _give_pages(check)
        compute.restart(maker, options)
        guests = [Guest(check, kind) for kind in chosen]
        _all(guests, 'wait')
        _all(guests, 'ask', 'built')
        for driver, title in ((keeper, compute.NAMES[keeper]),
                              (maker, f'{compute.NAMES[maker]} again')):
            _all(guests, 'leave')
            compute.restart(driver, options)
            check.say(f'the host has {driver}')
            _all(guests, 'take', title)
    return guests


def groups(chosen: list[kinds.Kind]) -> list[list[kinds.Kind]]:
    """Return the kinds by the options that they need."""
    return [[kind for kind in chosen if kind.options == options]
            for options in dict.fromkeys(kind.options for kind in chosen)]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog='tools/devcloud/same-guests', description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog='Kinds:\n' + '\n'.join(
            f'  {kind.name}' for kind in kinds.KINDS))
    parser.add_argument(
        '--from-ours', action='store_true',
        help='the other way: built and taken back by the driver of this tree')
    parser.add_argument(
        'kind', nargs='*', help='kinds of guests; all of them by default')
    arguments = parser.parse_args()
    known = {kind.name for kind in kinds.KINDS}
    for name in arguments.kind:
        if name not in known:
            parser.error(f'{name}: not a kind; see --help')
    return arguments


def main() -> int:
    """Run the check and print the tables."""
    arguments = _arguments()
    drivers = [compute.NOVAS, compute.OURS]
    if arguments.from_ours:
        drivers.reverse()
    chosen = [kind for kind in kinds.KINDS
              if not arguments.kind or kind.name in arguments.kind]
    asked, different = 0, []
    for group in groups(chosen):
        try:
            guests = walk(group, *drivers)
        except session.Failed as error:
            print(f'FAILED: {error}')
            continue
        asked += len(guests)
        for guest in guests:
            print('\n'.join(guest.table()), flush=True)
        different += [
            guest.kind.name for guest in guests if guest.differences()]
    print(f'{asked} of {len(chosen)} guests, {len(different)} different'
          + ''.join(f': {", ".join(different)}' for _ in different[:1]))
    return int(bool(different) or asked < len(chosen))


if __name__ == '__main__':
    sys.exit(main())
