"""Dashboard and alarms: every metric they use is emitted, and every alarm links to the runbook."""

import json
import re
from collections import Counter
from collections.abc import Iterable
from typing import Any, NamedTuple

import pytest

from support.template import FUNCTIONS, RESOURCES, TEMPLATE, module_of
from videos.telemetry import metrics

ALARMS = {
    name: resource["Properties"]
    for name, resource in RESOURCES.items()
    if resource["Type"] == "AWS::CloudWatch::Alarm"
}
# The metrics that AWS emits by itself, with the dimensions that each has.
BY_FUNCTION, BY_QUEUE, BY_STAGE = {"FunctionName"}, {"QueueName"}, {"ApiName", "Stage"}
AWS = {
    "AWS/Lambda": dict.fromkeys(
        [
            "Errors", "Throttles", "Duration", "Invocations", "IteratorAge",
            "AsyncEventAge", "AsyncEventsDropped", "DestinationDeliveryFailures",
        ],
        BY_FUNCTION,
    ),
    "AWS/SQS": dict.fromkeys(
        [
            "ApproximateAgeOfOldestMessage",
            "ApproximateNumberOfMessagesVisible",
            "ApproximateNumberOfMessagesNotVisible",
        ],
        BY_QUEUE,
    ),
    "AWS/ApiGateway": dict.fromkeys(["Count", "4XXError", "5XXError", "Latency"], BY_STAGE),
    "AWS/DynamoDB": {"ThrottledRequests": {"TableName", "Operation"}, "TransactionConflict": {"TableName"}},
}  # fmt: skip


class Metric(NamedTuple):
    namespace: str
    name: str
    dimensions: tuple[tuple[str, str], ...]  # sorted; references as ``${Resource}``


def rendered() -> dict[str, Any]:
    """The dashboard body: valid JSON in which every ``${…}`` refers to an existing resource."""
    text, parts = RESOURCES["Dashboard"]["Properties"]["DashboardBody"]["Sub"]
    for name, part in parts.items():
        text = text.replace(f"${{{name}}}", part["If"][1]["Sub"])
    body: dict[str, Any] = json.loads(text)
    for named in re.findall(r"\${([^}]+)}", json.dumps(body)):
        resource = named.partition(".")[0]
        assert resource in RESOURCES or resource in ("AWS::StackName", "AWS::Region"), named
    return body


def dashboard_metrics() -> set[Metric]:
    found = set()
    for widget in rendered()["widgets"]:
        for row in widget["properties"].get("metrics", ()):
            words = [word for word in row if isinstance(word, str)]
            if words:
                namespace, name, *pairs = words
                found.add(Metric(namespace, name, by_name(zip(pairs[::2], pairs[1::2], strict=True))))
            else:
                found.add(search_metric(row[0]["expression"]))
    return found


def search_metric(expression: str) -> Metric:
    """``SEARCH('{Namespace,dimension,…} MetricName="x" dimension="y"', …)``; an unset dimension is any."""
    match = re.fullmatch(r"SEARCH\('{([^}]+)} (.*)', '\w+', \d+\)", expression)
    assert match, expression
    namespace, *dimensions = match[1].split(",")
    terms = dict(re.findall(r'(\w+)="([^"]+)"', match[2]))
    name = terms.pop("MetricName")
    return Metric(
        namespace, name, by_name((dimension, terms.get(dimension, "*")) for dimension in dimensions)
    )


def alarm_metrics(alarm: dict[str, Any]) -> set[Metric]:
    """The metrics of one alarm, directly or in its expression."""
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


def emitted_metrics(lines: list[dict[str, Any]]) -> set[Metric]:
    """The metrics that CloudWatch extracts from the log."""
    found = set()
    for line in lines:
        for directive in line.get("_aws", {}).get("CloudWatchMetrics", ()):
            for dimensions in directive["Dimensions"]:
                named = by_name((name, str(line[name])) for name in dimensions)
                for metric in directive["Metrics"]:
                    assert isinstance(line[metric["Name"]], int)
                    found.add(Metric(directive["Namespace"], metric["Name"], named))
    return found


CUSTOM = {metric.name for metric in dashboard_metrics() if metric.namespace == metrics.NAMESPACE}
ALL = dashboard_metrics() | {metric for alarm in ALARMS.values() for metric in alarm_metrics(alarm)}


@pytest.mark.parametrize("metric", sorted(m for m in ALL if m.namespace not in AWS), ids=str)
def test_every_custom_metric_in_use_is_emitted(metric, activity):
    names = {name for name, _ in metric.dimensions}
    kinds = {
        (m.namespace, m.name, frozenset(name for name, _ in m.dimensions))
        for m in emitted_metrics(activity.lines)
    }

    assert (metric.namespace, metric.name, frozenset(names)) in kinds
    assert dict(metric.dimensions)["service"] == "${AWS::StackName}"


@pytest.mark.parametrize("metric", sorted(m for m in ALL if m.namespace in AWS), ids=str)
def test_every_aws_metric_in_use_belongs_to_a_deployed_resource(metric):
    dimensions = dict(metric.dimensions)

    assert dimensions.keys() == AWS[metric.namespace][metric.name]
    if function := dimensions.get("FunctionName"):
        assert function[2:-1] in FUNCTIONS
    if queue := dimensions.get("QueueName"):
        assert RESOURCES[queue[2:].removesuffix(".QueueName}")]["Type"] == "AWS::SQS::Queue"
    if "ApiName" in dimensions:
        api = RESOURCES["Api"]["Properties"]
        assert (dimensions["ApiName"], dimensions["Stage"]) == (value(api["Name"]), api["StageName"])
    if table := dimensions.get("TableName"):
        assert RESOURCES[table[2:-1]]["Type"] == "AWS::DynamoDB::Table"


def test_the_service_dimension_is_the_stack_name(activity):
    variables = TEMPLATE["Globals"]["Function"]["Environment"]["Variables"]

    assert value(variables["POWERTOOLS_SERVICE_NAME"]) == "${AWS::StackName}"
    assert {line["service"] for line in activity.lines} == {"service_undefined"}  # it is not set here


def test_every_metric_is_on_the_dashboard_documented_and_has_a_video_id(activity):
    lines = [line for line in activity.lines if "_aws" in line]
    names = {metric.name for metric in emitted_metrics(lines)}

    assert names == CUSTOM
    assert names == set(re.findall(r"\b[a-z]+(?:_[a-z]+)*\b(?=,? )", _table(metrics.__doc__ or "")))
    assert all(line["video_id"] for line in lines)


def test_an_id_is_never_a_dimension(activity):
    names = {name for metric in emitted_metrics(activity.lines) for name, _ in metric.dimensions}

    assert names == {"service", "rule"}


def test_every_event_is_counted_once(activity):
    """The first video of the run is requested, accepted, playable, completed, told and deleted."""
    first = activity.lines[0]["video_id"]

    counted = [
        name for line in activity.lines if line["video_id"] == first for name in line if name in CUSTOM
    ]

    assert counted == [
        "uploads_requested", "accepted", "to_playable_ms", "completed", "to_completed_ms",
        "webhooks_delivered", "to_delivered_ms", "webhooks_failed", "deleted",
    ]  # fmt: skip


@pytest.mark.parametrize("name", ALARMS)
def test_every_alarm_links_to_its_runbook_entry(name):
    alarm = ALARMS[name]

    assert RESOURCES[name]["Condition"] == ("MonitorsWebhooks" if "Webhooks" in name else "Monitors")
    assert alarm["AlarmDescription"].endswith(f" See docs/operations.md#{name.lower()}")
    assert alarm["AlarmActions"] == alarm["OKActions"] == [{"Ref": "Alarms"}]
    assert alarm["TreatMissingData"] == ("breaching" if name == "RecoverStopped" else "notBreaching")


def functions_of(alarm: str) -> set[str]:
    return {dict(m.dimensions)["FunctionName"][2:-1] for m in alarm_metrics(ALARMS[alarm])}


def test_errors_of_every_function_raise_an_alarm():
    assert functions_of("FunctionErrors") == set(FUNCTIONS)


def test_only_throttles_that_somebody_waits_for_raise_an_alarm_and_no_burst_does():
    """What is throttled of the other functions waits, and is late at the worst: three alarms see that."""
    behind_the_api = {
        name
        for name, function in FUNCTIONS.items()
        if any(event["Type"] == "Api" for event in function["Events"].values())
    }

    assert functions_of("FunctionThrottles") == behind_the_api
    assert ALARMS["FunctionThrottles"]["DatapointsToAlarm"] > 1
    late = {
        metric.name
        for name in ("OldUploads", "OldJobs", "RecoverStopped")
        for metric in alarm_metrics(ALARMS[name])
    }
    assert late == {"AsyncEventAge", "ApproximateAgeOfOldestMessage", "Invocations"}


def test_the_timeouts_of_the_alarm_are_those_of_the_functions():
    [expression] = [part["Expression"] for part in ALARMS["NearTimeout"]["Metrics"] if "Expression" in part]
    hundredths_ms = dict(re.findall(r"FILL\((\w+), 0\) / (\d+)", expression))

    assert functions_of("NearTimeout") == set(FUNCTIONS) - {"RecoverVideos"}
    assert {name: int(number) for name, number in hundredths_ms.items()} == {
        module_of(name): FUNCTIONS[name]["Timeout"] * 1000 // 100 for name in functions_of("NearTimeout")
    }


def test_throttles_of_every_operation_on_the_table_raise_an_alarm(activity):
    watched = {dict(metric.dimensions)["Operation"] for metric in alarm_metrics(ALARMS["TableThrottles"])}

    assert watched >= {asked.operation for asked in activity.asked if asked.service == "dynamodb"}


def test_the_rate_that_raises_an_alarm_is_the_limit_of_the_stage():
    [expression] = [part["Expression"] for part in ALARMS["NearRateLimit"]["Metrics"] if "Expression" in part]
    [setting] = RESOURCES["Api"]["Properties"]["MethodSettings"]

    assert setting["ThrottlingRateLimit"] == {"Ref": "RequestsPerSecond"}
    assert expression == {"Sub": "100 * requests / (60 * ${RequestsPerSecond})"}  # its period is a minute


def test_a_receiver_that_takes_nothing_is_noticed_by_the_three_events_of_one_video():
    alarm = ALARMS["FailingWebhooks"]
    share, failed, delivered = alarm["Metrics"]
    [period_s] = {one["MetricStat"]["Period"] for one in (failed, delivered)}
    [enough] = map(int, re.findall(r">= (\d+)", share["Expression"]))
    failed_at_s = [first + later for first in (0, 2, 60) for later in (0, 5, 65, 365)]

    assert alarm["EvaluationPeriods"] == 1
    for began in range(period_s):  # CloudWatch's periods begin on the clock
        failures = Counter((began + at_s) // period_s for at_s in failed_at_s)
        assert max(failures.values()) >= enough


def test_the_dashboard_shows_every_alarm():
    [widget] = [widget for widget in rendered()["widgets"] if widget["type"] == "alarm"]

    assert {arn[2:].removesuffix(".Arn}") for arn in widget["properties"]["alarms"]} == set(ALARMS)


def _table(text: str) -> str:
    """The names at the left of a docstring's table."""
    return "\n".join(line[4:24] + " " for line in text.splitlines() if re.match(r" {4}\S", line))
