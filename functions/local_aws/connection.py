"""One HTTP connection: uvicorn's, with a time limit on what uvicorn waits for without one.

uvicorn limits how many connections there are, and how long one is idle between two requests. It
waits without end for the head of a request, for a client to read its answer, and for the rest of
a body that has its answer already.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable
from uuid import uuid4

import h11
from starlette.responses import JSONResponse
from uvicorn.protocols.http.h11_impl import H11Protocol

from videos.errors import BadRequest, SlowRequest, VideoError
from videos.web import api

MAX_HEAD_BYTES = 16 * 1024  # API Gateway takes 10 KB of headers
MAX_CONNECTIONS = 800  # cheap while they are idle; what works at once is limited in gateway
MAX_WAIT_S = {
    "head": 10,  # for the first line of a request and its headers
    "rest": 5,  # for what follows its answer; closed at once, a client might not read that
    "reader": 60,  # for a client to take anything at all of what is written to it
}


class Connection(H11Protocol):
    """uvicorn's, whose ``check`` is called every second."""

    _wait: tuple[object, ...] = ()

    def data_received(self, data: bytes) -> None:
        if self.conn.our_state is not h11.MUST_CLOSE:  # else rejected
            super().data_received(data)

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002  uvicorn's words are for its log
        advice = f"Speak HTTP/1.1, with a head of at most {MAX_HEAD_BYTES} bytes."
        self._reject(BadRequest("Malformed HTTP request.", suggestions=[advice]))

    def check(self) -> None:
        """End the connection if it has waited for the same thing for too long."""
        now = self.loop.time()
        waiting_for = self._waiting_for()
        wait = (waiting_for, self.cycle, self.transport.get_write_buffer_size())  # changes with any progress
        if wait != self._wait:
            self._wait, self._since = wait, now
        elif waiting_for and now - self._since > MAX_WAIT_S[waiting_for]:
            if waiting_for == "head":
                self._reject(SlowRequest("The request arrived too slowly.", suggestions=["Send it again."]))
            else:
                self.transport.abort()

    def _waiting_for(self) -> str:
        """A key of MAX_WAIT_S; "" for what is limited elsewhere."""
        ours, theirs = self.conn.our_state, self.conn.their_state
        if self.transport.get_write_buffer_size():
            return "reader"
        if ours is h11.MUST_CLOSE or (ours is h11.DONE and theirs is h11.SEND_BODY):
            return "rest"
        if theirs is h11.IDLE and self.timeout_keep_alive_task is None:
            return "head"
        return ""

    def _reject(self, error: VideoError) -> None:
        """Answer with the error, then ignore what the client still sends."""
        if self.cycle:
            self.cycle.disconnected = True  # its handler has nobody to answer any more
        if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            self.transport.abort()
            return
        answer = last_answer(error)
        head = h11.Response(status_code=answer.status_code, headers=answer.raw_headers)
        for event in (head, h11.Data(data=bytes(answer.body)), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.write_eof()


async def check_all(connections: Iterable[object]) -> None:
    for connection in list(connections):
        assert isinstance(connection, Connection)
        connection.check()


def last_answer(error: VideoError) -> JSONResponse:
    """An answer that ends its connection."""
    status, body, headers = api.answer(error)
    return JSONResponse(body, status, {**headers, api.REQUEST_ID: str(uuid4()), "Connection": "close"})


async def within(seconds: float, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The chunks of a body. Raises TimeoutError if they take longer than so many seconds."""
    deadline = asyncio.get_running_loop().time() + seconds
    while True:
        async with asyncio.timeout_at(deadline):
            chunk = await anext(chunks, b"")
        if not chunk:
            return
        yield chunk
