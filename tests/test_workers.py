"""The local server's workers: jobs in flight at a stop come first after the next start."""

from threading import Event

import pytest

from local_aws import workers
from support.samples import a_video
from videos.errors import Unavailable
from videos.stores.local.folder import FolderStorage
from videos.stores.local.jobs import SqliteJobs
from videos.stores.local.records import SqliteVideos


@pytest.fixture
def jobs(tmp_path):
    return SqliteJobs(tmp_path / "videos.db")


def test_a_delivery_interrupted_by_a_shutdown_is_not_counted(tmp_path, jobs, monkeypatch):
    started, over, interrupted = Event(), Event(), []

    def endless(function, *_):
        if function == "transcode_video":
            started.set()
            over.wait(30)

    monkeypatch.setattr(workers, "invoke", endless)
    monkeypatch.setattr(workers, "GRACE_S", 0)
    storage = FolderStorage(tmp_path, "http://localhost", b"secret")
    threads = workers.Workers(
        storage,
        SqliteVideos(tmp_path / "videos.db"),
        jobs,
        transcodes=1,
        interrupted=lambda video_id, *, alone: interrupted.append((video_id, alone)),
    )
    jobs.put("video-1")
    threads.start()
    assert started.wait(10)

    threads.stop()
    over.set()

    assert interrupted == [("video-1", False)]
    assert jobs.receive().receives == 1


@pytest.mark.parametrize(
    ("uploads", "videos", "told"),
    [
        ([], ["a"], [("a", True)]),
        (["uploads/a"], [], [("a", True)]),
        (["uploads/a"], ["b"], [("a", False), ("b", False)]),
        ([], ["a", "b"], [("a", False), ("b", False)]),
    ],
)
def test_what_was_in_work_when_the_server_was_killed_is_told_apart_by_whether_it_was_alone(
    tmp_path, jobs, monkeypatch, uploads, videos, told
):
    for queue, names in ((jobs.beside("notifications"), uploads), (jobs, videos)):
        for name in names:
            queue.put(name)
            queue.receive()
    monkeypatch.setattr(workers, "invoke", lambda *_: None)
    interrupted = []
    threads = workers.Workers(
        FolderStorage(tmp_path, "http://localhost", b"secret"),
        SqliteVideos(tmp_path / "videos.db"),
        jobs,
        transcodes=1,
        interrupted=lambda video_id, *, alone: interrupted.append((video_id, alone)),
    )

    threads.start()
    threads.stop()

    assert interrupted[: len(told)] == told


def test_a_delivery_whose_worker_was_killed_is_not_counted(jobs):
    jobs.put("video-1")
    jobs.receive()

    assert jobs.release_all() == ["video-1"]
    assert jobs.receive().receives == 1


def test_an_interrupted_job_is_requeued_at_the_front(jobs):
    jobs.put("started")
    jobs.receive()
    jobs.put("waiting")

    jobs.release_all()

    assert [jobs.receive().video_id, jobs.receive().video_id] == ["started", "waiting"]


def test_changes_are_delivered_in_order_and_again_until_they_are_handled(tmp_path, jobs, monkeypatch):
    videos = SqliteVideos(tmp_path / "videos.db")
    storage = FolderStorage(tmp_path, "http://localhost", b"secret")
    tries, handled, over = [], [], Event()

    def handle(function, event, *_):
        if function == "publish_changes":
            ids = [videos.change_of(record).video.id for record in event["Records"]]
            tries.append(ids)
            if len(tries) == 1:
                raise Unavailable("The table does not answer.")
            handled.extend(ids)
            if len(handled) == 150:
                over.set()

    monkeypatch.setattr(workers, "invoke", handle)
    monkeypatch.setattr(workers, "POLL_S", 0.01)
    written = [videos.add(a_video(f"v{number}")).id for number in range(150)]
    threads = workers.Workers(storage, videos, jobs, transcodes=0)

    threads.start()
    assert over.wait(10)
    threads.stop()

    assert tries[0] == tries[1] == written[:100]
    assert handled == written
    assert videos.outbox(limit=1) == []
