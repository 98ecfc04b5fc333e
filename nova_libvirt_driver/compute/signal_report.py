# SPDX-License-Identifier: Apache-2.0

"""The report that the service writes on SIGUSR2 (oslo.reports).

Our section shows what is known already: it is written from within a signal
handler, so it waits for nothing and takes no time.
"""

from collections.abc import Callable
import json
from typing import Any

from oslo_config import cfg
from oslo_reports import guru_meditation_report
from oslo_reports import opts

from nova_libvirt_driver import version

TITLE = 'Compute service'


class _Version:
    def product_string(self) -> str:
        return 'nova-libvirt-compute'

    def vendor_string(self) -> str:
        return version.DISTRIBUTION

    def version_string_with_package(self) -> str:
        return version.version()


def install(
        conf: cfg.ConfigOpts, status: Callable[[], dict[str, Any]]) -> None:
    """Write a report on SIGUSR2 from now on; main thread only.

    It goes to stderr, or to a file in ``[oslo_reports] log_dir``.

    :param status: returns what our section shows, plain JSON types
    """
    class Report(guru_meditation_report.TextGuruMeditation):
        persistent_sections = [
            (TITLE, lambda: json.dumps(status(), indent=2))]

    opts.set_defaults(conf)
    Report.setup_autorun(
        _Version(), service_name='nova-libvirt-compute', conf=conf)
