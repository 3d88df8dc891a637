"""Video records, counters and quotas in one DynamoDB table."""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from random import uniform
from typing import TYPE_CHECKING, Any

from videos.errors import LostRace, UnknownVideo
from videos.model import State, Video
from videos.ports import Change, KeyedAnswer, Page
from videos.quota import Charge
from videos.stores.aws.clients import dynamodb_client, translate_errors, unavailable
from videos.stores.aws.counts import COUNT_SHARDS, MAX_COUNTED_AT_ONCE, Counted, marks_and_sums
from videos.stores.aws.items import (
    IN_FLIGHT_SHARDS,
    counts_key,
    from_attribute,
    item_of,
    item_of_answer,
    key_of,
    keyed_key,
    keyed_of,
    sortable,
    video_of,
)
from videos.telemetry import counters

if TYPE_CHECKING:
    from types_boto3_dynamodb.type_defs import (
        AttributeValueTypeDef,
        KeysAndAttributesUnionTypeDef,
        PutTypeDef,
        TransactWriteItemTypeDef,
    )

IN_FLIGHT_INDEX = "in_flight"
QUEUED_INDEX = "queued"
OWNER_INDEX = "by_owner"
FIRST = "0"  # before every time; a key must not be empty
MAX_ITEMS_PER_READ = 100  # DynamoDB's limit
QUOTA_KEPT = timedelta(days=1)  # after the day it is for
MAX_ID_CHARACTERS = 512  # of up to four bytes each; a DynamoDB key has at most 2048
TIME_TO_LIVE = "dynamodb.amazonaws.com"  # who deletes what has expired
CONDITION_FAILED = "ConditionalCheckFailed"  # a transaction cancelled for another reason can be retried
CONFLICT_PAUSES_S = (
    0.02,
    0.04,
    0.08,
    0.16,
    0.32,
    0.64,
    1.28,
)  # each at most; requests that change the same quota or counter conflict


class DynamoVideos:
    """One item per video, of native attributes: readable in the console, open to other indexes.

    It has the fields of ``Video`` that are not None, and:

    shard       "0" … "7", present with ``recover_at``: together they key the sparse index ``in_flight``,
                which therefore holds unfinished videos, and failed ones until they are erased
    owner       absent if it is "", so that the index ``by_owner`` holds owned videos only
    expires_at  when DynamoDB may delete the record, in epoch seconds: 30 days after
                the last write of a video that is rejected or expired, which has no files
    waiting     "queued", present in that state with ``queued_at``: they key the index ``queued``

    Counters are in separate items, ``counts#<slot>#<shard>``; the shards keep writers from conflicting.
    A change that was counted has a mark, ``counted#<video>#<version>``, until the stream has forgotten it.
    The ``uploads`` and ``size_bytes`` that an owner has used of a day's quota are in ``quota#<owner>#<day>``.
    What a request with an ``Idempotency-Key`` was answered is in ``keyed#<key>``, and expires.
    """

    def __init__(self, table: str) -> None:
        self._table = table
        self._dynamodb = dynamodb_client()

    def add(self, video: Video, charge: Charge | None = None, keyed: KeyedAnswer | None = None) -> Video:
        written = replace(video, version=video.version + 1)
        put = self._put(written, condition="attribute_not_exists(id)")
        writes: list[TransactWriteItemTypeDef] = [{"Put": put}, *([self._kept(keyed)] if keyed else [])]
        charged = [self._charge_item(charge)] if charge else []
        if keyed or charge:
            items = [*writes, *charged]
            reasons = self._retried(lambda: self._dynamodb.transact_write_items(TransactItems=items))
        else:
            reasons = self._retried(lambda: self._dynamodb.put_item(**put))
        if not reasons:
            return written
        if any(reason["Code"] == CONDITION_FAILED for reason in reasons[: len(writes)]):
            raise _lost(video)
        assert charge
        left = reasons[len(writes)].get("Item", {})
        used = {name: from_attribute(value) for name, value in left.items()}
        raise charge.rejection(int(used.get("uploads", 0)), int(used.get("size_bytes", 0)))

    def answered(self, key: str, now: datetime) -> KeyedAnswer | None:
        with translate_errors("DynamoDB"):
            answer = self._dynamodb.get_item(TableName=self._table, Key=keyed_key(key), ConsistentRead=True)
        keyed = keyed_of(answer["Item"]) if "Item" in answer else None
        return keyed if keyed and keyed.expires_at > now else None  # DynamoDB deletes it some day later

    def get(self, video_id: str) -> Video:
        if not 0 < len(video_id) <= MAX_ID_CHARACTERS:  # not a valid key
            raise UnknownVideo(video_id)
        with translate_errors("DynamoDB"):
            answer = self._dynamodb.get_item(TableName=self._table, Key=key_of(video_id), ConsistentRead=True)
        if "Item" not in answer:
            raise UnknownVideo(video_id)
        return video_of(answer["Item"])

    def update(self, video: Video) -> Video:
        written = replace(video, version=video.version + 1)
        put = self._put(written, condition="version = :read")
        put["ExpressionAttributeValues"] = {":read": {"N": str(video.version)}}
        if self._retried(lambda: self._dynamodb.put_item(**put)):
            raise _lost(video)
        return written

    def delete(self, video_id: str) -> None:
        if self._retried(
            lambda: self._dynamodb.delete_item(
                TableName=self._table, Key=key_of(video_id), ConditionExpression="attribute_exists(id)"
            )
        ):
            raise UnknownVideo(video_id)

    def change_of(self, record: Mapping[str, Any]) -> Change | None:
        """Only videos have a ``state``: counters are in the stream, too, and must not count themselves."""
        if (record.get("userIdentity") or {}).get("principalId") == TIME_TO_LIVE:
            return None
        stream = record["dynamodb"]
        images = [stream.get(name) for name in ("OldImage", "NewImage")]
        if not any(image and "state" in image for image in images):
            return None
        before, after = (video_of(image) if image else None for image in images)
        at = datetime.fromtimestamp(stream["ApproximateCreationDateTime"], UTC)
        return Change(before=before, after=after, at=at)

    def count(self, counted: Counted) -> list[Change]:
        starts = range(0, len(counted), MAX_COUNTED_AT_ONCE)
        return [
            change for start in starts for change in self._count(counted[start : start + MAX_COUNTED_AT_ONCE])
        ]

    def _count(self, counted: Counted) -> list[Change]:
        """Count all in one transaction, and again without those that turn out to be counted."""
        while counted:
            items = marks_and_sums(self._table, counted)
            reasons = self._retried(partial(self._dynamodb.transact_write_items, TransactItems=items))
            if not reasons:
                break
            counted = [
                one
                for one, reason in zip(counted, reasons, strict=False)
                if reason["Code"] != CONDITION_FAILED
            ]
        return [change for change, _ in counted]

    def counted(self, back: timedelta) -> Mapping[str, int]:
        slots = counters.slots(datetime.now(UTC), back)
        keys = [counts_key(slot, shard) for slot in slots for shard in range(COUNT_SHARDS)]
        total: Counter[str] = Counter()
        for item in self._items(keys):
            total.update({name: int(value["N"]) for name, value in item.items() if "N" in value})
        del total["expires_at"]
        return total

    def oldest_queued(self) -> datetime | None:
        """From the index, which is eventually consistent."""
        with translate_errors("DynamoDB"):
            answer = self._dynamodb.query(
                TableName=self._table,
                IndexName=QUEUED_INDEX,
                KeyConditionExpression="waiting = :queued",
                ExpressionAttributeValues={":queued": {"S": State.QUEUED}},
                Limit=1,
            )
        return next((datetime.fromisoformat(item["queued_at"]["S"]) for item in answer["Items"]), None)

    def of_owner(self, owner: str, *, limit: int, after: str | None = None) -> Page:
        """The index projects keys only, so that updates of a video's progress do not write to it."""
        below: dict[str, AttributeValueTypeDef] = {":after": {"S": after}} if after else {}
        with translate_errors("DynamoDB"):
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
        keys = [key_of(video_id) for video_id in ids[:limit]]
        found = {item["id"]["S"]: video_of(item) for item in self._items(keys, consistent=True)}
        videos = [
            found[video_id] for video_id in ids[:limit] if video_id in found
        ]  # others were just deleted
        return Page(videos=videos, after=ids[limit - 1] if len(ids) > limit else None)

    def overdue(self, now: datetime, *, limit: int) -> list[Video]:
        """Takes only keys from the index, which is eventually consistent, and reads the videos themselves.

        A page of keys that the index should have dropped is passed over: those behind it are overdue, too.
        """
        since = FIRST
        while True:
            due = self._due(since, now, limit)
            ids = [video_id for _, video_id in due]
            items = self._items([key_of(video_id) for video_id in ids], consistent=True)
            found = {item["id"]["S"]: video_of(item) for item in items}
            videos = [found[video_id] for video_id in ids if video_id in found]
            overdue = [video for video in videos if video.recover_at and video.recover_at <= now]
            if overdue or len(due) < limit or due[-1][0] == since:
                return overdue
            since = due[-1][0]

    def ping(self) -> None:
        with translate_errors("DynamoDB"):
            self._dynamodb.get_item(TableName=self._table, Key=key_of("ping"))

    def _put(self, video: Video, *, condition: str) -> "PutTypeDef":
        return {"TableName": self._table, "Item": item_of(video), "ConditionExpression": condition}

    def _retried(self, write: Callable[[], object]) -> list[Any]:
        """Write; again, if another write was in the way.

        Returns:
            Nothing if it was done, else a reason for each item; one at least is a failed condition.
        """
        failed = self._dynamodb.exceptions
        reasons: list[Any] = []
        for pause_s in CONFLICT_PAUSES_S:
            with translate_errors("DynamoDB"):
                try:
                    write()
                except failed.ConditionalCheckFailedException:
                    reasons = [{"Code": CONDITION_FAILED}]
                except failed.TransactionCanceledException as cancelled:
                    reasons = cancelled.response["CancellationReasons"]
                except failed.TransactionConflictException:  # a plain write during a transaction
                    reasons = [{"Code": "TransactionConflict"}]
                else:
                    return []
            if any(reason["Code"] == CONDITION_FAILED for reason in reasons):
                return reasons
            time.sleep(uniform(0, pause_s))  # noqa: S311  jitter, not cryptography
        codes = {reason["Code"] for reason in reasons} - {"None"}
        raise unavailable("DynamoDB", ", ".join(sorted(codes)), is_rejection=False)

    def _kept(self, keyed: KeyedAnswer) -> "TransactWriteItemTypeDef":
        """Put ``keyed`` where no other is, or one that has expired and is not deleted yet."""
        return {
            "Put": {
                "TableName": self._table,
                "Item": item_of_answer(keyed),
                "ConditionExpression": "attribute_not_exists(id) OR expires_at <= :now",
                "ExpressionAttributeValues": {":now": {"N": str(int(keyed.answered_at.timestamp()))}},
            }
        }

    def _charge_item(self, charge: Charge) -> "TransactWriteItemTypeDef":
        """The update that adds ``charge`` to what its owner has used that day, if enough is left."""
        limits = {
            "uploads": charge.quota.uploads - 1,
            "size_bytes": charge.quota.size_bytes - charge.size_bytes,
        }
        limited = [name for name in limits if getattr(charge.quota, name)]
        # The attribute is absent until something is used. A charge above the whole quota never passes.
        enough = [
            f"({name} <= :most_{name}" + (f" OR attribute_not_exists({name}))" if limits[name] >= 0 else ")")
            for name in limited
        ]
        return {
            "Update": {
                "TableName": self._table,
                "Key": key_of(f"quota#{charge.owner}#{charge.day}"),
                "UpdateExpression": "SET expires_at = :expires_at ADD uploads :one, size_bytes :size",
                "ConditionExpression": " AND ".join(enough),
                "ExpressionAttributeValues": {
                    ":expires_at": {"N": str(int((charge.resets_at + QUOTA_KEPT).timestamp()))},
                    ":one": {"N": "1"},
                    ":size": {"N": str(charge.size_bytes)},
                    **{f":most_{name}": {"N": str(limits[name])} for name in limited},
                },
                "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
            }
        }

    def _items(
        self, keys: "Sequence[Mapping[str, AttributeValueTypeDef]]", *, consistent: bool = False
    ) -> "Iterator[dict[str, AttributeValueTypeDef]]":
        """The items that exist, in any order."""
        for start in range(0, len(keys), MAX_ITEMS_PER_READ):
            batch = keys[start : start + MAX_ITEMS_PER_READ]
            unread: Mapping[str, KeysAndAttributesUnionTypeDef] = {
                self._table: {"Keys": batch, "ConsistentRead": consistent}
            }
            while unread:
                with translate_errors("DynamoDB"):
                    answer = self._dynamodb.batch_get_item(RequestItems=unread)
                yield from answer["Responses"].get(self._table, ())
                unread = answer.get("UnprocessedKeys", {})

    def _due(self, since: str, now: datetime, limit: int) -> list[tuple[str, str]]:
        """``recover_at`` and id of the overdue videos of all shards, the longest overdue first."""

        def of_shard(shard: int) -> list[tuple[str, str]]:
            with translate_errors("DynamoDB"):
                answer = self._dynamodb.query(
                    TableName=self._table,
                    IndexName=IN_FLIGHT_INDEX,
                    KeyConditionExpression="#shard = :shard AND recover_at BETWEEN :since AND :now",
                    ExpressionAttributeNames={"#shard": "shard"},  # a reserved word
                    ExpressionAttributeValues={
                        ":shard": {"S": str(shard)},
                        ":since": {"S": since},
                        ":now": {"S": sortable(now)},
                    },
                    Limit=limit,
                )
            return [(item["recover_at"]["S"], item["id"]["S"]) for item in answer["Items"]]

        with ThreadPoolExecutor(IN_FLIGHT_SHARDS) as pool:
            shards = pool.map(of_shard, range(IN_FLIGHT_SHARDS))
            return sorted(due for shard in shards for due in shard)[:limit]


def _lost(video: Video) -> LostRace:
    return LostRace(
        f"Video {video.id} was changed by another request.",
        suggestions=["Read the video again; your change may already be done."],
    )
