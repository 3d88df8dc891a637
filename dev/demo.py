"""The whole journey of one clip, seen as an app sees it.

    make demo                       with a clip made on the spot
    make demo VIDEO=clip.mp4        with one of yours

Starts the service on this machine unless it answers already, and keeps it running until Ctrl-C, so that
the page of the clip can be opened; with CI or ONCE in the environment, it ends at once. Exits with 1 and
every reason if the clip is refused.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from dev.clips import make_clip
from dev.plain_client import App, Refused
from dev.server import Server
from videos import mistakes
from videos.cli.check_files import reasons

BAR_CHARACTERS = 40
IN_TERMINAL = sys.stdout.isatty()


def main() -> int:
    arguments = _arguments()
    with ExitStack() as stack:
        app, server = App(f"http://localhost:{arguments.port}"), None
        if not app.answers():
            with mistakes.data_folder(arguments.data):
                server = stack.enter_context(Server(arguments.data, port=arguments.port))
            say(f"Service started on {server.url}, log in {server.log}")
        clip = arguments.video or _sample(Path(stack.enter_context(tempfile.TemporaryDirectory())))
        status = _journey(app, clip)
        if server and status == 0 and not (os.environ.get("CI") or os.environ.get("ONCE")):
            say("The service runs until Ctrl-C; `make run` serves the same videos again.")
            server.wait()
        return status


def _journey(app: App, clip: Path) -> int:
    size_mb = clip.stat().st_size / 1e6
    say(f"Uploading {clip.name} ({size_mb:.2f} MB): ticket, then straight to storage")
    try:
        ticket = app.upload(clip)
    except Refused as refused:
        return _refused(refused.answer, clip)
    status = app.follow(ticket["id"], on_status=Progress().show)
    if IN_TERMINAL:
        print()  # after the bar
    if status["state"] != "completed":
        return _refused(status, clip)
    print(json.dumps(app.metadata(ticket["id"]), indent=2))
    say(f"The file: {ticket['url']}")
    say(f"The page: {app.url}/#{ticket['id']}")
    return 0


def _refused(answer: dict[str, Any], clip: Path) -> int:
    """Every reason, each with what to do about it; a command that mends everything comes once, at the end."""
    say("Rejected")
    for line in reasons(answer.get("violations") or [{"message": answer["error"], **answer}], clip):
        say(line)
    return 1


class Progress:
    """A bar in a terminal; elsewhere a line whenever something changes."""

    _last = ""

    def show(self, status: dict[str, Any]) -> None:
        done = status["progress"]
        line = f"{status['state']}{', playable' if status['playable'] else ''}"
        if IN_TERMINAL:
            filled = "█" * (BAR_CHARACTERS * done // 100)
            print(f"\r{line:>22} {filled:░<{BAR_CHARACTERS}} {done:>3}%", end="", flush=True)
        elif (line := f"{done:>3}% {line}") != self._last:
            self._last = line
            print(line, flush=True)


def say(text: str) -> None:
    """Print a line at once; control characters, as in a file name, are escaped."""
    print("".join(each if each.isprintable() else repr(each)[1:-1] for each in text), flush=True)


def _sample(folder: Path) -> Path:
    say("No VIDEO given: making 10 s of one with ffmpeg")
    return make_clip(folder / "sample.mp4", seconds=10)


def _arguments() -> argparse.Namespace:
    parser = mistakes.Parser(
        prog="demo", description="Upload a clip to TikToken and follow it until it plays."
    )
    parser.add_argument("video", nargs="?", type=Path, help="the clip; one is made without it")
    parser.add_argument("--port", type=mistakes.port, default=8000, help="of the service (default 8000)")
    parser.add_argument("--data", type=Path, default=Path(".data"), help="where it keeps everything")
    arguments = parser.parse_args()
    if arguments.video and not arguments.video.is_file():
        parser.error(f"there is no file {arguments.video}")
    return arguments


if __name__ == "__main__":
    try:
        with mistakes.told():
            sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
    except (OSError, subprocess.SubprocessError) as error:
        print(f"The demo could not finish: {error}", file=sys.stderr)
        sys.exit(mistakes.EXIT_STATUS)
