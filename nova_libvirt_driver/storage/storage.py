# SPDX-License-Identifier: Apache-2.0

"""All that works on the files of instances, made and joined."""

from collections.abc import Callable
import dataclasses
import os

from nova_libvirt_driver.calls import calls
from nova_libvirt_driver.spec import instance as instance_spec
from nova_libvirt_driver.spec import policy as policy_spec
from nova_libvirt_driver.storage import autostart
from nova_libvirt_driver.storage.configdrive import drive
from nova_libvirt_driver.storage import console_log
from nova_libvirt_driver.storage import disks as disks_module
from nova_libvirt_driver.storage import folder
from nova_libvirt_driver.storage import image_cache
from nova_libvirt_driver.storage import instance_files
from nova_libvirt_driver.storage import journal
from nova_libvirt_driver.storage import qemu_img as qemu_img_module
from nova_libvirt_driver.storage import rescue_files
from nova_libvirt_driver.storage import scratch
from nova_libvirt_driver.storage import spec_record
from nova_libvirt_driver.storage import survey
from nova_libvirt_driver.storage import tool as tool_module

_MIB = 1 << 20
_SURVEY_THREADS = 8
"""How many may hang in file systems that do not answer."""
_SHARE = 0.25
"""Of eventlet's thread pool; half of it is for calls into libvirt."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Storage:
    """What works on the files of instances."""

    policy: policy_spec.StoragePolicy
    folders: folder.Folders
    qemu_img: qemu_img_module.QemuImg
    disks: disks_module.Disks
    cache: image_cache.ImageCache
    files: instance_files.InstanceFiles
    rescues: rescue_files.RescueFiles
    specs: spec_record.SpecRecords
    scratch: scratch.Scratch
    journal: journal.Journal
    console_logs: console_log.ConsoleLogs
    survey: survey.Survey
    autostart: autostart.Autostart


def build(
        policy: policy_spec.StoragePolicy, *,
        group_id: Callable[[], int | None],
        identity: Callable[[], tuple[str, str]], look_timeout_s: float,
        survey_max_age_s: float,
        domain_xml: Callable[[instance_spec.Instance], str] | None,
) -> Storage:
    """Make what works on files; touches none.

    :param group_id: returns QEMU's group, which has to get at the files
    :param identity: returns the URI and the host's uuid, as libvirt says
    :param domain_xml: see :class:`spec_record.SpecRecords`
    :param look_timeout_s: how long a look at all instances may take
    """
    path, host = policy.instances_path, policy.host
    tool = tool_module.Tool(policy)
    qemu_img = qemu_img_module.QemuImg(tool, policy)
    folders = folder.Folders(path, group_id)
    disks = disks_module.Disks(policy, qemu_img, tool)
    cache = image_cache.ImageCache(policy, qemu_img, group_id)
    drives = drive.ConfigDrives(policy, tool)
    return Storage(
        policy=policy, folders=folders, qemu_img=qemu_img, disks=disks,
        cache=cache,
        files=instance_files.InstanceFiles(
            policy, folders, cache, disks, drives),
        rescues=rescue_files.RescueFiles(folders, cache, disks, drives),
        specs=spec_record.SpecRecords(folders, host, domain_xml),
        scratch=scratch.Scratch(
            policy.snapshots_path or os.path.join(path, 'snapshots'),
            group_id),
        journal=journal.Journal(path, host, identity),
        # Calls of their own: a disk that hangs keeps no thread from libvirt.
        console_logs=console_log.ConsoleLogs(
            path, policy.console_log_max_mib * _MIB,
            calls.make(host=host, limit=1, share=_SHARE)),
        survey=survey.Survey(
            path, policy.image_cache_path,
            calls.make(host=host, limit=_SURVEY_THREADS, share=_SHARE),
            timeout_s=look_timeout_s, max_age_s=survey_max_age_s),
        autostart=autostart.Autostart(folders))
