"""Check local files as uploads are checked: ``python -m videos.cli.check_files FILE…``.

Exit status: 0 if every file would be accepted, 1 if any would be rejected, 2 if any is missing.
"""

import json
import shlex
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import msgspec

from videos import mistakes, wiring
from videos.checking.probe import probe
from videos.checking.rules import check
from videos.checking.verdict import decide, warnings
from videos.errors import Rejected
from videos.web import views

COMMAND = "ffmpeg -i INPUT"


def report(file: Path) -> dict[str, Any]:
    """The result of checking ``file`` as an upload. Raises ToolFailed if ffprobe or libmagic cannot run."""
    tools, spec, on_violation = wiring.check_settings()
    media = probe(file.absolute(), tools)  # ffprobe would take -x.mp4 for an option
    violations, fixes = decide(media, check(media, spec), on_violation, spec)
    return {
        "file": str(file),
        "accepted": not violations,
        "specs": msgspec.to_builtins(views.specs(media)) if media.codec else None,
        "warnings": list(warnings(media, fixes)) if not violations else [],
        **({"fixes": [asdict(fix) for fix in fixes]} if fixes else {}),
        **(Rejected(violations).details if violations else {}),
    }


def reasons(violations: Iterable[Mapping[str, Any]], file: Path) -> Iterable[str]:
    """Every violation and its suggestions, as lines; the ffmpeg command comes once, last."""
    commands: dict[str, None] = {}
    for violation in violations:
        yield str(violation["message"])
        for suggestion in violation["suggestions"]:
            if COMMAND in suggestion:
                commands[suggestion.replace("INPUT", shlex.quote(str(file)))] = None
            else:
                yield f"  • {suggestion}"
    yield from commands


def _lines(result: Mapping[str, Any]) -> Iterable[str]:
    if result["accepted"]:
        specs = result["specs"]
        yield (
            f"{result['file']}: accepted, {specs['width']}x{specs['height']}, {specs['fps']:g} fps, "
            f"{specs['codec']}, {specs['duration']:g} s"
        )
        yield from (f"  {warning}" for warning in result["warnings"])
        for fix in result.get("fixes", ()):
            yield f"  fixed: {fix['rule'].replace('_', ' ')}, {fix['found']} → {fix['made']}"
    else:
        yield f"{result['file']}: rejected"
        yield from (f"  {line}" for line in reasons(result["violations"], Path(result["file"])))


def main() -> int:
    with mistakes.told():
        return _main()


def _main() -> int:
    parser = mistakes.Parser(
        prog="python -m videos.cli.check_files",
        description="Check whether files would be accepted, and list every violation.",
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    parser.add_argument("--json", action="store_true", help="print one JSON object a line")
    arguments = parser.parse_args()
    if missing := [str(file) for file in arguments.files if not file.is_file()]:
        parser.error(f"no such file: {', '.join(missing)}")
    results = [report(file) for file in arguments.files]
    for result in results:
        print(json.dumps(result) if arguments.json else "\n".join(_lines(result)))
    return 0 if all(result["accepted"] for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
