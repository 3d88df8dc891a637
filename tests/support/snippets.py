"""The code that the documentation shows."""

import re
from pathlib import Path

API = Path(__file__).parent.parent.parent / "docs" / "api.md"


def snippet(name: str) -> str:
    """The block under ``<!-- name -->`` in docs/api.md, such as ``python: verify``."""
    [code] = re.findall(rf"<!-- {name} -->\n```\w+\n(.*?)```", API.read_text(), re.DOTALL)
    return str(code)
