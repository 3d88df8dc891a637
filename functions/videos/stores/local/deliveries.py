"""The queue of webhooks in SQLite."""

from dataclasses import replace
from pathlib import Path

import msgspec

from videos.policy import DELIVERY_VISIBILITY_S, MAX_UNFINISHED
from videos.ports import Delivery, Event, Letter
from videos.stores.local.jobs import SqliteJobs

# Built at import: two threads building a decoder of the same type crash the process (msgspec 0.22).
_decode = msgspec.json.Decoder(Letter).decode


class SqliteDeliveries:
    """Letters, each as a message of ``queue``, which the local server drains."""

    def __init__(self, path: Path) -> None:
        self.queue = SqliteJobs(
            path,
            queue="webhooks",
            visibility_s=DELIVERY_VISIBILITY_S,
            max_receives=2 * MAX_UNFINISHED,  # it is buried before
            one_at_a_time_of="$.event.video_id",
        )

    def put(self, event: Event) -> None:
        self.queue.put(_message(Letter(event=event)))

    def retry(self, delivery: Delivery, reason: str, *, delay_s: int) -> bool:
        failed = _message(replace(delivery.letter, attempts=delivery.attempt, reason=reason))
        self.queue.exchange(delivery.receipt, failed, delay_s=delay_s)
        return False

    def bury(self, letter: Letter) -> None:
        self.queue.bury(_message(letter))

    def dead(self, *, limit: int = 10) -> list[Letter | str]:
        return [_letter(message) for message in self.queue.dead(limit=limit)]

    def redrive(self) -> int:
        return self.queue.revive(_as_new)


def _message(letter: Letter) -> str:
    return msgspec.json.encode(letter).decode()


def _as_new(message: str) -> str | None:
    letter = _letter(message)
    return None if isinstance(letter, str) else _message(Letter(event=letter.event))


def _letter(message: str) -> Letter | str:
    try:
        return _decode(message)
    except msgspec.DecodeError:
        return message
