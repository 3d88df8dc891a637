"""Every handler on http://localhost:8000, with a folder for S3 and SQLite for DynamoDB and SQS.

    python functions/local_server.py --port 8000 --data .data

The handlers are the ones Lambda runs; this only speaks HTTP on one side and Lambda events
on the other. For development: unless JWT_ISSUER is set, it trusts whoever connects.
"""

import argparse
import fcntl
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TextIO

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from local_aws.bucket import Bucket
from local_aws.connection import LARGEST_HEAD_BYTES, Connection
from local_aws.cors import Cors
from local_aws.gateway import ROUTES, Gateway, break_down, refuse, refuse_route
from local_aws.lines import show_lines
from local_aws.workers import GRACE_S, Workers
from videos import steps, wiring
from videos.errors import VideoError
from videos.local import FolderStorage, SqliteJobs

EVENT_HANDLERS = ("check_upload", "transcode_video", "recover_videos")


def main() -> None:
    options = _options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    signal.signal(signal.SIGINT, lambda *_: sys.exit(0))
    show_lines(sys.stderr)
    logging.getLogger("python_multipart").addHandler(logging.NullHandler())  # clients are told already
    lock = _lock(options.data)
    listener = _listen(options.host, options.port)
    url = options.public_url or f"http://localhost:{listener.getsockname()[1]}"
    app = _load(options.data, url, options.transcodes)
    app.state.greeting = f"TikToken answers on {url} (data in {options.data}, Ctrl-C stops it)"
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        http=Connection,
        ws="none",
        h11_max_incomplete_event_size=LARGEST_HEAD_BYTES,
        server_header=False,
        timeout_keep_alive=75,  # longer than any poller pauses
        timeout_graceful_shutdown=GRACE_S,
    )
    with suppress(SystemExit):  # uvicorn repeats the signal that stopped it
        uvicorn.Server(config).run(sockets=[listener])
    _end_children()
    lock.close()
    sys.stdout.flush()
    os._exit(0)  # waits for no thread: what was in the works is begun anew at the next start


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen on (%(default)s: only this machine)"
    )
    parser.add_argument("--port", type=int, default=8000, help="0 takes any that is free (%(default)s)")
    parser.add_argument(
        "--data", type=Path, default=Path(".data"), help="folder for everything (%(default)s)"
    )
    parser.add_argument("--public-url", help="where clients reach us, if not at http://localhost:PORT")
    parser.add_argument(
        "--transcodes", type=int, default=os.cpu_count() or 1, help="how many at a time (%(default)s)"
    )
    return parser.parse_args()


def _lock(folder: Path) -> TextIO:
    """Hold the folder for as long as the returned file is open; the kernel lets go if we are killed."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = (folder / "lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        sys.exit(f"Another server works on {folder}: stop it, or choose another folder with --data.")
    return lock


def _listen(host: str, port: int) -> socket.socket:
    try:
        listener = socket.create_server(
            (host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET
        )
    except (OSError, OverflowError) as error:
        reason, _, _ = str(error).partition(" (while")
        sys.exit(f"Cannot listen on {host}:{port}: {reason}. Choose another with --port or --host.")
    # asyncio does this only for sockets it makes; without it, answers wait 40 ms for an ACK.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def _load(folder: Path, url: str, transcodes: int) -> Starlette:
    """The application, with every handler imported: they read the environment then."""
    folder = folder.resolve()
    _end_orphans(folder / "work")
    for leftover in ("incoming", "work"):
        shutil.rmtree(folder / leftover, ignore_errors=True)
    os.environ.update(STORAGE_MODE="local", LOCAL_FOLDER=str(folder), PUBLIC_URL=url)
    for function in (*ROUTES.values(), *EVENT_HANDLERS):
        import_module(function)
    service = wiring.service()
    assert isinstance(service.storage, FolderStorage)
    assert isinstance(service.jobs, SqliteJobs)
    set_aside = partial(steps.set_aside, service=service)
    workers = Workers(service.storage, service.jobs, transcodes=transcodes, set_aside=set_aside)
    return make_app(service.storage, workers)


def make_app(storage: FolderStorage, workers: Workers) -> Starlette:
    @asynccontextmanager
    async def work_on(app: Starlette) -> AsyncIterator[None]:
        workers.start()
        print(app.state.greeting, flush=True)
        print(f"For development: {_who_is_trusted()}.", file=sys.stderr)
        yield
        await run_in_threadpool(workers.stop)

    cors = Middleware(Cors, allowed_origins=wiring.http_settings().allowed_origins)
    app = Starlette(
        routes=[*Gateway(workers.ring).routes(), *Bucket(storage, workers.notify).routes()],
        middleware=[cors],
        exception_handlers={
            VideoError: refuse,
            HTTPException: refuse_route,
            ClientDisconnect: hang_up,
            Exception: break_down,
        },
        lifespan=work_on,
    )
    app.router.redirect_slashes = False  # API Gateway does not; and it would go where the Host header says
    return app


def _who_is_trusted() -> str:
    access = wiring.http_settings().access
    return f"the API wants tokens of {access.keys.issuer}" if access else "it trusts whoever connects"


def hang_up(_: Request, __: Exception) -> Response:
    """For a client that left in the middle of its body; it will not read this."""
    return Response(status_code=400)


def _end_orphans(work: Path) -> None:
    """Kill the tools of a server that was killed: it had the lock on this folder that we have now."""
    for pid, _, command in _processes():
        if Path(command.split()[0]).name.startswith(("ffmpeg", "ffprobe")) and f"{work}/" in command:
            _kill(pid)


def _end_children() -> None:
    """Kill what the handlers started: an ffmpeg would work on for a server that is gone."""
    for pid, parent, _ in _processes():
        if parent == os.getpid():
            _kill(pid)


def _processes() -> Iterator[tuple[int, int, str]]:
    """Id, parent and command line of each; none where there is no ps, as in small containers."""
    if ps := shutil.which("ps"):
        listed = subprocess.run(
            [ps, "-A", "-ww", "-o", "pid=,ppid=,args="], capture_output=True, text=True, check=False
        )
        for line in listed.stdout.splitlines():
            pid, parent, command = line.split(maxsplit=2)
            yield int(pid), int(parent), command


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


if __name__ == "__main__":
    main()
