"""Webhooks, from the queue to a real receiver: what is sent, retried, given up, and in which order."""

import base64
import io
import json
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from email.utils import format_datetime

import moto.sqs.models
import msgspec
import pytest
from moto.sqs.models import SQSBackend
from standardwebhooks import Webhook

import deliver_webhook
import publish_changes
from local_aws.events import Context, stream_event
from support import letters, stream
from support.faults import Worker, after, break_off, by_worker, die, service_here
from support.receiver import Receiver, says
from support.samples import a_video, an_event
from support.world import in_our_hands
from videos.errors import Unavailable
from videos.model import State
from videos.ports import Letter
from videos.service import Receiver as ReceiverSettings
from videos.steps import deliver_webhook as step
from videos.telemetry import metrics
from videos.telemetry.logs import logger
from videos.telling.call import post

SECRET = f"whsec_{base64.b64encode(b'n' * 32).decode()}"
OLD_SECRET = f"whsec_{base64.b64encode(b'o' * 32).decode()}"


@pytest.fixture
def receiver():
    with Receiver() as receiver:
        yield receiver


@pytest.fixture
def told(service, receiver, clock, monkeypatch):
    """The service with that receiver; its queues go by the clock."""
    settings = ReceiverSettings(url=receiver.url, secrets=(SECRET,), allows_private=True)
    served = replace(service, receiver=settings)
    with in_our_hands(clock):
        monkeypatch.setattr(deliver_webhook, "service", lambda: served)
        yield served


@pytest.fixture
def lines(monkeypatch):
    """The log lines of attempts, as fields."""
    found = []

    def keep(message, **fields):
        found.append({"message": message, **fields})

    monkeypatch.setattr(logger, "info", keep)
    monkeypatch.setattr(logger, "warning", keep)
    return found


@pytest.fixture
def hidden_for_long(monkeypatch):
    """A message may be hidden for twelve hours: in moto since it was sent, in SQS since it was received."""
    hide = SQSBackend.change_message_visibility

    def hide_from_now(self, queue_name, receipt_handle, visibility_timeout):
        for message in self.get_queue(queue_name)._messages:
            message.sent_timestamp = moto.sqs.models.unix_time_millis()
        return hide(self, queue_name, receipt_handle, visibility_timeout)

    monkeypatch.setattr(SQSBackend, "change_message_visibility", hide_from_now)


@pytest.fixture
def emitted(monkeypatch):
    found = []
    monkeypatch.setattr(metrics, "emit", lambda values, *_: found.append(values))
    return found


def deliver_all(service) -> int:
    """Deliver everything that is ready; how many attempts that took."""
    attempts = 0
    while letters.deliver(service.deliveries):
        attempts += 1
    return attempts


def ids(receiver) -> list[str]:
    return [call.headers["webhook-id"] for call in receiver.calls]


# ── One event ────────────────────────────────────────────────────────────────────


def test_an_event_arrives_once_and_as_it_was_told(told, receiver):
    event = an_event("v1", 3, says="Grüße, 猫")
    told.deliveries.put(event)

    assert deliver_all(told) == 1

    [call] = receiver.calls
    assert call.body.decode() == event.body
    assert call.headers["content-type"] == "application/json"
    assert call.headers["user-agent"].startswith("TikToken/")
    assert call.headers["webhook-id"] == event.id
    assert not told.deliveries.dead()


def test_it_is_signed_at_the_time_of_the_attempt(told, receiver, clock):
    told.deliveries.put(an_event("v1", 3))
    deliver_all(told)

    [call] = receiver.calls
    assert call.headers["webhook-timestamp"] == str(int(clock().timestamp()))
    assert call.headers["webhook-signature"] == Webhook(SECRET).sign("v1-3", clock(), call.body.decode())


def test_while_a_secret_is_replaced_it_is_signed_with_both(told, receiver, clock, monkeypatch):
    both = replace(told, receiver=replace(told.receiver, secrets=(SECRET, OLD_SECRET)))
    monkeypatch.setattr(deliver_webhook, "service", lambda: both)
    told.deliveries.put(an_event("v1", 3))
    deliver_all(told)

    [call] = receiver.calls
    assert call.headers["webhook-signature"].split(" ") == [
        Webhook(secret).sign("v1-3", clock(), call.body.decode()) for secret in (SECRET, OLD_SECRET)
    ]


# ── Failures ─────────────────────────────────────────────────────────────────────


@pytest.mark.thorough
@pytest.mark.parametrize("status", [301, 302, 307, 400, 401, 404, 413, 429, 500, 503])
def test_whatever_is_no_success_is_tried_again(told, receiver, clock, status):
    receiver.behave = lambda *_: status
    told.deliveries.put(an_event("v1", 3))
    assert deliver_all(told) == 1

    receiver.behave = lambda *_: 200
    clock.advance(seconds=5)
    assert deliver_all(told) == 1
    clock.advance(hours=48)
    assert deliver_all(told) == 0

    assert ids(receiver) == ["v1-3", "v1-3"]
    assert not told.deliveries.dead()


@pytest.mark.parametrize(
    ("status", "attempt", "asks_for_s", "waits_s"),
    [
        (503, 1, 120, 120),
        (429, 1, 120, 120),
        (503, 1, 2, 5),
        (503, 1, 86_400, 900),
        (503, 2, 7_200, 7_200),
        (429, 3, 60, 300),
        (503, 2, 10**9, 43_020),
        (500, 1, 120, 5),
        (302, 1, 120, 5),
    ],
    ids=[
        "what is asked for",
        "the same",
        "no less than planned",
        "as long as SQS delays a message",
        "hours, after the first retry",
        "no less than planned, then too",
        "as long as SQS hides a message",
        "not with another error",
        "nor with a redirect",
    ],
)
@pytest.mark.usefixtures("hidden_for_long")
def test_a_receiver_may_ask_for_a_longer_pause(told, receiver, clock, status, attempt, asks_for_s, waits_s):
    pauses_s = iter([5, 60])
    receiver.behave = lambda *_: 500
    told.deliveries.put(an_event("v1", 3))
    for _ in range(attempt - 1):
        assert deliver_all(told) == 1
        clock.advance(seconds=next(pauses_s) + 1)

    head = f"HTTP/1.1 {status} Later\r\nRetry-After: {asks_for_s}\r\n\r\n"
    receiver.behave = says(head.encode())
    assert deliver_all(told) == 1
    clock.advance(seconds=waits_s - 1)
    assert deliver_all(told) == 0
    clock.advance(seconds=2)
    assert deliver_all(told) == 1


def test_a_receiver_may_say_until_when_it_is_not_there(told, receiver, clock):
    until = format_datetime(clock() + timedelta(minutes=2), usegmt=True)
    receiver.behave = says(f"HTTP/1.1 503 Later\r\nRetry-After: {until}\r\n\r\n".encode())
    told.deliveries.put(an_event("v1", 3))

    assert deliver_all(told) == 1
    clock.advance(seconds=118)
    assert deliver_all(told) == 0
    clock.advance(seconds=3)
    assert deliver_all(told) == 1


def test_a_receiver_that_is_gone_is_not_asked_again(told, receiver, clock, lines, emitted):
    receiver.behave = lambda *_: 410
    told.deliveries.put(an_event("v1", 3))
    deliver_all(told)
    clock.advance(hours=48)

    assert deliver_all(told) == 0
    assert not told.deliveries.dead()
    assert [(line["outcome"], line["status"]) for line in lines] == [("gone", 410)]
    assert emitted == [{"webhooks_gone": 1}]


@pytest.mark.thorough
@pytest.mark.usefixtures("hidden_for_long")
def test_an_event_is_retried_for_a_day_then_it_is_a_dead_letter_with_its_reason(told, receiver, clock):
    receiver.behave = lambda *_: 503
    told.deliveries.put(an_event("v1", 3))
    began = clock()

    for pause_s in (5, 60, 300, 1800, 3600, 7200, 14_400, 28_800, 32_400):
        assert deliver_all(told) == 1
        clock.advance(seconds=pause_s - 1)
        assert deliver_all(told) == 0
        assert not told.deliveries.dead()
        clock.advance(seconds=2)
    assert deliver_all(told) == 1

    assert clock() - began > timedelta(hours=24)
    [letter] = told.deliveries.dead()
    assert (letter.event, letter.attempts, letter.reason) == (an_event("v1", 3), 10, "It answered 503.")
    clock.advance(hours=48)
    assert deliver_all(told) == 0


@pytest.mark.thorough
def test_a_dead_letter_that_is_redriven_has_all_its_attempts_again(told, receiver, clock):
    receiver.behave = lambda *_: 503
    told.deliveries.put(an_event("v1", 3))
    while not told.deliveries.dead():
        deliver_all(told)
        clock.advance(hours=9)
    receiver.behave = lambda *_: 503 if len(receiver.calls) < 15 else 200

    assert told.deliveries.redrive() == 1
    for _ in range(10):
        deliver_all(told)
        clock.advance(hours=9)

    assert len(receiver.calls) == 15
    assert not told.deliveries.dead()
    assert told.deliveries.redrive() == 0


def test_a_malformed_dead_letter_is_shown_as_it_is_and_stays(told, clock):
    letters.bury_text(told.deliveries, "{no letter")
    told.deliveries.bury(Letter(event=an_event("v1", 3), attempts=10, reason="It answered 503."))

    assert "{no letter" in told.deliveries.dead()
    assert told.deliveries.redrive() == 1
    clock.advance(minutes=1)
    assert told.deliveries.dead() == ["{no letter"]


def test_each_attempt_is_one_line_with_what_happened(told, receiver, clock, lines, emitted):
    statuses = iter([500, 204])
    receiver.behave = lambda *_: next(statuses)
    told.deliveries.put(an_event("v1", 3))
    deliver_all(told)
    clock.advance(seconds=5)
    deliver_all(told)

    assert [{name: line[name] for name in line if name != "duration_ms"} for line in lines] == [
        {"message": "webhook attempted", "event_id": "v1-3", "event_type": "video.playable", "attempt": 1,
         "outcome": "retry", "status": 500, "reason": "It answered 500.", "retry_in_s": 5},
        {"message": "webhook attempted", "event_id": "v1-3", "event_type": "video.playable", "attempt": 2,
         "outcome": "delivered", "status": 204, "reason": "", "retry_in_s": None},
    ]  # fmt: skip
    late_ms = round((clock() - an_event("v1", 3).at).total_seconds() * 1000)
    assert emitted == [{"webhooks_failed": 1}, {"webhooks_delivered": 1, "to_delivered_ms": late_ms}]
    assert all(line["duration_ms"] >= 0 for line in lines)


def test_no_line_holds_a_secret_or_what_the_receiver_said(told, receiver, monkeypatch):
    receiver.behave = lambda _, sock: sock.sendall(b"HTTP/1.1 500 sesame\r\n\r\nsesame")
    written = io.StringIO()
    monkeypatch.setattr(logger.registered_handler, "stream", written)
    told.deliveries.put(an_event("v1", 3))
    deliver_all(told)

    assert "webhook attempted" in written.getvalue()
    assert SECRET.removeprefix("whsec_") not in written.getvalue()
    assert "sesame" not in written.getvalue()
    assert SECRET not in repr(told)


def test_a_receiver_whose_address_became_private_is_not_called(told, receiver, clock, monkeypatch):
    strict = replace(
        told,
        receiver=replace(told.receiver, allows_private=False, url=receiver.url.replace("http:", "https:")),
    )
    monkeypatch.setattr(deliver_webhook, "service", lambda: strict)
    told.deliveries.put(an_event("v1", 3))
    for _ in range(10):
        deliver_all(told)
        clock.advance(hours=9)

    [letter] = told.deliveries.dead()
    assert "which is not a public address" in letter.reason
    assert receiver.connections == 0


def test_a_malformed_message_is_logged_by_its_ids_and_holds_up_nothing(monkeypatch):
    written = io.StringIO()
    monkeypatch.setattr(logger.registered_handler, "stream", written)
    event = replace(an_event("v1", 1, says="sesame"), owner="me" * 32)
    cut_short = msgspec.json.encode(Letter(event=event)).decode()[:-1]
    for body in (None, "", "[]", '{"event": {}}', "{" * 100_000, cut_short):
        record = {
            "messageId": "m",
            "body": body,
            "receiptHandle": "r",
            "attributes": {"ApproximateReceiveCount": "1"},
        }
        assert deliver_webhook.handler({"Records": [record]}, Context("deliver_webhook", 30)) == {
            "batchItemFailures": []
        }

    assert written.getvalue().count("malformed webhook message") == 6
    assert "v1-1" in written.getvalue()
    assert "sesame" not in written.getvalue()
    assert len(written.getvalue()) < 50_000


# ── Other settings while events wait ─────────────────────────────────────────────


def test_what_waits_goes_to_the_receiver_of_the_time_signed_by_the_secret_of_the_time(
    told, receiver, clock, monkeypatch
):
    receiver.behave = lambda *_: 503
    told.deliveries.put(an_event("v1", 1))
    deliver_all(told)
    told.deliveries.put(an_event("v2", 1))
    with Receiver() as other:
        settings = replace(told.receiver, url=other.url, secrets=(OLD_SECRET,))
        monkeypatch.setattr(deliver_webhook, "service", lambda: replace(told, receiver=settings))
        clock.advance(seconds=5)
        deliver_all(told)

    assert sorted(ids(other)) == ["v1-1", "v2-1"]
    for call in other.calls:
        signature = Webhook(OLD_SECRET).sign(call.headers["webhook-id"], clock(), call.body.decode())
        assert call.headers["webhook-signature"] == signature


def test_what_waits_is_kept_while_there_is_no_receiver(told, receiver, clock, monkeypatch):
    told.deliveries.put(an_event("v1", 1))
    with monkeypatch.context() as patch:
        patch.setattr(deliver_webhook, "service", lambda: replace(told, receiver=None))
        assert letters.deliver(told.deliveries)
    clock.advance(seconds=181)

    assert deliver_all(told) == 1
    assert ids(receiver) == ["v1-1"]


# ── Order ────────────────────────────────────────────────────────────────────────


def test_first_attempts_at_the_events_of_a_video_come_in_order_whatever_comes_of_them(told, receiver, clock):
    receiver.behave = lambda call, _: 500 if call.headers["webhook-id"] == "v1-1" else 200
    for video, version in (("v1", 1), ("v2", 1), ("v1", 2), ("v2", 2), ("v1", 3)):
        told.deliveries.put(an_event(video, version))

    deliver_all(told)

    assert [name for name in ids(receiver) if "v1" in name] == ["v1-1", "v1-2", "v1-3"]
    assert [name for name in ids(receiver) if "v2" in name] == ["v2-1", "v2-2"]
    clock.advance(seconds=5)
    receiver.behave = lambda *_: 200
    deliver_all(told)
    assert ids(receiver)[-1] == "v1-1", "it comes late; its version tells"


def test_while_one_event_is_attempted_the_next_of_its_video_waits_and_others_do_not(told):
    for video, version in (("v1", 1), ("v1", 2), ("v2", 1)):
        told.deliveries.put(an_event(video, version))

    first, other = letters.receive(told.deliveries), letters.receive(told.deliveries)

    assert [json.loads(one.job.video_id)["event"]["id"] for one in (first, other)] == ["v1-1", "v2-1"]
    assert letters.receive(told.deliveries) is None
    letters.done(told.deliveries, first)
    assert "v1-2" in letters.receive(told.deliveries).job.video_id


def test_an_event_whose_worker_died_comes_again_and_before_the_next_of_its_video(told, receiver, clock):
    for version in (1, 2):
        told.deliveries.put(an_event("v1", version))
    assert letters.receive(told.deliveries)

    assert deliver_all(told) == 0
    clock.advance(seconds=181)
    deliver_all(told)

    assert ids(receiver) == ["v1-1", "v1-2"]


@pytest.mark.parametrize("attempted", [0, 1])
def test_an_event_whose_function_could_not_start_for_hours_is_attempted_when_it_can(
    told, receiver, clock, attempted
):
    """As with a wrong setting, or while Lambda is throttled: what ended in nothing is no attempt."""
    receiver.behave = lambda *_: 503
    told.deliveries.put(an_event("v1", 1))
    for _ in range(attempted):
        assert deliver_all(told) == 1
        clock.advance(seconds=5)
    for _ in range(30):
        assert letters.receive(told.deliveries)
        clock.advance(seconds=181)

    receiver.behave = lambda *_: 503 if not attempted and len(receiver.calls) < 3 else 200
    for _ in range(10):
        deliver_all(told)
        clock.advance(hours=9)

    assert ids(receiver) == ["v1-1"] * (2 if attempted else 3)
    assert not told.deliveries.dead()


def test_an_event_that_kills_every_worker_is_a_dead_letter_in_the_end(told, receiver, clock, monkeypatch):
    monkeypatch.setattr(step, "MAX_UNFINISHED", 10)
    told.deliveries.put(an_event("v1", 1))
    for _ in range(10):
        assert letters.receive(told.deliveries)
        clock.advance(seconds=181)

    deliver_all(told)

    [letter] = told.deliveries.dead()
    assert letter.reason == "No attempt came to an end."
    assert receiver.calls == []


def test_an_event_that_is_put_again_arrives_with_the_same_id(told, receiver):
    for _ in range(2):
        told.deliveries.put(an_event("v1", 1))
    deliver_all(told)

    assert set(ids(receiver)) == {"v1-1"}


# ── A worker that is killed ──────────────────────────────────────────────────────


@pytest.mark.thorough
@pytest.mark.parametrize("call", ["put webhook", "put webhook (2)", "put webhook (3)", "announce event"])
@pytest.mark.parametrize("happens", [die, break_off])
def test_no_event_is_lost_whichever_call_its_publisher_is_killed_after(told, receiver, clock, call, happens):
    for name in ("v1", "v2"):
        video = told.videos.add(a_video(name))
        told.videos.update(replace(video, state=State.QUEUED, playable_at=clock()))
    told.videos.delete("v1")
    batch = stream_event(stream.records(told.videos))
    killed = Worker(told, after(call, happens))

    with suppress(Unavailable), killed.at_work():
        publish_changes.handler(batch, Context("publish_changes", 60))
    clock.advance(minutes=10)  # SQS knows the ids no more
    with Worker(told).at_work():
        publish_changes.handler(batch, Context("publish_changes", 60))
    deliver_all(told)

    assert killed.calls[-1] == call
    events = [json.loads(one.body) for one in receiver.calls]
    about = dict.fromkeys((event["data"]["id"], event["type"]) for event in events)
    assert sorted(about) == [("v1", "video.deleted"), ("v1", "video.playable"), ("v2", "video.playable")]
    assert [kind for video, kind in about if video == "v1"] == ["video.playable", "video.deleted"]


def deliver_by(worker: Worker) -> bool:
    """Let it attempt the next message; whether there was one."""
    deliveries = worker.service.deliveries._port
    message = letters.receive(deliveries)
    if not message:
        return False
    with worker.at_work():
        answer = deliver_webhook.handler(message.event, Context("deliver_webhook", 30))
        if not answer["batchItemFailures"]:
            by_worker("done", lambda: letters.done(deliveries, message))
    return True


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("status", "attempts", "calls"),
    [
        (204, 0, ["call", "done"]),
        (500, 0, ["call", "retry webhook"]),
        (410, 0, ["call", "done"]),
        (500, 9, ["call", "bury webhook", "done"]),
    ],
)
@pytest.mark.parametrize("happens", [die, break_off])
def test_no_event_is_lost_whichever_call_its_worker_is_killed_after(
    told, receiver, clock, monkeypatch, status, attempts, calls, happens
):
    monkeypatch.setattr(deliver_webhook, "service", service_here)
    monkeypatch.setattr(step, "post", lambda *call: by_worker("call", lambda: post(*call)))
    for at, call in enumerate(calls):
        event = an_event(f"v-{at}", 1)
        told.deliveries.put(event)
        receiver.behave = lambda *_: status
        for _ in range(attempts):
            assert deliver_by(Worker(told))
            clock.advance(hours=9)
        receiver.calls.clear()
        worker = Worker(told, after(call, happens))
        with suppress(Unavailable):
            deliver_by(worker)
        assert call in worker.calls, "it was never made"
        assert worker.killed == (happens is die)

        receiver.behave = lambda *_: 200
        told.deliveries.redrive()
        for _ in range(4):
            clock.advance(seconds=181)
            while deliver_by(Worker(told)):
                pass
            told.deliveries.redrive()

        answered = [one for one in receiver.calls if one.headers["webhook-id"] == event.id]
        assert len(answered) > (status == 500)
        assert not told.deliveries.dead()
