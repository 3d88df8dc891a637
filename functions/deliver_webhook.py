"""SQS messages: call the receiver of webhooks."""

from typing import Any

import msgspec
from aws_lambda_powertools.utilities.typing import LambdaContext

from videos.ports import Delivery, Letter
from videos.steps.deliver_webhook import deliver_webhook
from videos.telemetry.logs import MALFORMED_LETTER, WEBHOOK_FAILED, about, logged, logger
from videos.wiring import service

MAX_LOGGED_CHARS = 200
_letter = msgspec.json.Decoder(Letter).decode


@logged
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Attempt every message. Returns those that must stay in their queue, for a retry."""
    failures = [record["messageId"] for record in event["Records"] if not _deliver_one(record)]
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in failures]}


def _deliver_one(record: dict[str, Any]) -> bool:
    about(None)
    try:
        delivery = Delivery(
            letter=_letter(record["body"]),
            receipt=record["receiptHandle"],
            receives=int(record["attributes"]["ApproximateReceiveCount"]),
        )
    except (KeyError, TypeError, ValueError, msgspec.DecodeError):
        # Its beginning has the ids; what an app sent along is no business of a log.
        logger.exception(MALFORMED_LETTER, body=str(record.get("body"))[:MAX_LOGGED_CHARS])
        return True  # nobody's event; kept, it would hold up what is behind it
    about(delivery.letter.event.video_id)
    try:
        return deliver_webhook(delivery, service())
    except Exception:
        logger.exception(WEBHOOK_FAILED, event_id=delivery.letter.event.id, receives=delivery.receives)
        return False
