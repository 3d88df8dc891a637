"""template.yaml, parsed."""

import re
from pathlib import Path
from typing import Any

import yaml

TEMPLATE_FILE = Path(__file__).parents[2] / "template.yaml"


class CloudFormation(yaml.SafeLoader):
    """YAML with CloudFormation's short forms: ``!Ref X`` becomes ``{"Ref": X}``."""


def _short_form(loader: yaml.SafeLoader, tag: str, node: yaml.Node) -> dict[str, Any]:
    if isinstance(node, yaml.ScalarNode):
        return {tag: loader.construct_scalar(node)}
    if isinstance(node, yaml.SequenceNode):
        return {tag: loader.construct_sequence(node, deep=True)}
    return {tag: loader.construct_mapping(node, deep=True)}


CloudFormation.add_multi_constructor("!", _short_form)
TEMPLATE = yaml.load(TEMPLATE_FILE.read_text(), CloudFormation)  # noqa: S506  a safe one
RESOURCES = TEMPLATE["Resources"]
FUNCTIONS = {
    name: resource["Properties"]
    for name, resource in RESOURCES.items()
    if resource["Type"] == "AWS::Serverless::Function"
}


def module_of(function: str) -> str:
    return re.sub("(?<!^)(?=[A-Z])", "_", function).lower()
