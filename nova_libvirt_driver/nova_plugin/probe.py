# SPDX-License-Identifier: Apache-2.0

"""Says what nova-compute would make of its configuration.

Run as a script by ``nova-libvirt nova check``: Nova patches, registers and
logs for its whole process, so it gets one of its own. Each fact is a line of
JSON on stdout. Nothing of this package is imported before Nova asks for it,
for whether Python finds it is one of the questions.
"""

import importlib.metadata
import importlib.util
import json
import logging
import sys
from typing import Any

ALIAS = 'nova.virt.nova_libvirt_driver'
DRIVER = 'nova_libvirt_driver.LibvirtDriver'
OPTIONS_MODULE = 'nova_libvirt_driver.nova_plugin.options'
GUESTS = '--guests'


class _Complaints(logging.Handler):
    """Keeps the first complaint of a log, which is nearest to the cause."""

    text = ''

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        self.text = self.text or (
            _named(error) if error else record.getMessage())


class Probe:
    """Tells one fact after the other, as far as it gets."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def run(self, arguments: list[str]) -> None:
        """Find out all that can be.

        :param arguments: those of nova-compute that name its files, and
            maybe the word for looking at the guests, too
        """
        wanted = [word for word in arguments if word != GUESTS]
        if self._installed():
            self._found()
            self._started(['nova-compute', *wanted])
            self._loaded()
            self._options()
            if GUESTS in arguments:
                self._guests()

    def _tell(self, **facts: object) -> None:
        self._stream.write(json.dumps(facts) + '\n')
        self._stream.flush()

    def _installed(self) -> bool:
        spec = importlib.util.find_spec('nova')
        if spec is None or not spec.origin:
            return False
        try:
            release = importlib.metadata.version('nova')
        except importlib.metadata.PackageNotFoundError:
            release = ''
        self._tell(nova_file=spec.origin, release=release)
        return True

    def _found(self) -> None:
        spec = importlib.util.find_spec(ALIAS)
        self._tell(alias=spec.origin if spec else None)

    def _started(self, argv: list[str]) -> None:
        """Do what nova-compute does before it loads its driver."""
        sys.argv = argv
        # Each release has its own way to choose the kind of threads, which
        # it goes at the import of this module.
        importlib.import_module('nova.cmd.compute')
        from nova import config
        config.parse_args(argv, configure_db=False, init_rpc=False)
        import nova.conf
        patcher = sys.modules.get('eventlet.patcher')
        self._tell(
            config_files=list(nova.conf.CONF.config_file),
            compute_driver=nova.conf.CONF.compute_driver,
            eventlet=bool(
                patcher and patcher.is_monkey_patched('thread')))

    def _loaded(self) -> None:
        complaints = _Complaints(logging.ERROR)
        logging.getLogger().addHandler(complaints)
        from nova.virt import driver
        try:
            made = driver.load_compute_driver(None, DRIVER)
        except SystemExit:
            self._tell(problem=complaints.text)
            return
        except Exception as error:
            self._tell(problem=_named(error))
            return
        self._tell(
            loaded=f'{type(made).__module__}.{type(made).__qualname__}')

    def _options(self) -> None:
        """Tell what becomes of the options that are set."""
        try:
            known = importlib.import_module(OPTIONS_MODULE)
        except ModuleNotFoundError as error:
            if error.name != OPTIONS_MODULE:
                raise
            return
        import nova.conf
        # As the compute manager does.
        nova.conf.neutron.register_dynamic_opts(nova.conf.CONF)
        nova.conf.devices.register_dynamic_opts(nova.conf.CONF)
        self._tell(options=[
            list(row) for row in known.report(nova.conf.CONF)])

    def _guests(self) -> None:
        """Tell which devices the guests of this host have from elsewhere."""
        driver, ports = (
            importlib.import_module(f'nova_libvirt_driver.{name}')
            for name in ('driver', 'ports'))
        made = driver.LibvirtDriver(
            ports.VirtAPI(ports.NullNotifier(), ports.NullServiceState(),
                          knows_instances=True), read_only=True)
        try:
            self._tell(guests=[
                [guest.name, device.name, device.is_kept]
                for guest in made.list_instance_summaries() if guest.owned
                for device in made.get_unmanaged_devices(guest)])
        except Exception as error:
            self._tell(guests_problem=_named(error))


def main(arguments: list[str]) -> int:
    """Tell all facts; the last one is what went wrong, if something did."""
    facts, sys.stdout = sys.stdout, sys.stderr
    probe = Probe(facts)
    try:
        probe.run(arguments)
    except (Exception, SystemExit) as error:
        probe._tell(problem=_named(error))
        return 1
    return 0


def _named(error: BaseException) -> str:
    return f'{type(error).__name__}: {error}'


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
