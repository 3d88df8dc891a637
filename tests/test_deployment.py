"""The template as CloudFormation gets it: translated by SAM, and with the parameters of an environment."""

import json
import re
import tomllib
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

import pytest

from support.template import TEMPLATE, deployed, deployed_with, refusals, translated
from videos import policy

PROJECT = Path(__file__).parent.parent
SAMCONFIG = tomllib.loads((PROJECT / "samconfig.toml").read_text())
ENVIRONMENTS = ["default", "emulator", "prod"]


def parameters_of(environment: str) -> dict[str, str]:
    overrides = SAMCONFIG[environment]["deploy"]["parameters"].get("parameter_overrides", "")
    return dict(pair.split("=", 1) for pair in overrides.split())


# ── Names and stages ─────────────────────────────────────────────────────────────


def test_the_api_has_one_stage_and_that_one_has_limits():
    stages = deployed("AWS::ApiGateway::Stage")
    published = {
        one["Properties"].get("StageName") for one in deployed("AWS::ApiGateway::Deployment").values()
    }

    assert [one["Properties"]["StageName"] for one in stages.values()] == ["v1"]
    assert published == {None}  # a deployment with a StageName creates that stage, beside ours
    [stage] = stages.values()
    assert stage["Properties"]["MethodSettings"][0]["ThrottlingRateLimit"] == {"Ref": "RequestsPerSecond"}


@pytest.mark.parametrize("kind", ["AWS::S3::Bucket", "AWS::DynamoDB::Table"])
def test_videos_outlive_their_stack_but_a_failed_first_deployment_leaves_nothing(kind):
    [kept] = deployed(kind).values()

    assert kept["DeletionPolicy"] == "RetainExceptOnCreate"
    assert kept["UpdateReplacePolicy"] == "Retain"


@pytest.mark.parametrize("environment", ENVIRONMENTS)
@pytest.mark.parametrize("region", ["us-east-1", "ap-southeast-4", "ap-northeast-1"])
def test_the_bucket_of_each_environment_has_a_name_that_s3_takes(environment, region):
    [bucket] = deployed("AWS::S3::Bucket").values()
    stack = SAMCONFIG[environment]["deploy"]["parameters"]["stack_name"]
    parts = {"AWS::StackName": stack, "AWS::AccountId": "123456789012", "AWS::Region": region}

    name = bucket["Properties"]["BucketName"]["Fn::Sub"]
    for part, value in parts.items():
        assert f"${{{part}}}" in name, "two accounts or regions would want the same name"
        name = name.replace(f"${{{part}}}", value)

    assert re.fullmatch(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]", name)


def test_no_resource_waits_for_itself():
    """`sam validate --lint` passes such a template, and CloudFormation refuses it."""
    resources = translated()["Resources"]
    graph = {name: set(needed(one)) & resources.keys() for name, one in resources.items()}

    assert len(list(TopologicalSorter(graph).static_order())) == len(resources)


def needed(value: Any) -> Iterator[str]:
    """The names that a part of the template refers to."""
    match value:
        case {"Ref": str(name)}:
            yield name
        case {"Fn::GetAtt": [str(name), *_]}:
            yield name
        case {"Fn::GetAtt": str(name)}:
            yield name.partition(".")[0]
        case {"Fn::Sub": str(text)}:
            yield from re.findall(r"\${([A-Za-z0-9]+)", text)
        case {"Fn::Sub": [str(text), values]}:
            yield from re.findall(r"\${([A-Za-z0-9]+)", text)
            yield from needed(values)
        case dict():
            dependencies = value.get("DependsOn", [])
            yield from [dependencies] if isinstance(dependencies, str) else dependencies
            for inner in value.values():
                yield from needed(inner)
        case list():
            for inner in value:
                yield from needed(inner)


# ── Concurrency ──────────────────────────────────────────────────────────────────

UNRESERVED = 100  # AWS keeps so much of an account's quota for functions that reserve none


def reserved(**parameters: str) -> dict[str, int]:
    functions = {
        name: one["Properties"]
        for name, one in deployed_with(**parameters).items()
        if one["Type"] == "AWS::Lambda::Function"
    }
    return {
        name: int(one["ReservedConcurrentExecutions"])
        for name, one in functions.items()
        if "ReservedConcurrentExecutions" in one
    }


def test_by_default_nothing_is_reserved_so_that_every_account_can_deploy():
    assert reserved() == {}


def test_concurrency_is_reserved_as_the_parameters_say():
    assert reserved(ReserveConcurrency="yes", ChecksAtOnce="70", TranscodesAtOnce="30") == {
        "CheckUpload": 70,
        "TranscodeVideo": 30,
        "RecoverVideos": 1,
    }


def test_the_arithmetic_of_the_description_is_that_of_the_template():
    said = TEMPLATE["Parameters"]["ReserveConcurrency"]["Description"]

    needed_quota = sum(reserved(ReserveConcurrency="yes", ChecksAtOnce="50", TranscodesAtOnce="10").values())

    assert f"ChecksAtOnce + TranscodesAtOnce + {needed_quota + UNRESERVED - 60}" in said


def test_prod_fits_the_quota_of_an_account_that_has_grown():
    assert sum(reserved(**parameters_of("prod")).values()) + UNRESERVED <= 1000


def source(name: str, **parameters: str) -> dict[str, Any]:
    """An event source, by the name of its function and its own."""
    properties: dict[str, Any] = deployed_with(**parameters)[name]["Properties"]
    return properties


@pytest.mark.parametrize("reserve", ["yes", "no"])
def test_transcodes_are_limited_whether_concurrency_is_reserved_or_not(reserve):
    jobs = source("TranscodeVideoJob", ReserveConcurrency=reserve, TranscodesAtOnce="7")

    assert jobs["ScalingConfig"] == {"MaximumConcurrency": "7"}


def test_more_transcodes_than_an_event_source_takes_are_let_in_by_pollers_alone():
    """Lambda refuses an event source with both limits."""
    jobs = source("TranscodeVideoJob", TranscodePollers="130")

    assert jobs["ProvisionedPollerConfig"] == {"MinimumPollers": 2, "MaximumPollers": "130"}
    assert "ScalingConfig" not in jobs
    assert "ProvisionedPollerConfig" not in source("TranscodeVideoJob")


def test_pollers_are_not_held_up_by_a_reservation_that_is_smaller():
    assert reserved(ReserveConcurrency="yes", TranscodePollers="130").keys() == {
        "CheckUpload",
        "RecoverVideos",
    }


@pytest.mark.parametrize(
    ("pollers", "is_allowed"),
    [("0", True), ("1", False), ("2", True), ("1999", True), ("2000", True), ("2001", False), ("", False)],
)
def test_pollers_are_as_many_as_lambda_allows_or_none(pollers, is_allowed):
    pattern = TEMPLATE["Parameters"]["TranscodePollers"]["AllowedPattern"]

    assert bool(re.fullmatch(pattern, pollers)) == is_allowed


@pytest.mark.parametrize(
    ("parameters", "warm"),
    [
        ({}, None),  # what DynamoDB begins with, or has grown to: less than that it refuses
        ({"WarmWritesPerSecond": "8000"}, ("12000", "8000")),
        ({"WarmWritesPerSecond": "8000", "WarmReadsPerSecond": "24000"}, ("24000", "8000")),
    ],
)
def test_the_table_is_as_warm_as_the_parameters_say(parameters, warm):
    [table] = [
        one["Properties"]
        for one in deployed_with(**parameters).values()
        if one["Type"] == "AWS::DynamoDB::Table"
    ]
    units = ("ReadUnitsPerSecond", "WriteUnitsPerSecond")

    assert table.get("WarmThroughput") == (warm and dict(zip(units, warm, strict=True)))


def test_parameters_end_where_lambda_does():
    parameters = TEMPLATE["Parameters"]
    disk_bytes = 512 * 1024**2  # /tmp, unless EphemeralStorage says otherwise
    encode_s_per_s = 40 / 60  # of HEVC, on the two processors of TranscodeVideo

    assert all(
        "EphemeralStorage" not in one["Properties"] for one in deployed("AWS::Lambda::Function").values()
    )
    assert 4 * parameters["MaxBytes"]["MaxValue"] < disk_bytes
    assert parameters["MaxDurationS"]["MaxValue"] * encode_s_per_s < policy.LADDER_TIMEOUT_S
    transcodes = parameters["TranscodesAtOnce"]
    assert (transcodes["MinValue"], transcodes["MaxValue"]) == (2, 1000)  # MaximumConcurrency's


# ── Who has access, and who is told ──────────────────────────────────────────────

TOKENS = {"Access": "tokens", "JwtIssuer": "https://issuer.example", "JwtAudience": "app"}


def test_nobody_deploys_without_saying_who_has_access():
    assert "Default" not in TEMPLATE["Parameters"]["Access"]


@pytest.mark.parametrize("environment", ["default", "emulator"])
def test_an_environment_that_says_open_deploys_as_it_is(environment):
    assert parameters_of(environment)["Access"] == "open"
    assert refusals(**parameters_of(environment)) == []


def test_prod_deploys_once_it_knows_its_issuer_and_whom_to_tell():
    assert parameters_of("prod")["Access"] == "tokens"
    assert len(refusals(**parameters_of("prod"))) == 3
    assert refusals(**(parameters_of("prod") | TOKENS), AlarmEmail="oncall@example.com") == []


@pytest.mark.parametrize("missing", ["JwtIssuer", "JwtAudience"])
def test_tokens_without_an_issuer_or_an_audience_are_refused_by_name(missing):
    [reason] = refusals(**(TOKENS | {missing: ""}))

    assert missing in reason


def test_an_issuer_with_open_access_is_a_mistake():
    [reason] = refusals(**(TOKENS | {"Access": "open"}))

    assert "Access=tokens" in reason


@pytest.mark.parametrize("without", [{"AlarmEmail": ""}, {"Monitoring": "no"}])
def test_alarms_that_reach_nobody_are_refused_where_somebody_must_be_told(without):
    told = {"Access": "open", "AlarmEmail": "oncall@example.com"} | without

    assert refusals(**told) == []
    assert len(refusals(RequireAlarmEmail="yes", **told)) == 1


# ── Events and webhooks ──────────────────────────────────────────────────────────

WEBHOOK = {"WebhookUrl": "https://app.example/hooks", "WebhookSecret": f"whsec_{'a' * 43}="}


def of_publisher(name: str, **parameters: str) -> Any:
    environment: dict[str, Any] = source("PublishChanges", **parameters)["Environment"]["Variables"]
    return environment[name]


@pytest.mark.parametrize(("bus", "told"), [("own", {"Ref": "OwnBus"}), ("default", "default"), ("none", "")])
def test_events_are_told_on_the_bus_that_is_chosen(bus, told):
    buses = [one for one in deployed_with(EventBus=bus).values() if one["Type"] == "AWS::Events::EventBus"]

    assert of_publisher("EVENT_BUS", EventBus=bus) == told
    assert len(buses) == (bus == "own")


def test_without_a_receiver_nobody_polls_the_queues_of_webhooks_and_no_alarm_watches_them():
    for name in ("DeliverWebhookFirst", "DeliverWebhookAgain"):
        assert source(name)["Enabled"] is False
        assert source(name, **WEBHOOK)["Enabled"] is True
    assert of_publisher("WEBHOOK_URL") == ""
    assert deployed_with(**WEBHOOK).keys() - deployed_with().keys() == {
        "OldWebhooks",
        "FailingWebhooks",
        "DeadWebhooks",
    }


def test_webhooks_are_limited_and_retries_have_a_limit_of_their_own():
    first, again = (source(f"DeliverWebhook{name}", WebhooksAtOnce="7") for name in ("First", "Again"))

    assert first["ScalingConfig"] == {"MaximumConcurrency": "7"}
    assert again["ScalingConfig"] == {"MaximumConcurrency": 2}
    assert first["EventSourceArn"] != again["EventSourceArn"]
    assert first["BatchSize"] == again["BatchSize"] == 1


def test_the_secret_of_webhooks_is_shown_nowhere_and_given_to_one_function():
    assert TEMPLATE["Parameters"]["WebhookSecret"]["NoEcho"] is True
    has_it = [
        name
        for name, one in deployed("AWS::Lambda::Function").items()
        if "WebhookSecret" in json.dumps(one["Properties"])
    ]
    assert has_it == ["DeliverWebhook"]
    assert "WebhookSecret" not in json.dumps(translated()["Outputs"])


def test_webhooks_without_a_secret_are_refused():
    assert refusals(Access="open", **WEBHOOK) == []
    [reason] = refusals(Access="open", WebhookUrl=WEBHOOK["WebhookUrl"])

    assert "WebhookSecret" in reason


@pytest.mark.parametrize(
    ("parameter", "value", "is_allowed"),
    [
        ("WebhookUrl", "", True),
        ("WebhookUrl", "https://app.example/hooks?a=b", True),
        ("WebhookUrl", "https://app.example:8443/@me", True),
        ("WebhookUrl", "http://host.docker.internal:9000/hooks", True),
        ("WebhookUrl", "http://app.example/hooks", False),
        ("WebhookUrl", "https:///hooks", False),
        ("WebhookUrl", "https://ré.example/hooks", False),
        ("WebhookUrl", "https://app.example/a b", False),
        ("WebhookUrl", "https://app.example/#a", False),
        ("WebhookUrl", "https://app.example\\@10.0.0.1/", False),
        ("WebhookUrl", "app.example/hooks", False),
        ("WebhookUrl", "https://user:pass@app.example/", False),
        ("WebhookSecret", "", True),
        ("WebhookSecret", WEBHOOK["WebhookSecret"], True),
        ("WebhookSecret", f"{WEBHOOK['WebhookSecret']},{WEBHOOK['WebhookSecret']}", True),
        ("WebhookSecret", f"{WEBHOOK['WebhookSecret']},", False),
        ("WebhookSecret", "whsec_short", False),
        ("WebhookSecret", "a" * 43, False),
    ],
)
def test_a_receiver_that_the_functions_would_refuse_is_not_deployed(parameter, value, is_allowed):
    assert bool(re.fullmatch(TEMPLATE["Parameters"][parameter]["AllowedPattern"], value)) == is_allowed


# ── Rates and costs ──────────────────────────────────────────────────────────────


def firewalls(**parameters: str) -> dict[str, dict[str, Any]]:
    return {
        one["Type"]: one["Properties"] for one in deployed_with(**parameters).values() if "WAF" in one["Type"]
    }


def test_there_is_no_firewall_unless_addresses_are_limited():
    assert firewalls() == {}


def test_an_address_has_a_limit_of_its_own_at_the_stage_that_clients_use():
    found = firewalls(RequestsPerAddress="600")
    acl, association = found["AWS::WAFv2::WebACL"], found["AWS::WAFv2::WebACLAssociation"]

    [rule] = acl["Rules"]
    assert rule["Statement"]["RateBasedStatement"] == {
        "AggregateKeyType": "IP",
        "Limit": "600",
        "EvaluationWindowSec": 60,
    }
    [stage] = deployed("AWS::ApiGateway::Stage")
    assert association["ResourceArn"]["Fn::Sub"].endswith(f"/restapis/${{Api}}/stages/${{{stage}}}")


@pytest.mark.parametrize(("limit", "is_allowed"), [("0", True), ("9", False), ("10", True), ("-1", False)])
def test_an_address_has_a_limit_that_the_firewall_can_hold_or_none(limit, is_allowed):
    pattern = TEMPLATE["Parameters"]["RequestsPerAddress"]["AllowedPattern"]

    assert bool(re.fullmatch(pattern, limit)) == is_allowed


def test_a_blocked_address_is_answered_429_and_told_when_to_come_again():
    blocked = TEMPLATE["Resources"]["Api"]["Properties"]["GatewayResponses"]["WAF_FILTERED"]
    throttled = TEMPLATE["Resources"]["Api"]["Properties"]["GatewayResponses"]["THROTTLED"]

    code = [json.loads(one["ResponseTemplates"]["application/json"])["code"] for one in (blocked, throttled)]
    assert code == ["too_many_requests", "too_many_requests"]
    assert blocked["StatusCode"] == 429
    assert blocked["ResponseParameters"]["Headers"]["Retry-After"] == "'60'"


def test_nothing_is_paid_that_nobody_reads_or_needs():
    [stage] = deployed("AWS::ApiGateway::Stage").values()
    [table] = deployed("AWS::DynamoDB::Table").values()
    queues = deployed("AWS::SQS::Queue").values()

    assert not any(setting.get("MetricsEnabled") for setting in stage["Properties"]["MethodSettings"])
    assert "SSESpecification" not in table["Properties"]  # a key of KMS; without it, DynamoDB's own
    assert all(queue["Properties"]["SqsManagedSseEnabled"] is True for queue in queues)
    assert not any("KmsMasterKeyId" in queue["Properties"] for queue in queues)
