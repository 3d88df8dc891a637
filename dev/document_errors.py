"""Write the table of error codes into docs/api.md, from the errors themselves.

    make docs

With --check it writes nothing, and exits with 1 if the table is out of date.
"""

import argparse
import inspect
import sys
from pathlib import Path
from typing import NamedTuple

from dev.markers import between
from videos.errors import VideoError
from videos.web.api import STATUS_OF

API = Path(__file__).parent.parent / "docs" / "api.md"
BEGIN = "<!-- error codes, begin: `make docs` writes this table -->\n"
END = "<!-- error codes, end -->\n"


class Row(NamedTuple):
    status: int
    code: str
    when: str
    what_to_do: str


# Codes that are not raised as errors: two in the status of a video, one for whatever is unexpected.
OTHERS = (
    Row(200, "processing_failed", "In a status: every attempt failed.", "Resend once, then report the id."),
    Row(200, "upload_expired", "In a status: nothing was uploaded in time.", "Ask for a new ticket."),
    Row(500, "internal_error", "Something unexpected failed on our side.", "Try again in a moment."),
)


def table() -> str:
    """A row for each code, by status."""
    rows = sorted([*OTHERS, *(_row(error, status) for error, status in STATUS_OF.items())])
    lines = ["| code | HTTP | when | what the app does |", "|---|---|---|---|"]
    lines += [f"| `{row.code}` | {row.status} | {row.when} | {row.what_to_do} |" for row in rows]
    return "\n".join([*lines, ""])


def _row(error: type[VideoError], status: int) -> Row:
    when, what_to_do = (inspect.getdoc(error) or "").replace("``", "`").split("\n\n")
    return Row(int(status), error.code, when, what_to_do)


def documented(page: str) -> str:
    """``page`` with the table of today between its markers."""
    return between(page, BEGIN, END, table())


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 if out of date")
    page = API.read_text()
    if parser.parse_args().check:
        return int(documented(page) != page)
    API.write_text(documented(page))
    return 0


if __name__ == "__main__":
    sys.exit(main())
