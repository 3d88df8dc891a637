"""The local server's workers: jobs in flight at a stop come first after the next start."""

from threading import Event

import pytest

from local_aws import workers
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
