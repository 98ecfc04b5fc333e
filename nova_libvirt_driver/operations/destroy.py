# SPDX-License-Identifier: Apache-2.0

"""Removing a guest and all that belongs to it."""

from oslo_log import log as logging

from nova_libvirt_driver.operations.steps import domains as domains_module
from nova_libvirt_driver.operations.steps import exclusive as exclusive_module
from nova_libvirt_driver.operations.steps import files as files_module
from nova_libvirt_driver.spec import instance as instance_spec

LOG = logging.getLogger(__name__)

OPERATION = 'destroy'


class Destroy:
    """Removes guests.

    Steps: end whatever operation is under way for the instance; cut the
    power; undefine the domain; remove the folder. Each may be repeated, and
    a step that fails leaves the later ones undone: call it again.
    """

    def __init__(
            self, domains: domains_module.Domains, files: files_module.Files,
            exclusive: exclusive_module.Exclusive) -> None:
        self._domains = domains
        self._files = files
        self._exclusive = exclusive

    def destroy(
            self, instance: instance_spec.Instance, *,
            destroy_disks: bool) -> None:
        """Remove a guest; see :meth:`base.ComputeDriver.destroy`."""
        with self._exclusive.take_over(instance, OPERATION):
            self._domains.remove(instance, keep_state=not destroy_disks)
            if destroy_disks:
                self._files.remove(instance)
        LOG.info('Guest %s (%s) is removed.', instance.name, instance.uuid)

    def delete_files(self, instance: instance_spec.Instance) -> bool:
        """Remove the files of a guest that has no domain any more.

        :returns: True when nothing of them is left
        """
        with self._exclusive.take_over(instance, OPERATION):
            if self._domains.guests.find_or_none(instance) is not None:
                return False
            self._files.remove(instance)
        return not self._files.folder(instance).exists()
