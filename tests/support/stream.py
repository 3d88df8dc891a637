"""The changes of records as the store delivers them: the outbox of SQLite, the stream of a DynamoDB table."""

from typing import Any

import boto3
import pytest
from botocore.config import Config

import publish_changes
from local_aws.events import Context, stream_event
from videos.ports import Change, Videos
from videos.service import Service
from videos.stores.aws.dynamodb import DynamoVideos
from videos.stores.local.records import SqliteVideos


def records(videos: Videos, *, limit: int = 1000) -> list[dict[str, Any]]:
    """The next records that were not delivered yet, as ``publish_changes`` gets them."""
    if isinstance(videos, SqliteVideos):
        return videos.outbox(limit=limit)
    return _stream_of(videos).records(limit)


def delivered(videos: Videos, handled: list[dict[str, Any]]) -> None:
    """These records were handled: they do not come again."""
    if isinstance(videos, SqliteVideos):
        videos.delivered(handled)
    else:
        _stream_of(videos).handled(handled)


def changes(videos: Videos) -> list[Change]:
    """Every change that was not delivered yet; it is then."""
    found = []
    while batch := records(videos):
        found += [change for record in batch if (change := videos.change_of(record))]
        delivered(videos, batch)
    return found


def pump(service: Service) -> None:
    """Deliver every change to the handler, as the event source does."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(publish_changes, "service", lambda: service)
        while batch := records(service.videos):
            publish_changes.handler(stream_event(batch), Context("publish_changes", 60))
            delivered(service.videos, batch)


class _Stream:
    """How far each shard of a table's stream was read."""

    def __init__(self, table: str) -> None:
        # moto does not know the hosts that are named after accounts
        self._streams = boto3.client("dynamodbstreams", config=Config(account_id_endpoint_mode="disabled"))
        [stream] = self._streams.list_streams(TableName=table)["Streams"]
        self._arn = stream["StreamArn"]
        self._last: dict[str, str] = {}  # by shard, the sequence number of what was handled last

    def records(self, limit: int) -> list[dict[str, Any]]:
        for shard in self._shards():
            if found := self._read(shard, limit):
                return [_as_in_an_event(record) | {"shard": shard} for record in found]
        return []

    def handled(self, records: list[dict[str, Any]]) -> None:
        self._last |= {record["shard"]: record["dynamodb"]["SequenceNumber"] for record in records}

    def _shards(self) -> list[str]:
        described = self._streams.describe_stream(StreamArn=self._arn)["StreamDescription"]
        return [shard["ShardId"] for shard in described["Shards"]]

    def _read(self, shard: str, limit: int) -> list[Any]:
        where: dict[str, Any] = {"ShardIteratorType": "TRIM_HORIZON"}
        if shard in self._last:
            where = {"ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "SequenceNumber": self._last[shard]}
        at = self._streams.get_shard_iterator(StreamArn=self._arn, ShardId=shard, **where)["ShardIterator"]
        return self._streams.get_records(ShardIterator=at, Limit=limit)["Records"]


def _as_in_an_event(record: Any) -> dict[str, Any]:
    """boto3 reads the time as a datetime; in an event it is a number."""
    written = record["dynamodb"]["ApproximateCreationDateTime"].timestamp()
    return record | {"dynamodb": record["dynamodb"] | {"ApproximateCreationDateTime": written}}


_streams: dict[str, _Stream] = {}


def _stream_of(videos: Any) -> _Stream:
    assert isinstance(videos, DynamoVideos)
    if videos._table not in _streams:
        _streams[videos._table] = _Stream(videos._table)
    return _streams[videos._table]
