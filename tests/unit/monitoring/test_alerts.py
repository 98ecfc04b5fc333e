# SPDX-License-Identifier: Apache-2.0

"""The alerts and the dashboard, and the metrics that they name."""

from collections.abc import Iterator
import json
import pathlib
import re
import subprocess
from typing import Any

import fixtures
import prometheus_client.parser
import yaml

from nova_libvirt_driver.monitoring import metrics
from nova_libvirt_driver.spec import diagnostics
from nova_libvirt_driver.spec import health
from tests import base
from tests.unit.monitoring import values

ETC = pathlib.Path(__file__).parents[3] / 'etc' / 'nova_libvirt_driver'
ALERTS = ETC / 'prometheus' / 'nova-libvirt-alerts.yaml'
DASHBOARD = ETC / 'grafana' / 'nova-libvirt.json'
CASES = pathlib.Path(__file__).with_name('alerts_test.yaml')

_TIMEOUT_S = 60
_NAME = re.compile(r'\bnova_libvirt_\w+')
# Prometheus adds them to what it scrapes.
_ADDED = {'job', 'instance', 'le'}


def exposed() -> dict[str, set[str]]:
    """Return the labels of each metric, by the name of its samples."""
    reason = health.Reason('no_connection', 'text', 'step')
    guest = diagnostics.Diagnostics(
        state='running', name='web1', vcpu_times_ns=(1,), memory_mib=1,
        memory_used_mib=1, disks=(diagnostics.DiskDiagnostics(
            target_dev='vda', read_bytes=1, read_requests=1, write_bytes=1,
            write_requests=1, errors=1),),
        nics=(diagnostics.NicDiagnostics(
            target_dev='tap0', rx_bytes=1, rx_packets=1, rx_errors=1,
            rx_drop=1, tx_bytes=1, tx_packets=1, tx_errors=1, tx_drop=1),))
    made = metrics.Metrics(
        'node1', lambda: (values.WELL, health.Health(
            health.Verdict.DEGRADED, (reason,))),
        lambda: ({'uuid': guest}, 0.0))
    made.call('getInfo', 'ok', 0.1)
    made.verb('spawn', 'ok', 0.1)
    return {
        sample.name: set(sample.labels) for family in
        prometheus_client.parser.text_string_to_metric_families(
            made.text().decode()) for sample in family.samples}


def expressions() -> Iterator[str]:
    """Yield all queries of alerts and dashboard."""
    for rule in rules():
        yield rule['expr']
    for panel in dashboard()['panels']:
        for target in panel.get('targets', ()):
            yield target['expr']
    for variable in dashboard()['templating']['list']:
        if variable['type'] == 'query':
            yield variable['definition']


def rules() -> list[dict[str, Any]]:
    """Return the alerts."""
    found: list[dict[str, Any]] = yaml.safe_load(
        ALERTS.read_text())['groups'][0]['rules']
    return found


def dashboard() -> dict[str, Any]:
    """Return the dashboard."""
    found: dict[str, Any] = json.loads(DASHBOARD.read_text())
    return found


class NamesTest(base.TestCase):

    def test_every_metric_that_is_named_exists(self) -> None:
        named = {name for text in expressions()
                 for name in _NAME.findall(text)}

        self.assertLess(20, len(named))
        self.assertEqual(set(), named - set(exposed()))

    def test_every_figure_of_guests_is_on_the_dashboard(self) -> None:
        shown = {name for text in expressions()
                 for name in _NAME.findall(text)}

        self.assertEqual(set(), {
            name for name in exposed() if '_guest_' in name} - shown)

    def test_every_label_that_is_named_exists(self) -> None:
        known = exposed()
        for text in expressions():
            for name, chosen in re.findall(r'(\w+)\{([^}]*)\}', text):
                labels = set(re.findall(r'(\w+)\s*(?:=~|!=|=)', chosen))
                with self.subTest(expression=text):
                    self.assertEqual(
                        set(), labels - known.get(name, set()) - _ADDED)

    def test_panels_are_distinct_and_do_not_overlap(self) -> None:
        panels = dashboard()['panels']
        taken = [(place['y'] + down, place['x'] + right)
                 for panel in panels for place in (panel['gridPos'],)
                 for down in range(place['h']) for right in range(place['w'])]

        self.assertEqual(len(panels), len({one['id'] for one in panels}))
        self.assertEqual(len(taken), len(set(taken)))
        self.assertLess(max(right for _, right in taken), 24)


class AlertsTest(base.TestCase):

    def promtool(self, *words: str) -> None:
        done = subprocess.run(
            ['promtool', *words], capture_output=True, text=True,
            timeout=_TIMEOUT_S, check=False)
        self.assertEqual(0, done.returncode, done.stdout + done.stderr)

    def test_prometheus_takes_the_alerts(self) -> None:
        self.promtool('check', 'rules', str(ALERTS))

    def test_each_alert_fires_when_it_is_to(self) -> None:
        self.promtool('test', 'rules', str(CASES))

    def test_no_alert_is_left_out(self) -> None:
        tried = CASES.read_text()

        self.assertEqual([], [
            rule['alert'] for rule in rules()
            if f'alertname="{rule["alert"]}"' not in tried])

    def test_prometheus_takes_the_queries_of_the_dashboard(self) -> None:
        queries = [target['expr'].replace('$__rate_interval', '1m')
                   for panel in dashboard()['panels']
                   for target in panel.get('targets', ())]
        path = self.path('queries.yaml')
        path.write_text(yaml.safe_dump({'groups': [{
            'name': 'dashboard', 'rules': [
                {'record': f'query:{number}', 'expr': query}
                for number, query in enumerate(queries)]}]}))

        self.promtool('check', 'rules', str(path))

    def path(self, name: str) -> pathlib.Path:
        return pathlib.Path(
            self.useFixture(fixtures.TempDir()).path) / name
