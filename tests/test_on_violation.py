"""A clip that breaks the spec, where somebody has asked for it to be fixed: from the ticket to what plays."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from dev.clips import damaged, ffmpeg
from support.media_tools import TOOLS, fake_tool
from support.pipeline import checked, fetched, stored_keys, ticketed, work_off
from videos.checking import rules
from videos.checking.probe import probe
from videos.checking.verdict import OFFER
from videos.errors import QuotaExceeded, ToolExhausted, ToolFailed
from videos.fix import Fit, Fix, OnViolation
from videos.model import State
from videos.quota import Quota
from videos.steps.check_upload import check_upload
from videos.steps.read_video import delete_video
from videos.steps.transcode_video import transcode_video
from videos.tools import MediaTools

FIX = OnViolation.FIX
SIX_MIB, HUNDRED_MIB = 6_291_456, 104_857_600
PHONE = {"width": 1080, "height": 1920, "fps": 60, "size": 48_000_000, "duration": 20}
thorough = pytest.mark.thorough


def post(call, path: str, **body):
    return call("POST", path, json.dumps(body), Content_Type="application/json")


def request(call, **wanted):
    return post(
        call, "/upload", **{"filename": "a.mov", "content_type": "video/quicktime", "size": 1} | wanted
    )


# ── Tickets ──────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("method", ["POST", "PUT"])
@pytest.mark.parametrize(
    ("wish", "max_bytes"),
    [({}, SIX_MIB), ({"on_violation": "reject"}, SIX_MIB), ({"on_violation": "fix"}, HUNDRED_MIB)],
)
def test_a_ticket_for_a_clip_to_fix_takes_larger_files(call, wish, max_bytes, method):
    status, ticket, _ = request(call, method=method, **wish)

    assert (status, ticket["upload"]["max_bytes"]) == (201, max_bytes)


def test_what_can_be_fixed_gets_a_ticket_if_that_is_asked_for(call):
    assert request(call, **PHONE)[0] == 422
    assert request(call, **PHONE, on_violation="fix")[0] == 201


def test_a_larger_file_than_is_fixed_gets_no_ticket(call):
    assert request(call, size=HUNDRED_MIB, on_violation="fix")[0] == 201

    status, answer, _ = request(call, size=HUNDRED_MIB + 1, on_violation="fix")

    assert status == 422
    assert answer["violations"][0]["expected"] == "1 to 104,857,600 bytes (100 MiB)"


def test_the_deployment_says_what_to_do_unless_the_request_does(call, monkeypatch):
    monkeypatch.setenv("ON_VIOLATION", "fix")

    assert request(call, **PHONE)[0] == 201
    assert request(call, **PHONE, on_violation=None)[0] == 201
    assert request(call, **PHONE, on_violation="reject")[0] == 422
    assert post(call, "/preflight", **PHONE)[1]["accepted"]


def test_the_deployment_says_how_large_a_file_is_fixed(call, monkeypatch):
    monkeypatch.setenv("MAX_FIX_BYTES", "20000000")

    assert request(call, on_violation="fix")[1]["upload"]["max_bytes"] == 20_000_000
    assert request(call, size=20_000_001, on_violation="fix")[0] == 422


def test_uppy_may_ask_for_a_fix_too(call):
    path = f"/s3/params?filename=a.mov&type=video/quicktime&size={PHONE['size']}"

    assert call("GET", path)[0] == 422
    assert call("GET", f"{path}&on_violation=fix&fit=cover")[0] == 200


@pytest.mark.parametrize("wrong", [{"on_violation": "repair"}, {"on_violation": True}, {"fit": "stretch"}])
@pytest.mark.parametrize("path", ["/upload", "/preflight"])
def test_an_unknown_wish_is_a_400_that_names_it(call, path, wrong):
    body = {"filename": "a.mp4", "content_type": "video/mp4", "size": 1} if path == "/upload" else {}

    status, answer, _ = post(call, path, **body, **wrong)

    assert (status, answer["code"]) == (400, "bad_request")
    assert f"$.{next(iter(wrong))}" in answer["error"]


def test_the_quota_counts_what_the_ticket_allows(service):
    limited = replace(service, quota=Quota(size_bytes=50_000_000))

    ticketed(limited, owner="me")
    with pytest.raises(QuotaExceeded):
        ticketed(limited, owner="me", on_violation=FIX)
    exact = {"method": "PUT", "exact_size": True, "size": 40_000_000}
    ticketed(limited, owner="me", on_violation=FIX, **exact)


# ── Before the upload ────────────────────────────────────────────────────────────


def test_preflight_tells_what_would_be_fixed(call):
    status, answer, _ = post(call, "/preflight", **PHONE, on_violation="fix")

    assert status == 200
    assert (answer["accepted"], answer["violations"]) == (True, [])
    assert [(fix["rule"], fix["found"], fix["made"]) for fix in answer["fixes"]] == [
        ("resolution", "1080x1920", "720x1280"),
        ("frame_rate", "60 fps", "30 fps"),
        ("size", "48,000,000 bytes", "at most 6,291,456 bytes"),
    ]


def test_preflight_of_a_conforming_clip_tells_of_no_fixes(call):
    answer = post(call, "/preflight", width=720, height=1280, fps=30, on_violation="fix")[1]

    assert answer["accepted"]
    assert "fixes" not in answer


def test_one_violation_that_stays_rejects_a_clip_with_all_of_them(call):
    answer = post(call, "/preflight", **PHONE | {"duration": 75}, on_violation="fix")[1]

    assert not answer["accepted"]
    assert "fixes" not in answer
    assert [violation["rule"] for violation in answer["violations"]] == [
        "duration", "resolution", "frame_rate", "size",
    ]  # fmt: skip


def test_the_error_of_a_clip_that_cannot_be_fixed_is_what_no_fix_removes(call):
    known = {"filename": "a.mov", "content_type": "video/quicktime", "on_violation": "fix"}
    too_long = post(call, "/upload", **known, **PHONE | {"duration": 75})[1]
    too_large = post(call, "/upload", **known, **PHONE | {"size": HUNDRED_MIB + 1})[1]

    assert too_long["error"] == "Invalid duration: 75 s"
    assert too_large["error"] == "Invalid file size: 104,857,601 bytes"


def test_a_rejection_offers_a_fix_to_the_developer_where_it_would_help(call):
    for path in ("/preflight", "/upload"):
        known = {"filename": "a.mov", "content_type": "video/quicktime"} if path == "/upload" else {}
        fixable = post(call, path, **known, **PHONE)[1]["violations"]
        too_long = post(call, path, **known, **PHONE | {"duration": 75})[1]["violations"]
        too_large = post(call, path, **known, **PHONE | {"size": HUNDRED_MIB + 1})[1]["violations"]

        assert all(OFFER in violation["suggestions_for"]["developer"] for violation in fixable)
        assert all(f"App developer: {OFFER}" in violation["suggestions"] for violation in fixable)
        assert not [violation for violation in too_long + too_large if OFFER in str(violation)]
        assert not [
            text for violation in fixable for text in violation["suggestions_for"]["ios"] if OFFER in text
        ]


# ── The check ────────────────────────────────────────────────────────────────────


def sent(service, file: Path, *, on_violation=FIX, **wanted):
    video = ticketed(service, on_violation=on_violation, **wanted)
    service.storage.save(file, video.inbox_key, content_type="video/mp4")
    return video


def checked_to_fix(service, file: Path, **wanted):
    return check_upload(sent(service, file, **wanted).id, service)


@pytest.fixture
def wide(clip):
    """A clip that breaks two rules."""
    return clip(seconds=1, size="640x360", rate="60")


def test_a_clip_to_fix_is_queued_and_plays_later(service, wide):
    video = checked_to_fix(service, wide)

    assert (video.state, video.playable, video.progress) == (State.QUEUED, False, 0)
    assert video.fixes == (
        Fix(rule="resolution", found="640x360", made="720x1280"),
        Fix(rule="frame_rate", found="60 fps", made="30 fps"),
    )
    assert not video.problems
    assert stored_keys(service, video) == {video.source.key}
    assert service.jobs.stats().waiting == 1


def test_a_clip_to_fix_is_not_published_as_it_is_even_if_it_could_be_copied(local_service, clip):
    video = checked_to_fix(local_service, clip(size="360x640"))

    assert (video.state, video.outputs) == (State.QUEUED, ())


def test_a_clip_that_is_only_too_large_is_fixed(local_service, clip):
    small = replace(local_service, spec=replace(local_service.spec, max_bytes=clip().stat().st_size - 1))

    video = checked_to_fix(small, clip())

    assert [fix.rule for fix in video.fixes] == ["size"]


def test_without_the_wish_it_is_rejected(service, wide):
    video = checked(service, wide)

    assert (video.state, video.fixes) == (State.REJECTED, ())
    assert [violation.rule for violation in video.problems] == ["resolution", "frame_rate"]
    assert OFFER in video.problems[0].suggestions_for.developer


def test_a_conforming_clip_with_the_wish_plays_at_once_as_ever(service, clip):
    plain, wished = checked(service, clip()), checked_to_fix(service, clip())

    assert wished.playable
    assert wished.fixes == ()
    assert (wished.state, wished.progress) == (plain.state, plain.progress)
    assert [(output.name, output.size_bytes) for output in wished.outputs] == [
        (output.name, output.size_bytes) for output in plain.outputs
    ]


@pytest.mark.parametrize(("on_violation", "limit"), [(OnViolation.REJECT, 2000), (FIX, 3000)])
def test_a_file_over_its_ceiling_is_rejected_before_it_is_downloaded(
    service, tmp_path, monkeypatch, on_violation, limit
):
    service = replace(service, spec=replace(service.spec, max_bytes=2000, max_fix_bytes=3000))
    file = tmp_path / "large"
    file.write_bytes(bytes(limit + 1))
    video = sent(service, file, on_violation=on_violation, size=1, method="PUT")
    monkeypatch.setattr(service.storage, "fetch", None)

    rejected = check_upload(video.id, service)

    assert rejected.state is State.REJECTED
    assert rejected.problems[0].expected.startswith(f"1 to {limit:,} bytes")


@thorough
@pytest.mark.parametrize(
    ("what", "rules_broken"),
    [
        ("noise", {"content", "integrity"}),
        ("too long", {"resolution", "duration"}),
        ("cut off", {"integrity"}),
    ],
)
def test_what_cannot_be_fixed_is_rejected_with_every_violation(
    local_service, clip, tmp_path, what, rules_broken
):
    file = tmp_path / "bad.mp4"
    if what == "noise":
        file.write_bytes(bytes(range(256)) * 100)
    else:
        data = clip(seconds=3, size="640x360").read_bytes()
        file.write_bytes(data[:30_000] if what == "cut off" else data)
    service = replace(local_service, spec=replace(local_service.spec, max_duration_s=2))

    video = checked_to_fix(service, file)

    assert (video.state, video.fixes) == (State.REJECTED, ())
    assert {violation.rule for violation in video.problems} >= rules_broken
    assert not [violation for violation in video.problems if OFFER in violation.suggestions_for.developer]


def test_a_form_with_a_clip_to_fix_is_told_what_will_be_changed(call, clip):
    parts = b"".join(
        f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in {"on_violation": "fix", "fit": "cover"}.items()
    )
    head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.mp4"\r\n\r\n'
    body = parts + head + clip(size="640x360").read_bytes() + b"\r\n--b--\r\n"

    status, answer, _ = call("POST", "/upload", body, Content_Type="multipart/form-data; boundary=b")

    assert (status, answer["state"]) == (201, "queued")
    assert answer["fixes"] == [{"rule": "resolution", "found": "640x360", "made": "720x1280"}]
    assert answer["specs"]["width"] == 640
    video_path = f"/videos/{answer['id']}"
    assert call("GET", f"{video_path}/status")[1]["fixes"] == answer["fixes"]
    assert call("GET", video_path)[1]["fixes"] == answer["fixes"]
    assert call("GET", "/videos")[1]["videos"][0]["fixes"] == answer["fixes"]
    assert call("GET", f"{video_path}/video.mp4")[0] == 409


def test_a_form_with_an_unknown_wish_is_a_400(call):
    body = (
        b'--b\r\nContent-Disposition: form-data; name="fit"\r\n\r\nstretch\r\n'
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.mp4"\r\n\r\nx\r\n--b--\r\n'
    )

    status, answer, _ = call("POST", "/upload", body, Content_Type="multipart/form-data; boundary=b")

    assert (status, answer["error"]) == (400, "fit must be contain or cover.")


# ── The transcode ────────────────────────────────────────────────────────────────


@thorough
def test_a_fixed_clip_keeps_the_spec_and_gets_every_rendition(service, wide, tmp_path):
    video = transcode_video(checked_to_fix(service, wide).id, service)

    assert (video.state, video.playable, video.progress) == (State.COMPLETED, True, 100)
    assert {output.name for output in video.outputs} == {"720p", "540p", "360p", "poster", "sprite"}
    assert all(output.segments for output in video.outputs if output.codec == "h264")
    assert video.blurhash
    assert [fix.rule for fix in video.fixes] == ["resolution", "frame_rate"]
    assert (video.media.width_px, video.media.height_px, video.media.frame_rate) == (720, 1280, 30.0)
    again = probe(fetched(service, video, "720p", tmp_path), TOOLS)
    assert rules.check(again) == ()
    assert stored_keys(service, video) == video.files


@thorough
def test_the_720p_plays_before_the_other_renditions_are_made(service, wide, monkeypatch):
    queued = checked_to_fix(service, wide)
    written = []
    update = service.videos.update
    monkeypatch.setattr(service.videos, "update", lambda video: written.append(update(video)) or written[-1])

    transcode_video(queued.id, service)

    first = next(video for video in written if video.playable)
    assert (first.state, first.progress) == (State.PROCESSING, 50)
    assert [output.name for output in first.outputs] == ["720p", "poster"]
    assert max(video.progress for video in written if not video.playable) <= 50
    assert [video.progress for video in written] == sorted(video.progress for video in written)


@thorough
@pytest.mark.parametrize("fit", Fit)
def test_the_ticket_says_how_the_picture_fits(local_service, clip, tmp_path, fit):
    white = clip(size="640x360", video_filter="drawbox=color=white:thickness=fill")

    video = transcode_video(checked_to_fix(local_service, white, fit=fit).id, local_service)

    corner = pixel(fetched(local_service, video, "720p", tmp_path), x=10, y=10)
    assert corner > 200 if fit is Fit.COVER else corner < 30


def pixel(path: Path, *, x: int, y: int) -> int:
    """The luma at a point of the first picture."""
    raw = path.with_suffix(".gray")
    ffmpeg("-i", str(path), "-frames:v", "1", "-f", "rawvideo", "-pix_fmt", "gray", str(raw))
    return raw.read_bytes()[y * 720 + x]


@thorough
def test_a_later_attempt_takes_up_what_was_fixed(local_service, wide, monkeypatch):
    queued = checked_to_fix(local_service, wide)
    save = local_service.storage.save

    def no_ladder(file, key, **more):
        if "540p" in key:
            raise ToolFailed("ffmpeg was killed by signal 9.")
        return save(file, key, **more)

    monkeypatch.setattr(local_service.storage, "save", no_ladder)
    with pytest.raises(ToolFailed):
        transcode_video(queued.id, local_service)
    waiting = local_service.videos.get(queued.id)
    assert (waiting.playable, waiting.attempts) == (True, 1)
    monkeypatch.setattr(local_service.storage, "save", save)
    local_service.storage.delete(waiting.source.key)  # it is not needed any more

    video = transcode_video(queued.id, local_service)

    assert video.state is State.COMPLETED
    assert video.output("720p") == waiting.output("720p")


@thorough
def test_a_fix_that_breaks_the_spec_fails_the_video_and_not_the_file(local_service, wide):
    queued = checked_to_fix(local_service, wide)
    impossible = replace(local_service, spec=replace(local_service.spec, codecs=("hevc",)))

    for _ in range(4):
        with pytest.raises(ToolFailed, match="The fixed clip breaks the spec: Invalid codec"):
            transcode_video(queued.id, impossible)
    video = transcode_video(queued.id, impossible)

    assert (video.state, video.problems) == (State.FAILED, ())
    assert local_service.storage.stat(video.source.key)


@thorough
def test_a_fix_that_twice_takes_too_long_rejects_the_file(local_service, wide, monkeypatch):
    queued = checked_to_fix(local_service, wide)
    monkeypatch.setattr("videos.making.fixing.FIX_TIMEOUT_S", 0.01)

    with pytest.raises(ToolExhausted):
        transcode_video(queued.id, local_service)
    video = transcode_video(queued.id, local_service)

    assert video.state is State.REJECTED
    assert [problem.rule for problem in video.problems] == ["integrity", "resolution", "frame_rate"]
    assert stored_keys(local_service, video) == set()


@thorough
def test_a_tool_that_is_killed_while_it_fixes_is_run_again(local_service, wide, tmp_path):
    queued = checked_to_fix(local_service, wide)
    killed = fake_tool(tmp_path, local_service.tools.ffmpeg)
    dying = replace(local_service, tools=MediaTools(str(killed), local_service.tools.ffprobe))

    with pytest.raises(ToolFailed):
        transcode_video(queued.id, dying)

    assert local_service.videos.get(queued.id).attempts == 1
    assert transcode_video(queued.id, local_service).state is State.COMPLETED


@thorough
def test_a_clip_that_is_deleted_while_it_is_fixed_leaves_nothing(local_service, wide, monkeypatch):
    queued = checked_to_fix(local_service, wide)
    save = local_service.storage.save

    def deleted(file, key, **more):
        delete_video(queued.id, local_service)
        monkeypatch.setattr(local_service.storage, "save", save)
        return save(file, key, **more)

    monkeypatch.setattr(local_service.storage, "save", deleted)
    with pytest.raises(Exception, match=queued.id):
        transcode_video(queued.id, local_service)
    work_off(local_service)

    assert list(local_service.storage.keys("")) == []


@thorough
def test_a_clip_whose_sound_is_all_broken_is_fixed_without(local_service, clip, tmp_path):
    broken = damaged(clip(size="640x360"), tmp_path / "damaged.mp4", "a", share=1.0, kept_bytes=0)

    video = transcode_video(checked_to_fix(local_service, broken).id, local_service)

    assert (video.state, video.media.audio) == (State.COMPLETED, None)
    assert video.warnings == ("The audio cannot be decoded; the video is silent.",)


@thorough
def test_a_clip_whose_picture_is_damaged_is_rejected(local_service, clip, tmp_path):
    broken = damaged(clip(seconds=3, size="640x360"), tmp_path / "damaged.mp4", "v")

    video = transcode_video(checked_to_fix(local_service, broken).id, local_service)

    assert [violation.rule for violation in video.problems] == ["integrity", "resolution"]
    assert video.problems[0].found == "The video frames cannot be decoded."
    assert not stored_keys(local_service, video)
