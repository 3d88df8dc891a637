"""The events that AWS sends to a handler, and its invocation."""

import base64
import hashlib
import json
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import import_module
from typing import Any
from urllib.parse import quote_plus
from uuid import uuid4

from videos.ports import Job
from videos.web.api import BASE_URL

ACCOUNT, REGION, BUCKET = "000000000000", "us-east-1", "local"


@dataclass
class Context:
    """Lambda's context object."""

    function_name: str
    timeout_s: float
    function_version: str = "$LATEST"
    memory_limit_in_mb: int = 2048
    aws_request_id: str = field(default_factory=lambda: str(uuid4()))
    began: float = field(default_factory=time.monotonic)

    @property
    def invoked_function_arn(self) -> str:
        return f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{self.function_name}"

    @property
    def log_group_name(self) -> str:
        return f"/aws/lambda/{self.function_name}"

    @property
    def log_stream_name(self) -> str:
        return "local"

    def get_remaining_time_in_millis(self) -> int:
        return max(0, int((self.began + self.timeout_s - time.monotonic()) * 1000))


def api_event(
    method: str,
    resource: str,
    path: str,
    parameters: Mapping[str, str],
    body: bytes | bytearray = b"",
    *,
    headers: Iterable[tuple[str, str]] = (),
    query: Iterable[tuple[str, str]] = (),
    source_ip: str = "127.0.0.1",
    request_id: str = "",
    base_url: str = "",
) -> dict[str, Any]:
    """The event of a REST API's proxy integration. Of repeated headers or parameters, the last wins."""
    named = [(name.title(), value) for name, value in headers]
    pairs = list(query)
    single = dict(named)
    binary = single.get("Content-Type", "").lower().startswith("multipart/form-data")
    text = base64.b64encode(body).decode() if binary else body.decode(errors="replace")
    now = datetime.now(UTC)
    request_id = request_id or str(uuid4())
    return {
        "resource": resource,
        "path": path,
        "httpMethod": method,
        "headers": single or None,
        "multiValueHeaders": _grouped(named) or None,
        "queryStringParameters": dict(pairs) or None,
        "multiValueQueryStringParameters": _grouped(pairs) or None,
        "pathParameters": dict(parameters) or None,
        "stageVariables": {BASE_URL: base_url} if base_url else None,
        "requestContext": {
            "accountId": ACCOUNT,
            "apiId": "local",
            "deploymentId": "local",
            "domainName": single.get("Host", "localhost"),
            "domainPrefix": "local",
            "extendedRequestId": request_id,
            "httpMethod": method,
            "identity": {
                "accessKey": None,
                "accountId": None,
                "caller": None,
                "cognitoAuthenticationProvider": None,
                "cognitoAuthenticationType": None,
                "cognitoIdentityId": None,
                "cognitoIdentityPoolId": None,
                "principalOrgId": None,
                "sourceIp": source_ip,
                "user": None,
                "userAgent": single.get("User-Agent"),
                "userArn": None,
            },
            "path": path,
            "protocol": "HTTP/1.1",
            "requestId": request_id,
            "requestTime": now.strftime("%d/%b/%Y:%H:%M:%S +0000"),
            "requestTimeEpoch": int(now.timestamp() * 1000),
            "resourceId": "local",
            "resourcePath": resource,
            "stage": "local",
        },
        "body": text or None,
        "isBase64Encoded": binary,
    }


def _grouped(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    values: dict[str, list[str]] = {}
    for name, value in pairs:
        values.setdefault(name, []).append(value)
    return values


def s3_event(key: str, *, size_bytes: int, etag: str) -> dict[str, Any]:
    """The notification of one ObjectCreated."""
    record = {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "awsRegion": REGION,
        "eventTime": _iso(datetime.now(UTC), "milliseconds"),
        "eventName": "ObjectCreated:Post",
        "userIdentity": {"principalId": "local"},
        "requestParameters": {"sourceIPAddress": "127.0.0.1"},
        "responseElements": {"x-amz-request-id": uuid4().hex[:16].upper(), "x-amz-id-2": uuid4().hex},
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": "local",
            "bucket": {
                "name": BUCKET,
                "ownerIdentity": {"principalId": "local"},
                "arn": f"arn:aws:s3:::{BUCKET}",
            },
            "object": {
                "key": quote_plus(key, safe="/"),
                "size": size_bytes,
                "eTag": etag,
                "sequencer": f"{time.time_ns():016X}",
            },
        },
    }
    return {"Records": [record]}


def sqs_event(job: Job) -> dict[str, Any]:
    """A batch of one transcode job."""
    return _sqs_event("transcode", json.dumps({"video_id": job.video_id}), job)


def webhook_event(job: Job) -> dict[str, Any]:
    """A batch of one webhook."""
    return _sqs_event("webhooks", job.video_id, job)


def _sqs_event(queue: str, body: str, job: Job) -> dict[str, Any]:
    now_ms = str(time.time_ns() // 1_000_000)
    record = {
        "messageId": str(uuid4()),
        "receiptHandle": job.receipt,
        "body": body,
        "attributes": {
            "ApproximateReceiveCount": str(job.receives),
            "SentTimestamp": now_ms,
            "SenderId": ACCOUNT,
            "ApproximateFirstReceiveTimestamp": now_ms,
        },
        "messageAttributes": {},
        "md5OfBody": hashlib.md5(body.encode(), usedforsecurity=False).hexdigest(),
        "eventSource": "aws:sqs",
        "eventSourceARN": f"arn:aws:sqs:{REGION}:{ACCOUNT}:{queue}",
        "awsRegion": REGION,
    }
    return {"Records": [record]}


def stream_event(records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A batch of changes; what a record holds is known to the adapter of ``Videos`` that it came from."""
    return {"Records": list(records)}


def scheduled_event() -> dict[str, Any]:
    return {
        "version": "0",
        "id": str(uuid4()),
        "detail-type": "Scheduled Event",
        "source": "aws.events",
        "account": ACCOUNT,
        "time": _iso(datetime.now(UTC), "seconds"),
        "region": REGION,
        "resources": [f"arn:aws:events:{REGION}:{ACCOUNT}:rule/recover-videos"],
        "detail": {},
    }


def _iso(at: datetime, precision: str) -> str:
    return at.isoformat(timespec=precision).replace("+00:00", "Z")


def invoke(function: str, event: dict[str, Any], timeout_s: float) -> Any:
    """Call the handler of the module that the function is named after, as Lambda does."""
    return import_module(function).handler(event, Context(function, timeout_s))
