"""GET /events: what happens to videos, as server-sent events. AWS has no such route.

Each event has its position in the log as ``id``; a client that comes back names the last one in
``Last-Event-ID`` and goes on from there. ``progress`` has no id: it is told to whoever listens at the moment.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial

from anyio import CapacityLimiter, to_thread
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from videos.errors import BadRequest, TooManyRequests
from videos.model import State, Video
from videos.ports import Change
from videos.stores.local.announcements import SqliteAnnouncements, Told
from videos.web.api import SAFE_HEADERS
from videos.web.tokens import Access

MAX_STREAMS = 100  # each is a connection that waits; more would leave too few of MAX_CONNECTIONS
HEARTBEAT_S = 15  # clients hear a dead connection by its silence, and we by its refusal
LONGEST_S = 900  # then the client comes back, with a token that is valid
RETRY_MS = 1000  # how soon
PAGE = 100  # events that are read at once: a slow reader has no more in memory
MEDIA_TYPE = "text/event-stream"


class EventStreams:
    """The open streams. They wait in the event loop, and one thread at a time reads for all of them."""

    def __init__(self, log: SqliteAnnouncements, access: Access | None) -> None:
        self._log = log
        self._access = access
        self._reader = CapacityLimiter(1)
        self._open = 0
        self._is_over = False
        self._news: asyncio.Future[Sequence[Change]] | None = None  # of the loop, while a stream is open

    def routes(self) -> list[Route]:
        return [Route("/events", self._answer, methods=["GET"])]

    def published(self, changes: Sequence[Change]) -> None:
        """Wake the streams: these changes were announced. From any thread."""
        if news := self._news:
            with suppress(RuntimeError):  # the loop has ended
                news.get_loop().call_soon_threadsafe(self._wake, changes)

    def end(self) -> None:
        """End every stream, so that nothing waits for them; in the event loop."""
        self._is_over = True
        self._wake([])

    def _wake(self, changes: Sequence[Change]) -> None:
        if self._news:
            news, self._news = self._news, self._news.get_loop().create_future()
            news.set_result(changes)

    async def _answer(self, request: Request) -> Response:
        """Raises as ``Access.owner``, and:

        BadRequest: Last-Event-ID is no position.
        TooManyRequests: as many streams are open as may be.
        """
        owner = ""
        if self._access:  # it may have to fetch the issuer's keys
            authorization = request.headers.get("authorization", "")
            owner = await to_thread.run_sync(self._access.owner, authorization)
        last_id = request.headers.get("last-event-id", "")
        if last_id and not (last_id.isdecimal() and len(last_id) < 19):
            raise BadRequest(
                "Last-Event-ID must be the id of an event.",
                suggestions=["Send the last id that this stream gave, or 0 for all events that are kept."],
            )
        headers = {**SAFE_HEADERS, "X-Accel-Buffering": "no"}  # a proxy must not keep events back
        if request.method == "HEAD":
            return Response(headers=headers, media_type=MEDIA_TYPE)
        if self._open >= MAX_STREAMS:
            raise TooManyRequests
        self._open += 1
        frames = self._frames(owner, int(last_id) if last_id else None)
        return _Stream(frames, self._close, headers)

    async def _frames(self, owner: str, last_id: int | None) -> AsyncIterator[bytes]:
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + LONGEST_S
        self._news = self._news or loop.create_future()
        kept = await to_thread.run_sync(self._log.kept, limiter=self._reader)
        position = kept[-1] if last_id is None else last_id if last_id in kept else kept[0]
        yield _frame(f"retry: {RETRY_MS}", f"id: {position}")
        if last_id is not None and last_id not in kept:
            yield _frame("event: reset", "data: {}")
        while not self._is_over and loop.time() < ends_at:
            news = self._news  # before reading, so that none in between is missed
            while page := await self._after(position, owner):
                for told in page:
                    yield _frame(f"id: {told.position}", f"data: {told.body}")
                position = page[-1].position
            done, _ = await asyncio.wait([news], timeout=HEARTBEAT_S)
            if not done:
                yield b":\n\n"
            elif progress := b"".join(_progress(news.result(), owner)):
                yield progress

    async def _after(self, position: int, owner: str) -> list[Told]:
        read = partial(self._log.after, position, owner=owner, limit=PAGE)
        return await to_thread.run_sync(read, limiter=self._reader)

    def _close(self) -> None:
        self._open -= 1


class _Stream(StreamingResponse):
    """Calls ``on_end`` however it ends."""

    def __init__(
        self, frames: AsyncIterator[bytes], on_end: Callable[[], None], headers: Mapping[str, str]
    ) -> None:
        super().__init__(frames, headers=headers, media_type=MEDIA_TYPE)
        self._on_end = on_end

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._on_end()


def _frame(*lines: str) -> bytes:
    return ("\n".join(lines) + "\n\n").encode()


def _progress(changes: Iterable[Change], owner: str) -> Iterable[bytes]:
    """The progress of videos that are being encoded."""
    latest = {change.video.id: change.after for change in changes if _is_at_work(change.after, owner)}
    for video in latest.values():
        assert video
        left_ms = None if video.time_left_s is None else round(video.time_left_s * 1000)
        data = {
            "id": video.id,
            "state": video.state,
            "progress": video.progress,
            "time_left_ms": left_ms,
        }
        yield _frame("event: progress", f"data: {json.dumps(data)}")


def _is_at_work(video: Video | None, owner: str) -> bool:
    return video is not None and video.state is State.PROCESSING and video.owner == owner
