# SPDX-License-Identifier: Apache-2.0

"""One tiny guest that shows that the machine can run guests.

The driver creates it as any other. Steps: keep an image in a folder of
its own; spawn a guest of it and wait for its ``started`` event; wait for its
line on the serial console; keep its disk as an image; destroy it and wait
for its ``stopped`` event. Libvirt's test hypervisor runs nothing, so there
the guest has no disk, and neither console nor snapshot.

Whatever goes wrong, and when interrupted, guest and folder are removed. The
image stays in the driver's cache, once, until the cache is swept.
"""

from collections.abc import Callable
from collections.abc import Iterator
import contextlib
import dataclasses
import datetime
import io
import os
import time
from typing import Protocol
from typing import TypeVar
import uuid

from oslo_log import log as logging

from nova_libvirt_driver import base
from nova_libvirt_driver.compute import demo_folder
from nova_libvirt_driver import exception
from nova_libvirt_driver.images import local
from nova_libvirt_driver import ports
from nova_libvirt_driver.spec import cpu as cpu_spec
from nova_libvirt_driver.spec import device as device_spec
from nova_libvirt_driver.spec import disk as disk_spec
from nova_libvirt_driver.spec import event as event_spec
from nova_libvirt_driver.spec import flavor as flavor_spec
from nova_libvirt_driver.spec import guest as guest_spec
from nova_libvirt_driver.spec import image as image_spec
from nova_libvirt_driver.spec import memory as memory_spec
from nova_libvirt_driver.testing import guests

LOG = logging.getLogger(__name__)

T = TypeVar('T')

MESSAGE = 'Hello from a guest of nova-libvirt-driver.'
MEMORY_MIB = 32
EVENT_TIMEOUT_S = 15.0
CONSOLE_TIMEOUT_S = 60.0
POLL_S = 0.1
TEST_DRIVER = 'TEST'
FLAVOR = flavor_spec.Flavor(
    name='demo', vcpus=1, memory_mib=MEMORY_MIB, root_gib=0)

# A BIOS reads no virtio disk that is smaller than a cylinder.
_IMAGE_BYTES = 1 << 20
_KIB = 1 << 10


class Audience(Protocol):
    """Who watches the demonstration."""

    def next_event(
            self, timeout_s: float) -> event_spec.LifecycleEvent | None:
        """Return the next event; raises when the end is asked for."""

    def wait_for(self, work: Callable[[], T]) -> T:
        """Do the work; raises when the end is asked for meanwhile."""

    def print(self, line: str) -> None:
        """Write a line."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """How the demonstration is to be."""

    events: bool
    """False when the connection delivers none."""
    keep: bool = False
    """Leave the guest."""
    instances_path: str = ''
    """Folder in which the driver makes the guest."""
    client: str = 'nova-libvirt'
    """Command line that finds the guest, without a command."""


class Cancelled(Exception):
    """A verb was told to give up."""


class Cancel:
    """Makes a verb give up; see :class:`ports.Progress`."""

    def __init__(self) -> None:
        self.wanted = False

    def step(self, name: str) -> None:
        """Go on, or give up."""
        if self.wanted:
            raise Cancelled

    def advance(self, done: int, total: int) -> None:
        """Go on, or give up."""
        self.step('')


def run(
        driver: base.ComputeDriver, audience: Audience, terms: Terms,
        until_end: contextlib.ExitStack) -> None:
    """Show the life of one guest.

    Blocks for some seconds; every wait has an end.

    :param until_end: gets what removes a guest that is kept, but cannot
        outlive this process
    :raises DriverError: a step failed; nothing is left behind
    """
    facts = audience.wait_for(driver.get_host_facts)
    real = facts.hypervisor_type.upper() != TEST_DRIVER
    with (demo_folder.made() as folder,
          contextlib.ExitStack() as stack):
        demo = _Demo(driver, audience, local.LocalImages(folder), terms)
        image_id = demo.add_image() if real else ''
        stack.callback(demo.remove)
        spec = _spec(image_id)
        demo_folder.note(folder, spec, facts.uri, terms.instances_path)
        demo.spawn(spec)
        if real:
            demo.console()
            demo.snapshot()
        else:
            audience.print('  console   left out: the test hypervisor runs '
                           'nothing that could print')
            audience.print('  snapshot  left out: a guest of the test '
                           'hypervisor has no disk')
        if terms.keep:
            demo_folder.forget(folder)
            kept = stack.pop_all()
            if not real:
                until_end.push(kept)
            demo.tell_kept(facts.uri)
        else:
            demo.destroy()


class _Demo:
    """The steps; each says what it did and how long that took."""

    def __init__(
            self, driver: base.ComputeDriver, audience: Audience,
            images: local.LocalImages, terms: Terms) -> None:
        self._driver = driver
        self._audience = audience
        self._images = images
        self._terms = terms
        self._cancel = Cancel()
        self._guest: guest_spec.GuestSpec | None = None

    @property
    def guest(self) -> guest_spec.GuestSpec:
        assert self._guest is not None
        return self._guest

    def add_image(self) -> str:
        """Keep the image of the guest; return its identifier."""
        image = boot_image()
        with self._timed('image') as said:
            self._images.upload(
                image, io.BytesIO(boot_disk()), ports.NullProgress())
            said.text = _describe(self._images.show(image.id))
        return image.id

    def spawn(self, spec: guest_spec.GuestSpec) -> None:
        self._guest = spec
        with self._timed('spawn', spec.name):
            self._audience.wait_for(lambda: self._driver.spawn(
                spec, images=self._images, progress=self._cancel))
        self._expect(event_spec.Transition.STARTED)

    def console(self) -> None:
        """Wait for the line of the guest, and show it."""
        deadline = time.monotonic() + CONSOLE_TIMEOUT_S
        with self._timed('console', f'{MESSAGE!r}'):
            while MESSAGE.encode() not in self._audience.wait_for(
                    self._printed):
                if time.monotonic() > deadline:
                    raise exception.WaitTimeout(
                        awaited="the guest's line on its console",
                        timeout_s=CONSOLE_TIMEOUT_S)
                self._audience.next_event(POLL_S)

    def snapshot(self) -> None:
        """Keep the disk of the guest as an image."""
        image_id = str(uuid.uuid4())
        with self._timed('snapshot') as said:
            self._audience.wait_for(lambda: self._driver.snapshot(
                self.guest, image_id, images=self._images,
                name=f'{self.guest.name}-snapshot', progress=self._cancel))
            said.text = _describe(self._images.show(image_id))

    def destroy(self) -> None:
        with self._timed('destroy', self.guest.name):
            self._audience.wait_for(lambda: self._driver.destroy(self.guest))
        spec, self._guest = self.guest, None
        self._expect(event_spec.Transition.STOPPED, spec.uuid)

    def remove(self) -> None:
        """Remove the guest unless that is done; never raises."""
        if self._guest is None:
            return
        # What is under way gives up, also when it has not yet begun.
        self._cancel.wanted = True
        try:
            self._driver.destroy(self._guest)
        except Exception as error:
            LOG.warning('The guest %s could not be removed: %s',
                        self._guest.name, error)
            return
        with contextlib.suppress(OSError):
            self._audience.print(f'  removed   {self._guest.name}')

    def tell_kept(self, uri: str) -> None:
        """Say what becomes of the guest, and how to delete it."""
        name, client = self.guest.name, self._terms.client
        if uri.startswith('test:'):
            self._audience.print(
                f'  kept      {name}, until this process ends: {uri} lives '
                'in it')
            return
        # QEMU is a process of its own, also below an embedded driver; but
        # that lets no other process in (libvirt 9.0).
        when = ' after this process' if ':///embed' in uri else ''
        self._audience.print(
            f'  kept      {name}; to see and delete it{when}:')
        self._audience.print(f'    {client} server list')
        self._audience.print(f'    {client} server delete {name}')

    def _printed(self) -> bytes:
        try:
            return self._driver.get_console_output(self.guest)
        except exception.ConsoleUnavailable:
            return b''

    def _expect(
            self, transition: event_spec.Transition,
            guest_uuid: str = '') -> None:
        wanted = (guest_uuid or self.guest.uuid, transition)
        deadline = time.monotonic() + EVENT_TIMEOUT_S
        while self._terms.events:
            event = self._audience.next_event(POLL_S)
            if event and (event.uuid, event.transition) == wanted:
                return
            if time.monotonic() > deadline:
                raise exception.WaitTimeout(
                    awaited=f'the event {transition.value!r} of the guest',
                    timeout_s=EVENT_TIMEOUT_S)

    @contextlib.contextmanager
    def _timed(self, step: str, text: str = '') -> Iterator['_Said']:
        said = _Said(text)
        began = time.monotonic()
        yield said
        took_s = time.monotonic() - began
        self._audience.print(f'  {step:<8}  {said.text} in {took_s:.1f} s')


@dataclasses.dataclass
class _Said:
    text: str


def boot_disk() -> bytes:
    """Return a disk whose guest prints one line and halts."""
    return guests.boot_sector(MESSAGE).ljust(_IMAGE_BYTES, b'\0')


def boot_image() -> image_spec.Image:
    """Describe the image of the demonstration.

    Its identifier is that of its bytes, so that the cache has it once.
    """
    sector = guests.boot_sector(MESSAGE).hex()
    return image_spec.Image(
        id=str(uuid.uuid5(uuid.NAMESPACE_OID, sector)),
        name='boot-sector', disk_format='raw')


def _spec(image_id: str) -> guest_spec.GuestSpec:
    name = f'demo-{os.getpid()}'
    now = datetime.datetime.now(datetime.timezone.utc)
    return guest_spec.GuestSpec(
        uuid=str(uuid.uuid4()), name=name,
        metadata=guest_spec.GuestMetadata(
            display_name=name, flavor=FLAVOR, image_id=image_id,
            created_at=now.strftime('%Y-%m-%dT%H:%M:%S')),
        cpu=cpu_spec.CpuSpec(vcpus=FLAVOR.vcpus),
        memory=memory_spec.MemorySpec(size_mib=MEMORY_MIB),
        storage=disk_spec.StorageSpec(image_id=image_id),
        devices=device_spec.DeviceSpec(video=None, usb_controller=False))


def _describe(image: image_spec.Image) -> str:
    size_kib = -(-(image.size_bytes or 0) // _KIB)
    return f'{image.name}, {size_kib:,} KiB {image.disk_format},'
