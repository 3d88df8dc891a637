"""Events told on an EventBridge bus."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from videos.ports import Event
from videos.stores.aws.clients import events_client, translate_errors, unavailable

if TYPE_CHECKING:
    from types_boto3_events import EventBridgeClient
    from types_boto3_events.type_defs import PutEventsRequestEntryTypeDef

SOURCE = "tiktoken"  # what rules match, with the type as detail-type
MAX_ENTRIES = 10  # of one call
MAX_CALL_BYTES = 256 * 1024  # of all its entries
TEMPORARY = frozenset({"InternalFailure", "InternalException", "ThrottlingException"})


class EventBridgeAnnouncements:
    """``bus``: its name or ARN. The event is the detail."""

    def __init__(self, bus: str) -> None:
        self._bus = bus

    def announce(self, events: Sequence[Event]) -> None:
        for call in _calls(events):
            with translate_errors("EventBridge"):
                answer = self._events.put_events(Entries=[self._entry(event) for event in call])
            if answer["FailedEntryCount"]:
                code = next(entry["ErrorCode"] for entry in answer["Entries"] if "ErrorCode" in entry)
                raise unavailable("EventBridge", code, is_rejection=code not in TEMPORARY)

    def _entry(self, event: Event) -> "PutEventsRequestEntryTypeDef":
        return {
            "EventBusName": self._bus,
            "Source": SOURCE,
            "DetailType": event.type,
            "Detail": event.body,
            "Time": event.at,
        }

    @cached_property
    def _events(self) -> "EventBridgeClient":
        return events_client()


def _calls(events: Sequence[Event]) -> Iterator[list[Event]]:
    """The events of each call. No two of one video are in a call: of its entries, any may fail."""
    call: list[Event] = []
    for event in events:
        size_bytes = sum(map(_size_bytes, [*call, event]))
        is_in_call = any(other.video_id == event.video_id for other in call)
        if call and (is_in_call or len(call) == MAX_ENTRIES or size_bytes > MAX_CALL_BYTES):
            yield call
            call = []
        call.append(event)
    if call:
        yield call


def _size_bytes(event: Event) -> int:
    """As EventBridge counts: source, type and detail in UTF-8, and 14 for the time."""
    return 14 + len(SOURCE) + len(event.type) + len(event.body.encode())
