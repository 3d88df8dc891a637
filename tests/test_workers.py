"""The local server's threads: what they had in hand when it ends is first in line at its next start."""

from threading import Event

import pytest

from local_aws import workers
from videos.local import FolderStorage, SqliteJobs


@pytest.fixture
def jobs(tmp_path):
    return SqliteJobs(tmp_path / "videos.db")


def test_a_job_in_the_works_when_the_server_stops_is_not_counted(tmp_path, jobs, monkeypatch):
    begun, over, set_aside = Event(), Event(), []

    def endless(function, *_):
        if function == "transcode_video":
            begun.set()
            over.wait(30)

    monkeypatch.setattr(workers, "invoke", endless)
    monkeypatch.setattr(workers, "GRACE_S", 0)
    storage = FolderStorage(tmp_path, "http://localhost", b"secret")
    threads = workers.Workers(storage, jobs, transcodes=1, set_aside=set_aside.append)
    jobs.put("video-1")
    threads.start()
    assert begun.wait(10)

    threads.stop()
    over.set()

    assert set_aside == ["video-1"]
    assert jobs.receive().receives == 1


def test_a_job_whose_worker_was_killed_is_counted(jobs):
    jobs.put("video-1")
    jobs.receive()

    assert jobs.release_all() == ["video-1"]
    assert jobs.receive().receives == 2


def test_what_was_begun_is_first_in_line(jobs):
    jobs.put("begun")
    jobs.receive()
    jobs.put("waiting")

    jobs.release_all()

    assert [jobs.receive().video_id, jobs.receive().video_id] == ["begun", "waiting"]
