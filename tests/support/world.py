"""The world around the workers: its time, its queues, and the books that must balance in the end."""

import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import moto.sqs.models
import pytest

import check_upload
import publish_changes
import recover_videos
import transcode_video
from local_aws.events import Context, s3_event, scheduled_event, sqs_event, stream_event
from support import stream
from support.faults import Fault, Recorded, Worker, none, service_here
from support.polled import PolledSqsJobs
from videos import tools
from videos.errors import UnknownVideo
from videos.fix import OnViolation
from videos.model import State, Video
from videos.ports import Event, Job
from videos.service import Service
from videos.steps.request_upload import request_upload
from videos.stores.local import jobs

VISIBILITY_S = 180
LONG_AGO = timedelta(hours=5)  # no test takes as long; counters go by the store's clock, which is real
HURRIED_S = 2  # of real time: visibility and the longest delay; most workers take a tenth of it
CHANGES_AT_ONCE = 20
OUTCOMES = {
    State.QUEUED: "accepted",
    State.COMPLETED: "completed",
    State.REJECTED: "rejected",
    State.FAILED: "failed",
    State.EXPIRED: "expired",
}
RECORDED = Recorded()


class World:
    """A service whose clock, deliveries and failures are in the hands of a test.

    Attributes:
        history: every record that was ever written, by video, as readers could see it. It ends with None if
            the video was deleted.
        told: every event that was announced, repeats included, in order.
    """

    def __init__(self, service: Service, clock: Any) -> None:
        self.history: dict[str, list[Video | None]] = defaultdict(list)
        self.told: list[Event] = []
        self._store = service.videos
        self.service = replace(
            service,
            videos=_Remembered(service, self.history),
            announcements=_Heard(service, self.told),
            monotonic=lambda: clock().timestamp(),
        )
        self.clock = clock
        self.began = clock()

    @contextmanager
    def worker(self, fault: Fault = none) -> Iterator[Worker]:
        worker = Worker(self.service, fault, wait=lambda span_s: self.clock.advance(seconds=span_s))
        with worker.at_work():
            yield worker

    # ── What clients do ──────────────────────────────────────────────────────────

    def ticket(self, on_violation: OnViolation | None = None) -> Video:
        request = {"filename": "cat.mp4", "content_type": "video/mp4", "facts": {"size_bytes": 1000}}
        return request_upload(self.service, **request, on_violation=on_violation)[0]

    def send(self, video: Video, file: Path) -> Video:
        self.service.storage.save(file, video.inbox_key, content_type="video/mp4")
        return video

    # ── What AWS does ────────────────────────────────────────────────────────────

    def deliver_event(self, video: Video, fault: Fault = none) -> Worker:
        with self.worker(fault) as worker:
            check_upload.handler(
                s3_event(video.inbox_key, size_bytes=1, etag="e"), Context("check_upload", 60)
            )
        return worker

    def deliver_job(self, fault: Fault = none) -> Worker:
        """The next job, if there is one ready."""
        with self.worker(fault) as worker:
            if job := worker.service.jobs.receive():
                answer = transcode_video.handler(sqs_event(job), Context("transcode_video", 300))
                if not answer["batchItemFailures"]:
                    worker.service.jobs.done(job)
        return worker

    def recover(self, fault: Fault = none) -> Worker:
        with self.worker(fault) as worker:
            recover_videos.handler(scheduled_event(), Context("recover_videos", 300))
        return worker

    def publish(self, fault: Fault = none) -> Worker:
        """Deliver the oldest changes. They come again unless they were handled."""
        with self.worker(fault) as worker:
            if batch := stream.records(self._store, limit=CHANGES_AT_ONCE):
                publish_changes.handler(stream_event(batch), Context("publish_changes", 60))
                stream.delivered(self._store, batch)
        return worker

    def work_off(self) -> None:
        """Deliver every job that is ready."""
        while len(self.deliver_job().calls) > 1:
            pass

    def go_on(self, *, minutes: int = 1) -> None:
        """Let time pass as it does: jobs are delivered, and every minute somebody looks after the silent."""
        self.clock.advance(minutes=minutes)
        if isinstance(self.service.jobs, HurriedJobs):
            self.service.jobs.catch_up()
        self.recover()
        self.work_off()

    def settle(self, *videos: Video) -> timedelta:
        """Go on until nothing moves any more; how long that took, which has a bound."""
        began = self.clock()
        self.work_off()
        while not self.settled(*videos):
            assert self.clock() - began < self.longest, [self.now(video) for video in videos]
            self.go_on()
        while self.publish().calls:
            pass
        return self.clock() - began

    @property
    def longest(self) -> timedelta:
        """The bound from ticket to end that docs/architecture.md names, once somebody works."""
        return timedelta(hours=7, minutes=45)

    def settled(self, *videos: Video) -> bool:
        stats = self.service.jobs.stats()
        return not stats.waiting and not stats.in_flight and all(map(self.ended, videos))

    def ended(self, video: Video) -> bool:
        now = self.now(video)
        return now is None or now.finished

    # ── The books ────────────────────────────────────────────────────────────────

    def now(self, video: Video) -> Video | None:
        try:
            return self.service.videos.get(video.id)
        except UnknownVideo:
            return None

    def files(self, video: Video) -> set[str]:
        stored = self.service.storage.keys
        prefixes = (f"uploads/{video.id}", f"sources/{video.id}/", video.outputs_prefix)
        return {key for prefix in prefixes for key in stored(prefix)}

    def balance(self, video: Video) -> Video | None:
        """What a video ended as; its files are its own and whole, and it ended once."""
        now = self.now(video)
        written = [one for one in self.history[video.id] if one]
        assert all(one.attempts <= self.service.max_failures for one in written)
        assert all(one.lost <= self.service.max_lost for one in written)
        assert self.files(video) == (now.files if now else set())
        assert [one.progress for one in written] == sorted(one.progress for one in written)
        ends = [one.state for one in written if one.finished]
        assert len(set(ends)) <= 1, f"it ended more than once: {ends}"
        assert now is None or now.finished
        assert self.counted() == self.happened()
        assert self.told_of(video) == self.to_tell_of(video)
        return now

    def told_of(self, video: Video) -> list[tuple[str, int]]:
        """Type and version of what was told, each where it was told first."""
        return list(dict.fromkeys((one.type, one.version) for one in self.told if one.video_id == video.id))

    def to_tell_of(self, video: Video) -> list[tuple[str, int]]:
        """The same, by what was written."""
        told: list[tuple[str, int]] = []
        for before, after in pairwise(self.history[video.id]):
            assert before
            if after is None:
                told.append(("video.deleted", before.version + 1))
                continue
            if after.playable and not before.playable:
                told.append(("video.playable", after.version))
            if after.finished and not before.finished:
                told.append((f"video.{after.state}", after.version))
        return told

    def happened(self) -> Counter[str]:
        """What there is to count, by what was written."""
        happened: Counter[str] = Counter()
        for written in self.history.values():
            happened["uploads_requested"] += 1
            for before, after in pairwise(written):
                if after is None:
                    happened["deleted"] += 1
                elif before.state is not State.FAILED:  # else it was redriven
                    happened[OUTCOMES.get(after.state, "")] += after.state is not before.state
                    happened["playable"] += after.playable and not before.playable
        del happened[""]
        return +happened

    def counted(self) -> Counter[str]:
        """The same, by the counters."""
        counted: Counter[str] = Counter()
        for name, number in self._store.counted(LONG_AGO).items():
            kind = "playable" if name.startswith(("to_playable_ms:", "to_fixed_ms:")) else name
            counted[kind] += (
                number if kind in {"uploads_requested", "deleted", "playable", *OUTCOMES.values()} else 0
            )
        return +counted


class HurriedJobs(PolledSqsJobs):
    """A queue that goes by real time, as an emulator's does: what takes minutes takes ``HURRIED_S`` there."""

    def __init__(self, rig: Any) -> None:
        jobs = rig.new_jobs(visibility_s=HURRIED_S)
        super().__init__(jobs._queue_url, jobs._dead_letter_url, wait_s=0)

    def put(self, video_id: str, *, delay_s: int = 0) -> None:
        super().put(video_id, delay_s=min(delay_s, HURRIED_S))

    def give_back(self, job: Job, *, delay_s: int = 0) -> None:
        super().give_back(job, delay_s=min(delay_s, HURRIED_S))

    def catch_up(self) -> None:
        """Wait until no job is hidden any more; while nobody is at work, so that each has been left."""
        deadline = time.monotonic() + 30
        while self._hidden():
            assert time.monotonic() < deadline, "the queue stands still"
            time.sleep(0.05)

    def _hidden(self) -> int:
        names = ["ApproximateNumberOfMessagesDelayed", "ApproximateNumberOfMessagesNotVisible"]
        counts = self._sqs.get_queue_attributes(QueueUrl=self._queue_url, AttributeNames=names)["Attributes"]
        return sum(int(counts[name]) for name in names)


class _Remembered:
    """Records, and the memory of each that was ever written. What it publishes must be there, and whole."""

    def __init__(self, service: Service, history: dict[str, list[Video | None]]) -> None:
        self._videos = service.videos
        self._storage = service.storage
        self._history = history
        self._lock = threading.Lock()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._videos, name)

    def add(self, video: Video, *more: Any) -> Video:
        return self._remember(self._videos.add, video, *more)

    def update(self, video: Video) -> Video:
        return self._remember(self._videos.update, video)

    def delete(self, video_id: str) -> None:
        with self._lock:
            self._videos.delete(video_id)
            self._history[video_id].append(None)

    def _remember(self, write: Callable[..., Video], video: Video, *more: Any) -> Video:
        with self._lock:
            written = write(video, *more)
            for output in written.outputs:
                if output not in self._history[video.id][-1].outputs:
                    assert self._storage.stat(output.key).size_bytes == output.size_bytes, "half an output"
            self._history[video.id].append(written)
        return written


class _Heard:
    """Announcements, and the memory of each that was ever made."""

    def __init__(self, service: Service, told: list[Event]) -> None:
        assert service.announcements
        self._announce = service.announcements.announce
        self._told = told

    def announce(self, events: Sequence[Event]) -> None:
        self._announce(events)
        self._told += events


@contextmanager
def in_our_hands(clock: Any) -> Iterator[None]:
    """Queues go by ``clock``, handlers work for their thread's worker, tools are played from a record."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jobs, "time", SimpleNamespace(time=lambda: clock().timestamp()))
        patch.setattr(moto.sqs.models, "unix_time", lambda *_: clock().timestamp())
        patch.setattr(moto.sqs.models, "unix_time_millis", lambda *_: clock().timestamp() * 1000)
        for handler in (check_upload, publish_changes, recover_videos, transcode_video):
            patch.setattr(handler, "service", service_here)
        patch.setattr(tools, "run", RECORDED.run)
        yield
