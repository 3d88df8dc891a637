"""Jobs in an SQS queue, with its dead letters."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from videos.policy import MAX_DELAY_S
from videos.ports import Job, QueueStats
from videos.stores.aws.clients import sqs_client, translate_errors

if TYPE_CHECKING:
    from types_boto3_sqs import SQSClient
    from types_boto3_sqs.type_defs import MessageTypeDef

# SQS's error codes for a receipt that is no longer valid.
STALE_RECEIPT = frozenset({"ReceiptHandleIsInvalid", "MessageNotInflight", "InvalidParameterValue"})


class SqsJobs:
    """A queue and its dead-letter queue. Retries and visibility timeout are set on the queues themselves.

    A message is ``{"video_id": "…"}``. ``wait_s``: see ``DeadLetters``.
    """

    def __init__(self, queue_url: str, dead_letter_url: str | None = None, *, wait_s: int = 1) -> None:
        self._queue_url = queue_url
        self._dead_letter_url = dead_letter_url
        self._wait_s = wait_s

    def put(self, video_id: str, *, delay_s: int = 0) -> None:
        self._send(self._queue_url, video_id, DelaySeconds=min(delay_s, MAX_DELAY_S))

    def give_back(self, job: Job, *, delay_s: int = 0) -> None:
        with translate_errors("SQS"), ignore_stale_receipt():
            self._sqs.change_message_visibility(
                QueueUrl=self._queue_url, ReceiptHandle=job.receipt, VisibilityTimeout=delay_s
            )

    def bury(self, video_id: str) -> None:
        if self._dead_letter_url:
            self._send(self._dead_letter_url, video_id)

    def dead(self, *, limit: int = 10) -> list[str]:
        return [video_id_of(letter) for letter in self._dead_letters().look(limit)]

    def redrive(self, prepare: Callable[[str], None] = lambda _: None) -> int:
        def put_back(letter: "MessageTypeDef") -> bool:
            prepare(video_id_of(letter))
            with translate_errors("SQS"):
                self._sqs.send_message(QueueUrl=self._queue_url, MessageBody=letter["Body"])
            return True

        return self._dead_letters().drain(put_back)

    def stats(self) -> QueueStats:
        waiting, in_flight = self._counts(self._queue_url)
        dead = sum(self._counts(self._dead_letter_url)) if self._dead_letter_url else 0
        return QueueStats(waiting=waiting, in_flight=in_flight, dead=dead)

    def _send(self, queue_url: str, video_id: str, **options: Any) -> None:
        body = json.dumps({"video_id": video_id})
        with translate_errors("SQS"):
            self._sqs.send_message(QueueUrl=queue_url, MessageBody=body, **options)

    def _dead_letters(self) -> "DeadLetters":
        return DeadLetters(self._sqs, self._dead_letter_url, self._wait_s)

    def _counts(self, queue_url: str) -> tuple[int, int]:
        """Messages ready or delayed, and messages in flight."""
        with translate_errors("SQS"):
            counts = self._sqs.get_queue_attributes(
                QueueUrl=queue_url,
                AttributeNames=[
                    "ApproximateNumberOfMessages",
                    "ApproximateNumberOfMessagesDelayed",
                    "ApproximateNumberOfMessagesNotVisible",
                ],
            )["Attributes"]
        waiting = int(counts["ApproximateNumberOfMessages"]) + int(
            counts["ApproximateNumberOfMessagesDelayed"]
        )
        return waiting, int(counts["ApproximateNumberOfMessagesNotVisible"])

    @cached_property
    def _sqs(self) -> "SQSClient":
        return sqs_client()


class DeadLetters:
    """A dead-letter queue, if there is one.

    ``wait_s``: how long to wait for a message. Not 0 on AWS: short polling asks only some of SQS's
    servers, and misses messages.
    """

    def __init__(self, sqs: "SQSClient", url: str | None, wait_s: int) -> None:
        self._sqs = sqs
        self._url = url
        self._wait_s = wait_s

    def look(self, limit: int) -> "list[MessageTypeDef]":
        """SQS returns at most ten at a time, and may repeat them: beyond ten, some may be missing."""
        found: dict[str, MessageTypeDef] = {}
        known = -1
        while self._url and known < len(found) < limit:
            known = len(found)
            found |= {letter["MessageId"]: letter for letter in self._receive(hidden_s=0)}
        return list(found.values())[:limit]

    def drain(self, put_back: "Callable[[MessageTypeDef], bool]") -> int:
        """Take out what ``put_back`` has put back; returns how many.

        Without SQS's own StartMessageMoveTask, which emulators lack and which ends later.
        """
        moved = 0
        while self._url and (letters := self._receive(hidden_s=30)):
            for letter in letters:
                if not put_back(letter):
                    continue  # it stays there, hidden for a moment
                with translate_errors("SQS"):  # after that: a crash between repeats one, and loses none
                    self._sqs.delete_message(QueueUrl=self._url, ReceiptHandle=letter["ReceiptHandle"])
                moved += 1
        return moved

    def _receive(self, *, hidden_s: int) -> "list[MessageTypeDef]":
        assert self._url
        with translate_errors("SQS"):
            return self._sqs.receive_message(
                QueueUrl=self._url,
                MaxNumberOfMessages=10,
                WaitTimeSeconds=self._wait_s,
                VisibilityTimeout=hidden_s,
            ).get("Messages", [])


@contextmanager
def ignore_stale_receipt() -> Iterator[None]:
    """A job that is done, or that another worker has received by now, needs nothing more."""
    try:
        yield
    except ClientError as error:
        if error.response["Error"]["Code"] not in STALE_RECEIPT:
            raise


def video_id_of(message: "MessageTypeDef") -> str:
    body = message["Body"]
    try:
        return str(json.loads(body)["video_id"])
    except (KeyError, TypeError, ValueError):  # not a job message
        return body
