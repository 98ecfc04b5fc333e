# SPDX-License-Identifier: Apache-2.0

"""What libvirt keeps of a guest in folders of its own, on its way elsewhere.

That is what its TPM remembers, and the variables of its UEFI firmware. Nova's
own driver takes along the first, at the same place in the instance's folder.
"""

from collections.abc import Iterator
import contextlib
import os
import shutil
from typing import Any

from nova.privsep import path as privileged_path
from nova.virt.libvirt import utils as libvirt_utils

import nova.conf
from nova_libvirt_driver import base
from nova_libvirt_driver import exception
from nova_libvirt_driver.spec import guest as guest_spec
from nova_libvirt_driver.xmlmodel import domain as domain_model

CONF = nova.conf.CONF

_TPM, _NVRAM = 'swtpm', 'nvram'
_NVRAM_DIR = '/var/lib/libvirt/qemu/nvram'


def collect(xml: str, folder: str) -> None:
    """Move it into the folder of a stopped guest, for this user to read.

    :param xml: of the domain
    :raises StorageFailure: it cannot be moved
    """
    domain = domain_model.Domain.parse(xml)
    tpm, source = (os.path.join(folder, _TPM), os.path.join(
        libvirt_utils.VTPM_DIR, domain.uuid or ''))
    if os.path.isdir(source):
        os.makedirs(tpm, mode=0o700, exist_ok=True)
        _move(source, tpm, owned=tpm)
    nvram = _nvram(domain)
    if nvram:
        variables = os.path.join(folder, _NVRAM)
        _move(nvram, variables, owned=variables)


class Returning:
    """The attachment that gives it back to libvirt before a guest starts."""

    name = 'firmware state'

    def __init__(self, core: base.ComputeDriver, instance: Any) -> None:
        self._core = core
        self._instance = instance
        folder = os.path.join(CONF.instances_path, instance.uuid)
        self._tpm = os.path.join(folder, _TPM)
        self._nvram = os.path.join(folder, _NVRAM)

    def prepare(self, spec: guest_spec.GuestSpec) -> guest_spec.GuestSpec:
        """Return the guest as it is."""
        return spec

    @contextlib.contextmanager
    def connect(self) -> Iterator[bool]:
        """Give back what has come, or was to leave.

        :raises StorageFailure: it cannot be moved, or is there already
        """
        if os.path.isdir(self._tpm) or os.path.exists(self._nvram):
            domain = domain_model.Domain.parse(
                self._core.get_domain_xml(self._instance))
            self._return_tpm(is_wanted=bool(domain.devices.tpms))
            nvram = _nvram(domain)
            if nvram:
                _move(self._nvram, nvram)
        yield False

    def revert(self) -> None:
        """Do nothing: it is where libvirt finds it the next time."""

    def disconnect(self) -> None:
        """Do nothing: it goes with the domain, or is collected."""

    def _return_tpm(self, *, is_wanted: bool) -> None:
        kept = os.path.join(self._tpm, self._instance.uuid)
        there = os.path.join(
            libvirt_utils.VTPM_DIR, self._instance.uuid)
        if is_wanted and os.path.isdir(kept):
            if os.path.exists(there):
                raise exception.StorageFailure(
                    reason=f'what the TPM remembers is in {there} and in '
                    f'{kept}: remove the one that is out of date',
                    path=there)
            with _naming(kept, there):
                libvirt_utils.restore_vtpm_dir(kept)
        shutil.rmtree(self._tpm, ignore_errors=True)


def _nvram(domain: domain_model.Domain) -> str | None:
    """Return the path of the firmware's variables, None when it has none."""
    if domain.os.nvram or (
            domain.os.firmware != 'efi' or domain.os.loader_stateless):
        return domain.os.nvram
    # Until 9.1, libvirt chooses it at each start, and says it only then.
    return os.path.join(_NVRAM_DIR, f'{domain.name}_VARS.fd')


def _move(source: str, target: str, *, owned: str = '') -> None:
    with _naming(source, target):
        try:
            privileged_path.move_tree(source, target)
        except FileNotFoundError:
            # Only root may look into the folder of the variables.
            return
        if owned:
            privileged_path.chown(
                owned, os.geteuid(), os.getegid(), recursive=True)


@contextlib.contextmanager
def _naming(source: str, target: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise exception.StorageFailure(
            reason=f'cannot move {source} to {target}: {error}',
            path=target) from error
