"""Deliver one event to the receiver of webhooks, or see to it that it is tried again."""

from dataclasses import replace
from enum import StrEnum

from videos import __version__
from videos.policy import (
    DELIVERY_PAUSES_S,
    MAX_DELIVERIES,
    MAX_FIRST_WAIT_S,
    MAX_UNFINISHED,
    MAX_WAIT_S,
)
from videos.ports import Delivery
from videos.service import Service
from videos.telemetry import logs, metrics
from videos.telling.call import Answer, CallFailed, post, read_target
from videos.telling.signing import signed

HEADERS = {"Content-Type": "application/json", "User-Agent": f"TikToken/{__version__}"}
GONE = 410  # the receiver wants no more of this
LATER = (429, 503)  # it may say when
UNFINISHED = "No attempt came to an end."  # each worker died, or none could start


class Outcome(StrEnum):
    DELIVERED = "delivered"
    GONE = "gone"
    RETRY = "retry"
    DEAD = "dead"


def deliver_webhook(delivery: Delivery, service: Service) -> bool:
    """Make one attempt. One that fails is repeated with growing pauses for a day, then it is a dead letter.

    Returns:
        Whether the message is done with; if not, it is delivered again.

    Raises:
        Unavailable: the queues do not answer. Deliver it again.
    """
    assert service.deliveries
    began = service.monotonic()
    if delivery.receives > MAX_UNFINISHED:
        answer, reason, outcome = None, UNFINISHED, Outcome.DEAD
    else:
        answer, reason = _attempt(delivery, service)
        outcome = _outcome(delivery, answer)
    done, pause_s = True, None
    if outcome is Outcome.RETRY:
        pause_s = _pause_s(delivery.attempt, answer, service)
        done = service.deliveries.retry(delivery, reason, delay_s=pause_s)
    elif outcome is Outcome.DEAD:
        service.deliveries.bury(replace(delivery.letter, attempts=delivery.attempt, reason=reason))
    _log(delivery, outcome, answer, reason, service.monotonic() - began, pause_s)
    if outcome is Outcome.DELIVERED:
        late_ms = round((service.now() - delivery.letter.event.at).total_seconds() * 1000)
        metrics.emit({"webhooks_delivered": 1, "to_delivered_ms": late_ms})
    else:
        metrics.emit({f"webhooks_{'gone' if outcome is Outcome.GONE else 'failed'}": 1})
    return done


def _attempt(delivery: Delivery, service: Service) -> tuple[Answer | None, str]:
    """The answer, if there was any, and what went wrong."""
    receiver, event = service.receiver, delivery.letter.event
    assert receiver
    assert receiver.secrets
    target = read_target(receiver.url, allows_private=receiver.allows_private)
    headers = HEADERS | signed(event.id, event.body, receiver.secrets, service.now())
    try:
        answer = post(target, event.body.encode(), headers)
    except CallFailed as failed:
        return None, str(failed)
    return answer, "" if _is_success(answer) else f"It answered {answer.status}."


def _is_success(answer: Answer | None) -> bool:
    return answer is not None and 200 <= answer.status < 300


def _outcome(delivery: Delivery, answer: Answer | None) -> Outcome:
    if _is_success(answer):
        return Outcome.DELIVERED
    if answer and answer.status == GONE:
        return Outcome.GONE
    return Outcome.RETRY if delivery.attempt < MAX_DELIVERIES else Outcome.DEAD


def _pause_s(attempt: int, answer: Answer | None, service: Service) -> int:
    """As planned, or longer if the receiver asks for that and a queue can wait so long."""
    asked_s = answer.asks_for_s(service.now()) if answer and answer.status in LATER else 0
    longest_s = MAX_FIRST_WAIT_S if attempt == 1 else MAX_WAIT_S
    return max(DELIVERY_PAUSES_S[attempt - 1], min(asked_s, longest_s))


def _log(
    delivery: Delivery,
    outcome: Outcome,
    answer: Answer | None,
    reason: str,
    took_s: float,
    pause_s: int | None,
) -> None:
    log = logs.logger.info if outcome is Outcome.DELIVERED else logs.logger.warning
    log(
        logs.WEBHOOK,
        event_id=delivery.letter.event.id,
        event_type=delivery.letter.event.type,
        attempt=delivery.attempt,
        outcome=outcome,
        status=answer and answer.status,
        reason=reason,
        duration_ms=round(took_s * 1000),
        retry_in_s=pause_s,
    )
