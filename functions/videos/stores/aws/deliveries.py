"""The queues of webhooks in SQS: one for first attempts, in order; one for retries; one for dead letters."""

from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import msgspec

from videos.ports import Delivery, Event, Letter
from videos.stores.aws.clients import sqs_client, translate_errors
from videos.stores.aws.sqs import DeadLetters, ignore_stale_receipt

if TYPE_CHECKING:
    from types_boto3_sqs import SQSClient
    from types_boto3_sqs.type_defs import MessageTypeDef

_decode = msgspec.json.Decoder(Letter).decode


class SqsDeliveries:
    """The first queue is FIFO, with a group for each video: the events of one are attempted in order.

    There a message that waits holds up its group. So the first retry is a message in the second queue, a
    standard one, where it can wait for hours. ``wait_s``: see ``DeadLetters``.
    """

    def __init__(
        self, queue_url: str, retry_url: str | None, dead_letter_url: str | None, *, wait_s: int = 1
    ) -> None:
        self._queue_url = queue_url
        self._retry_url = retry_url
        self._dead_letter_url = dead_letter_url
        self._wait_s = wait_s

    def put(self, event: Event) -> None:
        """Within five minutes, a repeat is dropped by SQS."""
        self._put(event, deduplicated_by=event.id)

    def retry(self, delivery: Delivery, reason: str, *, delay_s: int) -> bool:
        if not delivery.letter.attempts:
            letter = replace(delivery.letter, attempts=delivery.attempt, reason=reason)
            self._send(self._retry_url, letter, DelaySeconds=delay_s)
            return True
        assert self._retry_url
        with translate_errors("SQS"), ignore_stale_receipt():
            self._sqs.change_message_visibility(
                QueueUrl=self._retry_url, ReceiptHandle=delivery.receipt, VisibilityTimeout=delay_s
            )
        return False

    def bury(self, letter: Letter) -> None:
        self._send(self._dead_letter_url, letter)

    def dead(self, *, limit: int = 10) -> list[Letter | str]:
        return [_letter(message["Body"]) for message in self._dead_letters().look(limit)]

    def redrive(self) -> int:
        """SQS may know their ids from a redrive a moment ago, so they get others."""

        def put_back(message: "MessageTypeDef") -> bool:
            letter = _letter(message["Body"])
            if isinstance(letter, str):
                return False
            self._put(letter.event, deduplicated_by=str(uuid4()))
            return True

        return self._dead_letters().drain(put_back)

    def _put(self, event: Event, *, deduplicated_by: str) -> None:
        self._send(
            self._queue_url,
            Letter(event=event),
            MessageGroupId=event.video_id,
            MessageDeduplicationId=deduplicated_by,
        )

    def _send(self, queue_url: str | None, letter: Letter, **options: Any) -> None:
        assert queue_url
        with translate_errors("SQS"):
            self._sqs.send_message(
                QueueUrl=queue_url, MessageBody=msgspec.json.encode(letter).decode(), **options
            )

    def _dead_letters(self) -> DeadLetters:
        return DeadLetters(self._sqs, self._dead_letter_url, self._wait_s)

    @cached_property
    def _sqs(self) -> "SQSClient":
        return sqs_client()


def _letter(body: str) -> Letter | str:
    try:
        return _decode(body)
    except msgspec.DecodeError:
        return body
