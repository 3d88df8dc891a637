"""boto3's clients, and its errors as the ports' errors.

Every function reads records, so DynamoDB's client is created at the start. The others are
created on first use: a status read never needs them. boto3 itself reads region, credentials and
``AWS_ENDPOINT_URL`` from the environment; the last points everything here at an emulator.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from videos.errors import Unavailable

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient
    from types_boto3_events import EventBridgeClient
    from types_boto3_s3 import S3Client
    from types_boto3_sqs import SQSClient

_SETTINGS = Config(
    # 3 x (2 + 5) s and the pauses between: less than API Gateway's timeout of 29 s.
    connect_timeout=2,
    read_timeout=5,
    retries={"mode": "standard", "total_max_attempts": 3},
    # By default boto3 sends bodies in chunks with a trailing checksum, which not every emulator reads.
    request_checksum_calculation="when_required",
    response_checksum_validation="when_required",
)
_creating = Lock()  # boto3's clients are thread-safe, creating them is not


def dynamodb_client() -> "DynamoDBClient":
    with _creating:
        return boto3.client("dynamodb", config=_SETTINGS)


def sqs_client() -> "SQSClient":
    with _creating:
        return boto3.client("sqs", config=_SETTINGS)


def events_client() -> "EventBridgeClient":
    with _creating:
        return boto3.client("events", config=_SETTINGS)


def s3_client(endpoint_url: str | None = None) -> "S3Client":
    """Signs URLs for the bucket's regional host, or for a path on the host of an emulator.

    By default boto3 signs for the global host, which answers uploads to a new bucket with a
    redirect that browsers do not follow.
    """
    virtual = _s3_client(endpoint_url, "virtual")
    host = urlsplit(virtual.meta.endpoint_url).hostname or ""
    return virtual if "amazonaws.com" in host else _s3_client(endpoint_url, "path")


def _s3_client(endpoint_url: str | None, addressing_style: Literal["virtual", "path"]) -> "S3Client":
    sigv4 = Config(
        signature_version="s3v4",
        s3={"addressing_style": addressing_style, "us_east_1_regional_endpoint": "regional"},
    )
    with _creating:
        return boto3.client("s3", endpoint_url=endpoint_url, config=_SETTINGS.merge(sigv4))


@contextmanager
def translate_errors(service: str, key: str = "") -> Iterator[None]:
    """Raise an error of boto3 as the ports' error: FileNotFoundError or Unavailable."""
    try:
        yield
    except ClientError as error:
        code = error.response["Error"]["Code"]
        # HEAD has no body, hence no better code; a copy has the condition that its source was not replaced.
        if key and code in ("NoSuchKey", "404", "PreconditionFailed"):
            raise FileNotFoundError(f"No such object: {key}") from None
        status = error.response["ResponseMetadata"].get("HTTPStatusCode", 500)
        throttled = "Throttl" in code or "Exceeded" in code
        raise unavailable(service, code, is_rejection=status < 500 and not throttled) from error
    except BotoCoreError as error:
        raise unavailable(service, type(error).__name__, is_rejection=False) from error


def unavailable(service: str, code: str, *, is_rejection: bool) -> Unavailable:
    """``is_rejection``: AWS rejects the request, so a retry will not help; false if it did not answer."""
    if not is_rejection:
        return Unavailable(
            f"{service} does not answer ({code}).", suggestions=["Try again in a few seconds."]
        )
    return Unavailable(
        f"{service} rejected the request ({code}).",
        suggestions=[
            "Try again later: this is the service's mistake, not yours.",
            "Operator: compare the function's permissions and environment with template.yaml.",
        ],
    )
