"""Transcoding an accepted upload: real clips, on every set of adapters."""

from dataclasses import replace
from pathlib import Path

import pytest

from dev.clips import BT709, crop_by_box, damaged, ffmpeg, probe_lines, rewrap
from support.media_tools import fake_tool
from support.pipeline import checked, fetched, stored_keys, uploaded
from videos.errors import ToolExhausted, ToolFailed, UnknownVideo
from videos.model import State
from videos.steps.attempts import begin, interrupted
from videos.steps.endings import sweep
from videos.steps.read_video import delete_video
from videos.steps.recover_videos import redrive
from videos.steps.transcode_video import transcode_video
from videos.tools import MediaTools

pytestmark = pytest.mark.thorough


def video_format(path: Path) -> str:
    """Codec, size, pixel format and colour space: "h264 720x1280 yuv420p bt709"."""
    [line] = probe_lines(
        path, "-select_streams", "v:0", "-show_entries", "stream=codec_name,width,height,pix_fmt,color_space"
    )
    fields = dict(field.split("=") for field in line.split("|") if "=" in field)
    return "{codec_name} {width}x{height} {pix_fmt} {color_space}".format(**fields)


def decoded(path: Path) -> list[str]:
    """A hash of every decoded frame."""
    lines = ffmpeg("-i", str(path), "-map", "0:v:0", "-f", "framemd5", "-").splitlines()
    return [line.rpartition(",")[2] for line in lines if not line.startswith("#")]


def test_a_completed_video_has_every_rendition_poster_and_sprite(service, clip, tmp_path):
    video = transcode_video(checked(service, clip()).id, service)

    assert (video.state, video.progress, video.playable) == (State.COMPLETED, 100, True)
    assert {output.name for output in video.outputs} == {"720p", "540p", "360p", "poster", "sprite"}
    assert video_format(fetched(service, video, "720p", tmp_path)) == "h264 720x1280 yuv420p bt709"
    assert video_format(fetched(service, video, "540p", tmp_path)) == "h264 540x960 yuv420p bt709"
    assert video_format(fetched(service, video, "360p", tmp_path)) == "h264 360x640 yuv420p bt709"
    assert video_format(fetched(service, video, "poster", tmp_path)).startswith("mjpeg 720x1280")


def test_plain_h264_is_stream_copied_frame_by_frame(service, clip, tmp_path):
    video = transcode_video(checked(service, clip()).id, service)

    assert decoded(fetched(service, video, "720p", tmp_path)) == decoded(clip())


def test_a_video_is_playable_as_soon_as_it_is_checked(service, clip):
    video = checked(service, clip())

    assert (video.state, video.playable, video.progress) == (State.QUEUED, True, 5)
    assert {output.name for output in video.outputs} == {"720p", "poster"}
    assert video.blurhash


def test_hevc_is_copied_as_hvc1_first_and_then_encoded_as_h264(service, clip, tmp_path):
    video = transcode_video(checked(service, clip(codec="libx265")).id, service)

    copy = fetched(service, video, "720p-hevc", tmp_path)
    [tag] = probe_lines(copy, "-select_streams", "v:0", "-show_entries", "stream=codec_tag_string")
    assert "hvc1" in tag
    assert video_format(fetched(service, video, "720p", tmp_path)) == "h264 720x1280 yuv420p bt709"


def test_a_rotated_video_is_copied_first_and_then_encoded_upright(service, clip, tmp_path):
    turned = rewrap(clip(size="1280x720"), tmp_path / "turned.mp4", before=("-display_rotation", "90"))

    video = transcode_video(checked(service, turned).id, service)

    assert video.output("720p-turned")
    assert video_format(fetched(service, video, "720p", tmp_path)) == "h264 720x1280 yuv420p bt709"
    assert video_format(fetched(service, video, "360p", tmp_path)) == "h264 360x640 yuv420p bt709"


@pytest.mark.parametrize(
    ("kind", "wanted"),
    [
        ("10-bit", {"pixels": "yuv420p10le"}),
        ("4:4:4", {"pixels": "yuv444p"}),
        ("full range", {"pixels": "yuvj420p", "colour": BT709.replace("tv", "pc")}),
    ],
)
def test_formats_that_phones_cannot_play_are_encoded_not_copied(service, clip, tmp_path, kind, wanted):
    video = transcode_video(checked(service, clip(**wanted)).id, service)

    assert video.state is State.COMPLETED, kind
    assert video_format(fetched(service, video, "720p", tmp_path)) == "h264 720x1280 yuv420p bt709"
    [line] = probe_lines(
        fetched(service, video, "720p", tmp_path),
        "-select_streams",
        "v:0",
        "-show_entries",
        "stream=color_range",
    )
    assert "tv" in line


def test_a_video_whose_stream_copy_fails_is_encoded(service, clip):
    no_copies = fake_tool(service.workspace, service.tools.ffmpeg, asked_for="-c copy", does="exit 1")
    without_copies = replace(service, tools=replace(service.tools, ffmpeg=str(no_copies)))

    video = checked(without_copies, clip())
    assert (video.state, video.playable, video.outputs) == (State.QUEUED, False, ())

    video = transcode_video(video.id, without_copies)
    assert (video.state, video.playable) == (State.COMPLETED, True)
    assert {output.name for output in video.outputs} == {"720p", "540p", "360p", "poster", "sprite"}


def test_a_video_without_audio_stays_silent(service, clip, tmp_path):
    video = transcode_video(checked(service, clip(sound=False)).id, service)

    assert video.state is State.COMPLETED
    assert not probe_lines(
        fetched(service, video, "720p", tmp_path), "-select_streams", "a", "-show_entries", "stream=index"
    )


def test_audio_that_browsers_cannot_play_becomes_aac(service, clip, tmp_path):
    video = transcode_video(checked(service, clip(suffix=".mov", options=("-c:a", "pcm_s16le"))).id, service)

    [line] = probe_lines(
        fetched(service, video, "720p", tmp_path),
        "-select_streams",
        "a",
        "-show_entries",
        "stream=codec_name",
    )
    assert "aac" in line


def test_outputs_contain_no_location_device_or_date(service, clip, tmp_path):
    secrets = ("+52.5200+013.4050/", "SecretPhone 9", "2001-02-03")
    marked = rewrap(
        clip(),
        tmp_path / "marked.mov",
        "-metadata", f"location={secrets[0]}",
        "-metadata", f"com.apple.quicktime.location.ISO6709={secrets[0]}",
        "-metadata", f"model={secrets[1]}",
        "-metadata:s:v", f"handler_name={secrets[1]}",
        "-metadata", f"title={secrets[2]}",
        "-movflags", "use_metadata_tags",
    )  # fmt: skip
    assert all(secret.encode() in marked.read_bytes() for secret in secrets)

    video = transcode_video(checked(service, marked).id, service)

    for output in video.outputs:
        leaked = fetched(service, video, output.name, tmp_path).read_bytes()
        assert not any(secret.encode() in leaked for secret in secrets), output.name


# ── Delivered at least once, in any order ──────────────────────────────────────


def test_a_completed_video_is_not_transcoded_again(service, clip):
    video = transcode_video(checked(service, clip()).id, service)

    assert transcode_video(video.id, service) == video


def test_an_attempt_keeps_published_outputs(service, clip):
    video = checked(service, clip())
    only_copies = replace(service.tools, ffmpeg=str(fake_tool(service.workspace, service.tools.ffmpeg)))
    with pytest.raises(ToolFailed):
        transcode_video(video.id, replace(service, tools=only_copies))

    done = transcode_video(video.id, service)

    assert (done.state, done.attempts) == (State.COMPLETED, 1)
    assert done.output("720p") == video.output("720p")
    assert stored_keys(service, done) == {done.source.key} | {output.key for output in done.outputs}


def test_an_attempt_that_loses_its_race_leaves_no_files(service, clip, monkeypatch):
    video = checked(service, clip())
    save = service.storage.save

    def overtaken(file, key, *, content_type):
        monkeypatch.undo()
        transcode_video(video.id, service)  # another delivery of the same job completes it meanwhile
        return save(file, key, content_type=content_type)

    monkeypatch.setattr(service.storage, "save", overtaken)

    video = transcode_video(video.id, service)

    assert video.state is State.COMPLETED
    assert stored_keys(service, video) == {video.source.key} | {output.key for output in video.outputs}


def test_a_video_deleted_during_an_attempt_leaves_no_files(service, clip, monkeypatch):
    video = checked(service, clip())
    save = service.storage.save

    def deleted(file, key, *, content_type):
        monkeypatch.undo()
        delete_video(video.id, service)
        return save(file, key, content_type=content_type)

    monkeypatch.setattr(service.storage, "save", deleted)

    with pytest.raises(UnknownVideo):
        transcode_video(video.id, service)
    assert not stored_keys(service, video)


def test_a_job_for_an_upload_that_nobody_checked_checks_it(service, clip):
    video = uploaded(service, clip())

    assert transcode_video(video.id, service).state is State.QUEUED
    assert service.jobs.receive().video_id == video.id  # for the rest


def test_a_job_that_overtakes_the_check_comes_again(service, clip):
    begun = begin(uploaded(service, clip()), State.AWAITING_UPLOAD, service)

    assert transcode_video(begun.id, service, first_try=True) == begun
    assert service.jobs.stats().waiting == 1


def test_a_video_whose_file_was_exchanged_in_storage_is_not_transcoded(service, clip):
    video = checked(service, clip())
    service.storage.save(clip(size="640x480"), video.source.key, content_type="video/mp4")

    failed = transcode_video(video.id, service)

    assert (failed.state, failed.failure) == (State.FAILED, "The uploaded file was deleted.")


def test_a_video_that_fails_five_times_is_marked_failed_and_keeps_its_file(service, clip):
    video = checked(service, clip())

    failed = tried_five_times(service, video)

    assert failed.state is State.FAILED
    assert "no-such-ffmpeg cannot be started" in failed.failure
    assert stored_keys(service, failed) == {video.source.key, *(output.key for output in video.outputs)}


def tried_five_times(service, video):
    without_ffmpeg = replace(service, tools=MediaTools(ffmpeg="no-such-ffmpeg"))
    for _ in range(4):
        with pytest.raises(ToolFailed):
            transcode_video(video.id, without_ffmpeg)
    return transcode_video(video.id, without_ffmpeg)


def failed(service, clip):
    return tried_five_times(service, checked(service, clip()))


def test_a_spare_job_does_not_revive_a_failed_video(service, clip):
    video = failed(service, clip)

    assert transcode_video(video.id, service) == video


def test_a_redriven_video_completes(service, clip):
    video = failed(service, clip)
    assert service.jobs.dead() == [video.id]

    assert redrive(service) == 1

    assert service.jobs.dead() == []
    back = service.videos.get(video.id)
    assert (back.state, back.attempts, back.failure) == (State.QUEUED, 0, "")
    assert transcode_video(video.id, service).state is State.COMPLETED


def test_a_new_job_leaves_a_live_attempt_alone(service, clip, clock):
    working = with_attempt(service, checked(service, clip()), clock)

    assert transcode_video(working.id, service, first_try=True) == working
    assert service.jobs.stats().waiting == 2  # its own, and one that checks again


def test_a_new_job_takes_over_from_a_stalled_attempt(service, clip, clock):
    working = with_attempt(service, checked(service, clip()), clock)

    clock.advance(seconds=91)

    assert transcode_video(working.id, service, first_try=True).state is State.COMPLETED


def test_clock_skew_does_not_block_a_video(service, clip, clock):
    working = with_attempt(service, checked(service, clip()), clock)

    clock.advance(hours=-1)

    assert transcode_video(working.id, service, first_try=True).state is State.COMPLETED


def test_a_redelivered_job_takes_over_immediately(service, clip, clock):
    working = with_attempt(service, checked(service, clip()), clock)

    assert transcode_video(working.id, service).state is State.COMPLETED


def with_attempt(service, video, clock):
    recover_at = clock() + service.silence_limit
    return service.videos.update(video.to(State.PROCESSING, at=clock(), recover_at=recover_at, attempt="a1"))


def test_an_attempt_interrupted_by_a_shutdown_is_not_counted(service, clip, clock):
    working = with_attempt(service, checked(service, clip()), clock)

    interrupted(working.id, service, alone=False)

    done = transcode_video(working.id, service, first_try=True)
    assert (done.state, done.attempts, done.lost) == (State.COMPLETED, 0, 0)


def test_a_hanging_ffmpeg_is_killed_and_the_next_delivery_completes(service, clip, monkeypatch):
    video = checked(service, clip())
    hanging = service.workspace / "ffmpeg-that-hangs"
    hanging.write_text("#!/bin/sh\nexec sleep 1000\n")
    hanging.chmod(0o755)
    monkeypatch.setattr("videos.making.outputs.LADDER_TIMEOUT_S", 0.3)

    with pytest.raises(ToolExhausted, match=r"did not finish in 0\.3 s"):
        transcode_video(video.id, replace(service, tools=replace(service.tools, ffmpeg=str(hanging))))
    monkeypatch.undo()

    assert transcode_video(video.id, service).state is State.COMPLETED


def test_a_full_disk_does_not_reject_the_video(service, clip):
    video = checked(service, clip())
    full = service.workspace / "ffmpeg-without-space"
    full.write_text("#!/bin/sh\nexit 228\n")
    full.chmod(0o755)

    with pytest.raises(ToolFailed, match="the disk is full"):
        transcode_video(video.id, replace(service, tools=replace(service.tools, ffmpeg=str(full))))

    assert transcode_video(video.id, service).state is State.COMPLETED


def test_a_write_retried_after_a_lost_response_still_succeeds(service, clip, monkeypatch):
    video = checked(service, clip())
    update = service.videos.update

    def sent_twice(*write):
        update(*write)
        return update(*write)

    monkeypatch.setattr(service.videos, "update", sent_twice)

    assert transcode_video(video.id, service).state is State.COMPLETED


def test_progress_never_goes_down(service, clip, monkeypatch):
    seen = []
    update = service.videos.update
    monkeypatch.setattr(service.videos, "update", lambda video: seen.append(video.progress) or update(video))

    transcode_video(checked(service, clip(seconds=5)).id, service)

    assert seen == sorted(seen)
    assert seen[-1] == 100


# ── Files that turn out to be broken ───────────────────────────────────────────


def test_a_video_with_broken_frames_is_rejected_and_its_files_deleted(service, clip, tmp_path):
    video = checked(service, damaged(clip(seconds=3), tmp_path / "damaged.mp4", "v"))

    video = transcode_video(video.id, service)

    assert (video.state, video.playable, video.outputs) == (State.REJECTED, False, ())
    assert [violation.found for violation in video.problems] == ["The video frames cannot be decoded."]
    assert not stored_keys(service, video)


def test_audio_that_is_broken_in_part_is_kept_in_every_rendition(service, clip, tmp_path):
    sound = damaged(clip(seconds=2, options=("-c:a", "ac3")), tmp_path / "damaged.mp4", "a")

    video = transcode_video(checked(service, sound).id, service)

    assert (video.state, video.warnings) == (State.COMPLETED, ())
    for name in ("720p", "540p", "360p"):
        [line] = probe_lines(
            fetched(service, video, name, tmp_path),
            "-select_streams",
            "a",
            "-show_entries",
            "stream=duration",
        )
        assert float(line.partition("=")[2]) == pytest.approx(2, abs=0.1), name


def test_audio_that_is_all_broken_does_not_reject_a_video(service, clip, tmp_path):
    sound = damaged(clip(seconds=2), tmp_path / "damaged.mp4", "a", share=1.0, kept_bytes=0)

    video = transcode_video(checked(service, sound).id, service)

    assert video.state is State.COMPLETED
    assert video.warnings == ("The audio cannot be decoded; the video is silent.",)
    assert not probe_lines(
        fetched(service, video, "540p", tmp_path), "-select_streams", "a", "-show_entries", "stream=index"
    )


DAMAGE = "[h264 @ 0x1] [error] error while decoding MB 4 7, bytestream -5"
HOUSEKEEPING = (
    "[h264 @ 0x1] [error] mmco: unref short failure",
    "[h264 @ 0x1] [error] co located POCs unavailable",
    "[hevc @ 0x1] [error] Could not find ref with POC 12",
    "[mov,mp4 @ 0x1] [error] non monotonically increasing dts",
    "[aost#0:1/aac @ 0x1] [warning] Queue input is backward in time",
)


def with_ffmpeg(service, does: str, asked_for: str = "libx264"):
    """``service`` with an ffmpeg that does this first when it is asked for something."""
    tool = fake_tool(service.workspace, service.tools.ffmpeg, asked_for=asked_for, does=does)
    return replace(service, tools=replace(service.tools, ffmpeg=str(tool)))


def test_one_damaged_frame_is_a_rejection_although_ffmpeg_exits_0(local_service, clip):
    complaining = with_ffmpeg(local_service, f"echo '{DAMAGE}' >&2")

    video = transcode_video(checked(local_service, clip()).id, complaining)

    assert (video.state, [problem.rule for problem in video.problems]) == (State.REJECTED, ["integrity"])
    assert DAMAGE in video.failure


def test_what_ffmpeg_repairs_is_no_damage(local_service, clip):
    lines = "\\n".join(HOUSEKEEPING)
    complaining = with_ffmpeg(local_service, f"printf '{lines}\\n' >&2")

    assert transcode_video(checked(local_service, clip()).id, complaining).state is State.COMPLETED


def test_an_encode_that_loses_frames_is_not_published(local_service, clip):
    losing = with_ffmpeg(local_service, f'exec {local_service.tools.ffmpeg} -t 0.5 "$@"')

    video = transcode_video(checked(local_service, clip(sound=False)).id, losing)

    assert (video.state, video.outputs) == (State.REJECTED, ())
    assert "15 of 30 frames" in video.failure


def test_a_copy_that_loses_frames_is_not_published_and_the_video_is_encoded(local_service, clip, tmp_path):
    losing = with_ffmpeg(
        local_service, f'exec {local_service.tools.ffmpeg} -t 0.5 "$@"', asked_for="-c:v copy"
    )

    video = transcode_video(checked(local_service, clip(sound=False)).id, losing)

    assert video.state is State.COMPLETED
    assert len(decoded(fetched(local_service, video, "720p", tmp_path))) == 30


def test_a_copy_that_loses_sound_is_not_published(local_service, clip, tmp_path):
    silent = 'case "$*" in *libx264*) ;; *) exec ' + local_service.tools.ffmpeg + ' -an "$@";; esac'
    losing = with_ffmpeg(local_service, silent, asked_for="-c:v copy")

    video = transcode_video(checked(local_service, clip()).id, losing)

    tracks = {
        name: len(probe_lines(fetched(local_service, video, name, tmp_path), "-show_entries", "stream=index"))
        for name in ("720p", "540p", "360p")
    }
    assert video.state is State.COMPLETED
    assert len(set(tracks.values())) == 1, tracks  # sound in all, or in none


def test_a_trimmed_clip_completes_without_the_frames_that_were_cut(service, clip, tmp_path):
    long = clip(seconds=3, options=("-g", "300"))
    trimmed = tmp_path / "trimmed.mp4"
    ffmpeg("-ss", "1", "-i", str(long), "-c", "copy", str(trimmed))
    shown = len(decoded(trimmed))

    video = transcode_video(checked(service, trimmed).id, service)

    packets = probe_lines(
        fetched(service, video, "720p", tmp_path), "-select_streams", "v", "-show_entries", "packet=flags"
    )
    assert video.state is State.COMPLETED
    assert len(packets) == shown < 3 * 30


def test_container_cropping_is_applied_to_every_output(service, clip, tmp_path):
    padded = clip(size="768x1280", codec="libx265")  # to a whole block of 64 px, as many chips do
    shown = crop_by_box(padded, tmp_path / "shown.mp4", width=720, height=1280)

    video = transcode_video(checked(service, shown).id, service)

    assert {output.name for output in video.outputs} == {"720p", "540p", "360p", "poster", "sprite"}
    assert video_format(fetched(service, video, "720p", tmp_path)) == "h264 720x1280 yuv420p bt709"


def test_a_video_with_open_gops_is_seekable(service, clip, tmp_path):
    open_gops = clip(
        seconds=3, options=("-x264-params", "open-gop=1:keyint=20:min-keyint=20:bframes=3:scenecut=0")
    )

    video = transcode_video(checked(service, open_gops).id, service)

    played = fetched(service, video, "720p", tmp_path)
    assert ffmpeg(
        "-ss", "1.6", "-i", str(played), "-map", "0:v", "-frames:v", "1", "-f", "framemd5", "-"
    ).count("0,")


# ── Killed workers and races ───────────────────────────────────────────────────


def leave_output(service, video, clip) -> None:
    service.storage.save(clip, f"{video.outputs_prefix}0123456789ab/720p.mp4", content_type="video/mp4")


def test_the_next_delivery_deletes_the_files_of_a_killed_attempt_at_a_deleted_video(service, clip):
    video = checked(service, clip())
    delete_video(video.id, service)
    leave_output(service, video, clip())

    with pytest.raises(UnknownVideo):
        transcode_video(video.id, service)
    assert not stored_keys(service, video)


def test_the_next_delivery_deletes_the_files_of_a_killed_attempt_at_a_completed_video(service, clip):
    video = transcode_video(checked(service, clip()).id, service)
    leave_output(service, video, clip())

    transcode_video(video.id, service)

    assert stored_keys(service, video) == video.files


def test_the_next_delivery_deletes_the_files_of_a_killed_attempt_at_a_rejected_video(service, clip):
    video = checked(service, clip(size="640x480"))
    leave_output(service, video, clip())

    transcode_video(video.id, service)

    assert not stored_keys(service, video)


def test_an_attempt_that_rejects_a_deleted_video_raises_unknown_video(service, clip, tmp_path, monkeypatch):
    video = checked(service, damaged(clip(seconds=3), tmp_path / "damaged.mp4", "v"))
    fetch = service.storage.fetch

    def deleted(key, to):
        stored = fetch(key, to)
        delete_video(video.id, service)
        return stored

    monkeypatch.setattr(service.storage, "fetch", deleted)

    with pytest.raises(UnknownVideo):
        transcode_video(video.id, service)


def test_a_deleted_upload_fails_its_video(service, clip):
    video = checked(service, clip())
    service.storage.delete(video.source.key)

    video = transcode_video(video.id, service)

    assert (video.state, video.failure) == (State.FAILED, "The uploaded file was deleted.")


def test_a_sweep_spares_the_running_attempt_and_deletes_other_files(service, clip, clock):
    video = checked(service, clip())
    now = video.to(State.PROCESSING, at=clock(), recover_at=clock(), attempt="running")
    service.videos.update(now)
    running = {f"sources/{video.id}/running/source", f"outputs/{video.id}/running/540p.mp4"}
    others = {key.replace("running", attempt) for key in running for attempt in ("killed", "ours")}
    for key in running | others:
        service.storage.save(clip(), key, content_type="video/mp4")

    sweep(video.id, service, over="ours")

    assert stored_keys(service, video) == video.files | running


def test_a_sweep_spares_an_attempt_that_starts_meanwhile(service, clip, clock, monkeypatch):
    video = failed(service, clip)
    made = f"{video.outputs_prefix}new/720p.mp4"

    def start_after(read):
        def reading(*arguments):
            result = read(*arguments)
            result = result if read == get else list(result)
            monkeypatch.undo()
            redrive(service)
            started = get(video.id).to(State.PROCESSING, at=clock(), recover_at=clock(), attempt="new")
            service.videos.update(started)
            service.storage.save(clip(), made, content_type="video/mp4")
            return result

        return reading

    get = service.videos.get
    monkeypatch.setattr(service.videos, "get", start_after(get))
    monkeypatch.setattr(service.storage, "keys", start_after(service.storage.keys))

    sweep(video.id, service)

    assert made in stored_keys(service, video)
