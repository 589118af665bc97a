"""Alerts, dashboard and runbook against each other, and against the metrics that the daemon really has."""

from __future__ import annotations

import asyncio
import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from worker.commands.parser import parse
from worker.core.calls import CallGroup
from worker.core.limits import LimitStanding, Rate
from worker.core.manifest.model import Project
from worker.core.status import STANDING
from worker.telemetry.board import Board
from worker.telemetry.gauges import Readings
from worker.telemetry.lines import ProjectLine
from worker.telemetry.metrics import Metrics

FOLDER = Path(__file__).parents[2] / "deploy" / "monitoring"
RUNBOOK = (FOLDER / "README.md").read_text()
ALERTS = {rule["alert"]: rule for rule in yaml.safe_load((FOLDER / "alerts.yaml").read_text())["groups"][0]["rules"]}
CASES = yaml.safe_load((FOLDER / "alerts_test.yaml").read_text())["tests"]
DASHBOARD = json.loads((FOLDER / "dashboard.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
OF_THE_TARGET = frozenset({"job", "instance", "namespace"})
"""Labels that Prometheus itself puts on whatever it scrapes."""
TARGET = {"job": "ims-share-worker", "instance": "a"}
HEALTHY = {
    "start_time_seconds": ("", "0x3000"),
    "schedule_interval_seconds": ("", "900x3000"),
    "last_success_timestamp_seconds": ("", "0+60x3000"),
    "credential_refused": (', credential="default"', "0x3000"),
    "shares": (', project="payments", bucket="not_sent"', "0x3000"),
    "passes_total": (', result="refused"', "0x3000"),
    "drift_shares": (', project="payments"', "0x3000"),
    "unreadable_projects": (', credential="default"', "0x3000"),
    "oldest_job_age_seconds": ("", "0x3000"),
    "limit_paused_seconds": (', account="default", group="job_get"', "0x3000"),
    "quarantined_shares": ("", "0x3000"),
    "paused": ("", "0x3000"),
    "reload_failed": ("", "0x3000"),
    "loop_lag_max_seconds": ("", "0.01x3000"),
    "bugs_total": ("", "0x3000"),
}
"""Figures of a healthy worker, minute by minute: for each metric that an alert looks at its labels and its values."""
_SELECTOR = re.compile(r"\b(ims_share_worker_\w+|up)\b(?:{([^}]*)})?")
_MATCHER = re.compile(r'(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"')
_GROUPING = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)")
_ALERT = re.compile(r"\bImsShareWorker\w+")

Exposed = Mapping[str, Mapping[str, set[str]]]  # metric, label, values


@pytest.fixture(scope="module")
def samples() -> list[Sample]:
    """Return what a daemon exposes whose projects, accounts and credentials are those of the cases."""
    board = Board(lambda: 0.0)
    credentials = {"payments": "payments", "ledger": "default", "audit": "default"}
    board.fleet.projects = {
        name: ProjectLine(Project(name, name, credential)) for name, credential in credentials.items()
    }
    limits = {
        account: {group: LimitStanding(Rate(200, 300.0), 200, 0, 0.0, Rate(200, 300.0)) for group in CallGroup}
        for account in ("default", "shared")
    }
    refused = {"default": False, "payments": False}
    readings = Readings(lambda: limits, lambda: refused, lambda: 900.0, lambda: 0.0)
    text, _ = asyncio.run(Metrics(board, readings, "1", 0.0, lambda: 0.0).exposition(""))
    return [sample for family in text_string_to_metric_families(text.decode()) for sample in family.samples]


@pytest.fixture(scope="module")
def exposed(samples: list[Sample]) -> Exposed:
    """Return the metrics of the samples, with their labels and the values of these."""
    seen: dict[str, dict[str, set[str]]] = {"up": {}}
    for sample in samples:
        labels = seen.setdefault(sample.name, {})
        for label, value in sample.labels.items():
            labels.setdefault(label, set()).add(value)
    return seen


def promtool(*arguments: str | Path) -> str:
    """Run promtool, or skip the test where it is missing; return what it said, with its status as the first line."""
    return _checked("promtool", *arguments)


def test_promtool_accepts_the_rules() -> None:
    """Every rule of alerts.yaml is valid, its templates too."""
    assert promtool("check", "rules", FOLDER / "alerts.yaml").startswith("0\n")


@pytest.mark.waits
def test_alerts_fire_when_they_should_and_only_then() -> None:
    """The cases of alerts_test.yaml hold: healthy, stand-by, freshly started, failing and recovering."""
    said = promtool("test", "rules", FOLDER / "alerts_test.yaml")
    assert said.startswith("0\n"), said


@pytest.mark.waits
def test_no_case_relies_on_what_it_leaves_out(tmp_path: Path) -> None:
    """Each case holds too where its instances have every other figure that an alert looks at, all of them healthy."""
    shutil.copy(FOLDER / "alerts.yaml", tmp_path)
    # As texts, since 0x600 is a number for some readers of YAML.
    document = yaml.load((FOLDER / "alerts_test.yaml").read_text(), yaml.BaseLoader)  # noqa: S506 - it makes texts alone
    for case in document["tests"]:
        case["input_series"] += healthy_figures_missing_in(case)
        for test in case["promql_expr_test"]:
            test["exp_samples"] = [{**each, "value": float(each["value"])} for each in test.get("exp_samples", ())]
    (tmp_path / "alerts_test.yaml").write_text(yaml.safe_dump(document))
    said = promtool("test", "rules", tmp_path / "alerts_test.yaml")
    assert said.startswith("0\n"), said


def test_promtool_accepts_the_queries_of_the_dashboard(tmp_path: Path) -> None:
    """Every query of the dashboard is valid once Grafana has put its variables in."""
    queries = [re.sub(r"\[\$\w+\]", "[5m]", query) for _, query in dashboard_queries()]
    rules = [{"record": f"query:{number}", "expr": query} for number, query in enumerate(queries)]
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    said = promtool("check", "rules", tmp_path / "rules.yaml")
    assert said.startswith("0\n"), said


@pytest.mark.parametrize("figure", [0, 7])
def test_no_panel_shows_what_is_no_number_while_nothing_happens(
    tmp_path: Path, samples: list[Sample], figure: int
) -> None:
    """Neither of a worker that has done nothing yet, nor of one that did it all long ago: no NaN, and no infinity."""
    input_series = []
    for sample in samples:
        labels = ", ".join(f'{name}="{value}"' for name, value in (sample.labels | TARGET).items())
        values = "1x120" if sample.name == "ims_share_worker_at_work" else f"{figure}+0x120"
        input_series.append({"series": f"{sample.name}{{{labels}}}", "values": values})
    queries = [re.sub(r"\[\$\w+\]", "[5m]", re.sub(r'"\$\w+"', '".*"', query)) for _, query in dashboard_queries()]
    wrong = [f"({query}) != ({query}) or abs({query}) == Inf" for query in queries]
    case = {
        "interval": "1m",
        "input_series": input_series,
        "promql_expr_test": [{"expr": expression, "eval_time": "90m", "exp_samples": []} for expression in wrong],
    }
    (tmp_path / "idle.yaml").write_text(yaml.safe_dump({"tests": [case]}))
    said = promtool("test", "rules", tmp_path / "idle.yaml")
    assert said.startswith("0\n"), said


def test_the_dashboard_colours_only_what_a_share_can_be() -> None:
    """Where it shows shares by status: one that has none gets one of Grafana's."""
    (panel,) = (each for each in PANELS if each["title"] == "Shares by bucket")
    coloured = [override["matcher"]["options"] for override in panel["fieldConfig"]["overrides"]]
    assert {*coloured} <= {status.value for status in STANDING}
    assert len(coloured) == len({*coloured})


def test_the_configurations_of_the_readme_are_accepted(tmp_path: Path) -> None:
    """Prometheus and Alertmanager take what the README tells people to write."""
    scrape, route = re.findall(r"```yaml\n(.*?)```", RUNBOOK, re.DOTALL)
    shutil.copy(FOLDER / "alerts.yaml", tmp_path)
    (tmp_path / "prometheus.yml").write_text(scrape)
    (tmp_path / "alertmanager.yml").write_text(route)
    assert promtool("check", "config", tmp_path / "prometheus.yml").startswith("0\n")
    assert _checked("amtool", "check-config", tmp_path / "alertmanager.yml").startswith("0\n")


def test_queries_use_metrics_and_labels_that_exist(exposed: Exposed) -> None:
    """Each metric, label and value in a rule or on the dashboard is one that the daemon exposes."""
    queries = [(name, rule["expr"]) for name, rule in ALERTS.items()]
    wrong = [
        problem for where, query in (*queries, *dashboard_queries()) for problem in unknowns(query, exposed, where)
    ]
    assert wrong == []


@pytest.mark.parametrize(
    ("query", "problem"),
    [
        ("ims_share_worker_at_wrok == 1", "ims_share_worker_at_wrok"),
        ('ims_share_worker_shares{bukcet="absent"}', "bukcet"),
        ('ims_share_worker_shares{bucket="gone"}', "gone"),
        ("sum by (buckets) (ims_share_worker_shares)", "buckets"),
    ],
)
def test_what_does_not_exist_is_found(exposed: Exposed, query: str, problem: str) -> None:
    """The check of metrics and labels sees a wrong name wherever it stands."""
    assert unknowns(query, exposed, "here") == [f"here: {problem}"]


def test_each_alert_has_a_case_in_which_it_fires_and_figures_that_are_healthy() -> None:
    """No alert is without its proof, and the healthy case has every metric that any alert looks at."""
    assert set(firing()) == set(ALERTS)
    healthy = {series["series"].partition("{")[0] for series in CASES[0]["input_series"]}
    watched = {name for rule in ALERTS.values() for name, _ in _SELECTOR.findall(rule["expr"])}
    assert healthy >= watched
    assert watched - {"up", "ims_share_worker_at_work"} == {f"ims_share_worker_{name}" for name in HEALTHY}
    assert all(not test.get("exp_samples") for test in CASES[0]["promql_expr_test"])


def test_cases_are_made_of_series_that_exist(exposed: Exposed) -> None:
    """The figures of the cases have the names and labels that the daemon gives them."""
    for case in CASES:
        for series in (each["series"] for each in case["input_series"]):
            labels = {label for label, _, _ in _MATCHER.findall(series)} - OF_THE_TARGET
            assert unknowns(series, exposed, case["name"]) == []
            assert labels == set(exposed[series.partition("{")[0]]), series


def test_annotations_name_only_labels_that_their_alert_has() -> None:
    """No summary or description has a hole where a label should be."""
    labels = firing()
    for name, rule in ALERTS.items():
        used = set(re.findall(r"\$labels\.(\w+)", " ".join(rule["annotations"].values())))
        assert used <= labels[name], name


def test_each_alert_says_how_bad_it_is_and_what_to_do_first() -> None:
    """Every alert has a severity, a summary, a description that ends with a first command, and its runbook."""
    for name, rule in ALERTS.items():
        assert rule["labels"]["severity"] in {"critical", "warning"}, name
        assert set(rule["annotations"]) == {"summary", "description", "runbook"}, name
        assert re.search(r"First\b.*`$", rule["annotations"]["description"]), name


def test_commands_can_be_typed_as_they_stand() -> None:
    """Each command of the worker that alerts and runbook name is one that it takes."""
    said = " ".join((RUNBOOK, *(rule["annotations"]["description"] for rule in ALERTS.values())))
    commands = re.findall(r"`(ims-share-worker [^`]+)`", re.sub(r"{{.*?}}", "NAME", said))
    assert len(commands) >= len(ALERTS)
    for command in commands:
        parse(shlex.split(command)[1:])


def test_the_runbook_has_a_paragraph_for_each_alert() -> None:
    """The annotation of each alert leads to its heading, no heading is without an alert, and no other is named."""
    headings = re.findall(r"^### (\w+)\n\n\S", RUNBOOK, re.MULTILINE)
    assert headings == list(ALERTS)
    for name, rule in ALERTS.items():
        assert rule["annotations"]["runbook"] == f"deploy/monitoring/README.md#{name.lower()}"
    assert set(_ALERT.findall(RUNBOOK)) == set(ALERTS)
    anchors = set(re.findall(r"\]\(#([\w-]+)\)", RUNBOOK))
    headings = re.findall(r"^####? (.+)$", RUNBOOK, re.MULTILINE)
    assert anchors <= {name.lower().replace(" ", "-") for name in headings}


def test_panels_have_their_own_ids_and_places() -> None:
    """Ids are unique and in order, and no panel lies on another or beyond the edge."""
    assert [panel["id"] for panel in DASHBOARD["panels"]] == list(range(1, len(DASHBOARD["panels"]) + 1))
    places = [panel["gridPos"] for panel in DASHBOARD["panels"]]
    assert all(place["x"] >= 0 and place["x"] + place["w"] <= 24 for place in places)
    assert [place for place in combinations(places, 2) if overlap(*place)] == []
    assert places == sorted(places, key=lambda place: (place["y"], place["x"]))


def test_the_dashboard_fits_any_instance() -> None:
    """Every panel, query and variable has the data source of the variable, and each variable that is used exists."""
    variables = DASHBOARD["templating"]["list"]
    source = {"type": "prometheus", "uid": "${DS_PROMETHEUS}"}
    users = [*PANELS, *(target for panel in PANELS for target in panel["targets"]), *variables[1:]]
    assert all(user["datasource"] == source for user in users)
    assert [(each["name"], each["type"]) for each in variables] == [
        ("DS_PROMETHEUS", "datasource"),
        ("job", "query"),
        ("instance", "query"),
        ("project", "query"),
    ]
    used = set(re.findall(r"\$\{?(\w+)", json.dumps(DASHBOARD)))
    assert used == {"DS_PROMETHEUS", "job", "instance", "project", "__all", "__rate_interval"}
    assert "id" not in DASHBOARD


def test_every_panel_says_what_it_shows() -> None:
    """Each panel has a title of its own and a description, and its queries have letters of their own."""
    titles = [panel["title"] for panel in PANELS]
    assert len(set(titles)) == len(titles)
    for panel in PANELS:
        assert panel["description"].endswith("."), panel["title"]
        letters = [target["refId"] for target in panel["targets"]]
        assert letters == sorted(set(letters)), panel["title"]


def healthy_figures_missing_in(case: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return series for the figures that a case does not give of its instances."""
    given = {series["series"].partition("{")[0]: set[str]() for series in case["input_series"]}
    targets = set()
    for series in case["input_series"]:
        name, _, labels = series["series"].partition("{")
        target = ", ".join(f'{key}="{value}"' for key, _, value in _MATCHER.findall(labels) if key in OF_THE_TARGET)
        given[name].add(target)
        if name == "up" and 'job="ims-share-worker"' in target:
            targets.add(target)
    return [
        {"series": f"ims_share_worker_{name}{{{target}{labels}}}", "values": values}
        for target in sorted(targets)
        for name, (labels, values) in HEALTHY.items()
        if target not in given.get(f"ims_share_worker_{name}", ())
    ]


def dashboard_queries() -> Iterator[tuple[str, str]]:
    """Yield the queries of panels and variables, each with where it stands."""
    for panel in PANELS:
        for target in panel["targets"]:
            yield panel["title"], target["expr"]
    for variable in DASHBOARD["templating"]["list"][1:]:
        query = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"]["query"])
        assert query, variable["name"]
        yield variable["name"], f"count by ({query[2]}) ({query[1]})"


def unknowns(query: str, exposed: Exposed, where: str) -> list[str]:
    """Return the metrics, labels and values of a query that are not exposed."""
    wrong = []
    labels = set(OF_THE_TARGET)
    for name, matchers in _SELECTOR.findall(query):
        if name not in exposed:
            wrong.append(name)
            continue
        labels |= set(exposed[name])
        for label, comparison, value in _MATCHER.findall(matchers):
            if label not in OF_THE_TARGET and label not in exposed[name]:
                wrong.append(label)
            elif comparison in {"=", "!="} and value not in exposed[name].get(label, {value}):
                wrong.append(value)
    grouped = {label.strip() for group in _GROUPING.findall(query) for label in group.split(",")}
    return [f"{where}: {each}" for each in (*wrong, *sorted(grouped - labels))]


def firing() -> dict[str, set[str]]:
    """Return the labels that each alert has where the cases say that it fires."""
    labels: dict[str, set[str]] = {}
    for case in CASES:
        for test in case["promql_expr_test"]:
            for sample in test.get("exp_samples", ()):
                pairs = {label: value for label, _, value in _MATCHER.findall(sample["labels"])}
                labels.setdefault(pairs["alertname"], set()).update(pairs)
    return labels


def overlap(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Tell whether two places on the grid have a cell in common."""
    return all(
        one[start] < other[start] + other[size] and other[start] < one[start] + one[size]
        for start, size in (("x", "w"), ("y", "h"))
    )


def _checked(tool: str, *arguments: str | Path) -> str:
    path = shutil.which(tool)
    if path is None:
        pytest.skip(f"{tool} is not installed")
    done = subprocess.run([path, *map(str, arguments)], capture_output=True, text=True, check=False, timeout=300)
    return f"{done.returncode}\n{done.stdout}{done.stderr}"
