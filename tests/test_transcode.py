"""From an accepted upload to files that play: on real clips, on every set of adapters."""

from dataclasses import replace
from pathlib import Path

import pytest

from clips import BT709, crop_by_box, ffmpeg, probe_lines, rewrap
from test_steps import checked, stored_keys, uploaded
from videos import steps
from videos.errors import ToolFailed, UnknownVideo
from videos.model import State
from videos.tools import MediaTools
from videos.transcode import transcode

pytestmark = pytest.mark.thorough


def fetched(service, video, name: str, folder: Path) -> Path:
    path = folder / f"{name}.file"
    service.storage.fetch(video.output(name).key, path)
    return path


def picture(path: Path) -> str:
    """codec, profile-free: "h264 720x1280 yuv420p bt709"."""
    [line] = probe_lines(
        path, "-select_streams", "v:0", "-show_entries", "stream=codec_name,width,height,pix_fmt,color_space"
    )
    fields = dict(field.split("=") for field in line.split("|") if "=" in field)
    return "{codec_name} {width}x{height} {pix_fmt} {color_space}".format(**fields)


def decoded(path: Path) -> list[str]:
    """A hash of every decoded frame."""
    lines = ffmpeg("-i", str(path), "-map", "0:v:0", "-f", "framemd5", "-").splitlines()
    return [line.rpartition(",")[2] for line in lines if not line.startswith("#")]


def test_a_video_ends_up_with_a_ladder_and_a_poster(service, clip, tmp_path):
    video = transcode(checked(service, clip()).id, service)

    assert (video.state, video.progress, video.playable) == (State.COMPLETED, 100, True)
    assert {output.name for output in video.outputs} == {"720p", "540p", "360p", "poster", "sprite"}
    assert picture(fetched(service, video, "720p", tmp_path)) == "h264 720x1280 yuv420p bt709"
    assert picture(fetched(service, video, "540p", tmp_path)) == "h264 540x960 yuv420p bt709"
    assert picture(fetched(service, video, "360p", tmp_path)) == "h264 360x640 yuv420p bt709"
    assert picture(fetched(service, video, "poster", tmp_path)).startswith("mjpeg 720x1280")


def test_the_picture_of_a_plain_h264_is_copied_frame_by_frame(service, clip, tmp_path):
    video = transcode(checked(service, clip()).id, service)

    assert decoded(fetched(service, video, "720p", tmp_path)) == decoded(clip())


def test_it_is_playable_before_the_ladder_is_begun(service, clip):
    video = checked(service, clip())
    only_copies = replace(service.tools, ffmpeg=str(fake_tool(service.workspace, service.tools.ffmpeg)))

    with pytest.raises(ToolFailed):
        transcode(video.id, replace(service, tools=only_copies))

    video = service.videos.get(video.id)
    assert (video.state, video.playable) == (State.PROCESSING, True)
    assert {output.name for output in video.outputs} == {"720p", "poster"}


def fake_tool(folder: Path, ffmpeg: str, *, asked_for: str = "libx264", does: str = "kill -9 $$") -> Path:
    """An ffmpeg that is killed as soon as it is asked to encode, or does something else then."""
    path = folder / "fake-ffmpeg"
    path.write_text(f'#!/bin/sh\ncase "$*" in *"{asked_for}"*) {does};; esac\nexec {ffmpeg} "$@"\n')
    path.chmod(0o755)
    return path


def test_hevc_plays_at_once_as_hvc1_and_everywhere_in_the_end(service, clip, tmp_path):
    video = transcode(checked(service, clip(codec="libx265")).id, service)

    copy = fetched(service, video, "720p-hevc", tmp_path)
    [tag] = probe_lines(copy, "-select_streams", "v:0", "-show_entries", "stream=codec_tag_string")
    assert "hvc1" in tag
    assert picture(fetched(service, video, "720p", tmp_path)) == "h264 720x1280 yuv420p bt709"


def test_a_turned_picture_plays_at_once_and_stands_upright_in_the_end(service, clip, tmp_path):
    turned = rewrap(clip(size="1280x720"), tmp_path / "turned.mp4", before=("-display_rotation", "90"))

    video = transcode(checked(service, turned).id, service)

    assert video.output("720p-turned")
    assert picture(fetched(service, video, "720p", tmp_path)) == "h264 720x1280 yuv420p bt709"
    assert picture(fetched(service, video, "360p", tmp_path)) == "h264 360x640 yuv420p bt709"


@pytest.mark.parametrize(
    ("kind", "wanted"),
    [
        ("10-bit", {"pixels": "yuv420p10le"}),
        ("4:4:4", {"pixels": "yuv444p"}),
        ("full range", {"pixels": "yuvj420p", "colour": BT709.replace("tv", "pc")}),
    ],
)
def test_what_phones_cannot_play_is_encoded_not_copied(service, clip, tmp_path, kind, wanted):
    video = transcode(checked(service, clip(**wanted)).id, service)

    assert video.state is State.COMPLETED, kind
    assert picture(fetched(service, video, "720p", tmp_path)) == "h264 720x1280 yuv420p bt709"
    [line] = probe_lines(
        fetched(service, video, "720p", tmp_path),
        "-select_streams",
        "v:0",
        "-show_entries",
        "stream=color_range",
    )
    assert "tv" in line


def test_a_picture_whose_copy_fails_is_encoded(service, clip):
    no_copies = fake_tool(service.workspace, service.tools.ffmpeg, asked_for="-c:v copy", does="exit 1")

    video = transcode(
        checked(service, clip()).id, replace(service, tools=replace(service.tools, ffmpeg=str(no_copies)))
    )

    assert (video.state, video.playable) == (State.COMPLETED, True)
    assert {output.name for output in video.outputs} == {"720p", "540p", "360p", "poster", "sprite"}


def test_a_silent_video_stays_silent(service, clip, tmp_path):
    video = transcode(checked(service, clip(sound=False)).id, service)

    assert video.state is State.COMPLETED
    assert not probe_lines(
        fetched(service, video, "720p", tmp_path), "-select_streams", "a", "-show_entries", "stream=index"
    )


def test_sound_that_browsers_do_not_play_becomes_aac(service, clip, tmp_path):
    video = transcode(checked(service, clip(suffix=".mov", options=("-c:a", "pcm_s16le"))).id, service)

    [line] = probe_lines(
        fetched(service, video, "720p", tmp_path),
        "-select_streams",
        "a",
        "-show_entries",
        "stream=codec_name",
    )
    assert "aac" in line


def test_no_place_device_or_date_leaves(service, clip, tmp_path):
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

    video = transcode(checked(service, marked).id, service)

    for output in video.outputs:
        leaked = fetched(service, video, output.name, tmp_path).read_bytes()
        assert not any(secret.encode() in leaked for secret in secrets), output.name


# ── Delivered at least once, in any order ────────────────────────────────────────


def test_a_completed_video_is_not_touched_again(service, clip):
    video = transcode(checked(service, clip()).id, service)

    assert transcode(video.id, service) == video


def test_a_second_attempt_takes_over_and_keeps_what_was_published(service, clip):
    video = checked(service, clip())
    only_copies = replace(service.tools, ffmpeg=str(fake_tool(service.workspace, service.tools.ffmpeg)))
    with pytest.raises(ToolFailed):
        transcode(video.id, replace(service, tools=only_copies))
    first = service.videos.get(video.id)

    video = transcode(video.id, service)

    assert (video.state, video.attempts) == (State.COMPLETED, 2)
    assert video.output("720p") == first.output("720p")
    assert stored_keys(service, video) == {video.source_key} | {output.key for output in video.outputs}


def test_an_attempt_that_was_overtaken_stops_and_leaves_nothing(service, clip, monkeypatch):
    video = checked(service, clip())
    save = service.storage.save

    def overtaken(file, key, *, content_type):
        monkeypatch.undo()
        transcode(video.id, service)  # another delivery of the same job does it all meanwhile
        return save(file, key, content_type=content_type)

    monkeypatch.setattr(service.storage, "save", overtaken)

    video = transcode(video.id, service)

    assert video.state is State.COMPLETED
    assert stored_keys(service, video) == {video.source_key} | {output.key for output in video.outputs}


def test_a_video_deleted_meanwhile_leaves_nothing(service, clip, monkeypatch):
    video = checked(service, clip())
    save = service.storage.save

    def deleted(file, key, *, content_type):
        monkeypatch.undo()
        steps.delete_video(video.id, service)
        return save(file, key, content_type=content_type)

    monkeypatch.setattr(service.storage, "save", deleted)

    with pytest.raises(UnknownVideo):
        transcode(video.id, service)
    assert not stored_keys(service, video)


def test_a_job_that_overtakes_the_check_does_both(service, clip):
    video = uploaded(service, clip())

    assert transcode(video.id, service).state is State.COMPLETED


def test_a_job_that_comes_just_before_the_check_has_written_its_end_is_not_lost(service, clip, monkeypatch):
    before = uploaded(service, clip())
    steps.check_upload(before.id, service)
    get, answers = service.videos.get, iter([before])
    monkeypatch.setattr(service.videos, "get", lambda video_id: next(answers, None) or get(video_id))

    assert transcode(before.id, service).state is State.COMPLETED


def test_an_upload_replaced_by_a_bad_one_after_its_check_is_rejected(service, clip):
    video = checked(service, clip())
    service.storage.save(clip(size="640x480"), video.source_key, content_type="video/mp4")

    video = transcode(video.id, service)

    assert video.state is State.REJECTED
    assert not stored_keys(service, video)


def test_the_last_try_that_fails_says_so_and_keeps_the_upload(service, clip):
    video = checked(service, clip())
    without_ffmpeg = replace(service, tools=MediaTools(ffmpeg="no-such-ffmpeg"))

    failed = transcode(video.id, without_ffmpeg, last_try=True)

    assert failed.state is State.FAILED
    assert "no-such-ffmpeg cannot be started" in failed.failure
    assert stored_keys(service, failed) == {video.source_key}


def failed(service, clip):
    without_ffmpeg = replace(service, tools=MediaTools(ffmpeg="no-such-ffmpeg"))
    return transcode(checked(service, clip()).id, without_ffmpeg, last_try=True)


def test_a_spare_job_brings_no_failed_video_back(service, clip):
    video = failed(service, clip)

    assert transcode(video.id, service) == video


def test_a_failed_video_that_an_operator_sends_back_completes(service, clip):
    video = failed(service, clip)
    assert service.jobs.dead() == [video.id]

    assert steps.redrive(service) == 1

    assert service.jobs.dead() == []
    back = service.videos.get(video.id)
    assert (back.state, back.attempts, back.failure) == (State.QUEUED, 0, "")
    assert transcode(video.id, service).state is State.COMPLETED


def test_a_new_job_leaves_an_attempt_alone_that_has_just_written(service, clip, clock):
    working = begun(service, checked(service, clip()), clock)

    assert transcode(working.id, service, first_try=True) == working
    assert service.jobs.stats().waiting == 2  # its own, and one that looks again


def test_a_new_job_takes_over_from_an_attempt_that_has_gone_silent(service, clip, clock):
    working = begun(service, checked(service, clip()), clock)

    clock.advance(seconds=61)

    assert transcode(working.id, service, first_try=True).state is State.COMPLETED


def test_a_clock_that_is_far_off_holds_no_video(service, clip, clock):
    working = begun(service, checked(service, clip()), clock)

    clock.advance(hours=-1)

    assert transcode(working.id, service, first_try=True).state is State.COMPLETED


def test_a_job_that_comes_again_takes_over_at_once(service, clip, clock):
    working = begun(service, checked(service, clip()), clock)

    assert transcode(working.id, service).state is State.COMPLETED


def begun(service, video, clock):
    recover_at = clock() + service.look_again
    return service.videos.update(video.to(State.PROCESSING, at=clock(), recover_at=recover_at, attempt="a1"))


def test_an_attempt_whose_worker_is_told_to_stop_is_not_counted(service, clip, clock):
    working = begun(service, checked(service, clip()), clock)
    service.videos.update(replace(working, attempts=5))

    steps.set_aside(working.id, service)

    assert service.videos.get(working.id).attempts == 4
    assert transcode(working.id, service).state is State.COMPLETED


def test_an_ffmpeg_that_hangs_is_ended_and_the_next_delivery_completes(service, clip, monkeypatch):
    video = checked(service, clip())
    hanging = service.workspace / "ffmpeg-that-hangs"
    hanging.write_text("#!/bin/sh\nexec sleep 1000\n")
    hanging.chmod(0o755)
    monkeypatch.setattr("videos.transcode.PLAYABLE_TIMEOUT_S", 0.3)

    with pytest.raises(ToolFailed, match=r"did not finish in 0\.3 s"):
        transcode(video.id, replace(service, tools=replace(service.tools, ffmpeg=str(hanging))))
    monkeypatch.undo()

    assert transcode(video.id, service).state is State.COMPLETED


def test_a_disk_that_is_full_refuses_no_video(service, clip):
    video = checked(service, clip())
    full = service.workspace / "ffmpeg-without-space"
    full.write_text("#!/bin/sh\nexit 228\n")
    full.chmod(0o755)

    with pytest.raises(ToolFailed, match="the disk is full"):
        transcode(video.id, replace(service, tools=replace(service.tools, ffmpeg=str(full))))

    assert transcode(video.id, service).state is State.COMPLETED


def test_a_video_that_was_begun_often_enough_is_not_begun_again(service, clip, clock):
    working = begun(service, checked(service, clip()), clock)
    tired = service.videos.update(replace(working, attempts=5))

    assert transcode(tired.id, service) == tired


def test_a_write_whose_answer_was_lost_and_that_was_sent_again_is_still_ours(service, clip, monkeypatch):
    video = checked(service, clip())
    update = service.videos.update

    def sent_twice(*write):
        update(*write)
        return update(*write)

    monkeypatch.setattr(service.videos, "update", sent_twice)

    assert transcode(video.id, service).state is State.COMPLETED


def test_progress_never_goes_down(service, clip, monkeypatch):
    seen = []
    update = service.videos.update
    monkeypatch.setattr(
        service.videos, "update", lambda video, counts: seen.append(video.progress) or update(video, counts)
    )

    transcode(checked(service, clip(seconds=5)).id, service)

    assert seen == sorted(seen)
    assert seen[-1] == 100


# ── Files that turn out to be broken ─────────────────────────────────────────────


def damaged(clip: Path, path: Path, track: str) -> Path:
    """``clip`` with the second half of one track's packets overwritten; its headers stay right."""
    lines = probe_lines(clip, "-select_streams", track, "-show_entries", "packet=pos,size")
    packets = [tuple(int(field.partition("=")[2]) for field in line.split("|")[:2]) for line in lines]
    data = bytearray(clip.read_bytes())
    for size, pos in packets[len(packets) // 2 :]:
        data[pos + 5 : pos + size] = b"\x55" * (size - 5)
    path.write_bytes(data)
    return path


def test_a_video_with_broken_frames_is_rejected_and_nothing_of_it_kept(service, clip, tmp_path):
    video = checked(service, damaged(clip(seconds=3), tmp_path / "damaged.mp4", "v"))

    video = transcode(video.id, service)

    assert (video.state, video.playable, video.outputs) == (State.REJECTED, False, ())
    assert [problem.found for problem in video.problems] == ["Its frames cannot be decoded."]
    assert not stored_keys(service, video)


def test_broken_sound_alone_does_not_refuse_a_good_picture(service, clip, tmp_path):
    sound = damaged(clip(seconds=2, options=("-c:a", "ac3")), tmp_path / "damaged.mp4", "a")

    video = transcode(checked(service, sound).id, service)

    assert video.state is State.COMPLETED
    assert video.warnings == ("Its sound cannot be read; the video is silent.",)
    assert not probe_lines(
        fetched(service, video, "540p", tmp_path), "-select_streams", "a", "-show_entries", "stream=index"
    )


def test_a_trimmed_clip_passes_and_what_was_cut_off_stays_away(service, clip, tmp_path):
    long = clip(seconds=3, options=("-g", "300"))
    trimmed = tmp_path / "trimmed.mp4"
    ffmpeg("-ss", "1", "-i", str(long), "-c", "copy", str(trimmed))
    shown = len(decoded(trimmed))

    video = transcode(checked(service, trimmed).id, service)

    packets = probe_lines(
        fetched(service, video, "720p", tmp_path), "-select_streams", "v", "-show_entries", "packet=flags"
    )
    assert video.state is State.COMPLETED
    assert len(packets) == shown < 3 * 30


def test_what_the_container_crops_is_cropped_for_good(service, clip, tmp_path):
    shown = crop_by_box(clip(size="752x1312"), tmp_path / "shown.mp4", width=720, height=1280)

    video = transcode(checked(service, shown).id, service)

    assert {output.name for output in video.outputs} == {"720p", "540p", "360p", "poster", "sprite"}
    assert picture(fetched(service, video, "720p", tmp_path)) == "h264 720x1280 yuv420p bt709"


def test_a_picture_with_open_gops_can_be_sought(service, clip, tmp_path):
    open_gops = clip(
        seconds=3, options=("-x264-params", "open-gop=1:keyint=20:min-keyint=20:bframes=3:scenecut=0")
    )

    video = transcode(checked(service, open_gops).id, service)

    played = fetched(service, video, "720p", tmp_path)
    assert ffmpeg(
        "-ss", "1.6", "-i", str(played), "-map", "0:v", "-frames:v", "1", "-f", "framemd5", "-"
    ).count("0,")


def test_a_huge_file_put_over_a_queued_video_is_refused_without_a_download(
    service, clip, tmp_path, monkeypatch
):
    video = checked(service, clip())
    huge = tmp_path / "huge.mp4"
    huge.write_bytes(bytes(7_000_000))
    service.storage.save(huge, video.source_key, content_type="video/mp4")
    monkeypatch.setattr(service.storage, "fetch", lambda *_: pytest.fail("it was downloaded"))

    video = transcode(video.id, service)

    assert [problem.rule for problem in video.problems] == ["size"]


def test_a_good_file_put_over_a_queued_video_is_what_gets_published(service, clip):
    video = checked(service, clip())
    service.storage.save(clip(seconds=2), video.source_key, content_type="video/mp4")

    video = transcode(video.id, service)

    assert video.source.size_bytes == clip(seconds=2).stat().st_size
    assert video.media.frame_count == 60


# ── Killed between one line and the next ─────────────────────────────────────────


def leave_behind(service, video, clip) -> None:
    service.storage.save(clip, f"{video.outputs_prefix}0123456789ab/720p.mp4", content_type="video/mp4")


def test_what_a_killed_attempt_left_of_a_deleted_video_is_removed_by_the_next_delivery(service, clip):
    video = checked(service, clip())
    steps.delete_video(video.id, service)
    leave_behind(service, video, clip())

    with pytest.raises(UnknownVideo):
        transcode(video.id, service)
    assert not stored_keys(service, video)


def test_what_a_killed_attempt_left_of_a_completed_video_is_removed_by_the_next_delivery(service, clip):
    video = transcode(checked(service, clip()).id, service)
    leave_behind(service, video, clip())

    transcode(video.id, service)

    assert stored_keys(service, video) == video.files


def test_what_a_killed_attempt_left_of_a_rejected_video_is_removed_by_the_next_delivery(service, clip):
    video = checked(service, clip(size="640x480"))
    leave_behind(service, video, clip())

    transcode(video.id, service)

    assert not stored_keys(service, video)


def test_a_rejecting_attempt_that_was_overtaken_by_a_delete_ends_quietly(service, clip, monkeypatch):
    video = checked(service, clip())
    service.storage.save(clip(size="640x480"), video.source_key, content_type="video/mp4")
    fetch = service.storage.fetch

    def deleted(key, to):
        stored = fetch(key, to)
        steps.delete_video(video.id, service)
        return stored

    monkeypatch.setattr(service.storage, "fetch", deleted)

    with pytest.raises(UnknownVideo):
        transcode(video.id, service)


def test_an_upload_that_is_gone_fails_its_video(service, clip):
    video = checked(service, clip())
    service.storage.delete(video.source_key)

    video = transcode(video.id, service)

    assert (video.state, video.failure) == (State.FAILED, "The uploaded file is gone.")


def test_a_sweep_spares_the_attempt_that_runs_and_takes_what_others_left(service, clip, clock):
    video = checked(service, clip())
    now = video.to(State.PROCESSING, at=clock(), recover_at=clock(), attempt="running")
    service.videos.update(now)
    for attempt in ("killed", "running", "ours"):
        service.storage.save(clip(), f"{video.outputs_prefix}{attempt}/720p.mp4", content_type="video/mp4")

    steps.sweep(video.id, service, over="ours")

    assert stored_keys(service, video) == {video.source_key, f"{now.attempt_prefix}720p.mp4"}


def test_a_sweep_takes_nothing_of_an_attempt_that_begins_while_it_looks(service, clip, clock, monkeypatch):
    video = failed(service, clip)
    made = f"{video.outputs_prefix}new/720p.mp4"

    def begin_after(look):
        def looked(*asked):
            found = look(*asked)
            found = found if look == get else list(found)
            monkeypatch.undo()
            steps.redrive(service)
            begun = get(video.id).to(State.PROCESSING, at=clock(), recover_at=clock(), attempt="new")
            service.videos.update(begun)
            service.storage.save(clip(), made, content_type="video/mp4")
            return found

        return looked

    get = service.videos.get
    monkeypatch.setattr(service.videos, "get", begin_after(get))
    monkeypatch.setattr(service.storage, "keys", begin_after(service.storage.keys))

    steps.sweep(video.id, service)

    assert made in stored_keys(service, video)
