"""The backend of an app that fails, hangs, redirects and dies at random: it ends with the right picture.

Videos change, changes are published and webhooks are delivered in threads, each of which is killed now and
then at any of its calls. CHAOS_SEED, CHAOS_TOLD and CHAOS_TOLD_AWS say which and how many.
"""

import base64
import json
import logging
import os
import random
import socket
import threading
import time
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial

import pytest
from standardwebhooks import Webhook

import deliver_webhook
import publish_changes
from local_aws.events import Context, stream_event
from support import letters, stream
from support.faults import Worker, break_off, by_worker, die, service_here
from support.receiver import Receiver
from support.samples import a_video
from support.snippets import snippets
from support.world import in_our_hands
from videos.errors import VideoError
from videos.model import State
from videos.service import Receiver as ReceiverSettings
from videos.steps import deliver_webhook as step
from videos.telling.call import Answer, post

pytestmark = pytest.mark.thorough

SECRET = f"whsec_{base64.b64encode(b'n' * 32).decode()}"
FAULTS_PER_CALL = 0.03
CALL_S = 0.2  # of a call, so that a receiver that hangs costs little
DELIVERERS = 4
NOW = datetime(2026, 11, 29, tzinfo=UTC)
PLAYS = {"playable_at": NOW}
# What becomes of a video, write by write: the facts that it changes; None deletes it.
QUEUED, PROCESSING = {"state": State.QUEUED}, {"state": State.PROCESSING}
COMPLETED, REJECTED, FAILED = ({"state": state} for state in (State.COMPLETED, State.REJECTED, State.FAILED))
LIVES = {
    "copied": [QUEUED | PLAYS, PROCESSING, {"progress": 50}, COMPLETED],
    "encoded": [QUEUED, PROCESSING, {"progress": 50}, COMPLETED | PLAYS],
    "deleted": [QUEUED | PLAYS, PROCESSING, COMPLETED, None],
    "deleted at once": [QUEUED | PLAYS, None],
    "bad": [REJECTED],
    "broken": [QUEUED | PLAYS, PROCESSING, REJECTED | {"playable_at": None}],
    "redriven": [QUEUED | PLAYS, PROCESSING, FAILED, QUEUED, PROCESSING, COMPLETED],
    "unused": [{"state": State.EXPIRED}],
}
TOLD = {State.COMPLETED, State.REJECTED, State.FAILED, State.EXPIRED}


class Backend:
    """An app's backend: it keeps version and state of each video, as the documentation shows."""

    def __init__(self, dice: random.Random) -> None:
        found: dict = {}
        [code] = snippets("Retries and order", "python")
        exec(code, found)  # noqa: S102 - our own documentation
        self._apply = found["apply"]
        self._dice = dice
        self._lock = threading.Lock()
        self.known: dict[str, tuple[int, str | None]] = {}
        self.seen: set[str] = set()
        self.well = False
        self.did: Counter[str] = Counter()

    def behave(self, over: threading.Event, call, sock: socket.socket) -> int | None:
        at = datetime.fromtimestamp(int(call.headers["webhook-timestamp"]), UTC)
        name, body = call.headers["webhook-id"], call.body.decode()
        assert call.headers["webhook-signature"] == Webhook(SECRET).sign(name, at, body)
        event = json.loads(body)
        self.seen.add(name)
        does = (
            "keeps it"
            if self.well
            else self._dice.choice(
                ["keeps it"] * 4 + ["fails", "hangs", "redirects", "dies before", "dies after"]
            )
        )
        self.did[does] += 1
        match does:
            case "fails":
                return self._dice.choice((400, 401, 404, 500, 503))
            case "hangs":
                over.wait(10 * CALL_S)
                return None
            case "redirects":
                sock.sendall(b"HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/\r\n\r\n")
                return None
            case "dies before":
                return None
        with self._lock:
            self._apply(event, self.known)
        return None if does == "dies after" else 200


class Storm:
    def __init__(self, service, dice: random.Random, count: int) -> None:
        self.service = service
        self.dice = dice
        self.over = threading.Event()
        self.lives = {
            f"v{number}": (kind, list(LIVES[kind]))
            for number, kind in enumerate(dice.choices(list(LIVES), k=count))
        }
        self.expected: dict[str, tuple[int, str | None]] = {}
        self.killed = 0
        self.attempted: dict[str, list[int]] = defaultdict(list)  # versions of each video, without repeats

    def attempt(self, target, body: bytes, headers) -> Answer:
        """Make a call, and note the first at each event: they are in order, whatever becomes of them."""
        about = json.loads(body)["data"]
        if about["version"] not in self.attempted[about["id"]]:
            self.attempted[about["id"]].append(about["version"])
        return post(target, body, headers, within_s=CALL_S)

    def live(self) -> None:
        """Write what happens to the videos, in any order among them."""
        videos = {name: self.service.videos.add(a_video(name)) for name in self.lives}
        while self.lives and not self.over.is_set():
            name = self.dice.choice(list(self.lives))
            facts = self.lives[name][1].pop(0)
            before = videos[name]
            if facts is None:
                self.service.videos.delete(name)
                self.expected[name] = (before.version + 1, None)
            else:
                after = videos[name] = self.service.videos.update(replace(before, **facts))
                became_playable = after.playable and not before.playable
                if became_playable or (after.state in TOLD and after.state is not before.state):
                    self.expected[name] = (after.version, str(after.state))
            if not self.lives[name][1]:
                del self.lives[name]

    def fault(self, _, work):
        when = self.dice.random() / FAULTS_PER_CALL
        happens = self.dice.choice((die, break_off))
        if when < 0.5:
            happens()
        answer = work()
        if 0.5 <= when < 1:
            happens()
        return answer

    def publish(self, fault) -> bool:
        batch = stream.records(self.service.videos, limit=7)
        if not batch:
            return False
        worker = Worker(self.service, fault)
        with worker.at_work():
            publish_changes.handler(stream_event(batch), Context("publish_changes", 60))
        self.killed += worker.killed
        if not worker.killed:
            stream.delivered(self.service.videos, batch)
        return True

    def deliver(self, fault) -> bool:
        message = letters.receive(self.service.deliveries)
        if not message:
            return False
        worker = Worker(self.service, fault)
        with worker.at_work():
            answer = deliver_webhook.handler(message.event, Context("deliver_webhook", 30))
            if not answer["batchItemFailures"]:
                by_worker("done", lambda: letters.done(self.service.deliveries, message))
        self.killed += worker.killed
        return True

    def go_on(self, act) -> None:
        while not self.over.is_set():
            with suppress(VideoError):
                if act(self.fault):
                    continue
            self.over.wait(0.01)


@pytest.mark.parametrize("restarts", [3])
def test_the_backend_of_an_app_ends_with_the_right_picture(
    rig, service, clock, request, monkeypatch, restarts
):
    in_real_time = bool(request.config.getoption("emulator"))
    is_local = "local" in request.node.name
    count = int(
        os.environ.get(
            "CHAOS_TOLD" if is_local else "CHAOS_TOLD_AWS", "200" if is_local or in_real_time else "20"
        )
    )
    seed = int(os.environ.get("CHAOS_SEED", str(random.randrange(10**6))))  # noqa: S311
    dice = random.Random(seed)  # noqa: S311
    print(f"\nchaos: seed {seed}, {count} videos told", flush=True)
    backend = Backend(dice)
    with Receiver() as receiver:
        port = receiver.port
    settings = ReceiverSettings(url=receiver.url, secrets=(SECRET,), allows_private=True)
    deliveries = rig.new_deliveries(visibility_s=3) if in_real_time else rig.deliveries
    storm = Storm(replace(service, deliveries=deliveries, receiver=settings), dice, count)
    if in_real_time:
        monkeypatch.setattr(step, "DELIVERY_PAUSES_S", (1,) * 9)
    monkeypatch.setattr(step, "post", lambda *call: by_worker("call", partial(storm.attempt, *call)))
    for handler in (deliver_webhook, publish_changes):
        monkeypatch.setattr(handler, "service", service_here)
    logging.disable()
    began = time.monotonic()

    def pass_time() -> None:
        if in_real_time:
            time.sleep(0.05)
        else:
            clock.advance(seconds=dice.choice((1, 5, 60)))
            time.sleep(0.01)

    with in_our_hands(clock), ThreadPoolExecutor(DELIVERERS + 2) as pool:
        # The handlers of this test are in its own hands.
        for handler in (deliver_webhook, publish_changes):
            monkeypatch.setattr(handler, "service", service_here)
        living = pool.submit(storm.live)
        others = [pool.submit(storm.go_on, storm.publish)]
        others += [pool.submit(storm.go_on, storm.deliver) for _ in range(DELIVERERS)]
        try:
            for _ in range(restarts):  # a backend that is gone for a while, and comes again
                with Receiver(port=port) as receiver:
                    receiver.behave = partial(backend.behave, receiver.over)
                    enough = len(backend.seen) + count // restarts
                    while len(backend.seen) < enough and not settled(storm, living, backend):
                        assert time.monotonic() - began < 300, "it does not come to an end"
                        pass_time()
                for _ in range(20):
                    pass_time()
            backend.well = True
            with Receiver(port=port) as receiver:
                receiver.behave = partial(backend.behave, receiver.over)
                while not settled(storm, living, backend):
                    assert time.monotonic() - began < 300, missing(storm, backend)
                    storm.service.deliveries.redrive()
                    pass_time()
        finally:
            storm.over.set()
        for thread in (living, *others):
            thread.result()
    logging.disable(logging.NOTSET)

    print(f"chaos: {dict(backend.did)}, {storm.killed} killed; {time.monotonic() - began:.0f} s")
    assert backend.known == storm.expected
    assert len(backend.known) == count
    assert backend.did["keeps it"] < backend.did.total()
    assert all(versions == sorted(versions) for versions in storm.attempted.values())


def settled(storm: Storm, living, backend: Backend) -> bool:
    return living.done() and backend.known == storm.expected


def missing(storm: Storm, backend: Backend) -> dict:
    return {
        name: (backend.known.get(name), told)
        for name, told in storm.expected.items()
        if backend.known.get(name) != told
    }
