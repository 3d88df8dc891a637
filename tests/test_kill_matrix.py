"""A worker killed, cut off or left without an answer after each of its calls: the books still balance.

The calls are those of a fault-free run of each step, recorded when the tests are collected.
"""

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from support.clock import Clock
from support.faults import after, before, break_off, die, fill_the_disk, none
from support.short_clips import bad, good, longer
from support.world import VISIBILITY_S, World, in_our_hands
from videos import wiring
from videos.errors import ToolFailed, Unavailable
from videos.fix import OnViolation
from videos.model import State
from videos.service import Service
from videos.steps.read_video import delete_video
from videos.stores.local.announcements import SqliteAnnouncements
from videos.stores.local.folder import FolderStorage
from videos.stores.local.jobs import SqliteJobs
from videos.stores.local.records import SqliteVideos


@dataclass(frozen=True, eq=False)
class Step:
    """One step of a journey that a worker may die in.

    Attributes:
        prepare: brings a video so far, without faults.
        run: the step itself, by a worker with a fault.
        repeats: what surely delivers the step again, if something does; else it is left to the others.
        ends: the states the video may end in; "gone" for none.
    """

    name: str
    prepare: Callable
    run: Callable
    ends: set
    repeats: Callable | None = None


def uploaded(file: Callable[[], Path]) -> Callable:
    return lambda world: world.send(world.ticket(), file())


def checked(world):
    video = world.send(world.ticket(), good())
    world.deliver_event(video)
    return video


def to_be_fixed(world):
    return world.send(world.ticket(OnViolation.FIX), bad())


def checked_to_be_fixed(world):
    video = to_be_fixed(world)
    world.deliver_event(video)
    assert world.now(video).fixes
    return video


def fixed(world):
    """It plays, and its worker was lost after that."""
    video = checked_to_be_fixed(world)
    world.deliver_job(after("ffmpeg encoding (2)", die))
    assert world.now(video).playable
    world.clock.advance(seconds=VISIBILITY_S + 1)
    return video


def replaced(file: Callable[[], Path]) -> Callable:
    return lambda world: world.send(checked(world), file())


def completed(world):
    video = checked(world)
    world.work_off()
    assert world.now(video).state is State.COMPLETED
    return video


def deleted(world):
    video = completed(world)
    delete_video(video.id, world.service)
    return video


def deleted_before_its_upload(world):
    video = world.ticket()
    delete_video(video.id, world.service)
    return world.send(video, good())


def expired_before_its_upload(world):
    video = unused_with_a_job(world)
    world.work_off()
    return world.send(video, good())


def unused(world):
    video = world.ticket()
    world.clock.advance(hours=1, minutes=3)
    return video


def without_an_event(world):
    video = world.send(world.ticket(), good())
    world.clock.advance(minutes=3)
    return video


def uploaded_with_a_job(world):
    video = without_an_event(world)
    world.recover()
    return video


def unused_with_a_job(world):
    video = unused(world)
    world.recover()
    return video


def without_a_job(world):
    video = checked(world)
    world.service.jobs.done(world.service.jobs.receive())
    world.clock.advance(minutes=31)
    return video


def killed(times):
    def prepare(world):
        video = checked(world)
        for _ in range(times):
            world.deliver_job(after("save 540p.mp4", die))
            world.clock.advance(seconds=VISIBILITY_S + 1)
        return video

    return prepare


def check(world, video, fault):
    return world.deliver_event(video, fault)


def work(world, _, fault):
    return world.deliver_job(fault)


def recover(world, _, fault):
    return world.recover(fault)


def publish(world, _, fault):
    return world.publish(fault)


def delete(world, video, fault):
    with world.worker(fault) as worker:
        delete_video(video.id, worker.service)
    return worker


pytestmark = [
    pytest.mark.thorough,
    pytest.mark.here_only,  # an emulator's queues go by a clock that is not in our hands
]
STEPS = [
    Step("check_upload", uploaded(good), check, {State.COMPLETED}),
    Step("check_upload, whose event comes again,", uploaded(good), check, {State.COMPLETED}, check),
    Step("check_upload of a bad clip", uploaded(bad), check, {State.REJECTED}),
    Step(
        "check_upload of a bad clip, whose event comes again,", uploaded(bad), check, {State.REJECTED}, check
    ),
    Step("check_upload of a deleted video", deleted_before_its_upload, check, {"gone"}, check),
    Step("check_upload of an expired video", expired_before_its_upload, check, {State.EXPIRED}, check),
    Step("transcode", checked, work, {State.COMPLETED}),
    Step("check_upload of a clip that comes late", replaced(longer), check, {State.COMPLETED}),
    Step("check_upload of a bad clip that comes late", replaced(bad), check, {State.COMPLETED}),
    Step("transcode beside a bad clip that comes late", replaced(bad), work, {State.COMPLETED}),
    Step("transcode of an upload whose event was lost", uploaded_with_a_job, work, {State.COMPLETED}),
    Step("transcode of an unused ticket", unused_with_a_job, work, {State.EXPIRED}),
    Step("transcode for the last time", killed(4), work, {State.COMPLETED, State.FAILED}),
    Step("check_upload of a clip to fix", to_be_fixed, check, {State.COMPLETED}, check),
    Step("transcode of a clip to fix", checked_to_be_fixed, work, {State.COMPLETED}),
    Step("transcode of a fixed clip", fixed, work, {State.COMPLETED}),
    Step("delete of a clip to fix", checked_to_be_fixed, delete, {"gone", State.COMPLETED}),
    Step("delete of a completed video", completed, delete, {"gone", State.COMPLETED}),
    Step("delete of a queued video", checked, delete, {"gone", State.COMPLETED}),
    Step("publish_changes", completed, publish, {State.COMPLETED}),
    Step("publish_changes, delivered again,", completed, publish, {State.COMPLETED}, publish),
    Step("publish_changes of a deleted video", deleted, publish, {"gone"}),
    Step("recover of an unused ticket", unused, recover, {State.EXPIRED}),
    Step("recover of a lost event", without_an_event, recover, {State.COMPLETED}),
    Step("recover of a lost job", without_a_job, recover, {State.COMPLETED}),
    Step("recover of a video tried too often", killed(5), recover, {State.FAILED}),
]


CHECK, TRANSCODE, DELETE, PUBLISH = (
    next(step for step in STEPS if step.name == name)
    for name in ("check_upload", "transcode", "delete of a completed video", "publish_changes")
)


@cache
def recorded(step: Step) -> list[str]:
    """The calls of a worker to whom nothing happens."""
    clock = Clock()
    with TemporaryDirectory() as path, in_our_hands(clock):
        storage = FolderStorage(Path(path), "http://localhost", b"secret")
        database = Path(path) / "videos.db"
        service = Service(
            storage=storage,
            videos=SqliteVideos(database),
            jobs=SqliteJobs(database, visibility_s=VISIBILITY_S),
            announcements=SqliteAnnouncements(database),
            tools=wiring.media_tools({}),
            now=clock,
            workspace=Path(path) / "work",
        )
        world = World(service, clock)
        return step.run(world, step.prepare(world), none).calls


def every_boundary(journey: Iterable[Step]) -> Iterator:
    logging.disable()
    for step in journey:
        for call in sorted(recorded(step)):  # two threads of a worker make theirs in any order
            yield pytest.param(step, call, id=f"{step.name} dies after {call}")
    logging.disable(logging.NOTSET)


@pytest.fixture
def world(request, clock, tmp_path):
    """On the local adapters, or on moto for a test that says so."""
    rig = request.getfixturevalue(getattr(request, "param", "local_rig"))
    logging.disable()
    with in_our_hands(clock):
        service = Service(
            storage=rig.storage,
            videos=rig.videos,
            jobs=rig.new_jobs(visibility_s=VISIBILITY_S),
            announcements=rig.announcements,
            tools=wiring.media_tools({}),
            now=clock,
            workspace=tmp_path / "work",
        )
        yield World(service, clock)
    logging.disable(logging.NOTSET)


def test_writes_of_progress_and_signs_of_life_while_encoding_are_among_the_calls():
    calls = recorded(TRANSCODE)

    encoding = calls[calls.index("ffmpeg encoding") + 1 : calls.index("save 540p.mp4")]
    assert encoding == [
        "write processing 36%",
        "write processing 36% (2)",  # it was held up
        "write processing 67%",
        "write processing 99%",
    ]


def test_telling_is_among_the_calls_and_comes_after_counting():
    calls = recorded(PUBLISH)

    assert [call for call in calls if not call.startswith("change_of")] == ["count record", "announce event"]


on_moto_too = pytest.mark.parametrize("world", ["local_rig", "moto_rig"], indirect=True)


@pytest.mark.parametrize(("step", "call"), list(every_boundary(STEPS)))
def test_the_books_balance_if(world, step, call):
    die_and_go_on(world, step, call)


@pytest.mark.parametrize("world", ["moto_rig"], indirect=True)
@pytest.mark.parametrize(("step", "call"), list(every_boundary([CHECK, TRANSCODE, DELETE, PUBLISH])))
def test_the_books_balance_on_aws_if(world, step, call):
    die_and_go_on(world, step, call)


def die_and_go_on(world, step, call):
    video = step.prepare(world)

    worker = step.run(world, video, after(call, die))
    assert worker.killed
    if step.repeats:
        step.repeats(world, video, none)
    world.settle(video)

    now = world.balance(video)
    assert (now.state if now else "gone") in step.ends, worker.calls


# ── Cut off, slow, full, hanging ─────────────────────────────────────────────────

FAILURES = {"no answer": break_off, "a full disk": fill_the_disk}


@pytest.mark.parametrize("when", [before, after])
@pytest.mark.parametrize("happens", FAILURES.values(), ids=FAILURES)
@pytest.mark.parametrize("step", [CHECK, TRANSCODE, PUBLISH], ids=lambda step: step.name)
def test_the_books_balance_whichever_call_fails_or_loses_its_answer(world, step, happens, when):
    for call in recorded(step):
        video = step.prepare(world)
        with suppress(Unavailable, OSError):
            step.run(world, video, when(call, happens))
        world.settle(video)

        assert world.balance(video).state is State.COMPLETED, call


@on_moto_too
def test_a_job_that_kills_every_worker_fails_its_video_after_five_attempts(world):
    video = checked(world)

    while not world.ended(video):
        while len(world.deliver_job(after("ffmpeg encoding", die)).calls) > 1:
            pass
        world.clock.advance(minutes=1)
        world.recover()
    took = world.clock() - world.began
    world.settle(video)

    failed = world.balance(video)
    assert (failed.state, failed.lost) == (State.FAILED, 5)
    assert failed.failure == "Its worker was lost 5 times."
    assert took < timedelta(hours=1)
    assert set(world.service.jobs.dead()) == {video.id}


@on_moto_too
def test_a_job_that_always_fails_is_tried_five_times_and_leaves_one_dead_letter(world):
    video = checked(world)
    runs = []

    def gives_up(name, work):
        if name == "ffmpeg encoding":
            runs.append(name)
            raise ToolFailed("ffmpeg: the disk is full.")
        return work()

    while not world.ended(video):
        world.deliver_job(gives_up)
        world.clock.advance(seconds=10)
    world.settle(video)

    assert len(runs) == 5
    assert world.balance(video).failure == "The video could not be processed: ffmpeg: the disk is full."
    assert world.service.jobs.dead() == [video.id]
    assert not world.service.jobs.stats().waiting


@on_moto_too
def test_two_deliveries_of_one_job_do_the_work_once(world):
    video = checked(world)
    world.service.jobs.put(video.id)
    second = []

    def meanwhile(name, work):
        if name == "ffmpeg encoding":
            second.extend(world.deliver_job().calls)
        return work()

    world.deliver_job(meanwhile)
    world.settle(video)

    now = world.balance(video)
    assert (now.state, now.setbacks) == (State.COMPLETED, 0)
    assert second
    assert not [name for name in second if "ffmpeg" in name]


def test_what_replaces_a_file_while_it_is_checked_is_not_taken(world):
    video = world.send(world.ticket(), good())

    world.deliver_event(video, before("copy file", lambda: world.send(video, bad())))
    world.work_off()

    checked = world.now(video)
    assert checked.state is State.COMPLETED
    assert checked.source
    kept = world.service.storage.path(checked.source.key)
    assert kept.read_bytes() == good().read_bytes()
