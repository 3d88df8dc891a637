"""The queues of webhooks, drained as the event sources of ``deliver_webhook`` drain them."""

from dataclasses import dataclass
from typing import Any

import deliver_webhook
from local_aws.events import Context, webhook_event
from videos.ports import Deliveries, Job
from videos.stores.aws.clients import translate_errors
from videos.stores.aws.deliveries import SqsDeliveries
from videos.stores.aws.sqs import ignore_stale_receipt
from videos.stores.local.deliveries import SqliteDeliveries


@dataclass(frozen=True)
class Message:
    """One that is in flight; its ``video_id`` is a letter."""

    job: Job
    queue: str  # its URL, on AWS

    @property
    def event(self) -> dict[str, Any]:
        return webhook_event(self.job)


def receive(deliveries: Deliveries, *, retries_only: bool = False) -> Message | None:
    """The next message, a first attempt before a retry; None if none is ready."""
    if isinstance(deliveries, SqliteDeliveries):
        job = deliveries.queue.receive()
        return job and Message(job, "")
    assert isinstance(deliveries, SqsDeliveries)
    for queue in (deliveries._queue_url, deliveries._retry_url)[retries_only:]:
        assert queue
        with translate_errors("SQS"):
            answer = deliveries._sqs.receive_message(
                QueueUrl=queue, MessageSystemAttributeNames=["ApproximateReceiveCount"], WaitTimeSeconds=0
            )
        for message in answer.get("Messages", []):
            receives = int(message["Attributes"]["ApproximateReceiveCount"])
            job = Job(video_id=message["Body"], receipt=message["ReceiptHandle"], receives=receives)
            return Message(job, queue)
    return None


def bury_text(deliveries: Deliveries, text: str) -> None:
    """Add a message that is no letter to the dead-letter queue."""
    if isinstance(deliveries, SqliteDeliveries):
        deliveries.queue.bury(text)
    else:
        assert isinstance(deliveries, SqsDeliveries)
        deliveries._sqs.send_message(QueueUrl=deliveries._dead_letter_url or "", MessageBody=text)


def done(deliveries: Deliveries, message: Message) -> None:
    if isinstance(deliveries, SqliteDeliveries):
        deliveries.queue.done(message.job)
    else:
        assert isinstance(deliveries, SqsDeliveries)
        with translate_errors("SQS"), ignore_stale_receipt():
            deliveries._sqs.delete_message(QueueUrl=message.queue, ReceiptHandle=message.job.receipt)


def deliver(deliveries: Deliveries) -> bool:
    """Let the handler attempt the next message; whether there was one."""
    message = receive(deliveries)
    if not message:
        return False
    answer = deliver_webhook.handler(message.event, Context("deliver_webhook", 30))
    if not answer["batchItemFailures"]:
        done(deliveries, message)
    return True
