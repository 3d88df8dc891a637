"""The whole journey of one clip, seen as an app sees it.

    make demo                       with a clip made on the spot
    make demo VIDEO=clip.mp4        with one of yours

Starts the service on this machine unless it answers already, and keeps it running until Ctrl-C, so that
the page of the clip can be opened; with CI or ONCE in the environment, it ends at once. Exits with 1 and
every reason if the clip is refused.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from dev.client import App
from dev.clips import make_clip
from dev.server import Server
from videos.cli.check_files import reasons

screen = Console(highlight=False, soft_wrap=True, emoji=False)


def main() -> int:
    arguments = _arguments()
    with ExitStack() as stack:
        server = None if _answers(arguments.port) else Server(arguments.data, port=arguments.port)
        if server:
            stack.enter_context(server)
            screen.print(f"Service started on {server.url}, log in {server.log}")
        app = App(f"http://localhost:{arguments.port}")
        clip = arguments.video or _sample(Path(stack.enter_context(tempfile.TemporaryDirectory())))
        status = _journey(app, clip)
        if server and status == 0 and not (os.environ.get("CI") or os.environ.get("ONCE")):
            screen.print("The service runs until Ctrl-C; `make run` serves the same videos again.")
            server.wait()
        return status


def _journey(app: App, clip: Path) -> int:
    size_mb = clip.stat().st_size / 1e6
    screen.print(
        f"Uploading [bold]{escape(clip.name)}[/] ({size_mb:.2f} MB): ticket, then straight to storage"
    )
    try:
        ticket = app.upload(clip)
    except httpx.HTTPStatusError as refused:
        return _refused(_reason(refused.response), clip)
    with _progress_bar() as bar:
        task = bar.add_task("", total=100)
        status = app.follow(
            ticket["id"],
            on_status=lambda status: bar.update(
                task,
                completed=status["progress"],
                description=status["state"] + (", playable" if status["playable"] else ""),
            ),
        )
    if status["state"] != "completed":
        return _refused(status, clip)
    screen.print_json(data=app.metadata(ticket["id"]))
    screen.print(f"The file: {ticket['url']}")
    screen.print(f"The page: [bold]{app.http.base_url}/#{ticket['id']}[/]")
    return 0


def _refused(answer: dict[str, Any], clip: Path) -> int:
    """Every reason, each with what to do about it; a command that mends everything comes once, at the end."""
    screen.print("[bold red]Rejected[/]")
    for line in reasons(answer.get("violations") or [{"message": answer["error"], **answer}], clip):
        screen.print(escape(line))
    return 1


def _reason(response: httpx.Response) -> dict[str, Any]:
    """What the API said, or what storage said in S3's XML."""
    try:
        answer: dict[str, Any] = response.json()
        return answer
    except ValueError:
        return {"error": f"Storage refused the upload: {response.text}", "suggestions": []}


def _progress_bar() -> Progress:
    columns = (TextColumn("{task.description:>22}"), BarColumn(40), TaskProgressColumn(), TimeElapsedColumn())
    return Progress(*columns, console=screen)


def _sample(folder: Path) -> Path:
    screen.print("No VIDEO given: making 10 s of one with ffmpeg")
    return make_clip(folder / "sample.mp4", seconds=10)


def _answers(port: int) -> bool:
    try:
        return httpx.get(f"http://localhost:{port}/health", timeout=2).status_code in (200, 503)
    except httpx.TransportError:
        return False


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Upload a clip to TikToken and follow it until it plays.")
    parser.add_argument("video", nargs="?", type=Path, help="the clip; one is made without it")
    parser.add_argument("--port", type=int, default=8000, help="of the service (default 8000)")
    parser.add_argument("--data", type=Path, default=Path(".data"), help="where it keeps everything")
    arguments = parser.parse_args()
    if arguments.video and not arguments.video.is_file():
        parser.error(f"there is no file {arguments.video}")
    return arguments


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
    except (httpx.TransportError, subprocess.SubprocessError, TimeoutError) as error:
        sys.exit(f"The demo could not finish: {error}")
