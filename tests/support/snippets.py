"""The code that docs/api.md shows, to be run as it stands there."""

import re
from itertools import takewhile
from pathlib import Path

PAPER = Path(__file__).parents[2] / "docs" / "api.md"
API = "localhost:8000"  # as the snippets have it
BLOCK_OR_HEADING = re.compile(r"^```(\w*)\n(.*?)^```$|^#+ [^\n]*$", re.MULTILINE | re.DOTALL)


def snippets(heading: str, language: str, *, host: str = API) -> list[str]:
    """The blocks of a language below a heading, up to the next, for the API at ``host``."""
    _, _, below = PAPER.read_text().partition(f"# {heading}\n")
    blocks = takewhile(lambda found: found[0].startswith("```"), BLOCK_OR_HEADING.finditer(below))
    return [found[2].replace(API, host) for found in blocks if found[1] == language]
