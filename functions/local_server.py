"""Every handler on http://localhost:8000, with a folder for S3 and SQLite for DynamoDB and SQS.

    python functions/local_server.py --port 8000 --data .data

The handlers are the ones Lambda runs; this server only translates between HTTP and Lambda events.
It is for development: unless JWT_ISSUER is set, any client may upload and delete.
"""

import argparse
import fcntl
import gc
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TextIO
from urllib.parse import urlsplit

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from uvicorn.protocols.http import h11_impl

from local_aws import connection, page
from local_aws.addresses import Addresses, in_network, is_any, is_loopback, url
from local_aws.bucket import Bucket
from local_aws.cors import Cors
from local_aws.gateway import Gateway, on_http_exception, on_unhandled, on_video_error
from local_aws.guard import Guard
from local_aws.headers import CommonHeaders
from local_aws.lines import show_lines
from local_aws.sse import EventStreams
from local_aws.workers import GRACE_S, Workers
from videos import mistakes, wiring
from videos.errors import Unavailable, VideoError
from videos.service import Receiver
from videos.steps.attempts import interrupted
from videos.stores.local.announcements import SqliteAnnouncements
from videos.stores.local.deliveries import SqliteDeliveries
from videos.stores.local.disk import make_private
from videos.stores.local.folder import FolderStorage
from videos.stores.local.jobs import SqliteJobs
from videos.stores.local.records import SqliteVideos

# Pages that are being developed on this machine, on any port.
LOCAL_ORIGINS = "http://localhost:*,https://localhost:*,http://127.0.0.1:*,http://[::1]:*"
INSTALL_TOKENS = "pip install --require-hashes --only-binary :all: -r requirements-tokens.txt"
EVENT_HANDLERS = ("check_upload", "transcode_video", "publish_changes", "recover_videos", "deliver_webhook")


def main() -> None:
    with mistakes.told():
        _main(_options())


def _main(options: argparse.Namespace) -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    signal.signal(signal.SIGINT, lambda *_: sys.exit(0))
    show_lines(sys.stderr)
    lock = _lock(options.data)
    listener = _listen(options.host, options.port)
    # Events have no request that would tell.
    os.environ["API_URL"] = _url(options.host, listener)
    app = _load(options.data, options.public_url or "", options.transcodes)
    gc.freeze()  # a collection that walks over all modules keeps everybody waiting for 25 ms
    app.state.greeting = _greeting(options, listener)
    server = _server(app)
    with suppress(SystemExit):  # uvicorn repeats the signal that stopped it
        server.run(sockets=[listener])
    _end_children()
    lock.close()
    sys.stdout.flush()
    os._exit(0)  # without waiting for threads: the next start repeats what they were doing


def _options() -> argparse.Namespace:
    parser = mistakes.Parser(prog="local_server.py", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen on (%(default)s: only this machine)"
    )
    parser.add_argument("--port", type=mistakes.port, default=8000, help="0 chooses a free one (%(default)s)")
    parser.add_argument(
        "--data", type=Path, default=Path(".data"), help="folder for files and databases (%(default)s)"
    )
    parser.add_argument(
        "--public-url",
        type=mistakes.public_url,
        help="base of all URLs in answers (default: the address that the client called)",
    )
    parser.add_argument(
        "--transcodes", type=int, default=os.cpu_count() or 1, help="concurrent transcodes (%(default)s)"
    )
    return parser.parse_args()


def _lock(folder: Path) -> TextIO:
    """Lock the folder for as long as the returned file is open, or until this process ends."""
    with mistakes.data_folder(folder):
        make_private(folder)
        (folder / "lock").touch(mode=0o600)
        lock = (folder / "lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        sys.exit(f"Another server uses {folder}: stop it, or choose another folder with --data.")
    return lock


def _listen(host: str, port: int) -> socket.socket:
    try:
        listener = socket.create_server(
            (host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET
        )
    except OSError as error:
        reason, _, _ = (error.strerror or str(error)).partition(" (while")
        sys.exit(f"Cannot listen on {host}:{port}: {reason}. Choose another with --port or --host.")
    # asyncio does this only for sockets it makes; without it, answers wait 40 ms for an ACK.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def _url(host: str, listener: socket.socket) -> str:
    """Where others reach this server: from other machines, if it lets them in."""
    reached_at = in_network(listener.family) if is_any(host) else host
    if not reached_at or is_loopback(reached_at):
        reached_at = "localhost"
    return url(reached_at, listener.getsockname()[1])


def _greeting(options: argparse.Namespace, listener: socket.socket) -> str:
    """Where the page is, what to type into an app, and where the server listens."""
    host, port = options.host, listener.getsockname()[1]
    in_app = _url(host, listener)
    page_at = url("localhost", port) if is_any(host) else in_app
    listening = url(host, port).removeprefix("http://")
    if is_any(host):
        listening += ", every address of this machine"
    elif is_loopback(host):
        in_app += f", or in an Android emulator {url('10.0.2.2', port)}"
        listening += ", for this machine only"
    return (
        f"Open {options.public_url or page_at} in a browser: the page of TikToken.\n"
        f"In an app, the API is {options.public_url or in_app}\n"
        f"TikToken is listening on {listening} (data in {options.data}; Ctrl-C stops it)"
    )


class Server(uvicorn.Server):
    """uvicorn's, which would wait for the end of every event stream."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        assert isinstance(self.config.app, Starlette)
        self.config.app.state.streams.end()
        await super().shutdown(sockets)


def _server(app: Starlette) -> uvicorn.Server:
    """uvicorn with ``app``, and limits to the time and space that clients take."""
    _allow_files(2 * connection.MAX_CONNECTIONS)  # a socket each, and perhaps a file that is uploaded
    # uvicorn has no setting for the answer beyond limit_concurrency.
    busy = connection.last_answer(
        Unavailable("Too many connections.", suggestions=["Try again in a few seconds."])
    )
    allowed_origins = wiring.http_settings().allowed_origins
    h11_impl.service_unavailable = CommonHeaders(Cors(busy, allowed_origins))  # type: ignore[attr-defined, assignment]
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        http=connection.Connection,
        ws="none",
        h11_max_incomplete_event_size=connection.MAX_HEAD_BYTES,
        limit_concurrency=connection.MAX_CONNECTIONS,
        server_header=False,
        timeout_keep_alive=75,  # longer than the pause of any app that polls
        timeout_graceful_shutdown=GRACE_S,
        timeout_notify=0,  # every second, that is
    )
    server = Server(config)
    config.callback_notify = partial(connection.check_all, server.server_state.connections)
    return server


def _allow_files(number: int) -> None:
    """Let this process open so many files, if it may: macOS starts it with 256, Linux with 1024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(number, hard)), hard))


def _load(folder: Path, public_url: str, transcodes: int) -> Starlette:
    """The application, with every handler imported: importing one reads the environment."""
    folder = folder.resolve()
    _end_orphans(folder / "work")
    for leftover in ("incoming", "work"):
        shutil.rmtree(folder / leftover, ignore_errors=True)
    os.environ.update(STORAGE_MODE="local", LOCAL_FOLDER=str(folder), PUBLIC_URL=public_url)
    os.environ.setdefault("ALLOWED_ORIGINS", LOCAL_ORIGINS)
    if wiring.http_settings().access and not find_spec("jwt"):
        sys.exit(f"JWT_ISSUER is set, and PyJWT, which verifies tokens, is not installed: {INSTALL_TOKENS}")
    for function in EVENT_HANDLERS:
        import_module(function)
    with mistakes.data_folder(folder):
        service = wiring.service()
    assert isinstance(service.storage, FolderStorage)
    assert isinstance(service.videos, SqliteVideos)
    assert isinstance(service.jobs, SqliteJobs)
    assert isinstance(service.deliveries, SqliteDeliveries)
    assert isinstance(service.announcements, SqliteAnnouncements)
    streams = EventStreams(service.announcements, wiring.http_settings().access)
    workers = Workers(
        service.storage,
        service.videos,
        service.jobs,
        transcodes=transcodes,
        webhooks=service.deliveries.queue if service.receiver else None,
        interrupted=partial(interrupted, service=service),
        published=streams.published,
    )
    with mistakes.data_folder(folder):  # a database may be broken where it is first read
        workers.start()
    return make_app(service.storage, workers, streams)


def make_app(storage: FolderStorage, workers: Workers, streams: EventStreams) -> Starlette:
    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        print(app.state.greeting, flush=True)
        print(f"For development: {_who_has_access()}.", file=sys.stderr)
        if receiver := wiring.service().receiver:
            without_query, _, _ = receiver.url.partition("?")  # where some receivers have a secret
            print(f"Webhooks go to {without_query}{_by_which_secret(receiver)}", file=sys.stderr)
        yield
        await run_in_threadpool(workers.stop)

    settings = wiring.http_settings()
    hosts = (*settings.allowed_hosts, urlsplit(settings.public_url).hostname or "")
    addresses = Addresses(settings.public_url, settings.allowed_hosts)
    guard = Middleware(Guard, allowed_hosts=hosts, allowed_origins=settings.allowed_origins)
    cors = Middleware(Cors, allowed_origins=settings.allowed_origins)
    app = Starlette(
        routes=[
            *Gateway(workers.ring, addresses).routes(),
            *streams.routes(),
            *Bucket(storage, workers.notify, addresses).routes(),
            *page.routes(addresses),
        ],
        middleware=[Middleware(CommonHeaders), guard, cors],
        exception_handlers={
            VideoError: on_video_error,
            HTTPException: on_http_exception,
            ClientDisconnect: on_disconnect,
            Exception: on_unhandled,
        },
        lifespan=lifespan,
    )
    app.state.streams = streams
    app.router.redirect_slashes = False  # API Gateway has none; and the Host header would decide the target
    return app


def _who_has_access() -> str:
    access = wiring.http_settings().access
    return (
        f"the API requires a token of {access.keys.issuer}" if access else "any client may upload and delete"
    )


def _by_which_secret(receiver: Receiver) -> str:
    """What a receiver needs to verify them, if nobody has said it."""
    return "" if os.environ.get("WEBHOOK_SECRET") else f", signed with {receiver.secrets[0]}"


def on_disconnect(_: Request, __: Exception) -> Response:
    """For a client that left before its body was complete; it will not read this."""
    return Response(status_code=400)


def _end_orphans(work: Path) -> None:
    """Kill the media tools of an earlier server on this folder that was killed itself."""
    for pid, _, command in _processes():
        if Path(command.split()[0]).name.startswith(("ffmpeg", "ffprobe")) and f"{work}/" in command:
            _kill(pid)


def _end_children() -> None:
    """Kill the processes that the handlers started, and theirs: they would outlive the server."""
    parents = {pid: parent for pid, parent, _ in _processes()}

    def is_ours(pid: int) -> bool:
        parent = parents.get(pid)
        return parent is not None and (parent == os.getpid() or is_ours(parent))

    for pid in filter(is_ours, parents):
        _kill(pid)


def _processes() -> Iterator[tuple[int, int, str]]:
    """Id, parent id and command line of each process; none where ps is missing, as in small containers."""
    if ps := shutil.which("ps"):
        output = subprocess.run(
            [ps, "-A", "-ww", "-o", "pid=,ppid=,args="], capture_output=True, text=True, check=False
        )
        for line in output.stdout.splitlines():
            pid, parent, command = line.split(maxsplit=2)
            yield int(pid), int(parent), command


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


if __name__ == "__main__":
    main()
