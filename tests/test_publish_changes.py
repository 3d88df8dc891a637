"""What ``publish_changes`` counts and tells of the changes it is given, and how often."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

import publish_changes
from local_aws.events import Context, stream_event
from support import stream
from support.pipeline import ticketed
from support.samples import a_video, charge
from support.template import FUNCTIONS
from videos.errors import LostRace, Unavailable
from videos.model import State
from videos.steps.endings import erase
from videos.steps.publish_changes import publish_changes as publish
from videos.steps.read_video import delete_video
from videos.stores.local.announcements import SqliteAnnouncements
from videos.telemetry import metrics

HOUR = timedelta(hours=1)


@pytest.fixture
def handle(service, monkeypatch):
    """``handle(records)``: what the event source does with them."""
    monkeypatch.setattr(publish_changes, "service", lambda: service)
    return lambda records: publish_changes.handler(stream_event(records), Context("publish_changes", 60))


def test_a_batch_that_is_delivered_again_is_counted_once(service, handle):
    video = ticketed(service)
    delete_video(video.id, service)
    batch = stream.records(service.videos)

    for records in (batch, batch, batch[:1], batch[1:], [*batch, *batch]):
        handle(records)

    assert service.videos.counted(HOUR) == {"uploads_requested": 1, "deleted": 1}


def test_a_batch_that_holds_a_change_twice_is_counted_once(service, handle):
    ticketed(service)

    handle(stream.records(service.videos) * 2)

    assert service.videos.counted(HOUR) == {"uploads_requested": 1}


def test_counting_is_not_counted(service, handle):
    """Its own writes are in the stream, too, and emulators may not filter them."""
    ticketed(service)

    rounds = 0
    while batch := stream.records(service.videos):
        rounds += 1
        assert rounds < 5, "it counts itself"
        handle(batch)
        stream.delivered(service.videos, batch)

    assert service.videos.counted(HOUR) == {"uploads_requested": 1}


def test_what_is_delivered_again_is_told_again_with_the_same_id(service, rig, handle):
    video = ticketed(service)
    delete_video(video.id, service)
    batch = stream.records(service.videos)

    for records in (batch, batch, batch[1:]):
        handle(records)

    told = rig.told(1)
    assert {(event["type"], event["data"]["id"], event["data"]["version"]) for event in told} == {
        ("video.deleted", video.id, 2)
    }
    assert len({event["id"] for event in told}) == 1


def test_a_failed_video_that_is_erased_is_told_as_deleted(service, rig, handle):
    video = service.videos.add(a_video(state=State.FAILED))
    erase(video.id, service)

    handle(stream.records(service.videos))

    [failed, deleted] = rig.told(2)
    assert (failed["type"], deleted["type"]) == ("video.failed", "video.deleted")
    assert deleted["data"]["previous"] == {"state": "failed"}


def test_what_cannot_be_told_is_delivered_again_and_counted_meanwhile(local_service, tmp_path):
    log = SqliteAnnouncements(tmp_path / "broken.db")
    log._run("DROP TABLE events")
    service = replace(local_service, announcements=log)
    video = ticketed(service)
    delete_video(video.id, service)
    changes = stream.changes(service.videos)

    with pytest.raises(Unavailable):
        publish(changes, service)

    assert service.videos.counted(HOUR) == {"uploads_requested": 1, "deleted": 1}


def test_without_a_bus_nothing_is_told_and_everything_counted(local_service):
    service = replace(local_service, announcements=None)
    video = ticketed(service)
    delete_video(video.id, service)

    publish(stream.changes(service.videos), service)

    assert service.videos.counted(HOUR) == {"uploads_requested": 1, "deleted": 1}


def test_a_metric_is_logged_once_and_falls_where_it_happened(service, monkeypatch):
    logged: list[dict[str, Any]] = []
    monkeypatch.setattr(metrics._lines, "info", lambda _, extra: logged.append(extra))
    ticketed(service)
    [change] = stream.changes(service.videos)
    an_hour_ago = datetime.now(UTC).replace(microsecond=0) - HOUR
    change = replace(change, at=an_hour_ago)

    publish([change], service)
    publish([change], service)

    [line] = logged
    assert line["uploads_requested"] == 1
    assert line["_aws"]["Timestamp"] == an_hour_ago.timestamp() * 1000


def test_an_upload_whose_first_answer_was_lost_is_registered_once(service, monkeypatch, handle):
    add = service.videos.add

    def repeated(video, *more):
        """As boto3 does, which repeats a request that was not answered."""
        add(video, *more)
        raise LostRace("It exists.")

    with monkeypatch.context() as patch:
        patch.setattr(service.videos, "add", repeated)
        video = ticketed(service)

    assert service.videos.get(video.id) == video
    handle(stream.records(service.videos))
    assert service.videos.counted(HOUR) == {"uploads_requested": 1}


def test_the_sample_event_has_two_changes_of_one_video(event, moto_rig):
    told = [moto_rig.videos.change_of(record) for record in event("publish_changes")["Records"]]

    assert [change.before and str(change.before.state) for change in told] == [None, "awaiting_upload"]
    assert [str(change.after.state) for change in told] == ["awaiting_upload", "expired"]


def matches(pattern: dict[str, Any], record: dict[str, Any]) -> bool:
    """As Lambda does, as far as our patterns go."""
    return all(
        name in record and (wanted == [{"exists": True}] or matches(wanted, record[name]))
        for name, wanted in pattern.items()
    )


def test_the_event_source_lets_pass_what_the_handler_reads(moto_rig):
    videos = moto_rig.videos
    videos.update(videos.add(a_video(), charge("me", uploads=1)))
    videos.delete("v1")
    videos.count([(videos.change_of(stream.records(videos)[0]), {"uploads_requested": 1})])
    [source] = FUNCTIONS["PublishChanges"]["Events"].values()
    patterns = [json.loads(one["Pattern"]) for one in source["Properties"]["FilterCriteria"]["Filters"]]
    delivered = stream.records(videos)

    passed = [record for record in delivered if any(matches(pattern, record) for pattern in patterns)]

    assert len(delivered) > len(passed) == 3  # the charge, the mark and the sum are the others
    assert passed == [record for record in delivered if videos.change_of(record)]
