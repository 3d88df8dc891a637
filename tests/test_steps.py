"""What happens to a video, step by step, on every set of adapters."""

from dataclasses import replace
from pathlib import Path

import pytest

from videos import steps
from videos.errors import BadRequest, Refused, ToolFailed, UnknownVideo, UnreadableBody
from videos.model import State
from videos.steps import UploadRequest
from videos.tools import MediaTools
from videos.transcode import transcode

MIB = 1024**2


def ticketed(service, **wanted):
    request = {"filename": "cat.mp4", "content_type": "video/mp4", "size": MIB}
    video, _ = steps.request_upload(UploadRequest(**request | wanted), service)
    return video


def uploaded(service, file: Path):
    video = ticketed(service)
    service.storage.save(file, video.source_key, content_type="video/mp4")
    return video


def checked(service, file: Path):
    return steps.check_upload(uploaded(service, file).id, service)


def stored_keys(service, video):
    return set(service.storage.keys("uploads/")) | set(service.storage.keys(video.outputs_prefix))


# ── POST /upload ─────────────────────────────────────────────────────────────────


def test_a_ticket_awaits_its_upload(service):
    video = ticketed(service, filename="clip.mov", content_type="video/quicktime")

    assert service.videos.get(video.id).state is State.AWAITING_UPLOAD
    assert (video.filename, video.content_type) == ("clip.mov", "video/quicktime")


def test_the_parameters_of_a_content_type_are_dropped(service):
    assert ticketed(service, content_type="Video/MP4; codecs=avc1").content_type == "video/mp4"


@pytest.mark.parametrize("content_type", ["image/jpeg", "", "text/html", "video/webm", "video/mp4\r\nX: y"])
def test_only_phone_video_types_get_a_ticket(service, content_type):
    with pytest.raises(UnreadableBody):
        ticketed(service, content_type=content_type)


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\me\\clip.mp4", "clip.mp4"),
        ("evil\r\nSet-Cookie: a\x1b[31m.mp4", "evilSet-Cookie: a[31m.mp4"),
        ("猫 video 🎬.mp4", "猫 video 🎬.mp4"),
        ("\u202egnp.mp4", "gnp.mp4"),
        ("", "video"),
        ("x" * 1000, "x" * 255),
    ],
)
def test_a_file_name_is_only_text_to_show(service, sent, shown):
    assert ticketed(service, filename=sent).filename == shown


@pytest.mark.parametrize("size", [0, -1, 6 * MIB + 1])
def test_a_size_that_cannot_pass_gets_no_ticket(service, size):
    with pytest.raises(Refused, match="Invalid file size") as refusal:
        ticketed(service, size=size)
    assert refusal.value.suggestions


def test_an_exact_size_wants_a_put(service):
    with pytest.raises(BadRequest):
        ticketed(service, exact_size=True)


# ── S3 ObjectCreated ─────────────────────────────────────────────────────────────


def test_a_good_upload_is_queued(service, clip):
    video = checked(service, clip())

    assert video.state is State.QUEUED
    assert (video.media.width_px, video.media.frame_rate, video.media.codec) == (720, 30.0, "h264")
    assert service.jobs.receive().video_id == video.id


def test_a_rejected_upload_remembers_every_reason_and_is_removed(service, clip):
    video = checked(service, clip(size="640x480", rate="15"))

    assert video.state is State.REJECTED
    assert [problem.rule for problem in service.videos.get(video.id).problems] == ["resolution", "frame_rate"]
    assert not stored_keys(service, video)
    assert service.jobs.receive() is None


def test_an_upload_over_the_limit_is_rejected_without_reading_it(service, tmp_path):
    huge = tmp_path / "huge.mp4"
    huge.write_bytes(bytes(6 * MIB + 1))

    video = checked(service, huge)

    assert [problem.rule for problem in video.problems] == ["size"]
    assert video.media is None


def test_checking_twice_changes_nothing(service, clip):
    video = checked(service, clip())

    assert steps.check_upload(video.id, service) == video


def test_nothing_to_check_is_said(service):
    with pytest.raises(FileNotFoundError):
        steps.check_upload(ticketed(service).id, service)


def test_a_check_without_ffprobe_can_be_tried_again(service, clip):
    video = uploaded(service, clip())
    with pytest.raises(ToolFailed, match="cannot be started"):
        steps.check_upload(video.id, replace(service, tools=MediaTools(ffprobe="no-such-ffprobe")))

    assert steps.check_upload(video.id, service).state is State.QUEUED


def test_an_upload_that_comes_after_its_video_was_deleted_is_removed(service, clip):
    video = ticketed(service)
    steps.delete_video(video.id, service)
    service.storage.save(clip(), video.source_key, content_type="video/mp4")

    with pytest.raises(UnknownVideo):
        steps.check_upload(video.id, service)
    assert not stored_keys(service, video)


def test_an_oversize_file_put_over_a_finished_video_is_removed(service, clip, tmp_path):
    video = transcode(checked(service, clip()).id, service)
    huge = tmp_path / "huge.mp4"
    huge.write_bytes(bytes(6 * MIB + 1))
    service.storage.save(huge, video.source_key, content_type="video/mp4")

    steps.check_upload(video.id, service)

    assert video.source_key not in stored_keys(service, video)


def test_a_file_that_comes_after_the_refusal_is_removed(service, clip):
    video = checked(service, clip(size="640x480"))
    service.storage.save(clip(), video.source_key, content_type="video/mp4")

    assert steps.check_upload(video.id, service).state is State.REJECTED
    assert not stored_keys(service, video)


def test_nothing_is_left_in_the_workspace(service, clip):
    checked(service, clip())

    assert not list(service.workspace.iterdir())


# ── DELETE ───────────────────────────────────────────────────────────────────────


def test_deleting_removes_record_upload_and_outputs(service, clip):
    video = transcode(checked(service, clip()).id, service)
    assert len(stored_keys(service, video)) > 3

    steps.delete_video(video.id, service)

    assert not stored_keys(service, video)
    with pytest.raises(UnknownVideo):
        service.videos.get(video.id)


def test_deleting_twice_says_that_it_is_gone(service):
    video = ticketed(service)
    steps.delete_video(video.id, service)

    with pytest.raises(UnknownVideo):
        steps.delete_video(video.id, service)


@pytest.mark.parametrize("text", ["none", "", "..", "../uploads", "a/b", "0" * 36, "x" * 10_000])
def test_what_cannot_be_an_id_is_an_unknown_video(text):
    with pytest.raises(UnknownVideo):
        steps.known_id(text)


# ── Every minute ─────────────────────────────────────────────────────────────────


def test_a_ticket_nobody_used_expires(service, clock):
    video = ticketed(service)

    clock.advance(minutes=5)
    steps.recover_videos(service)
    assert service.videos.get(video.id).state is State.AWAITING_UPLOAD

    clock.advance(hours=1)
    steps.recover_videos(service)
    assert service.videos.get(video.id).state is State.EXPIRED


def test_an_upload_whose_event_was_lost_is_checked(service, clip, clock):
    video = uploaded(service, clip())

    clock.advance(minutes=5)

    assert steps.recover_videos(service) == [(video.id, "queued")]


def test_a_video_whose_job_was_lost_gets_another(service, clip, clock):
    video = checked(service, clip())
    service.jobs.done(service.jobs.receive())

    clock.advance(minutes=35)
    steps.recover_videos(service)

    assert service.jobs.receive().video_id == video.id


def test_a_video_that_was_tried_too_often_has_failed(service, clip, clock):
    video = checked(service, clip())
    now = clock()
    service.videos.update(
        replace(
            video.to(State.PROCESSING, at=now, recover_at=now, attempt="a1"), attempts=service.most_attempts
        )
    )

    clock.advance(minutes=35)
    steps.recover_videos(service)

    failed = service.videos.get(video.id)
    assert failed.state is State.FAILED
    assert "5 times" in failed.failure


def test_a_video_that_waits_in_a_backlog_gets_no_second_job(service, clip, clock):
    checked(service, clip())

    for _ in range(5):
        clock.advance(minutes=5)
        steps.recover_videos(service)

    assert service.jobs.stats().waiting == 1


def test_a_fault_of_ours_with_one_video_does_not_hold_up_the_others(service, clock, monkeypatch):
    first, second = ticketed(service), ticketed(service)
    stat = service.storage.stat
    monkeypatch.setattr(service.storage, "stat", lambda key: {}[key] if first.id in key else stat(key))

    clock.advance(hours=2)
    outcomes = dict(steps.recover_videos(service))

    assert outcomes[first.id].startswith("KeyError")
    assert outcomes[second.id] == "expired"


def test_an_event_whose_write_is_taken_twice_still_removes_a_refused_file(service, clip, monkeypatch):
    video = uploaded(service, clip(size="640x480"))
    update = service.videos.update
    monkeypatch.setattr(service.videos, "update", lambda *write: [update(*write), update(*write)])

    assert steps.check_upload(video.id, service).state is State.REJECTED
    assert not stored_keys(service, video)


def test_videos_that_cannot_be_helped_do_not_fill_the_page(service, clock, monkeypatch):
    lost = [ticketed(service) for _ in range(3)]
    monkeypatch.setattr(service.storage, "stat", lambda key: {}[key])
    clock.advance(hours=2)
    steps.recover_videos(service, limit=3)
    monkeypatch.undo()
    unused = ticketed(service)
    service.videos.update(unused.postponed(clock() - service.look_again))

    assert unused.id in dict(steps.recover_videos(service, limit=3))
    assert all(video.id not in dict(steps.recover_videos(service, limit=3)) for video in lost)


def test_however_many_linger_they_are_taken_page_by_page(service, clock):
    unused = {ticketed(service).id for _ in range(7)}

    clock.advance(hours=2)

    assert dict(steps.recover_videos(service, limit=2)) == dict.fromkeys(unused, "expired")


def test_a_video_whose_workers_are_all_dead_fails_in_the_end_with_a_dead_letter(service, clip, clock):
    video = checked(service, clip())

    for _ in range(service.most_rounds + 1):
        clock.advance(minutes=31)
        steps.recover_videos(service)

    assert service.videos.get(video.id).state is State.FAILED
    assert service.jobs.dead() == [video.id]


def test_an_upload_that_can_never_be_checked_fails_in_the_end_and_can_be_sent_back(service, clip, clock):
    without_ffprobe = replace(service, tools=MediaTools(ffprobe="no-such-ffprobe"))
    video = uploaded(service, clip())
    clock.advance(hours=2)

    for _ in range(service.most_rounds):
        steps.recover_videos(without_ffprobe)
        clock.advance(minutes=3)

    assert "no-such-ffprobe cannot be started" in service.videos.get(video.id).failure
    assert service.jobs.dead() == [video.id]
    steps.redrive(service)
    assert service.videos.get(video.id).state is State.AWAITING_UPLOAD
    assert transcode(video.id, service).state is State.COMPLETED


def test_a_finished_video_is_left_alone(service, clip, clock):
    transcode(checked(service, clip()).id, service)

    clock.advance(days=1)

    assert steps.recover_videos(service) == []


def test_a_video_that_cannot_be_helped_does_not_hold_up_the_others(service, clip, clock):
    without_ffprobe = replace(service, tools=MediaTools(ffprobe="no-such-ffprobe"))
    uploaded(service, clip())
    unused = ticketed(service)

    clock.advance(hours=2)
    outcomes = steps.recover_videos(without_ffprobe)

    assert (unused.id, "expired") in outcomes
    assert len(outcomes) == 2
