"""Dashboard and alarms: whatever they draw is really emitted, and whatever wakes somebody says what to do."""

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from test_template import FUNCTIONS, RESOURCES, TEMPLATE
from videos import metrics

README = (Path(__file__).parent.parent / "README.md").read_text()
ALARMS = {
    name: resource["Properties"]
    for name, resource in RESOURCES.items()
    if resource["Type"] == "AWS::CloudWatch::Alarm"
}
# What AWS emits of its own accord, and by which dimensions.
AWS = {
    "AWS/Lambda": ({"FunctionName"}, {"Errors", "Throttles", "Duration", "Invocations"}),
    "AWS/SQS": (
        {"QueueName"},
        {
            "ApproximateAgeOfOldestMessage",
            "ApproximateNumberOfMessagesVisible",
            "ApproximateNumberOfMessagesNotVisible",
        },
    ),
    "AWS/ApiGateway": ({"ApiName", "Stage"}, {"Count", "4XXError", "5XXError", "Latency"}),
}


class Metric(NamedTuple):
    namespace: str
    name: str
    dimensions: tuple[tuple[str, str], ...]  # sorted; values as ``${Resource}`` where the template names one


def rendered() -> dict[str, Any]:
    """The dashboard as it is deployed: valid JSON, with each ``${…}`` naming something that is there."""
    body: dict[str, Any] = json.loads(RESOURCES["Dashboard"]["Properties"]["DashboardBody"]["Sub"])
    for named in re.findall(r"\${([^}]+)}", json.dumps(body)):
        resource = named.partition(".")[0]
        assert resource in RESOURCES or resource in ("AWS::StackName", "AWS::Region"), named
    return body


def drawn() -> set[Metric]:
    found = set()
    for widget in rendered()["widgets"]:
        for row in widget["properties"].get("metrics", ()):
            words = [word for word in row if isinstance(word, str)]
            if words:
                namespace, name, *pairs = words
                found.add(Metric(namespace, name, by_name(zip(pairs[::2], pairs[1::2], strict=True))))
            else:
                found.add(searched(row[0]["expression"]))
    return found


def searched(expression: str) -> Metric:
    """``SEARCH('{Namespace,dimension,…} MetricName="x" dimension="y"', …)``; a dimension not set is any."""
    match = re.fullmatch(r"SEARCH\('{([^}]+)} (.*)', '\w+', \d+\)", expression)
    assert match, expression
    namespace, *dimensions = match[1].split(",")
    told = dict(re.findall(r'(\w+)="([^"]+)"', match[2]))
    name = told.pop("MetricName")
    return Metric(namespace, name, by_name((dimension, told.get(dimension, "*")) for dimension in dimensions))


def watched(alarm: dict[str, Any]) -> set[Metric]:
    """The metrics of one alarm, alone or in a sum."""
    parts = [part["MetricStat"]["Metric"] for part in alarm.get("Metrics", ()) if "MetricStat" in part]
    return {
        Metric(
            part["Namespace"],
            part["MetricName"],
            by_name((pair["Name"], value(pair["Value"])) for pair in part["Dimensions"]),
        )
        for part in parts or [alarm]
    }


def by_name(dimensions: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(dimensions))


def value(of: Any) -> str:
    return of if isinstance(of, str) else f"${{{of.get('Ref') or of.get('GetAtt')}}}"


def emitted(lines: list[dict[str, Any]]) -> set[Metric]:
    """What CloudWatch makes of the log."""
    found = set()
    for line in lines:
        for directive in line.get("_aws", {}).get("CloudWatchMetrics", ()):
            for dimensions in directive["Dimensions"]:
                named = by_name((name, str(line[name])) for name in dimensions)
                for metric in directive["Metrics"]:
                    assert isinstance(line[metric["Name"]], int)
                    found.add(Metric(directive["Namespace"], metric["Name"], named))
    return found


OURS = {metric.name for metric in drawn() if metric.namespace == metrics.NAMESPACE}
ALL = drawn() | {metric for alarm in ALARMS.values() for metric in watched(alarm)}


@pytest.mark.parametrize("metric", sorted(m for m in ALL if m.namespace not in AWS), ids=str)
def test_what_is_drawn_of_ours_is_emitted(metric, journey):
    names = {name for name, _ in metric.dimensions}
    kinds = {
        (m.namespace, m.name, frozenset(name for name, _ in m.dimensions)) for m in emitted(journey.lines)
    }

    assert (metric.namespace, metric.name, frozenset(names)) in kinds
    assert dict(metric.dimensions)["service"] == "${AWS::StackName}"


@pytest.mark.parametrize("metric", sorted(m for m in ALL if m.namespace in AWS), ids=str)
def test_what_is_drawn_of_aws_is_of_something_deployed(metric):
    dimensions, names = AWS[metric.namespace]
    told = dict(metric.dimensions)

    assert told.keys() == dimensions
    assert metric.name in names
    if function := told.get("FunctionName"):
        assert function[2:-1] in FUNCTIONS
    if queue := told.get("QueueName"):
        assert RESOURCES[queue[2:].removesuffix(".QueueName}")]["Type"] == "AWS::SQS::Queue"
    if "ApiName" in told:
        api = RESOURCES["Api"]["Properties"]
        assert (told["ApiName"], told["Stage"]) == (value(api["Name"]), api["StageName"])


def test_the_service_of_every_figure_is_the_stack(journey):
    variables = TEMPLATE["Globals"]["Function"]["Environment"]["Variables"]

    assert value(variables["POWERTOOLS_SERVICE_NAME"]) == "${AWS::StackName}"
    assert {line["service"] for line in journey.lines} == {"service_undefined"}  # it is not set here


def test_every_figure_is_drawn_documented_and_about_a_video(journey):
    figures = [line for line in journey.lines if "_aws" in line]
    names = {metric.name for metric in emitted(figures)}

    assert names == OURS
    assert names == set(re.findall(r"\b[a-z]+(?:_[a-z]+)*\b(?=,? )", _table(metrics.__doc__ or "")))
    assert all(line["video_id"] for line in figures)


def test_an_id_is_never_a_dimension(journey):
    names = {name for metric in emitted(journey.lines) for name, _ in metric.dimensions}

    assert names == {"service", "rule"}


def test_each_thing_that_happens_is_counted_once(journey):
    """The first video: a ticket, an acceptance, a time to the first output and one to the last, an end."""
    first = journey.lines[0]["video_id"]

    told = [name for line in journey.lines if line["video_id"] == first for name in line if name in OURS]

    assert told == [
        "uploads_requested", "accepted", "to_playable_ms", "completed", "to_completed_ms", "deleted",
    ]  # fmt: skip


@pytest.mark.parametrize("name", ALARMS)
def test_an_alarm_leads_to_its_page_of_the_runbook(name):
    alarm = ALARMS[name]

    assert RESOURCES[name]["Condition"] == "Monitors"
    assert alarm["AlarmDescription"].endswith(f" See README.md#{name.lower()}")
    assert f"\n### {name}\n" in README
    assert alarm["AlarmActions"] == alarm["OKActions"] == [{"Ref": "Alarms"}]
    assert alarm["TreatMissingData"] == ("breaching" if name == "RecoverStopped" else "notBreaching")


def test_every_function_counts_in_the_alarms_about_functions():
    for name in ("FunctionErrors", "FunctionThrottles"):
        assert {dict(m.dimensions)["FunctionName"][2:-1] for m in watched(ALARMS[name])} == set(FUNCTIONS)


def test_the_dashboard_shows_every_alarm():
    [widget] = [widget for widget in rendered()["widgets"] if widget["type"] == "alarm"]

    assert {arn[2:].removesuffix(".Arn}") for arn in widget["properties"]["alarms"]} == set(ALARMS)


def _table(text: str) -> str:
    """The names at the left of a docstring's table."""
    return "\n".join(line[4:24] + " " for line in text.splitlines() if re.match(r" {4}\S", line))
