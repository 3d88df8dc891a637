"""A video to a DynamoDB item and back, and the keys of all items."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from zlib import crc32

import msgspec
from boto3.dynamodb.types import TypeDeserializer, TypeSerializer

from videos.model import State, Video
from videos.policy import KEPT_AFTER_ENDING
from videos.ports import KeyedAnswer

if TYPE_CHECKING:
    from types_boto3_dynamodb.type_defs import AttributeValueTypeDef

IN_FLIGHT_SHARDS = 8
_to_attribute = TypeSerializer().serialize
from_attribute = TypeDeserializer().deserialize
_to_json = msgspec.json.Encoder(decimal_format="number").encode
# Built at import: two threads that build a decoder of one type at once crash the process (msgspec 0.22).
_from_json = msgspec.json.Decoder(Video).decode
_answer_of = msgspec.json.Decoder(KeyedAnswer).decode


def item_of(video: Video) -> "dict[str, AttributeValueTypeDef]":
    # Through JSON: DynamoDB takes decimals, not floats, and an index skips only absent attributes.
    fields = json.loads(msgspec.json.encode(video), parse_float=Decimal, object_hook=_without_none)
    if video.recover_at:
        fields["recover_at"] = sortable(video.recover_at)
        fields["shard"] = str(crc32(video.id.encode()) % IN_FLIGHT_SHARDS)
    if video.state is State.QUEUED:
        fields["waiting"], fields["queued_at"] = str(video.state), sortable(video.updated_at)
    if video.state in (State.REJECTED, State.EXPIRED):  # they have no files; failed ones do
        fields["expires_at"] = int((video.updated_at + KEPT_AFTER_ENDING).timestamp())
    if not video.owner:
        del fields["owner"]
    return {name: _to_attribute(value) for name, value in fields.items()}


def video_of(item: "Mapping[str, AttributeValueTypeDef]") -> Video:
    fields = {name: from_attribute(value) for name, value in item.items()}
    return _from_json(_to_json(fields))


def item_of_answer(keyed: KeyedAnswer) -> "dict[str, AttributeValueTypeDef]":
    return {
        **keyed_key(keyed.key),
        "answer": {"S": msgspec.json.encode(keyed).decode()},
        "expires_at": {"N": str(int(keyed.expires_at.timestamp()))},
    }


def keyed_of(item: "Mapping[str, AttributeValueTypeDef]") -> KeyedAnswer:
    return _answer_of(item["answer"]["S"])


def _without_none(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def sortable(at: datetime) -> str:
    """ISO 8601 in UTC, always of the same width, so that text order is time order."""
    return at.astimezone(UTC).isoformat(timespec="microseconds")


def counts_key(slot: str, shard: int) -> "dict[str, AttributeValueTypeDef]":
    return key_of(f"counts#{slot}#{shard}")


def keyed_key(key: str) -> "dict[str, AttributeValueTypeDef]":
    return key_of(f"keyed#{key}")


def key_of(video_id: str) -> "dict[str, AttributeValueTypeDef]":
    return {"id": {"S": video_id}}
