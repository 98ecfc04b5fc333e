# SPDX-License-Identifier: Apache-2.0

"""What the facts about Nova mean for the operator of nova-compute."""

from collections.abc import Iterator
import re

from nova_libvirt_driver.cli.doctor import checks
from nova_libvirt_driver.cli.doctor import nova_probe

DRIVER = 'nova_libvirt_driver.LibvirtDriver'
LOADED = 'nova_libvirt_driver.nova_plugin.driver.NovaLibvirtDriver'
ORIGIN = 'nova_libvirt_driver.nova_plugin.driver'

OLDEST = 31
NEWEST = 34

_NOVA = checks.Topic('nova')
_FINDER = checks.Topic('finder')
_CONFIGURATION = checks.Topic('configuration')
_SETTING = checks.Topic('compute_driver')
_LOADING = checks.Topic('loading')
_OPTIONS = checks.Topic('options')
_GUESTS = checks.Topic('guests')

IGNORED = 'ignored'

# How an option is treated, and how that is reported.
_VERDICTS = {
    'honoured': checks.Status.OK,
    'partly': checks.Status.WARNING,
    IGNORED: checks.Status.WARNING,
    'not applicable': checks.Status.OK,
    'refused': checks.Status.FAILURE,
}


def findings(facts: nova_probe.Facts) -> Iterator[checks.Check]:
    """Yield what there is to say, in the order of a start."""
    yield nova(facts)
    if facts.nova_file is None:
        return
    yield finder(facts)
    yield from configuration(facts)
    yield loading(facts)
    yield from options(facts)
    yield from guests(facts)


def nova(facts: nova_probe.Facts) -> checks.Check:
    """Say whether there is a Nova that the driver knows."""
    if facts.nova_file is None:
        return _NOVA.failure(
            facts.problem or f'not installed for {facts.python}',
            'run this command with the Python of nova-compute: '
            'PYTHON -m nova_libvirt_driver.cli nova check')
    place = f'{facts.release or "of no known release"}, {facts.nova_file}'
    number = _major(facts.release)
    if number is None or number > NEWEST:
        return _NOVA.warning(
            place, f'tried with {OLDEST} to {NEWEST} only: look for a newer '
            'nova-libvirt-driver, and try it on one host first')
    if number < OLDEST:
        return _NOVA.failure(place, f'upgrade Nova to {OLDEST} or later')
    return _NOVA.ok(place)


def _major(release: str) -> int | None:
    number = re.match(r'\d+', release)
    return int(number[0]) if number else None


def finder(facts: nova_probe.Facts) -> checks.Check:
    """Say whether Python finds the module that Nova asks for."""
    if facts.alias is None:
        return _FINDER.failure(
            facts.problem if not facts.config_files and facts.problem
            else 'nova.virt.nova_libvirt_driver is not found',
            f'install nova-libvirt-driver with {facts.python} -m pip: its '
            '.pth file has to lie in a site folder of that Python')
    if facts.alias != ORIGIN:
        return _FINDER.failure(
            f'nova.virt.nova_libvirt_driver is {facts.alias}',
            'remove that file: it stands before this driver')
    return _FINDER.ok(f'nova.virt.nova_libvirt_driver is {facts.alias}')


def configuration(facts: nova_probe.Facts) -> Iterator[checks.Check]:
    """Say what the files of nova-compute ask for."""
    if facts.compute_driver is None and facts.eventlet is None:
        yield _CONFIGURATION.failure(
            facts.problem or 'Nova did not come so far',
            'correct what the text names, then run the check again')
        return
    if facts.config_files:
        yield _CONFIGURATION.ok(', '.join(facts.config_files))
    else:
        yield _CONFIGURATION.warning(
            'nova-compute would find no file',
            'name its file with --config-file')
    yield _setting(facts.compute_driver)


def _setting(value: str | None) -> checks.Check:
    if value == DRIVER:
        return _SETTING.ok(value)
    return _SETTING.failure(
        f'{value}: nova-compute would load another driver' if value
        else 'not set: nova-compute would not start',
        f'write "compute_driver = {DRIVER}" into [DEFAULT]')


def loading(facts: nova_probe.Facts) -> checks.Check:
    """Say whether Nova's own loading gave this driver."""
    if facts.loaded == LOADED:
        kind = 'eventlet' if facts.eventlet else 'native threads'
        return _LOADING.ok(f'{facts.loaded}, with {kind}')
    if facts.loaded is not None:
        return _LOADING.failure(
            f'Nova loaded {facts.loaded}',
            'remove what stands before this driver')
    if facts.compute_driver is None and facts.eventlet is None:
        return _LOADING.skipped('Nova did not come so far')
    return _LOADING.failure(
        facts.problem or 'Nova could not load the driver',
        'correct what the text names, then run the check again')


def without_effect(facts: nova_probe.Facts) -> list[str]:
    """Return the names of the options that are set for nothing."""
    return [name for name, verdict, _ in facts.options or ()
            if verdict == IGNORED]


def guests(facts: nova_probe.Facts) -> Iterator[checks.Check]:
    """Say which guests have what this driver does not manage."""
    if facts.guests_problem:
        yield _GUESTS.failure(
            facts.guests_problem,
            'let the user that runs this command ask libvirt')
    elif facts.guests is not None and not facts.guests:
        yield _GUESTS.ok('none has anything that this driver does not manage')
    for name, device, is_kept in facts.guests or ():
        topic = checks.Topic(f'guest {name}')
        yield topic.ok(f'{device}: stays as it is') if is_kept else (
            topic.failure(
                f'{device}: the guest runs on, and cannot be started or '
                'rebooted by this driver yet',
                'leave the server to the other driver: move it to another '
                'host before the switch'))


def options(facts: nova_probe.Facts) -> Iterator[checks.Check]:
    """Say what the driver makes of the options that are set."""
    if facts.options is None:
        if facts.compute_driver is not None:
            yield _OPTIONS.skipped(
                'what becomes of those that are set is not known')
        return
    for name, verdict, remark in facts.options:
        status = _VERDICTS.get(verdict, checks.Status.WARNING)
        yield checks.Check(
            name, status,
            f'{verdict}: {remark}' if remark else verdict,
            '' if status is checks.Status.OK
            else 'take it out, unless another driver reads this file')
