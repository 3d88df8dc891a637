"""Many videos through random faults, duplicates, reorderings, replacements and deletions: the books balance.

What happens is drawn from a seed, which is printed; threads make each run its own all the same.
``make chaos`` and ``make chaos-emulator`` run more of them: CHAOS_SEED, CHAOS_LOCAL and CHAOS_AWS say
which and how many.
"""

import logging
import os
import random
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace

import pytest

from support import faults
from support.faults import Worker, break_off, die, fill_the_disk
from support.short_clips import bad, good, longer
from support.world import RECORDED, VISIBILITY_S, HurriedJobs, World, in_our_hands
from videos import tools
from videos.errors import UnknownVideo, VideoError
from videos.fix import OnViolation
from videos.model import State
from videos.steps.read_video import delete_video
from videos.steps.recover_videos import redrive

pytestmark = pytest.mark.thorough

WORKERS = 4
FAULTS_PER_CALL = 0.04
REALLY_RUN = 0.02  # of the media tools' runs; the others are played from a record
MAY_END_AS = {
    "good": {State.COMPLETED, State.FAILED},
    "bad": {State.REJECTED, State.FAILED},
    "to fix": {State.COMPLETED, State.FAILED},
    "replaced by a good one": {State.COMPLETED, State.FAILED},
    "replaced by a bad one": {State.COMPLETED, State.REJECTED, State.FAILED},
    "never sent": {State.EXPIRED},
}


class Storm:
    """Threads that work on what there is, each in the place of a function, and are killed now and then."""

    def __init__(self, world: World, dice: random.Random) -> None:
        self.world = world
        self.dice = dice
        self.events = []  # (what to do, how often it may still be repeated)
        self.faults = Counter()
        self.deleted = set()
        self.broken = []
        self.over = threading.Event()

    def fault(self, _, work):
        happens = self.dice.choice((die, break_off, fill_the_disk, lambda: time.sleep(0.005)))
        when = self.dice.random() / FAULTS_PER_CALL
        if when < 1:
            self.faults[getattr(happens, "__name__", "").replace("<lambda>", "is slow")] += 1
        if when < 0.5:  # before
            happens()
        answer = work()
        if 0.5 <= when < 1:  # after: the answer is lost
            happens()
        return answer

    def is_on(self, rounds: int) -> bool:
        many = len(self.world.history) / 10
        return bool(self.events) or rounds < 30 or self.world.service.jobs.stats().waiting > many

    def work(self) -> None:
        while not self.over.is_set():
            try:
                if self.dice.random() < 0.5 and self.events:
                    self.handle_event()
                else:
                    self.world.deliver_job(self.fault)
            except (VideoError, OSError):  # as the queue's poller would, it goes on
                pass
            except BaseException as error:
                self.broken.append(error)
                raise

    def handle_event(self) -> None:
        """What nobody finished is delivered again, twice as S3's are."""
        with suppress(IndexError):
            act, repeats = self.events.pop(self.dice.randrange(len(self.events)))
            worker = None
            try:
                worker = act(self.fault)
            finally:
                if repeats and (worker is None or worker.killed):
                    self.events.append((act, repeats - 1))

    def delete(self, video):
        def act(fault) -> Worker:
            with self.world.worker(fault) as worker, suppress(UnknownVideo):
                delete_video(video.id, worker.service)
            return worker

        return act


def plan(storm: Storm, kind: str):
    """One video, and the events of its life in any order and number."""
    world, dice = storm.world, storm.dice
    video = world.ticket(OnViolation.FIX if kind == "to fix" else None)
    if kind != "never sent":
        world.send(video, bad() if kind in ("bad", "to fix") else good())
        events = [lambda fault: world.deliver_event(video, fault)] * dice.choice((0, 1, 1, 1, 2, 3))
        storm.events += [(event, 2) for event in events]
    if kind.startswith("replaced"):
        file = longer() if "good" in kind else bad()

        def put_over(fault):
            if world.now(video):  # else it is an orphan by our own hand
                world.send(video, file)
            return world.deliver_event(video, fault)

        storm.events.append((put_over, 2))
    if dice.random() < 0.1:
        storm.deleted.add(video.id)
        storm.events.append((storm.delete(video), 2))
    return video


@pytest.fixture
def chaotic(rig, service, clock, request):
    in_real_time = request.config.getoption("emulator")
    logging.disable()
    with in_our_hands(clock):
        jobs = HurriedJobs(rig) if in_real_time else rig.new_jobs(visibility_s=VISIBILITY_S)
        yield World(replace(service, jobs=jobs), clock)
    logging.disable(logging.NOTSET)


def test_whatever_happens_the_books_balance(chaotic, request, monkeypatch):
    on_aws = "local" not in request.node.name
    slower = 10 if on_aws else 1  # as the calls are, or a storm there would be over in minutes of the clock
    count = int(os.environ.get("CHAOS_AWS", "12")) if on_aws else int(os.environ.get("CHAOS_LOCAL", "60"))
    seed = int(os.environ.get("CHAOS_SEED", str(random.randrange(10**6))))  # noqa: S311
    dice = random.Random(seed)  # noqa: S311
    storm = Storm(chaotic, dice)

    def mostly_played(command, **limits):
        run = faults.RUN if dice.random() < REALLY_RUN else RECORDED.run
        return run(command, **limits)

    monkeypatch.setattr(tools, "run", mostly_played)
    weights = dict.fromkeys(MAY_END_AS, 1) | {"good": 7, "to fix": 3}
    kinds = dice.choices(list(weights), list(weights.values()), k=count)
    videos = {plan(storm, kind): kind for kind in kinds}
    dice.shuffle(storm.events)
    print(f"\nchaos: seed {seed}, {count} videos, {len(storm.events)} events", flush=True)

    began = time.monotonic()
    with ThreadPoolExecutor(WORKERS) as pool:
        working = [pool.submit(storm.work) for _ in range(WORKERS)]
        rounds = 0
        while storm.is_on(rounds) and not storm.broken:
            rounds += 1
            chaotic.clock.advance(seconds=slower * dice.choice((1, 5, 20)))
            with suppress(VideoError, OSError):
                chaotic.recover(storm.fault)
            with suppress(VideoError, OSError):
                chaotic.publish(storm.fault)
            one = dice.choice(list(videos))
            assert whole(chaotic, one)
        storm.over.set()
    for thread in working:
        thread.result()
    took = chaotic.settle(*videos)

    ends = Counter()
    for video, kind in videos.items():
        now = chaotic.balance(video)
        if now is None:
            assert video.id in storm.deleted
        else:
            assert now.state in MAY_END_AS[kind] or now.state is State.EXPIRED, (kind, now)
        ends[str(now.state) if now else "deleted"] += 1
    assert ends.total() == count
    seconds = time.monotonic() - began
    print(f"chaos: {dict(ends)} after {dict(storm.faults)}; {seconds:.0f} s, then {took} on the clock")

    failed = [video for video in videos if (now := chaotic.now(video)) and now.state is State.FAILED]
    redrive(chaotic.service)
    chaotic.settle(*videos)
    assert not [video for video in failed if chaotic.now(video).state is State.FAILED], "no dead letter"
    assert chaotic.service.jobs.stats().dead == 0
    assert {video.id: chaotic.told_of(video) for video in videos} == {
        video.id: chaotic.to_tell_of(video) for video in videos
    }


def whole(world: World, video) -> bool:
    """Everything a reader is told of is there, unless the record changed while it looked."""
    now = world.now(video)
    try:
        sizes = [world.service.storage.stat(output.key).size_bytes for output in now.outputs] if now else []
        return not now or sizes == [output.size_bytes for output in now.outputs]
    except FileNotFoundError:
        return world.now(video) != now
