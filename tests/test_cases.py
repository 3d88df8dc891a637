"""Every input of ``support.cases`` ends as it should: what the service made of it is decoded, all of it.

Run one of them by name: ``pytest tests/test_cases.py -k edit_loop``.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import read_video
from dev.clips import make_clip, rewrap
from support.api import Context
from support.cases import CASES, Case, Right, Tone
from support.cases.parts import clip
from support.cases.table import tones_of
from support.hls_truth import untruths
from support.judging import Outcome, faults
from support.pipeline import uploaded
from videos import wiring
from videos.fix import OnViolation
from videos.model import State
from videos.service import Service
from videos.steps.check_upload import check_upload
from videos.steps.transcode_video import transcode_video

pytestmark = pytest.mark.thorough


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    """The local one that the handlers of this process use too."""
    monkeypatch.setenv("STORAGE_MODE", "local")
    monkeypatch.setenv("LOCAL_FOLDER", str(tmp_path / "data"))
    monkeypatch.setenv("PUBLIC_URL", "http://localhost:8000")
    wiring.service.cache_clear()
    wiring.http_settings.cache_clear()
    yield wiring.service()
    wiring.service.cache_clear()
    wiring.http_settings.cache_clear()


@pytest.fixture
def end(service: Service, event: Callable) -> Callable[..., Outcome]:
    """Upload a file, check it, and make everything of it, at the first try."""

    def end(upload: Path, **wanted: Any) -> Outcome:
        checked = video = check_upload(uploaded(service, upload, **wanted).id, service)
        if checked.state is not State.REJECTED:
            video = transcode_video(checked.id, service)
        keys = service.storage.keys(video.outputs_prefix)
        files = [service.storage.path(key) for key in keys]  # type: ignore[attr-defined]

        def playlist(name: str) -> str:
            path = f"/videos/{video.id}/{name}"
            request = event("read_video") | {"path": path, "resource": path, "pathParameters": None}
            answer = read_video.handler(request, Context())
            assert answer["statusCode"] == 200, answer
            return str(answer["body"])

        return Outcome(checked, video, files, playlist)

    return end


@pytest.mark.parametrize("case", CASES.values(), ids=lambda case: case.name)
def test_a_file_ends_as_is_right_for_it(case: Case, case_folder: Path, end: Callable[[Path], Outcome]):
    outcome = end(case.make(case_folder))
    wrong = faults(outcome, case.right)

    assert not wrong, "\n".join(wrong)


def test_the_playlists_of_a_fixed_clip_are_true(end: Callable[..., Outcome], tmp_path: Path):
    wide = make_clip(tmp_path / "wide.mp4", seconds=5, size="1280x720", rate="60")

    outcome = end(wide, on_violation=OnViolation.FIX)

    assert [fix.rule for fix in outcome.video.fixes] == ["resolution", "frame_rate"]
    assert set(outcome.films) == {"720p", "540p", "360p"}
    assert untruths(outcome.playlist, outcome.films) == []


# ── The table ────────────────────────────────────────────────────────────────────


def test_there_are_six_or_more_of_every_kind():
    kinds = [case.kind for case in CASES.values()]

    assert all(kinds.count(kind) >= 6 for kind in kinds)
    assert sum(case.sample for case in CASES.values()) == 20


def test_every_case_says_what_it_is():
    assert all(case.about.endswith(".") and "\n" not in case.about for case in CASES.values())


# ── The judge ────────────────────────────────────────────────────────────────────

WHOLE = Right(numbers=range(180), tones=tones_of((0, 6)))


@pytest.mark.parametrize("codec", ["libx264", "libx265"])
def test_an_ordinary_clip_has_no_faults(case_folder, end, tmp_path, codec):
    outcome = end(clip(case_folder, codec=codec, b_frames=2).save(tmp_path / "clip.mp4"))

    assert "\n".join(faults(outcome, WHOLE)) == ""


def test_every_fault_is_found(case_folder, end, tmp_path):
    outcome = end(clip(case_folder).save(tmp_path / "clip.mp4"))
    late = [number / 30 + (number > 90) * 0.1 for number in range(180)]

    wrong = {
        "It is completed, not rejected by color": Right(rejected_by=("color",)),
        "It shows 0-179 (180), not 0-180 (181)": replace(WHOLE, numbers=[*range(180), 180]),
        "It shows 10 pictures too many": replace(WHOLE, numbers=range(170)),
        "89 pictures are shown at other times": replace(WHOLE, times_s=late),
        "It holds pictures that were cut off: 0.": replace(WHOLE, numbers=range(1, 180)),
        "It has sound": replace(WHOLE, tones=()),
        "1 of 1 tones are not heard": replace(WHOLE, tones=(Tone(0, 6, 1000),)),
        "The sound ends at 6.0": replace(WHOLE, tones=tones_of((0, 7))),
        "What was cut off is heard": replace(WHOLE, hidden_hz=600),
        "The luma at 1.0 s is": replace(WHOLE, luma={1.0: 17.0}),
    }
    for fault, right in wrong.items():
        assert fault in "\n".join(faults(outcome, right))


LIES = {
    "HLS 720p: EXTINF of segment 0 is 1.000 s; it lasts 2.0": ("720p.m3u8", "#EXTINF:2.0", "#EXTINF:1.0"),
    "HLS 540p: TARGETDURATION is 1": ("540p.m3u8", "TARGETDURATION:2", "TARGETDURATION:1"),
    "AVERAGE-BANDWIDTH is 1": ("master.m3u8", "AVERAGE-BANDWIDTH=", "AVERAGE-BANDWIDTH=1"),
    "BANDWIDTH is 1; the peak is": ("master.m3u8", ":BANDWIDTH=", ":BANDWIDTH=1,X="),
    "FRAME-RATE is 60.0; it is 30.000": ("master.m3u8", "FRAME-RATE=30", "FRAME-RATE=60"),
    "CODECS is avc1": ("master.m3u8", ",mp4a.40.2", ""),
    "of 720p and 540p, one has sound": ("master.m3u8", ",mp4a.40.2", "", 1),
}


def test_every_untruth_of_a_playlist_is_found(case_folder, end, tmp_path):
    outcome = end(clip(case_folder).save(tmp_path / "clip.mp4"))

    for fault, (name, *change) in LIES.items():
        truth = outcome.playlist(name)
        lie = truth.replace(*change)
        assert lie != truth, fault
        lying = {name: lie}
        told = replace(
            outcome, playlist=lambda asked, lying=lying: lying.get(asked) or outcome.playlist(asked)
        )
        assert fault in "\n".join(faults(told, WHOLE))


def test_sound_far_from_its_picture_is_found(case_folder, end, tmp_path):
    outcome = end(clip(case_folder, codec="libx265").save(tmp_path / "clip.mp4"))
    film = outcome.films["720p-hevc"].path  # which no playlist names
    by_segment = rewrap(film, tmp_path / "by_segment.mp4", "-movflags", "frag_keyframe+empty_moov")
    film.write_bytes(by_segment.read_bytes())

    assert "720p-hevc: Sound and picture of one moment lie 0.9" in "\n".join(faults(outcome, WHOLE))


def test_a_rendition_that_lost_its_end_is_found(case_folder, end, tmp_path):
    outcome = end(clip(case_folder).save(tmp_path / "clip.mp4"))
    film = outcome.films["540p"].path
    film.write_bytes(film.read_bytes()[: film.stat().st_size * 2 // 3])

    assert "540p: It shows 0-" in "\n".join(faults(outcome, WHOLE))
