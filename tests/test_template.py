"""Template, handlers, local routes, sample events and documentation tell the same story."""

import importlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from conftest import TABLE
from local_aws import events, gateway
from videos import api, wiring
from videos.errors import TooManyRequests
from videos.ports import Job
from videos.rules import SPEC
from videos.service import Service

PROJECT = Path(__file__).parent.parent


class CloudFormation(yaml.SafeLoader):
    """YAML with CloudFormation's short forms: ``!Ref X`` becomes ``{"Ref": X}``."""


def _short_form(loader: yaml.SafeLoader, tag: str, node: yaml.Node) -> dict[str, Any]:
    if isinstance(node, yaml.ScalarNode):
        return {tag: loader.construct_scalar(node)}
    if isinstance(node, yaml.SequenceNode):
        return {tag: loader.construct_sequence(node, deep=True)}
    return {tag: loader.construct_mapping(node, deep=True)}


CloudFormation.add_multi_constructor("!", _short_form)
TEMPLATE = yaml.load((PROJECT / "template.yaml").read_text(), CloudFormation)  # noqa: S506  a safe one
RESOURCES = TEMPLATE["Resources"]
FUNCTIONS = {
    name: resource["Properties"]
    for name, resource in RESOURCES.items()
    if resource["Type"] == "AWS::Serverless::Function"
}
STATEMENTS = [
    (name, statement)
    for name, function in FUNCTIONS.items()
    for policy in function["Policies"]
    for statement in policy["Statement"]
]


def module_of(function: str) -> str:
    return re.sub("(?<!^)(?=[A-Z])", "_", function).lower()


def api_events() -> set[tuple[str, str, str]]:
    return {
        (event["Properties"]["Method"], event["Properties"]["Path"], module_of(name))
        for name, function in FUNCTIONS.items()
        for event in function["Events"].values()
        if event["Type"] == "Api"
    }


@pytest.mark.parametrize("function", FUNCTIONS)
def test_each_function_is_named_after_its_module_and_has_a_sample_event(function):
    module, _, attribute = FUNCTIONS[function]["Handler"].partition(".")

    assert module == module_of(function)
    assert callable(getattr(importlib.import_module(module), attribute))
    assert (PROJECT / "events" / f"{module}.json").exists()


def test_every_handler_is_deployed():
    handlers = {path.stem for path in (PROJECT / "functions").glob("*.py")} - {"local_server"}

    assert handlers == {module_of(function) for function in FUNCTIONS}


def test_the_local_server_serves_the_very_routes_of_the_template():
    deployed = {(method, path): module for method, path, module in api_events() if method != "OPTIONS"}

    assert deployed == gateway.ROUTES


def test_the_local_gateway_throttles_in_the_words_of_the_template():
    deployed = RESOURCES["Api"]["Properties"]["GatewayResponses"]["THROTTLED"]
    status, body, headers = api.answer(TooManyRequests())

    assert status == deployed["StatusCode"]
    assert body == json.loads(deployed["ResponseTemplates"]["application/json"])
    assert f"'{headers['Retry-After']}'" == deployed["ResponseParameters"]["Headers"]["Retry-After"]


def test_every_path_that_a_page_may_ask_first_answers_preflights():
    asked = {path for method, path, _ in api_events() if method != "OPTIONS"}  # any, with a token

    assert {path for method, path, _ in api_events() if method == "OPTIONS"} == asked


@pytest.mark.parametrize("name", ["request_upload", "read_video", "check_health"])
def test_the_local_gateway_makes_events_of_the_shape_of_the_samples(name, event):
    sample = event(name)

    made = events.api_event(
        sample["httpMethod"], sample["resource"], sample["path"], sample["pathParameters"] or {}, b""
    )

    assert made.keys() == sample.keys()
    assert made["requestContext"].keys() <= sample["requestContext"].keys()


@pytest.mark.parametrize(
    ("name", "made"),
    [
        ("check_upload", events.s3_event("uploads/a", size_bytes=1, etag="e")),
        ("transcode_video", events.sqs_event(Job(video_id="a", receipt="r", receives=1))),
    ],
)
def test_local_queues_make_records_of_the_shape_of_the_samples(name, made, event):
    def shape(value):
        return {key: shape(inner) for key, inner in value.items()} if isinstance(value, dict) else None

    assert shape(made["Records"][0]) == shape(event(name)["Records"][0])


def test_the_schedule_is_of_the_shape_of_the_sample(event):
    assert events.scheduled_event().keys() == event("recover_videos").keys()


def test_the_tests_use_the_table_that_is_deployed():
    deployed = RESOURCES["VideoTable"]["Properties"]

    assert {name: deployed[name] for name in TABLE} == TABLE


def test_the_defaults_of_the_template_are_those_of_the_code():
    defaults = {name: parameter.get("Default") for name, parameter in TEMPLATE["Parameters"].items()}

    assert defaults["MaxBytes"] == SPEC.max_bytes
    assert defaults["MaxDurationS"] == SPEC.max_duration_s
    assert RESOURCES["JobQueue"]["Properties"]["RedrivePolicy"]["maxReceiveCount"] == (
        Service.__dataclass_fields__["most_attempts"].default
    )


def test_every_setting_of_the_template_is_read_and_documented():
    documented = f"{wiring.make_service.__doc__} {wiring.http_settings.__doc__}"
    # libmagic's, Powertools', boto3's
    of_others = {"MAGIC", "POWERTOOLS_LOG_LEVEL", "POWERTOOLS_SERVICE_NAME", "AWS_ENDPOINT_URL"}

    settings = set(TEMPLATE["Globals"]["Function"]["Environment"]["Variables"]) - of_others

    assert {setting for setting in settings if setting not in documented} == set()


@pytest.mark.parametrize(("function", "statement"), STATEMENTS)
def test_no_function_may_do_everything_or_to_everything(function, statement):
    actions, resources = statement["Action"], statement["Resource"]

    assert statement["Effect"] == "Allow"
    assert not any("*" in action for action in ([actions] if isinstance(actions, str) else actions)), function
    assert resources != "*"


def test_nothing_but_the_functions_reaches_into_the_bucket():
    bucket = RESOURCES["MediaBucket"]["Properties"]
    [statement] = RESOURCES["MediaBucketPolicy"]["Properties"]["PolicyDocument"]["Statement"]

    assert all(bucket["PublicAccessBlockConfiguration"].values())
    assert (statement["Effect"], statement["Condition"]) == (
        "Deny",
        {"Bool": {"aws:SecureTransport": "false"}},
    )


@pytest.mark.parametrize("parameter", TEMPLATE["Parameters"])
def test_every_parameter_says_what_it_is_for(parameter):
    assert TEMPLATE["Parameters"][parameter]["Description"].endswith(".")


def test_the_readme_names_every_make_target():
    targets = set(re.findall(r"^([a-z-]+):.*## ", (PROJECT / "Makefile").read_text(), re.MULTILINE))
    readme = (PROJECT / "README.md").read_text()

    assert {target for target in targets if f"make {target}" not in readme} == {"help"}
