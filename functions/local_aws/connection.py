"""One HTTP connection: uvicorn's, but no wait lasts for ever, and what is no HTTP is refused in our words.

uvicorn bounds only the pause between two requests. Whoever sends a head letter by letter, goes on
with a body that was refused, or never reads the answer, it keeps for as long as they like.
"""

import asyncio
from collections.abc import AsyncIterator

import h11
from starlette.responses import JSONResponse
from uvicorn.protocols.http.flow_control import CLOSE_HEADER
from uvicorn.protocols.http.h11_impl import H11Protocol

from videos import api
from videos.errors import BadRequest, SlowRequest, Unavailable, VideoError

LARGEST_HEAD_BYTES = 16 * 1024  # API Gateway takes 10 KB of headers
MOST_CONNECTIONS = 200  # each may hold a file
CROWD = 100  # connections; from then on none is kept for a next request, lest those who pause keep others out
LOOK_EVERY_S = 1.0
LONGEST_S = {
    "head": 10,  # for the first line of a request and its headers
    "rest": 5,  # for what comes after its answer; closed at once, a client might not read that
    "reader": 60,  # for a client to take anything at all of what is written to it
}


class Connection(H11Protocol):
    """Looks every second what it is waiting for, and since when."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._refused = False
        self._wait: tuple[str, object] = ("", None)
        self._look()
        if len(self.connections) > MOST_CONNECTIONS:
            self._refuse(Unavailable("There are too many connections.", suggestions=["Try again later."]))

    def connection_lost(self, exc: Exception | None) -> None:
        self._timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        super().data_received(data)
        # Not before its body is in: we would hang up on a client that is still sending.
        if len(self.connections) > CROWD and self.cycle and self.conn.their_state is h11.DONE:
            self.cycle.default_headers = [*self.server_state.default_headers, CLOSE_HEADER]

    def shutdown(self) -> None:
        if self._refused:
            self.transport.abort()
        else:
            super().shutdown()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002  uvicorn's words are for its log
        advice = f"Speak HTTP/1.1, with a head of at most {LARGEST_HEAD_BYTES} bytes."
        self._refuse(BadRequest("This is no HTTP request.", suggestions=[advice]))

    def _look(self) -> None:
        now = self.loop.time()
        wait = self._waits_for()
        if wait != self._wait:
            self._wait, self._since = wait, now
        elif wait[0] and now - self._since > LONGEST_S[wait[0]]:
            if wait[0] == "head":
                self._refuse(SlowRequest("The request came too slowly.", suggestions=["Send it again."]))
            else:
                self.transport.abort()
        self._timer = self.loop.call_later(LOOK_EVERY_S, self._look)

    def _waits_for(self) -> tuple[str, object]:
        """For what, and something that changes when it makes progress; "" for what others bound."""
        if unread_bytes := self.transport.get_write_buffer_size():
            return "reader", (self.cycle, unread_bytes)
        if self._refused or (self.conn.our_state is h11.DONE and self.conn.their_state is h11.SEND_BODY):
            return "rest", self.cycle
        if self.conn.their_state is h11.IDLE and self.timeout_keep_alive_task is None:
            return "head", self.cycle
        return "", None

    def _refuse(self, error: VideoError) -> None:
        """Say so and hang up, but not at once: whoever is still sending would miss it."""
        self._refused = True
        if self.cycle and not self.cycle.response_complete:  # its handler has nobody to answer to any more
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            self.transport.abort()
            return
        status, body, headers = api.answer(error)
        answer = JSONResponse(body, status, {**headers, "Connection": "close"})
        head = h11.Response(status_code=status, headers=answer.raw_headers, reason=status.phrase.encode())
        for event in (head, h11.Data(data=bytes(answer.body)), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.write_eof()


async def within(seconds: float, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The chunks of a body. Raises TimeoutError if they take longer than so many seconds."""
    deadline = asyncio.get_running_loop().time() + seconds
    while True:
        async with asyncio.timeout_at(deadline):
            chunk = await anext(chunks, b"")
        if not chunk:
            return
        yield chunk
