"""template.yaml as it is written: parameters and resources, with CloudFormation's short forms spelled out."""

from pathlib import Path
from typing import Any

import yaml

TEMPLATE_FILE = Path(__file__).parent.parent / "template.yaml"


class CloudFormation(yaml.SafeLoader):  # type: ignore[misc]  # yaml ships no types
    """YAML with CloudFormation's short forms: ``!Ref X`` becomes ``{"Ref": X}``."""


def _short_form(loader: yaml.SafeLoader, tag: str, node: yaml.Node) -> dict[str, Any]:
    if isinstance(node, yaml.ScalarNode):
        return {tag: loader.construct_scalar(node)}
    if isinstance(node, yaml.SequenceNode):
        return {tag: loader.construct_sequence(node, deep=True)}
    return {tag: loader.construct_mapping(node, deep=True)}


CloudFormation.add_multi_constructor("!", _short_form)
TEMPLATE: dict[str, Any] = yaml.load(TEMPLATE_FILE.read_text(), CloudFormation)  # noqa: S506  a safe one
