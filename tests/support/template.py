"""template.yaml: as it is written, as SAM translates it, and what parameters make of it."""

import os
import re
from copy import deepcopy
from functools import cache
from typing import Any
from unittest.mock import patch

from dev.template import TEMPLATE, TEMPLATE_FILE

RESOURCES = TEMPLATE["Resources"]
FUNCTIONS = {
    name: resource["Properties"]
    for name, resource in RESOURCES.items()
    if resource["Type"] == "AWS::Serverless::Function"
}


def module_of(function: str) -> str:
    return re.sub("(?<!^)(?=[A-Z])", "_", function).lower()


# ── What CloudFormation gets ─────────────────────────────────────────────────────

BUILT = "s3://bucket/built.zip"  # `sam package` puts such an address where a folder was


@cache
def translated() -> dict[str, Any]:
    """The template that CloudFormation gets: SAM's resources turned into those of AWS.

    Intrinsic functions have their long form, ``{"Fn::Sub": …}``.
    """
    from samtranslator.translator.managed_policy_translator import ManagedPolicyLoader
    from samtranslator.translator.transform import transform
    from samtranslator.yaml_helper import yaml_parse

    document = yaml_parse(TEMPLATE_FILE.read_text())
    document["Globals"]["Function"]["CodeUri"] = BUILT
    document["Resources"]["MediaToolsLayer"]["Properties"]["ContentUri"] = BUILT
    with patch.dict(os.environ, {"AWS_DEFAULT_REGION": "us-east-1"}):
        found: dict[str, Any] = transform(document, {}, ManagedPolicyLoader(None))
    return found


def deployed(kind: str) -> dict[str, Any]:
    """The translated resources of one type, such as ``AWS::ApiGateway::Stage``, by name."""
    return {name: one for name, one in translated()["Resources"].items() if one["Type"] == kind}


def deployed_with(**parameters: str) -> dict[str, Any]:
    """The translated resources that these parameters create, with every ``Fn::If`` decided.

    A parameter that is not named has its default. What only AWS knows, such as an ARN, stays as it is.
    """
    decide = _Decide(parameters)
    return {
        name: decide(deepcopy(one))
        for name, one in translated()["Resources"].items()
        if "Condition" not in one or decide({"Condition": one["Condition"]})
    }


def refusals(**parameters: str) -> list[str]:
    """Why CloudFormation refuses these parameters, by the template's rules; [] if it deploys."""
    decide = _Decide(parameters)
    return [
        assertion["AssertDescription"]
        for rule in translated()["Rules"].values()
        if "RuleCondition" not in rule or decide(rule["RuleCondition"])
        for assertion in rule["Assertions"]
        if not decide(assertion["Assert"])
    ]


class _Decide:
    """CloudFormation's conditions, for one set of parameters."""

    def __init__(self, parameters: dict[str, str]) -> None:
        declared = translated()["Parameters"]
        assert parameters.keys() <= declared.keys()
        self._values = {name: str(one.get("Default", "")) for name, one in declared.items()} | parameters

    def __call__(self, value: Any) -> Any:
        match value:
            case {"Ref": str(name)} if name in self._values:
                return self._values[name]
            case {"Ref": "AWS::NoValue"}:
                return None
            case {"Condition": str(name)} if len(value) == 1:
                return self(translated()["Conditions"][name])
            case {"Fn::If": [name, then, otherwise]}:
                return self(then if self({"Condition": name}) else otherwise)
            case {"Fn::Equals": [one, other]}:
                return self(one) == self(other)
            case {"Fn::Not": [one]}:
                return not self(one)
            case {"Fn::And": several}:
                return all(map(self, several))
            case {"Fn::Or": several}:
                return any(map(self, several))
            case dict():
                decided = {name: self(inner) for name, inner in value.items()}
                return {name: inner for name, inner in decided.items() if inner is not None}
            case list():
                return [self(inner) for inner in value]
        return value
