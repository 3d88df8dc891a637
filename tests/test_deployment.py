"""The template as CloudFormation gets it: translated by SAM, and with the parameters of an environment."""

import re
import tomllib
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

import pytest

from support.template import deployed, translated

PROJECT = Path(__file__).parent.parent
SAMCONFIG = tomllib.loads((PROJECT / "samconfig.toml").read_text())
ENVIRONMENTS = ["default", "emulator", "prod"]

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
