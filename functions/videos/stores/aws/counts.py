"""What one transaction writes to count changes: a mark for each change, and the sums that it belongs to."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from random import randrange
from typing import TYPE_CHECKING

from videos.ports import Change
from videos.stores.aws.items import counts_key, key_of
from videos.telemetry import counters

if TYPE_CHECKING:
    from types_boto3_dynamodb.type_defs import AttributeValueTypeDef, TransactWriteItemTypeDef

COUNT_SHARDS = 8
# A mark and, at worst, a slot for each: a transaction has at most 100 items.
MAX_COUNTED_AT_ONCE = 50
Counted = Sequence[tuple[Change, Mapping[str, int]]]


def marks_and_sums(table: str, counted: Counted) -> "list[TransactWriteItemTypeDef]":
    """The marks first, in the order of ``counted``. A mark that exists cancels the transaction."""
    sums: dict[str, Counter[str]] = {}
    expiry: dict[str, int] = {}
    for change, counts in counted:
        slot = counters.slot(change.at)
        sums.setdefault(slot, Counter()).update(counts)
        expiry[slot] = _expiry(change.at)
    marks = [_mark(table, change) for change, _ in counted]
    return [*marks, *(_sum(table, slot, counts, expiry[slot]) for slot, counts in sums.items())]


def _mark(table: str, change: Change) -> "TransactWriteItemTypeDef":
    return {
        "Put": {
            "TableName": table,
            "Item": {**key_of(f"counted#{change.name}"), "expires_at": {"N": str(_expiry(change.at))}},
            "ConditionExpression": "attribute_not_exists(id)",
        }
    }


def _sum(table: str, slot: str, counts: Mapping[str, int], expires_at: int) -> "TransactWriteItemTypeDef":
    names = {f"#{place}": name for place, name in enumerate(counts)}
    numbers: dict[str, AttributeValueTypeDef] = {
        f":{place}": {"N": str(number)} for place, number in enumerate(counts.values())
    }
    added = ", ".join(f"#{place} :{place}" for place in range(len(counts)))
    return {
        "Update": {
            "TableName": table,
            "Key": counts_key(slot, randrange(COUNT_SHARDS)),  # noqa: S311  not cryptography
            "UpdateExpression": f"ADD {added} SET expires_at = :expires_at",
            "ExpressionAttributeNames": names,
            "ExpressionAttributeValues": {**numbers, ":expires_at": {"N": str(expires_at)}},
        }
    }


def _expiry(at: datetime) -> int:
    """In epoch seconds; later than any repeat, as a stream keeps its records for a day."""
    return int((at + counters.KEPT).timestamp())
