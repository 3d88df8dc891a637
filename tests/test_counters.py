"""The counters, and the health report built from them."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from support.pipeline import checked, uploaded
from support.stream import pump
from videos.fix import Fix
from videos.model import State, StoredObject, Video
from videos.steps.check_health import Outcomes, health
from videos.steps.read_video import delete_video
from videos.steps.transcode_video import transcode_video
from videos.telemetry import counters
from videos.telemetry.counters import counts, of_change, percentile_ms

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
SOURCE = StoredObject(key="uploads/v", size_bytes=1, etag="e", stored_at=NOON)
VIDEO = Video(
    id="v", filename="a.mp4", content_type="video/mp4",
    created_at=NOON, updated_at=NOON, upload_expires_at=NOON, source=SOURCE,
)  # fmt: skip


def test_a_progress_write_counts_nothing():
    working = replace(VIDEO, state=State.PROCESSING, attempts=1)

    assert of_change(working, replace(working, progress=50, time_left_s=3.0)) == {}


def test_time_to_playable_and_to_completed_are_measured_once_from_the_upload():
    working = replace(VIDEO, state=State.PROCESSING)
    playable = replace(working, playable_at=NOON + timedelta(seconds=0.4))
    completed = replace(playable, state=State.COMPLETED, completed_at=NOON + timedelta(seconds=18))

    assert of_change(working, playable) == {"to_playable_ms": 400}
    assert of_change(playable, completed) == {"completed": 1, "to_completed_ms": 18_000}


def test_the_time_until_a_clip_is_fixed_is_measured_apart():
    working = replace(VIDEO, state=State.PROCESSING, fixes=(Fix(rule="size", found="a", made="b"),))
    playable = replace(working, playable_at=NOON + timedelta(seconds=9))

    assert of_change(working, playable) == {"fixed": 1, "to_fixed_ms": 9000}
    assert of_change(playable, replace(playable, state=State.REJECTED, playable_at=None)) == {"rejected": 1}


@pytest.mark.parametrize("setback", ["attempts", "exhausted", "lost"])
def test_an_attempt_that_came_to_nothing_counts_as_a_retry_unless_it_was_the_last(setback):
    again = replace(VIDEO, **{setback: 2})

    assert of_change(replace(VIDEO, **{setback: 1}), again) == {"retried": 1}
    assert of_change(again, replace(again, attempt="a")) == {}
    assert of_change(VIDEO, replace(again, state=State.FAILED)) == {"failed": 1}


def test_a_video_is_counted_when_it_is_added_and_when_it_is_deleted():
    assert of_change(None, VIDEO) == {"uploads_requested": 1}
    assert of_change(VIDEO, None) == {"deleted": 1}


@pytest.mark.parametrize("state", [State.AWAITING_UPLOAD, State.QUEUED])
def test_a_failed_video_that_is_redriven_is_not_accepted_again(state):
    failed = replace(VIDEO, state=State.FAILED, attempts=5, rounds=12)

    assert of_change(failed, replace(VIDEO, state=state)) == {}


@pytest.mark.parametrize(
    ("took_ms", "name"), [(0, 100), (100, 100), (101, 150), (3_600_000, 3_600_000), (10**9, 3_600_000)]
)
def test_a_duration_is_counted_in_its_histogram_bucket(took_ms, name):
    assert counts({"to_playable_ms": took_ms}) == {f"to_playable_ms:{name}": 1}


def test_a_percentile_lies_within_its_bucket():
    counted = {"to_playable_ms:300": 50, "to_playable_ms:400": 40, "to_playable_ms:2000": 10}

    assert percentile_ms(counted, "to_playable_ms", 0.5) == 300
    assert 300 < percentile_ms(counted, "to_playable_ms", 0.9) <= 400
    assert 1500 < percentile_ms(counted, "to_playable_ms", 0.95) <= 2000
    assert percentile_ms(counted, "to_completed_ms", 0.5) is None


def test_the_last_hour_spans_seven_slots():
    slots = counters.slots(NOON + timedelta(minutes=3), timedelta(hours=1))

    assert slots[0] == "2026-11-23T12:00:00+00:00"
    assert slots[-1] == "2026-11-23T11:00:00+00:00"
    assert len(slots) == 7


@pytest.mark.thorough
def test_every_outcome_is_counted_once(service, clip):
    transcode_video(checked(service, clip()).id, service)
    checked(service, clip(size="640x480"))
    delete_video(uploaded(service, clip()).id, service)
    waiting = checked(service, clip())
    pump(service)

    counted = service.videos.counted(timedelta(hours=1))

    assert {name: number for name, number in counted.items() if ":" not in name} == {
        "uploads_requested": 4, "accepted": 2, "rejected": 1, "completed": 1, "deleted": 1,
    }  # fmt: skip
    assert counted["rejected:resolution"] == 1
    assert waiting.state is State.QUEUED


def test_health_reports_the_last_hour(service, clip, clock):
    transcode_video(checked(service, clip()).id, service)
    checked(service, clip(size="640x480"))
    checked(service, clip())
    clock.advance(seconds=90)
    pump(service)

    report = health(service)

    assert report.status == "ok"
    assert report.performance.outcomes == Outcomes(
        uploads_requested=3, accepted=2, rejected=1, completed=1, failed=0, expired=0, deleted=0
    )
    assert report.performance.rejected_by_rule == {"resolution": 1}
    assert report.performance.to_playable_ms_p50 > 0
    assert report.resources.jobs_waiting >= 1
    assert report.resources.oldest_job_s == 90
    assert report.stability.error_rate == 0
    assert report.stability.rejection_rate == pytest.approx(1 / 3, abs=0.001)
    assert report.stability.stuck_videos == 0


def test_videos_that_are_not_recovered_are_reported_as_stuck(service, clip, clock):
    uploaded(service, clip())

    clock.advance(minutes=60)

    assert health(service).stability.stuck_videos == 1


def test_health_checks_its_dependencies_at_most_once_a_second(service, monkeypatch):
    asked = []
    ping = service.storage.ping
    monkeypatch.setattr(service.storage, "ping", lambda: asked.append(1) or ping())

    reports = [health(service) for _ in range(50)]

    assert len(asked) <= 2
    assert reports[0].status == "ok"
