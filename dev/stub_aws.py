"""S3, DynamoDB and SQS in memory, as far as the first answer of a function needs them.

No rule of theirs holds. It is a process of its own for the function, as AWS is and moto is not.
"""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

TABLE, BUCKET, QUEUE = "videos", "media", "jobs"


class StubAws:
    """Answers on ``url``. ``items`` is the table by id, ``objects`` the bucket by key."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.items: dict[str, Any] = {}
        self.objects: dict[str, bytes] = {}

    @property
    def environment(self) -> dict[str, str]:
        """What a function needs to find it."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "MEDIA_BUCKET": BUCKET,
            "VIDEO_TABLE": TABLE,
            "JOB_QUEUE_URL": f"{self.url}/000000000000/{QUEUE}",
            "DEAD_LETTER_URL": f"{self.url}/000000000000/dead",
        }

    def answer(self, operation: str, asked: dict[str, Any]) -> dict[str, Any]:
        """An operation of DynamoDB or SQS."""
        match operation:
            case "GetItem":
                item = self.items.get(asked["Key"]["id"]["S"])
                return {"Item": item} if item else {}
            case "PutItem":
                self.items[asked["Item"]["id"]["S"]] = asked["Item"]
                return {}
            case "TransactWriteItems":
                written = [write["Put"]["Item"] for write in asked["TransactItems"] if "Put" in write]
                self.items |= {item["id"]["S"]: item for item in written}
                return {}
            case "BatchGetItem":
                return {"Responses": {TABLE: []}, "UnprocessedKeys": {}}
            case "UpdateItem":
                return {}
            case "Query":
                return {"Items": [], "Count": 0, "ScannedCount": 0}
            case "SendMessage":
                digest = hashlib.md5(asked["MessageBody"].encode(), usedforsecurity=False).hexdigest()
                return {"MessageId": "1", "MD5OfMessageBody": digest}
            case "GetQueueAttributes":
                return {"Attributes": dict.fromkeys(asked["AttributeNames"], "0")}
        raise NotImplementedError(operation)


@contextmanager
def stub_aws() -> Iterator[StubAws]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Request)
    server.daemon_threads = True
    _Request.aws = StubAws(server.server_port)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield _Request.aws
    finally:
        server.shutdown()
        server.server_close()


class _Request(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else an answer waits for an ACK
    aws: StubAws

    def do_POST(self) -> None:
        body = self._body()
        if operation := self.headers.get("X-Amz-Target", "").rpartition(".")[2]:
            self._send(json.dumps(self.aws.answer(operation, json.loads(body))).encode())
        else:
            self._send(b"<DeleteResult/>")

    def do_GET(self) -> None:
        if "list-type" in (query := parse_qs(urlsplit(self.path).query)):
            found = [key for key in self.aws.objects if key.startswith(query.get("prefix", [""])[0])]
            entries = "".join(f"<Contents><Key>{key}</Key></Contents>" for key in found)
            self._send(f"<ListBucketResult>{entries}</ListBucketResult>".encode())
        else:
            self._send(self.aws.objects[self._key()])

    do_HEAD = do_GET  # noqa: N815

    def do_PUT(self) -> None:
        if source := unquote(self.headers.get("X-Amz-Copy-Source", "")):
            self.aws.objects[self._key()] = self.aws.objects[source.removeprefix(f"{BUCKET}/")]
            now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            copied = f"<LastModified>{now}</LastModified><ETag>&quot;e&quot;</ETag>"
            self._send(f"<CopyObjectResult>{copied}</CopyObjectResult>".encode())
        else:
            self.aws.objects[self._key()] = self._body()
            self._send(b"")

    def _key(self) -> str:
        return unquote(urlsplit(self.path).path).removeprefix(f"/{BUCKET}/")

    def _body(self) -> bytes:
        if self.headers.get("Expect"):
            self.send_response_only(100)
            self.end_headers()
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _send(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", f'"{hashlib.md5(body, usedforsecurity=False).hexdigest()}"')
        self.send_header("Last-Modified", formatdate(usegmt=True))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass
