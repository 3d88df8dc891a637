"""What is counted of the videos, and what health makes of it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from test_steps import checked, uploaded
from videos import counters, steps
from videos.counters import counts, of_step, percentile_ms
from videos.health import health
from videos.model import State, StoredObject, Video
from videos.transcode import transcode

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
SOURCE = StoredObject(key="uploads/v", size_bytes=1, etag="e", stored_at=NOON)
VIDEO = Video(
    id="v", filename="a.mp4", content_type="video/mp4",
    created_at=NOON, updated_at=NOON, upload_expires_at=NOON, source=SOURCE,
)  # fmt: skip


def test_a_write_that_only_says_how_far_a_video_is_counts_nothing():
    working = replace(VIDEO, state=State.PROCESSING, attempts=1)

    assert of_step(working, replace(working, progress=50, time_left_s=3.0)) == {}


def test_playing_and_completing_are_timed_from_the_upload_and_once():
    working = replace(VIDEO, state=State.PROCESSING)
    playable = replace(working, playable_at=NOON + timedelta(seconds=0.4))
    completed = replace(playable, state=State.COMPLETED, completed_at=NOON + timedelta(seconds=18))

    assert of_step(working, playable) == {"to_playable_ms": 400}
    assert of_step(playable, completed) == {"completed": 1, "to_completed_ms": 18_000}


def test_a_second_attempt_is_a_retry_and_the_first_is_none():
    assert of_step(VIDEO, replace(VIDEO, attempts=1)) == {}
    assert of_step(replace(VIDEO, attempts=1), replace(VIDEO, attempts=2)) == {"retried": 1}


@pytest.mark.parametrize(
    ("took_ms", "name"), [(0, 100), (100, 100), (101, 150), (3_600_000, 3_600_000), (10**9, 3_600_000)]
)
def test_a_time_is_counted_in_the_class_of_those_that_took_as_long(took_ms, name):
    assert counts({"to_playable_ms": took_ms}) == {f"to_playable_ms:{name}": 1}


def test_a_percentile_lies_in_the_class_that_holds_it():
    counted = {"to_playable_ms:300": 50, "to_playable_ms:400": 40, "to_playable_ms:2000": 10}

    assert percentile_ms(counted, "to_playable_ms", 0.5) == 300
    assert 300 < percentile_ms(counted, "to_playable_ms", 0.9) <= 400
    assert 1500 < percentile_ms(counted, "to_playable_ms", 0.95) <= 2000
    assert percentile_ms(counted, "to_completed_ms", 0.5) is None


def test_the_last_hour_is_a_handful_of_slots():
    slots = counters.slots(NOON + timedelta(minutes=3), timedelta(hours=1))

    assert slots[0] == "2026-11-23T12:00:00+00:00"
    assert slots[-1] == "2026-11-23T11:00:00+00:00"
    assert len(slots) == 7


def test_the_books_balance(service, clip):
    transcode(checked(service, clip()).id, service)
    checked(service, clip(size="640x480"))
    steps.delete_video(uploaded(service, clip()).id, service)
    waiting = checked(service, clip())

    counted = service.videos.counted(timedelta(hours=1))

    assert {name: number for name, number in counted.items() if ":" not in name} == {
        "uploads_requested": 4, "accepted": 2, "refused": 1, "completed": 1, "deleted": 1,
    }  # fmt: skip
    assert counted["refused:resolution"] == 1
    assert waiting.state is State.QUEUED


def test_health_tells_the_last_hour(service, clip, clock):
    transcode(checked(service, clip()).id, service)
    checked(service, clip(size="640x480"))
    checked(service, clip())
    clock.advance(seconds=90)

    report = health(service)

    assert report["status"] == "ok"
    assert report["performance"]["outcomes"] == {
        "uploads_requested": 3, "accepted": 2, "refused": 1, "completed": 1, "failed": 0, "expired": 0,
        "deleted": 0,
    }  # fmt: skip
    assert report["performance"]["refused_by_rule"] == {"resolution": 1}
    assert report["performance"]["to_playable_ms_p50"] > 0
    assert report["resources"]["jobs_waiting"] >= 1
    assert report["resources"]["oldest_job_s"] == 90
    assert report["stability"]["error_rate"] == 0
    assert report["stability"]["refusal_rate"] == pytest.approx(1 / 3, abs=0.001)
    assert report["stability"]["stuck_videos"] == 0


def test_videos_that_nobody_looks_after_are_stuck(service, clip, clock):
    uploaded(service, clip())

    clock.advance(minutes=60)

    assert health(service)["stability"]["stuck_videos"] == 1


def test_health_asks_its_parts_once_a_second_however_many_ask_it(service, monkeypatch):
    asked = []
    ping = service.storage.ping
    monkeypatch.setattr(service.storage, "ping", lambda: asked.append(1) or ping())

    reports = [health(service) for _ in range(50)]

    assert len(asked) <= 2
    assert reports[0]["status"] == "ok"
