"""The steps of a video, on every set of adapters."""

from dataclasses import replace
from datetime import timedelta
from threading import Barrier

import pytest

from support.faults import Killed, Worker
from support.pipeline import checked, stored_keys, ticketed, uploaded, work_off
from videos.errors import (
    BadRequest,
    Rejected,
    ToolExhausted,
    ToolFailed,
    Unavailable,
    UnknownVideo,
    UnreadableBody,
)
from videos.model import State
from videos.steps.attempts import begin, interrupted
from videos.steps.check_upload import check_upload
from videos.steps.endings import fail
from videos.steps.read_video import delete_video, parse_id
from videos.steps.recover_videos import recover_videos, redrive
from videos.steps.request_upload import receive_file
from videos.steps.transcode_video import transcode_video
from videos.tools import MediaTools

MIB = 1024**2


# ── POST /upload ─────────────────────────────────────────────────────────────────


def test_a_ticket_registers_a_video_that_awaits_its_upload(service):
    video = ticketed(service, filename="clip.mov", content_type="video/quicktime")

    assert service.videos.get(video.id).state is State.AWAITING_UPLOAD
    assert (video.filename, video.content_type) == ("clip.mov", "video/quicktime")


def test_the_parameters_of_a_content_type_are_dropped(service):
    assert ticketed(service, content_type="Video/MP4; codecs=avc1").content_type == "video/mp4"


@pytest.mark.parametrize("content_type", ["image/jpeg", "text/html", "video/webm", "video/mp4\r\nX: y"])
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
def test_a_file_name_is_sanitised_for_display(service, sent, shown):
    assert ticketed(service, filename=sent).filename == shown


@pytest.mark.parametrize("size", [0, -1, 6 * MIB + 1])
def test_an_invalid_size_gets_no_ticket(service, size):
    with pytest.raises(Rejected, match="Invalid file size") as rejected:
        ticketed(service, size=size)
    assert rejected.value.suggestions


def test_an_exact_size_requires_put(service):
    with pytest.raises(BadRequest):
        ticketed(service, exact_size=True)


# ── S3 ObjectCreated ─────────────────────────────────────────────────────────────


def test_a_good_upload_is_taken_and_queued(service, clip):
    video = checked(service, clip())

    assert video.state is State.QUEUED
    assert stored_keys(service, video) == {video.source.key, *(output.key for output in video.outputs)}
    assert video.source.key != video.inbox_key
    assert (video.media.width_px, video.media.frame_rate, video.media.codec) == (720, 30.0, "h264")
    assert service.jobs.receive().video_id == video.id


def test_a_rejected_upload_keeps_every_violation_and_is_deleted(service, clip):
    video = checked(service, clip(size="640x480", rate="15"))

    assert video.state is State.REJECTED
    assert [violation.rule for violation in service.videos.get(video.id).problems] == [
        "resolution",
        "frame_rate",
    ]
    assert not stored_keys(service, video)
    assert service.jobs.receive() is None


def test_an_upload_over_the_size_limit_is_rejected_without_probing_it(service, tmp_path):
    huge = tmp_path / "huge.mp4"
    huge.write_bytes(bytes(6 * MIB + 1))

    video = checked(service, huge)

    assert [violation.rule for violation in video.problems] == ["size"]
    assert video.media is None


@pytest.mark.parametrize(("size", "verdict"), [("720x1280", State.QUEUED), ("640x480", State.REJECTED)])
def test_a_check_that_is_killed_right_after_it_wrote_its_verdict_has_put_the_job_before(
    service, clip, size, verdict
):
    def killed_after_its_write(call, work):
        answer = work()
        if call.startswith(("write queued", "write rejected")):
            raise Killed
        return answer

    video = uploaded(service, clip(size=size))
    worker = Worker(service, killed_after_its_write)

    with worker.at_work() as working:
        check_upload(video.id, working)

    assert worker.killed
    assert service.videos.get(video.id).state is verdict
    assert service.jobs.stats().waiting == 1  # to transcode it, or to remove its file


def test_checking_twice_changes_nothing(service, clip):
    video = checked(service, clip())

    assert check_upload(video.id, service) == video


def test_checking_before_the_upload_raises_file_not_found(service):
    with pytest.raises(FileNotFoundError):
        check_upload(ticketed(service).id, service)


def test_a_check_without_ffprobe_can_be_retried(service, clip):
    video = uploaded(service, clip())
    with pytest.raises(ToolFailed, match="cannot be started"):
        check_upload(video.id, replace(service, tools=MediaTools(ffprobe="no-such-ffprobe")))

    assert check_upload(video.id, service).state is State.QUEUED


def test_an_upload_to_a_deleted_video_is_deleted(service, clip):
    video = ticketed(service)
    delete_video(video.id, service)
    service.storage.save(clip(), video.inbox_key, content_type="video/mp4")

    with pytest.raises(UnknownVideo):
        check_upload(video.id, service)
    assert not stored_keys(service, video)


@pytest.mark.parametrize("state", ["queued", "processing", "completed", "rejected", "failed", "expired"])
@pytest.mark.thorough
def test_what_comes_later_under_a_ticket_does_not_stay_and_changes_nothing(
    service, clip, clock, tmp_path, state
):
    video = in_state(State(state), service, clip, clock)
    before = service.videos.get(video.id), stored_keys(service, video)
    huge = tmp_path / "huge.mp4"
    with huge.open("wb") as file:
        file.truncate(200 * MIB)
    service.storage.save(huge, video.inbox_key, content_type="video/mp4")

    check_upload(video.id, service)

    assert (service.videos.get(video.id), stored_keys(service, video)) == before


def in_state(state, service, clip, clock):
    if state is State.EXPIRED:
        video = ticketed(service)
        clock.advance(hours=2)
        return check_upload(video.id, service)
    video = checked(service, clip(size="640x480") if state is State.REJECTED else clip())
    if state is State.PROCESSING:
        return begin(video, state, service)
    if state is State.COMPLETED:
        return transcode_video(video.id, service)
    return fail(video, "It was tried too often.", service) if state is State.FAILED else video


def test_what_comes_while_the_file_is_checked_does_not_stay(service, clip, monkeypatch):
    video = uploaded(service, clip())
    fetch = service.storage.fetch

    def overwritten(key, to):
        answer = fetch(key, to)
        service.storage.save(clip(size="640x480"), video.inbox_key, content_type="video/mp4")
        return answer

    monkeypatch.setattr(service.storage, "fetch", overwritten)

    checked = check_upload(video.id, service)
    assert (checked.state, checked.media.width_px) == (State.QUEUED, 720)
    assert video.inbox_key not in stored_keys(service, video)


def test_an_upload_that_is_being_checked_is_left_alone(service, clip):
    video = begin(uploaded(service, clip()), State.AWAITING_UPLOAD, service)

    assert check_upload(video.id, service) == video


def test_the_check_of_a_worker_that_is_lost_is_done_by_another(service, clip, clock):
    video = begin(uploaded(service, clip()), State.AWAITING_UPLOAD, service)

    clock.advance(minutes=3)
    recover_videos(service)
    work_off(service)

    now = service.videos.get(video.id)
    assert (now.state, now.lost) == (State.COMPLETED, 1)


def test_a_file_sent_by_form_is_checked_once_though_storage_tells_of_it(service, clip, monkeypatch):
    save, told = service.storage.save, []

    def telling(file, key, *, content_type):
        stored = save(file, key, content_type=content_type)
        if key.startswith("uploads/"):
            told.append(check_upload(key.removeprefix("uploads/"), service).state)
        return stored

    monkeypatch.setattr(service.storage, "save", telling)

    video = receive_file("clip.mp4", "video/mp4", clip(), service)
    assert (told, video.state, video.playable) == ([State.AWAITING_UPLOAD], State.QUEUED, True)


# ── Tools that reach their limits, and workers that are lost ─────────────────────


def test_a_file_that_takes_too_long_to_check_is_rejected_the_second_time(service, clip, monkeypatch):
    video = uploaded(service, clip())

    def endless(*_, **__):
        raise ToolExhausted("ffprobe did not finish in 12 s.")

    monkeypatch.setattr("videos.checking.ffprobe.read_packets", endless)
    with pytest.raises(ToolExhausted):
        check_upload(video.id, service)
    waiting = service.videos.get(video.id)
    assert (waiting.state, waiting.exhausted, waiting.attempt) == (State.AWAITING_UPLOAD, 1, "")

    rejected = check_upload(video.id, service)

    assert rejected.state is State.REJECTED
    [violation] = rejected.problems
    assert (violation.rule, violation.found) == ("integrity", "It takes too long to read.")


def test_a_file_that_takes_too_long_to_encode_is_rejected_the_second_time(service, clip, monkeypatch):
    video = checked(service, clip())

    def endless(*_, **__):
        raise ToolExhausted("ffmpeg did not finish in 220 s.")

    monkeypatch.setattr("videos.steps.transcode_video.make_ladder", endless)
    with pytest.raises(ToolExhausted):
        transcode_video(video.id, service)

    rejected = transcode_video(video.id, service)

    assert (rejected.state, rejected.playable) == (State.REJECTED, False)
    assert [violation.rule for violation in rejected.problems] == ["integrity"]
    assert not stored_keys(service, video)


@pytest.mark.parametrize("state", [State.AWAITING_UPLOAD, State.PROCESSING])
def test_a_video_whose_worker_is_lost_five_times_alone_fails(service, clip, state):
    video = uploaded(service, clip()) if state is State.AWAITING_UPLOAD else checked(service, clip())
    for _ in range(5):
        video = begin(video, state, service)

    failed = begin(video, state, service)

    assert (failed.state, failed.lost) == (State.FAILED, 5)
    assert failed.failure == "Its worker was lost 5 times."
    assert service.jobs.dead() == [video.id]


def test_a_loss_that_others_share_is_not_counted(service, clip):
    video = begin(checked(service, clip()), State.PROCESSING, service)

    interrupted(video.id, service, alone=False)
    assert (service.videos.get(video.id).attempt, service.videos.get(video.id).lost) == ("", 0)

    begin(service.videos.get(video.id), State.PROCESSING, service)
    interrupted(video.id, service, alone=True)
    assert service.videos.get(video.id).lost == 1
    assert transcode_video(video.id, service, first_try=True).state is State.COMPLETED


@pytest.mark.thorough
def test_a_check_that_fails_five_times_through_no_fault_of_the_file_fails_the_video(service, clip):
    without_ffprobe = replace(service, tools=MediaTools(ffprobe="no-such-ffprobe"))
    video = uploaded(service, clip())
    for _ in range(4):
        with pytest.raises(ToolFailed):
            check_upload(video.id, without_ffprobe)

    failed = check_upload(video.id, without_ffprobe)

    assert "no-such-ffprobe cannot be started" in failed.failure
    assert service.jobs.dead() == [video.id]
    redrive(service)
    assert service.videos.get(video.id).state is State.AWAITING_UPLOAD
    assert check_upload(video.id, service).state is State.QUEUED
    assert transcode_video(video.id, service).state is State.COMPLETED


def test_a_check_leaves_the_workspace_empty(service, clip):
    checked(service, clip())

    assert not list(service.workspace.iterdir())


# ── DELETE ───────────────────────────────────────────────────────────────────────


def test_deleting_a_video_deletes_its_record_upload_and_outputs(service, clip):
    video = transcode_video(checked(service, clip()).id, service)
    assert len(stored_keys(service, video)) > 3

    delete_video(video.id, service)

    assert not stored_keys(service, video)
    with pytest.raises(UnknownVideo):
        service.videos.get(video.id)


def test_deleting_twice_raises_unknown_video(service):
    video = ticketed(service)
    delete_video(video.id, service)

    with pytest.raises(UnknownVideo):
        delete_video(video.id, service)


@pytest.mark.parametrize("text", ["none", "", "..", "../uploads", "a/b", "0" * 36, "x" * 10_000])
def test_a_malformed_id_is_an_unknown_video(text):
    with pytest.raises(UnknownVideo):
        parse_id(text)


# ── Every minute ─────────────────────────────────────────────────────────────────


def test_an_unused_ticket_expires(service, clock):
    video = ticketed(service)

    clock.advance(minutes=5)
    recover_videos(service)
    work_off(service)
    assert service.videos.get(video.id).state is State.AWAITING_UPLOAD

    clock.advance(hours=1)
    recover_videos(service)
    work_off(service)
    assert service.videos.get(video.id).state is State.EXPIRED


@pytest.mark.thorough
def test_an_unused_ticket_is_looked_at_twice(service, clock):
    ticketed(service)
    looks = 0

    for _ in range(70):
        clock.advance(minutes=1)
        looks += len(recover_videos(service))
        work_off(service)

    assert looks == 2


def test_an_upload_whose_event_was_lost_is_checked(service, clip, clock):
    video = uploaded(service, clip())

    clock.advance(minutes=5)
    recover_videos(service)

    assert transcode_video(service.jobs.receive().video_id, service).state is State.QUEUED
    assert service.videos.get(video.id).playable


def test_a_video_whose_job_was_lost_is_requeued(service, clip, clock):
    video = checked(service, clip())
    service.jobs.done(service.jobs.receive())

    clock.advance(minutes=35)
    recover_videos(service)

    assert service.jobs.receive().video_id == video.id


def test_a_video_waiting_in_a_backlog_is_not_requeued(service, clip, clock):
    checked(service, clip())

    for _ in range(5):
        clock.advance(minutes=5)
        recover_videos(service)

    assert service.jobs.stats().waiting == 1


def test_an_unexpected_error_on_one_video_does_not_block_the_others(service, clock, monkeypatch):
    first, second = ticketed(service), ticketed(service)
    put = service.jobs.put
    monkeypatch.setattr(
        service.jobs, "put", lambda video_id: {}[0] if video_id == first.id else put(video_id)
    )

    clock.advance(hours=2)
    outcomes = dict(recover_videos(service))

    assert outcomes[first.id].startswith("KeyError")
    assert outcomes[second.id] == "awaiting_upload"


def test_a_duplicated_write_still_deletes_a_rejected_upload(service, clip, monkeypatch):
    video = uploaded(service, clip(size="640x480"))
    update = service.videos.update
    monkeypatch.setattr(service.videos, "update", lambda *write: [update(*write), update(*write)])

    assert check_upload(video.id, service).state is State.REJECTED
    assert not stored_keys(service, video)


def test_videos_that_keep_failing_do_not_fill_the_page(service, clock, monkeypatch):
    lost = [ticketed(service) for _ in range(3)]
    monkeypatch.setattr(service.jobs, "put", lambda video_id: {}[video_id])
    clock.advance(hours=2)
    recover_videos(service, limit=3)
    monkeypatch.undo()
    unused = ticketed(service)
    service.videos.update(unused.postponed(clock() - service.silence_limit))

    assert unused.id in dict(recover_videos(service, limit=3))
    assert all(video.id not in dict(recover_videos(service, limit=3)) for video in lost)


def test_all_overdue_videos_are_recovered_page_by_page(service, clock):
    unused = {ticketed(service).id for _ in range(7)}

    clock.advance(hours=2)

    assert set(dict(recover_videos(service, limit=2))) == unused
    work_off(service)
    assert {service.videos.get(video_id).state for video_id in unused} == {State.EXPIRED}


def test_the_videos_of_a_page_are_recovered_side_by_side(service, clock, monkeypatch):
    unused = {ticketed(service).id for _ in range(4)}
    put, all_of_them_put = service.jobs.put, Barrier(4)
    monkeypatch.setattr(
        service.jobs, "put", lambda video_id: (all_of_them_put.wait(timeout=20), put(video_id))
    )

    clock.advance(hours=2)

    assert dict(recover_videos(service)) == dict.fromkeys(unused, "awaiting_upload")


def test_a_round_of_recovery_that_is_out_of_time_leaves_the_rest_to_the_next(service, clock):
    unused = ticketed(service)
    clock.advance(hours=2)

    assert recover_videos(service, within_s=0) == []
    assert service.videos.get(unused.id) == unused
    assert dict(recover_videos(service)) == {unused.id: "awaiting_upload"}


@pytest.mark.thorough
def test_a_video_that_nobody_works_on_waits_however_long_and_fails_never(service, clip, clock):
    video = checked(service, clip())

    for _ in range(14 * 24 * 2):  # two weeks, looked at every half hour
        clock.advance(minutes=30)
        recover_videos(service)

    assert service.videos.get(video.id).state is State.QUEUED
    assert service.jobs.dead() == []
    assert service.jobs.stats().waiting < 100  # six a day
    assert transcode_video(video.id, service).state is State.COMPLETED


def test_the_pause_between_spare_jobs_grows_until_the_video_is_worked_on(service, clip, clock):
    video = checked(service, clip())
    pauses_min = []

    for _ in range(5):
        due = service.videos.get(video.id).recover_at
        clock.advance(minutes=(due - clock()).total_seconds() / 60)
        recover_videos(service)
        pauses_min.append(round((service.videos.get(video.id).recover_at - clock()).total_seconds() / 60))

    assert pauses_min == [30, 60, 120, 240, 240]
    begin(service.videos.get(video.id), State.PROCESSING, service)
    clock.advance(minutes=3)  # its worker is lost
    recover_videos(service)
    assert service.videos.get(video.id).recover_at == clock() + timedelta(minutes=30)


def test_a_failed_video_is_erased_after_a_month_files_first(service, clip, clock, monkeypatch):
    video = fail(checked(service, clip()), "The disk was full.", service)
    assert {key.partition("/")[0] for key in stored_keys(service, video)} == {"sources", "outputs"}

    clock.advance(days=29)
    assert recover_videos(service) == []
    clock.advance(days=1)
    recover_videos(service)
    with monkeypatch.context() as broken:
        broken.setattr(type(service.videos), "delete", unavailable)
        with pytest.raises(Unavailable):
            transcode_video(video.id, service)
    assert not stored_keys(service, video)
    clock.advance(minutes=30)

    assert dict(recover_videos(service)) == {video.id: "failed"}
    work_off(service)
    with pytest.raises(UnknownVideo):
        service.videos.get(video.id)


def unavailable(*_: object) -> None:
    raise Unavailable("The table is away.")


def test_a_failed_video_that_was_redriven_is_not_erased(service, clip, clock):
    video = fail(checked(service, clip()), "The disk was full.", service)
    clock.advance(days=13)
    redrive(service)

    clock.advance(days=18)
    recover_videos(service)

    assert transcode_video(video.id, service).state is State.COMPLETED


def test_a_finished_video_is_not_recovered(service, clip, clock):
    transcode_video(checked(service, clip()).id, service)

    clock.advance(days=1)

    assert recover_videos(service) == []
