"""Template, handlers, local routes, sample events and documentation agree."""

import importlib
import json
from dataclasses import fields
from pathlib import Path

import pytest

from local_aws import events, gateway
from support.api import NOBODY
from support.template import FUNCTIONS, RESOURCES, TEMPLATE, deployed, module_of
from support.video_table import TABLE
from videos import wiring
from videos.checking.rules import SPEC
from videos.errors import TooManyRequests
from videos.ports import Job
from videos.service import Service
from videos.web import api

PROJECT = Path(__file__).parent.parent


STATEMENTS = [
    (name, statement)
    for name, function in FUNCTIONS.items()
    for policy in function["Policies"]
    for statement in policy["Statement"]
]


ANY_OTHER = {"/", "/{unknown+}"}


def api_events() -> set[tuple[str, str, str]]:
    """Method, path and module of each route."""
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


def test_the_local_server_serves_the_routes_of_the_template():
    served = {(method, path, module) for (method, path), module in gateway.ROUTES.items()}
    with_get = {
        ("HEAD", path, module) for method, path, module in served if method == "GET"
    }  # Starlette adds it
    with_cors = {("OPTIONS", path, module) for _, path, module in served}

    deployed = {route for route in api_events() if route[1] not in ANY_OTHER}

    assert deployed == served | with_get | with_cors


def test_every_request_reaches_a_function_whatever_its_path_and_token():
    """API Gateway answers what no route is for with a 403 if it has a Bearer token."""
    [api] = deployed("AWS::ApiGateway::RestApi").values()
    routes = api["Properties"]["Body"]["paths"]

    assert {
        path for path, methods in routes.items() if "x-amazon-apigateway-any-method" in methods
    } == ANY_OTHER
    assert all("security" not in operation for path in routes.values() for operation in path.values())


@pytest.mark.parametrize("path", sorted({path for _, path in gateway.ROUTES}))
def test_the_handlers_answer_the_methods_of_the_local_server_and_no_others(call, path):
    answered = {method for method, of_path in gateway.ROUTES if of_path == path}
    if "GET" in answered:
        answered.add("HEAD")
    asked = path.format(video_id=NOBODY, file="video.mp4")

    unknown = {
        method
        for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
        if (answer := call(method, asked))[0] == 404 and (answer[1] or {}).get("error") == "No such route."
    }

    assert unknown == {"GET", "POST", "PUT", "PATCH", "DELETE"} - answered
    assert call("HEAD", asked)[0] == call("GET", asked)[0]
    assert call("OPTIONS", asked)[0] == 204


@pytest.mark.parametrize("path", ["/", "/nowhere", "/videos/a/b/c"])
def test_an_unknown_path_is_a_404_for_whoever_has_a_token_too(call, path):
    status, answer, headers = call(
        "GET", path, Authorization="Bearer abc.def.ghi", Origin="http://localhost:1"
    )

    assert (status, answer["code"]) == (404, "unknown_route")
    assert "Access-Control-Allow-Origin" in headers


def test_the_local_gateway_throttles_with_the_response_of_the_template():
    throttled = RESOURCES["Api"]["Properties"]["GatewayResponses"]["THROTTLED"]
    status, body, headers = api.answer(TooManyRequests())

    assert status == throttled["StatusCode"]
    assert body == json.loads(throttled["ResponseTemplates"]["application/json"])
    assert throttled["ResponseParameters"]["Headers"]["Retry-After"] == f"'{headers['Retry-After']}'"


def test_every_answer_of_the_gateway_itself_has_the_headers_that_ours_have():
    for name, response in RESOURCES["Api"]["Properties"]["GatewayResponses"].items():
        headers = response["ResponseParameters"]["Headers"]
        assert headers["Cache-Control"] == "'no-store'", name
        assert headers["X-Content-Type-Options"] == "'nosniff'", name
        assert "suggestions_for" in response["ResponseTemplates"]["application/json"], name


def test_every_page_may_read_the_gateways_own_answers_with_the_headers_of_ours():
    """``'*'`` is for requests without cookies, and ours have none: a token is a header."""
    for name, response in RESOURCES["Api"]["Properties"]["GatewayResponses"].items():
        headers = response["ResponseParameters"]["Headers"]
        exposed = headers["Access-Control-Expose-Headers"].strip("'").split(",")
        assert headers["Access-Control-Allow-Origin"] == "'*'", name
        assert headers["X-Request-Id"] == "context.requestId", name
        assert (
            exposed
            == ["ETag", "Location", "Retry-After", "WWW-Authenticate", "X-Request-Id"]
            == api.EXPOSED_HEADERS
        ), name


@pytest.mark.parametrize("name", ["request_upload", "read_video", "check_health"])
def test_the_local_gateway_builds_events_shaped_like_the_samples(name, event):
    sample = event(name)

    built = events.api_event(
        sample["httpMethod"], sample["resource"], sample["path"], sample["pathParameters"] or {}, b""
    )

    assert built.keys() == sample.keys()
    assert built["requestContext"].keys() <= sample["requestContext"].keys()


@pytest.mark.parametrize(
    ("name", "built"),
    [
        ("check_upload", events.s3_event("uploads/a", size_bytes=1, etag="e")),
        ("transcode_video", events.sqs_event(Job(video_id="a", receipt="r", receives=1))),
        ("deliver_webhook", events.webhook_event(Job(video_id="{}", receipt="r", receives=1))),
    ],
)
def test_the_local_queues_build_records_shaped_like_the_samples(name, built, event):
    def shape(value):
        return {key: shape(inner) for key, inner in value.items()} if isinstance(value, dict) else None

    assert shape(built["Records"][0]) == shape(event(name)["Records"][0])


def test_the_local_schedule_builds_an_event_shaped_like_the_sample(event):
    assert events.scheduled_event().keys() == event("recover_videos").keys()


def test_the_tests_use_the_deployed_table():
    deployed = RESOURCES["VideoTable"]["Properties"]
    view = TABLE["StreamSpecification"]["StreamViewType"]  # a template does not say that the stream is on

    assert {name: deployed[name] for name in TABLE} == TABLE | {
        "StreamSpecification": {"StreamViewType": view}
    }


def test_the_defaults_of_the_template_match_the_code():
    defaults = {name: parameter.get("Default") for name, parameter in TEMPLATE["Parameters"].items()}

    assert defaults["MaxBytes"] == SPEC.max_bytes
    assert defaults["MaxDurationS"] == SPEC.max_duration_s
    assert defaults["MaxFixBytes"] == SPEC.max_fix_bytes
    assert {field.name: field.default for field in fields(Service)}["on_violation"] == defaults["OnViolation"]


def test_every_setting_of_the_template_is_read_and_documented():
    documented = f"{wiring.make_service.__doc__} {wiring.http_settings.__doc__}"
    # libmagic's, Powertools', boto3's
    settings_of_libraries = {"MAGIC", "POWERTOOLS_LOG_LEVEL", "POWERTOOLS_SERVICE_NAME", "AWS_ENDPOINT_URL"}

    settings = set(TEMPLATE["Globals"]["Function"]["Environment"]["Variables"]) - settings_of_libraries

    assert {setting for setting in settings if setting not in documented} == set()


def test_the_function_that_tells_events_knows_the_url_of_the_api():
    url = FUNCTIONS["PublishChanges"]["Environment"]["Variables"]["API_URL"]

    assert "https://${Api}.execute-api." in str(url)


@pytest.mark.parametrize(("function", "statement"), STATEMENTS)
def test_no_policy_has_wildcard_actions_or_resources(function, statement):
    actions, resources = statement["Action"], statement["Resource"]

    assert statement["Effect"] == "Allow"
    assert not any("*" in action for action in ([actions] if isinstance(actions, str) else actions)), function
    assert resources != "*"


def test_the_bucket_is_private_and_requires_tls():
    bucket = RESOURCES["MediaBucket"]["Properties"]
    [statement] = RESOURCES["MediaBucketPolicy"]["Properties"]["PolicyDocument"]["Statement"]

    assert all(bucket["PublicAccessBlockConfiguration"].values())
    assert (statement["Effect"], statement["Condition"]) == (
        "Deny",
        {"Bool": {"aws:SecureTransport": "false"}},
    )


@pytest.mark.parametrize("parameter", TEMPLATE["Parameters"])
def test_every_parameter_has_a_description(parameter):
    assert TEMPLATE["Parameters"][parameter]["Description"].endswith(".")
