"""The ports on S3, DynamoDB and SQS. The only boto3.

Clients are made on first use and kept, so that a function pays only for those it needs:
a status read never builds the one for S3.

boto3 reads region, credentials and ``AWS_ENDPOINT_URL`` from the environment itself;
with the last, everything here works on an emulator.
"""

import json
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cached_property
from math import ceil, floor
from pathlib import Path
from random import randrange, uniform
from threading import Lock
from typing import Any, Literal
from urllib.parse import urlsplit
from zlib import crc32

import boto3
import msgspec
from boto3.dynamodb.types import TypeDeserializer, TypeSerializer
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from videos import counters
from videos.errors import LostRace, Unavailable, UnknownVideo
from videos.model import Charge, State, StoredObject, Video
from videos.ports import Job, Page, QueueStats, Ticket

IN_FLIGHT_INDEX = "in_flight"
IN_FLIGHT_SHARDS = 8
QUEUED_INDEX = "queued"
OWNER_INDEX = "by_owner"
COUNT_SHARDS = 8
READ_AT_ONCE = 100  # DynamoDB reads no more items in one request
KEPT_AFTER_REFUSAL = timedelta(days=30)
KEPT_AFTER_ITS_DAY = timedelta(days=1)  # an owner's used quota
LONGEST_ID = 512  # characters; at four bytes each, a DynamoDB key takes no more
LONGEST_DELAY_S = 900  # SQS delays no message for longer
# How SQS says that a receipt is no longer good.
NO_LONGER_OURS = frozenset({"ReceiptHandleIsInvalid", "MessageNotInflight", "InvalidParameterValue"})
ERASED_AT_ONCE = 1000  # S3 takes no more keys in one request
REFUSED = "ConditionalCheckFailed"  # for any other reason, a transaction may be tried again
CONFLICT_PAUSES_S = (
    0.02,
    0.04,
    0.08,
    0.16,
    0.32,
    0.64,
    1.28,
)  # at most, each; two may write to one quota, or count in one item


class S3Storage:
    """Objects in one bucket.

    ``public_endpoint_url`` is where clients reach storage if not where we do: a function inside
    an emulator calls ``host.docker.internal``, the phone that gets its ticket ``localhost``.

    S3 tells a missing key from a forbidden one only to those who may ``s3:ListBucket``.
    """

    def __init__(self, bucket: str, *, public_endpoint_url: str | None = None) -> None:
        self._bucket = bucket
        self._public_endpoint_url = public_endpoint_url

    def upload_ticket(
        self,
        key: str,
        *,
        method: Literal["POST", "PUT"],
        content_type: str,
        max_bytes: int,
        exact_bytes: int | None,
        expires_at: datetime,
    ) -> Ticket:
        # boto3 signs in whole seconds, counted from the one that has begun: never less than promised.
        expires_in_s = max(1, ceil(expires_at.timestamp()) - floor(datetime.now(UTC).timestamp()))
        with _answers("S3"):
            if method == "POST":
                form = self._signer.generate_presigned_post(
                    self._bucket,
                    key,
                    Fields={"Content-Type": content_type},
                    Conditions=[{"Content-Type": content_type}, ["content-length-range", 1, max_bytes]],
                    ExpiresIn=expires_in_s,
                )
                return Ticket(
                    method="POST",
                    url=form["url"],
                    fields=form["fields"],
                    expires_at=expires_at,
                    max_bytes=max_bytes,
                )
            headers = {"Content-Type": content_type}
            signed: dict[str, Any] = {"ContentType": content_type}
            if exact_bytes is not None:
                headers["Content-Length"] = str(exact_bytes)
                signed["ContentLength"] = exact_bytes
            url = self._signer.generate_presigned_url(
                "put_object", Params={"Bucket": self._bucket, "Key": key, **signed}, ExpiresIn=expires_in_s
            )
            return Ticket(method="PUT", url=url, headers=headers, expires_at=expires_at, max_bytes=max_bytes)

    def download_url(self, key: str, *, content_type: str, expires_in_s: int) -> str:
        wanted = {"Bucket": self._bucket, "Key": key, "ResponseContentType": content_type}
        with _answers("S3"):
            url: str = self._signer.generate_presigned_url(
                "get_object", Params=wanted, ExpiresIn=expires_in_s
            )
        return url

    def stat(self, key: str) -> StoredObject:
        with _answers("S3", key):
            return _stored(key, self._s3.head_object(Bucket=self._bucket, Key=key))

    def fetch(self, key: str, to: Path) -> StoredObject:
        part = to.with_name(f"{to.name}.part")
        try:
            with _answers("S3", key):
                answer = self._s3.get_object(Bucket=self._bucket, Key=key)
                with part.open("wb") as file:
                    shutil.copyfileobj(answer["Body"], file)  # raises if the body ends too soon
            part.replace(to)
        finally:
            part.unlink(missing_ok=True)
        return _stored(key, answer)

    def save(self, file: Path, key: str, *, content_type: str) -> StoredObject:
        with file.open("rb") as body, _answers("S3"):
            answer = self._s3.put_object(Bucket=self._bucket, Key=key, Body=body, ContentType=content_type)
            size_bytes = body.tell()
        # S3 tells its own time only on a second request; ours is as good.
        now = datetime.now(UTC).replace(microsecond=0)
        return StoredObject(key=key, size_bytes=size_bytes, etag=_bare(answer["ETag"]), stored_at=now)

    def keys(self, prefix: str) -> Iterator[str]:
        with _answers("S3"):
            pages = self._s3.get_paginator("list_objects_v2")
            for page in pages.paginate(Bucket=self._bucket, Prefix=prefix):
                yield from (found["Key"] for found in page.get("Contents", ()))

    def delete(self, *keys: str) -> None:
        """Needs ``s3:ListBucketVersions`` and ``s3:DeleteObjectVersion`` only if the bucket is versioned."""
        with _answers("S3"):
            hidden = self._erase([{"Key": key} for key in keys])
            self._erase([version for key in hidden for version in self._versions(key)])

    def ping(self) -> None:
        with _answers("S3"):
            self._s3.list_objects_v2(Bucket=self._bucket, MaxKeys=1)

    def _erase(self, objects: list[dict[str, str]]) -> list[str]:
        """The keys that are only hidden: what a delete without version id does in a versioned bucket."""
        hidden = []
        for start in range(0, len(objects), ERASED_AT_ONCE):
            batch = {"Objects": objects[start : start + ERASED_AT_ONCE]}
            answer = self._s3.delete_objects(Bucket=self._bucket, Delete=batch)
            for refused in answer.get("Errors", ()):  # some keys can fail in a 200
                raise _unavailable("S3", refused["Code"], ours=refused["Code"] == "AccessDenied")
            hidden += [gone["Key"] for gone in answer.get("Deleted", ()) if gone.get("DeleteMarker")]
        return hidden

    def _versions(self, key: str) -> Iterator[dict[str, str]]:
        pages = self._s3.get_paginator("list_object_versions")
        for page in pages.paginate(Bucket=self._bucket, Prefix=key):
            for version in (*page.get("Versions", ()), *page.get("DeleteMarkers", ())):
                if version["Key"] == key:  # the prefix finds longer keys too
                    yield {"Key": key, "VersionId": version["VersionId"]}

    @cached_property
    def _s3(self) -> Any:
        return _s3_client()

    @cached_property
    def _signer(self) -> Any:
        return _s3_client(self._public_endpoint_url) if self._public_endpoint_url else self._s3


class DynamoVideos:
    """One item per video, of native attributes: readable in the console, open to other indexes.

    Beside the fields of ``Video``, without those that are None:

    shard       "0" … "7", present with ``recover_at``: together they key the index ``in_flight``,
                which so holds unfinished videos only
    owner       absent where it is "", so that the index ``by_owner`` holds owned videos only
    expires_at  when DynamoDB may drop the record, in epoch seconds: 30 days after
                the last write of a video that is rejected, failed or expired
    waiting     "queued", present in that state with ``queued_at``: they key the index ``queued``

    What is counted lies in items of its own, ``counts#<slot>#<shard>``; the shards keep writers apart.
    So does what an owner has used of a day's quota, ``uploads`` and ``size_bytes``: ``quota#<owner>#<day>``.
    """

    def __init__(self, table: str) -> None:
        self._table = table

    def add(self, video: Video, counts: Mapping[str, int] = {}, charge: Charge | None = None) -> Video:
        return self._write(video, counts, charge, ConditionExpression="attribute_not_exists(id)")

    def get(self, video_id: str) -> Video:
        if not 0 < len(video_id) <= LONGEST_ID:  # no key of DynamoDB's, so no video's
            raise UnknownVideo(video_id)
        with _answers("DynamoDB"):
            answer = self._dynamodb.get_item(TableName=self._table, Key=_key(video_id), ConsistentRead=True)
        if "Item" not in answer:
            raise UnknownVideo(video_id)
        return _video(answer["Item"])

    def update(self, video: Video, counts: Mapping[str, int] = {}) -> Video:
        return self._write(
            video,
            counts,
            ConditionExpression="version = :read",
            ExpressionAttributeValues={":read": {"N": str(video.version)}},
        )

    def delete(self, video_id: str, counts: Mapping[str, int] = {}) -> None:
        there = {"Key": _key(video_id), "ConditionExpression": "attribute_exists(id)"}
        if not self._transact({"Delete": {"TableName": self._table, **there}}, counts):
            raise UnknownVideo(video_id)

    def counted(self, back: timedelta) -> Mapping[str, int]:
        slots = counters.slots(datetime.now(UTC), back)
        keys = [_counts_key(slot, shard) for slot in slots for shard in range(COUNT_SHARDS)]
        total: Counter[str] = Counter()
        for item in self._items(keys):
            total.update({name: int(value["N"]) for name, value in item.items() if "N" in value})
        del total["expires_at"]
        return total

    def oldest_queued(self) -> datetime | None:
        """From the index, which may lag behind."""
        with _answers("DynamoDB"):
            answer = self._dynamodb.query(
                TableName=self._table,
                IndexName=QUEUED_INDEX,
                KeyConditionExpression="waiting = :queued",
                ExpressionAttributeValues={":queued": {"S": State.QUEUED}},
                Limit=1,
            )
        return next((datetime.fromisoformat(item["queued_at"]["S"]) for item in answer["Items"]), None)

    def of_owner(self, owner: str, *, limit: int, after: str | None = None) -> Page:
        """The index holds keys alone: it costs nothing to write while a video makes progress."""
        below = {":after": {"S": after}} if after else {}
        with _answers("DynamoDB"):
            answer = self._dynamodb.query(
                TableName=self._table,
                IndexName=OWNER_INDEX,
                KeyConditionExpression="#owner = :owner" + (" AND id < :after" if after else ""),
                ExpressionAttributeNames={"#owner": "owner"},  # a reserved word
                ExpressionAttributeValues={":owner": {"S": owner}, **below},
                ScanIndexForward=False,
                Limit=limit + 1,
            )
        ids = [item["id"]["S"] for item in answer["Items"]]
        keys = [_key(video_id) for video_id in ids[:limit]]
        found = {item["id"]["S"]: _video(item) for item in self._items(keys, ConsistentRead=True)}
        videos = [found[video_id] for video_id in ids[:limit] if video_id in found]  # else just deleted
        return Page(videos=videos, after=ids[limit - 1] if len(ids) > limit else None)

    def overdue(self, now: datetime, *, limit: int) -> list[Video]:
        """Takes only keys from the index, which may lag behind, and reads the videos themselves."""
        found = [due for shard in range(IN_FLIGHT_SHARDS) for due in self._due(str(shard), now, limit)]
        videos = []
        for _, video_id in sorted(found)[:limit]:
            try:
                video = self.get(video_id)
            except UnknownVideo:
                continue
            if video.recover_at and video.recover_at <= now:
                videos.append(video)
        return videos

    def ping(self) -> None:
        with _answers("DynamoDB"):
            self._dynamodb.get_item(TableName=self._table, Key=_key("ping"))

    def _write(
        self, video: Video, counts: Mapping[str, int], charge: Charge | None = None, **condition: Any
    ) -> Video:
        written = replace(video, version=video.version + 1)
        put = {"Put": {"TableName": self._table, "Item": _item(written), **condition}}
        if not self._transact(put, counts, charge):
            raise LostRace(
                f"Video {video.id} was changed by somebody else.",
                suggestions=["Read the video again; what you wanted may be done already."],
            )
        return written

    def _transact(
        self, write: Mapping[str, Any], counts: Mapping[str, int], charge: Charge | None = None
    ) -> bool:
        """Do a conditional write, count and charge; whether its condition held. Raises QuotaExceeded."""
        [(kind, request)] = write.items()
        failed = self._dynamodb.exceptions
        for pause_s in CONFLICT_PAUSES_S:
            charged = [self._take(charge)] if charge else []
            added = [self._add_up(counts)] if counts else []
            with _answers("DynamoDB"):
                try:
                    if charged or added:
                        self._dynamodb.transact_write_items(TransactItems=[write, *charged, *added])
                    elif kind == "Put":
                        self._dynamodb.put_item(**request)
                    else:
                        self._dynamodb.delete_item(**request)
                except failed.ConditionalCheckFailedException:
                    return False
                except failed.TransactionCanceledException as cancelled:
                    reasons = cancelled.response["CancellationReasons"]
                except failed.TransactionConflictException:  # a plain write met somebody's transaction
                    reasons = [{"Code": "TransactionConflict"}]
                else:
                    return True
            if reasons[0]["Code"] == REFUSED:
                return False
            if charge and reasons[1]["Code"] == REFUSED:
                used = {name: _from_attribute(value) for name, value in reasons[1].get("Item", {}).items()}
                raise charge.refusal(int(used.get("uploads", 0)), int(used.get("size_bytes", 0)))
            time.sleep(uniform(0, pause_s))  # noqa: S311  it spreads the tries, and hides nothing
        codes = {reason["Code"] for reason in reasons} - {"None"}
        raise _unavailable("DynamoDB", ", ".join(sorted(codes)), ours=False)

    def _add_up(self, counts: Mapping[str, int]) -> dict[str, Any]:
        now = datetime.now(UTC)
        names = {f"#{place}": name for place, name in enumerate(counts)}
        numbers = {f":{place}": {"N": str(number)} for place, number in enumerate(counts.values())}
        expires_at = {"N": str(int((now + counters.KEPT).timestamp()))}
        added = ", ".join(f"#{place} :{place}" for place in range(len(counts)))
        return {
            "Update": {
                "TableName": self._table,
                "Key": _counts_key(counters.slot(now), randrange(COUNT_SHARDS)),  # noqa: S311  spreads writers
                "UpdateExpression": f"ADD {added} SET expires_at = :expires_at",
                "ExpressionAttributeNames": names,
                "ExpressionAttributeValues": {**numbers, ":expires_at": expires_at},
            }
        }

    def _take(self, charge: Charge) -> dict[str, Any]:
        """The update of an owner's day that takes ``charge`` from it, if enough is left."""
        limits = {
            "uploads": charge.quota.uploads - 1,
            "size_bytes": charge.quota.size_bytes - charge.size_bytes,
        }
        limited = [name for name in limits if getattr(charge.quota, name)]
        # Nothing used yet is no attribute; where even that leaves too little, none is let pass.
        enough = [
            f"({name} <= :most_{name}" + (f" OR attribute_not_exists({name}))" if limits[name] >= 0 else ")")
            for name in limited
        ]
        return {
            "Update": {
                "TableName": self._table,
                "Key": _key(f"quota#{charge.owner}#{charge.day}"),
                "UpdateExpression": "SET expires_at = :gone ADD uploads :one, size_bytes :size",
                "ConditionExpression": " AND ".join(enough),
                "ExpressionAttributeValues": {
                    ":gone": {"N": str(int((charge.resets_at + KEPT_AFTER_ITS_DAY).timestamp()))},
                    ":one": {"N": "1"},
                    ":size": {"N": str(charge.size_bytes)},
                    **{f":most_{name}": {"N": str(limits[name])} for name in limited},
                },
                "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
            }
        }

    def _items(self, keys: Sequence[dict[str, Any]], **how: Any) -> Iterator[dict[str, Any]]:
        """Those of the items that are there."""
        for start in range(0, len(keys), READ_AT_ONCE):
            wanted = {self._table: {"Keys": keys[start : start + READ_AT_ONCE], **how}}
            while wanted:  # what is more than DynamoDB answers at once, it names
                with _answers("DynamoDB"):
                    answer = self._dynamodb.batch_get_item(RequestItems=wanted)
                yield from answer["Responses"].get(self._table, ())
                wanted = answer.get("UnprocessedKeys")

    def _due(self, shard: str, now: datetime, limit: int) -> list[tuple[str, str]]:
        """When and which, of one shard, the longest overdue first."""
        with _answers("DynamoDB"):
            answer = self._dynamodb.query(
                TableName=self._table,
                IndexName=IN_FLIGHT_INDEX,
                KeyConditionExpression="#shard = :shard AND recover_at <= :now",
                ExpressionAttributeNames={"#shard": "shard"},  # a reserved word
                ExpressionAttributeValues={":shard": {"S": shard}, ":now": {"S": _sortable(now)}},
                Limit=limit,
            )
        return [(item["recover_at"]["S"], item["id"]["S"]) for item in answer["Items"]]

    @cached_property
    def _dynamodb(self) -> Any:
        return _client("dynamodb")


class SqsJobs:
    """A queue and its dead letters; how often and how long is set on the queues themselves.

    A message is ``{"video_id": "…"}``.

    ``wait_s``: how long to wait for a job. Not 0 on AWS: that asks only some of SQS's
    servers, and misses jobs that are there.
    """

    def __init__(self, queue_url: str, dead_letter_url: str | None = None, *, wait_s: int = 1) -> None:
        self._queue_url = queue_url
        self._dead_letter_url = dead_letter_url
        self._wait_s = wait_s

    def put(self, video_id: str, *, delay_s: int = 0) -> None:
        self._send(self._queue_url, video_id, DelaySeconds=min(delay_s, LONGEST_DELAY_S))

    def receive(self) -> Job | None:
        for message in self._receive(self._queue_url, AttributeNames=["ApproximateReceiveCount"]):
            return Job(
                video_id=_video_id(message),
                receipt=message["ReceiptHandle"],
                receives=int(message["Attributes"]["ApproximateReceiveCount"]),
            )
        return None

    def done(self, job: Job) -> None:
        with _answers("SQS"), _unless_too_late():
            self._sqs.delete_message(QueueUrl=self._queue_url, ReceiptHandle=job.receipt)

    def give_back(self, job: Job, *, delay_s: int = 0) -> None:
        with _answers("SQS"), _unless_too_late():
            self._sqs.change_message_visibility(
                QueueUrl=self._queue_url, ReceiptHandle=job.receipt, VisibilityTimeout=delay_s
            )

    def bury(self, video_id: str) -> None:
        if self._dead_letter_url:
            self._send(self._dead_letter_url, video_id)

    def dead(self, *, limit: int = 10) -> list[str]:
        """SQS shows ten at a time, and not always others: beyond ten, some may be missing."""
        found: dict[str, None] = {}
        while self._dead_letter_url and len(found) < limit:
            seen = len(found)
            letters = self._receive(self._dead_letter_url, MaxNumberOfMessages=10, VisibilityTimeout=0)
            found |= dict.fromkeys(map(_video_id, letters))
            if len(found) == seen:
                break
        return list(found)[:limit]

    def redrive(self, prepare: Callable[[str], None] = lambda _: None) -> int:
        """By hand, as SQS's own StartMessageMoveTask is missing from emulators, and ends later."""
        moved = 0
        while self._dead_letter_url and (
            letters := self._receive(self._dead_letter_url, MaxNumberOfMessages=10, VisibilityTimeout=30)
        ):
            for letter in letters:
                prepare(_video_id(letter))
                with _answers("SQS"):  # sent, then deleted: a crash between costs a spare job, not a lost one
                    self._sqs.send_message(QueueUrl=self._queue_url, MessageBody=letter["Body"])
                    self._sqs.delete_message(
                        QueueUrl=self._dead_letter_url, ReceiptHandle=letter["ReceiptHandle"]
                    )
            moved += len(letters)
        return moved

    def stats(self) -> QueueStats:
        waiting, in_flight = self._counts(self._queue_url)
        dead = sum(self._counts(self._dead_letter_url)) if self._dead_letter_url else 0
        return QueueStats(waiting=waiting, in_flight=in_flight, dead=dead)

    def _send(self, queue_url: str, video_id: str, **options: Any) -> None:
        body = json.dumps({"video_id": video_id})
        with _answers("SQS"):
            self._sqs.send_message(QueueUrl=queue_url, MessageBody=body, **options)

    def _receive(self, queue_url: str, **options: Any) -> list[dict[str, Any]]:
        with _answers("SQS"):
            answer = self._sqs.receive_message(QueueUrl=queue_url, WaitTimeSeconds=self._wait_s, **options)
        messages: list[dict[str, Any]] = answer.get("Messages", [])
        return messages

    def _counts(self, queue_url: str) -> tuple[int, int]:
        """Messages ready or delayed, and messages in somebody's hands."""
        ready, delayed, taken = names = [
            "ApproximateNumberOfMessages",
            "ApproximateNumberOfMessagesDelayed",
            "ApproximateNumberOfMessagesNotVisible",
        ]
        with _answers("SQS"):
            counts = self._sqs.get_queue_attributes(QueueUrl=queue_url, AttributeNames=names)["Attributes"]
        return int(counts[ready]) + int(counts[delayed]), int(counts[taken])

    @cached_property
    def _sqs(self) -> Any:
        return _client("sqs")


# ── Clients ──────────────────────────────────────────────────────────────────────

_SETTINGS = Config(
    # 3 x (2 + 5) s and the waits between: done before API Gateway gives up after 29 s.
    connect_timeout=2,
    read_timeout=5,
    retries={"mode": "standard", "total_max_attempts": 3},
    # Else boto3 sends bodies in chunks with a checksum behind them, which not every emulator reads.
    request_checksum_calculation="when_required",
    response_checksum_validation="when_required",
)
_one_at_a_time = Lock()  # boto3's clients are thread-safe, making them is not


def _client(service: str, endpoint_url: str | None = None, settings: Config = _SETTINGS) -> Any:
    make: Any = boto3.client  # its stubs take only literal names
    with _one_at_a_time:
        return make(service, endpoint_url=endpoint_url, config=settings)


def _s3_client(endpoint_url: str | None = None) -> Any:
    """Signs for the bucket's regional host, or for a path on the host of an emulator.

    Left to itself, boto3 signs for the global host, which answers a new bucket's uploads
    with a redirect that browsers do not follow.
    """

    def client(style: Literal["virtual", "path"]) -> Any:
        sigv4 = Config(
            signature_version="s3v4",
            s3={"addressing_style": style, "us_east_1_regional_endpoint": "regional"},
        )
        return _client("s3", endpoint_url, _SETTINGS.merge(sigv4))

    virtual = client("virtual")
    host = urlsplit(virtual.meta.endpoint_url).hostname or ""
    return virtual if "amazonaws.com" in host else client("path")


# ── Errors ───────────────────────────────────────────────────────────────────────


@contextmanager
def _answers(service: str, key: str = "") -> Iterator[None]:
    """What AWS answers or fails to answer inside, in the words of ``ports``."""
    try:
        yield
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if key and code in ("NoSuchKey", "404"):  # HEAD has no body, so no better code
            raise FileNotFoundError(f"No such object: {key}") from None
        status = error.response["ResponseMetadata"].get("HTTPStatusCode", 500)
        throttled = "Throttl" in code or "Exceeded" in code
        raise _unavailable(service, code, ours=status < 500 and not throttled) from error
    except BotoCoreError as error:
        raise _unavailable(service, type(error).__name__, ours=False) from error


@contextmanager
def _unless_too_late() -> Iterator[None]:
    """A job that is done, or that somebody else has by now, needs nothing more from us."""
    try:
        yield
    except ClientError as error:
        if error.response["Error"]["Code"] not in NO_LONGER_OURS:
            raise


def _unavailable(service: str, code: str, *, ours: bool) -> Unavailable:
    """``ours``: AWS answers, but not to this question, so asking again will not help."""
    if not ours:
        return Unavailable(
            f"{service} does not answer ({code}).", suggestions=["Try again in a few seconds."]
        )
    return Unavailable(
        f"{service} refused us ({code}).",
        suggestions=[
            "Try again later: this is the service's mistake, not yours.",
            "If you run the service, compare the function's permissions and environment with template.yaml.",
        ],
    )


# ── Records ──────────────────────────────────────────────────────────────────────

_to_attribute = TypeSerializer().serialize
_from_attribute = TypeDeserializer().deserialize
_to_json = msgspec.json.Encoder(decimal_format="number").encode


def _item(video: Video) -> dict[str, Any]:
    # Through JSON, for DynamoDB takes no float, only decimals, and an index skips only what is absent.
    fields = json.loads(msgspec.json.encode(video), parse_float=Decimal, object_hook=_without_none)
    if video.recover_at:
        fields["recover_at"] = _sortable(video.recover_at)
        fields["shard"] = str(crc32(video.id.encode()) % IN_FLIGHT_SHARDS)
    if video.state is State.QUEUED:
        fields["waiting"], fields["queued_at"] = str(video.state), _sortable(video.updated_at)
    if video.finished and video.state is not State.COMPLETED:
        fields["expires_at"] = int((video.updated_at + KEPT_AFTER_REFUSAL).timestamp())
    if not video.owner:
        del fields["owner"]
    return {name: _to_attribute(value) for name, value in fields.items()}


def _video(item: Mapping[str, Any]) -> Video:
    fields = {name: _from_attribute(value) for name, value in item.items()}
    return msgspec.json.decode(_to_json(fields), type=Video)


def _without_none(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _sortable(at: datetime) -> str:
    """ISO 8601, always in UTC and of the same width, so that it sorts as text."""
    return at.astimezone(UTC).isoformat(timespec="microseconds")


def _counts_key(slot: str, shard: int) -> dict[str, Any]:
    return _key(f"counts#{slot}#{shard}")


def _key(video_id: str) -> dict[str, Any]:
    return {"id": {"S": video_id}}


def _stored(key: str, answer: Mapping[str, Any]) -> StoredObject:
    return StoredObject(
        key=key,
        size_bytes=answer["ContentLength"],
        etag=_bare(answer["ETag"]),
        stored_at=answer["LastModified"],
    )


def _bare(etag: str) -> str:
    return etag.strip('"')


def _video_id(message: Mapping[str, Any]) -> str:
    body: str = message["Body"]
    try:
        return str(json.loads(body)["video_id"])
    except (KeyError, TypeError, ValueError):  # no job of ours
        return body
