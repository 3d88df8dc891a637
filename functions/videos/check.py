"""The check of an upload, for files on a disk: ``python -m videos.check FILE…``.

Exits with 0 if every file would be accepted, 1 if one would be refused, 2 if one is not there.
"""

import argparse
import json
import shlex
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from videos import views, wiring
from videos.errors import Refused, ToolFailed
from videos.probe import probe
from videos.rules import check, warnings

COMMAND = "ffmpeg -i INPUT"


def report(file: Path) -> dict[str, Any]:
    """What an upload of ``file`` would be told. Raises ToolFailed if ffprobe or libmagic cannot run."""
    tools, spec = wiring.check_settings()
    media = probe(file, tools)
    problems = check(media, spec)
    return {
        "file": str(file),
        "accepted": not problems,
        "specs": views.specs(media) if media.codec else None,
        "warnings": list(warnings(media)) if not problems else [],
        **(Refused(problems).details if problems else {}),
    }


def reasons(violations: Iterable[Mapping[str, Any]], file: Path) -> Iterable[str]:
    """Every reason with what to do about it, as lines; a command that mends all comes once, at the end."""
    commands: dict[str, None] = {}
    for violation in violations:
        yield str(violation["message"])
        for suggestion in violation["suggestions"]:
            if COMMAND in suggestion:
                commands[suggestion.replace("INPUT", shlex.quote(str(file)))] = None
            else:
                yield f"  • {suggestion}"
    yield from commands


def _lines(told: Mapping[str, Any]) -> Iterable[str]:
    if told["accepted"]:
        specs = told["specs"]
        yield (
            f"{told['file']}: accepted, {specs['width']}x{specs['height']}, {specs['fps']:g} fps, "
            f"{specs['codec']}, {specs['duration']:g} s"
        )
        yield from (f"  {warning}" for warning in told["warnings"])
    else:
        yield f"{told['file']}: refused"
        yield from (f"  {line}" for line in reasons(told["violations"], Path(told["file"])))


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m videos.check", description="Say whether these files would be accepted, and why not."
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    arguments = parser.parse_args()
    if missing := [str(file) for file in arguments.files if not file.is_file()]:
        parser.error(f"no such file: {', '.join(missing)}")
    try:
        told = [report(file) for file in arguments.files]
    except ToolFailed as error:
        parser.exit(2, f"{error} {' '.join(error.suggestions)}\n")
    for one in told:
        print(json.dumps(one) if arguments.json else "\n".join(_lines(one)))
    return 0 if all(one["accepted"] for one in told) else 1


if __name__ == "__main__":
    sys.exit(main())
