"""Every rule at and around its limits, and the messages of its violations."""

import shlex

import pytest

from videos.checking import rules
from videos.checking.rules import SPEC, check
from videos.model import Audio, Colors, Media

GOOD = {
    "content": "video/mp4", "size_bytes": 1_000_000, "video_streams": 1,
    "codec": "h264", "pixel_format": "yuv420p",
    "width_px": 720, "height_px": 1280, "frame_rate": 30.0, "frame_count": 300, "duration_s": 10.0,
    "color_primaries": "bt709", "color_transfer": "bt709", "color_space": "bt709", "color_range": "tv",
}  # fmt: skip


def coded(width_px: int, height_px: int, *, cropped=(720, 1280), **more) -> dict:
    """A coded size, of which ``cropped`` is left by bitstream and container."""
    size = {"coded_width_px": width_px, "coded_height_px": height_px}
    return size | {"cropped_width_px": cropped[0], "cropped_height_px": cropped[1], **more}


def sound(starts_at_s: float, duration_s: float = 1.0) -> dict:
    """Sound beside a picture of ten seconds."""
    audio = Audio(stream_index=1, codec="aac", starts_at_s=starts_at_s, duration_s=duration_s)
    return {"audio": audio, "video_duration_s": 10.0}


def broken_rules(**facts) -> list[str]:
    return [violation.rule for violation in check(Media(**GOOD | facts))]


@pytest.mark.parametrize(
    "facts",
    [
        {},
        {"size_bytes": 1},
        {"size_bytes": 6_291_456},
        {"rotation": 90},  # width and height are as displayed
        {"rotation": 180, "mirrored": True},
        {"frame_rate": 29.97},
        {"frame_rate": 29.92},
        {"frame_rate": 30.05},
        {"odd_gap_share": 0.05},
        {"codec": "hevc"},
        {"pixel_format": "yuv422p10le"},
        {"color_transfer": "smpte170m"},
        {"color_primaries": "", "color_transfer": "", "color_space": ""},
        {"color_range": "pc"},
        {"duration_s": 0.033},
        {"duration_s": 60.0},
        {"duration_s": 60.1},
        coded(720, 1280),
        coded(736, 1280, cropped=(736, 1280), sample_aspect_ratio="45:46"),
        coded(768, 1280) | {"codec": "hevc"},  # one block of 64 px
        coded(1280, 720, cropped=(1280, 720)) | {"rotation": 90},
        coded(1440, 1280, cropped=(1440, 1280), sample_aspect_ratio="1:2"),
        sound(starts_at_s=-3.0, duration_s=9.0),
        sound(starts_at_s=10.1),  # 0.1 s after the picture
        {"other_colors": (Colors(primaries="bt709", transfer="smpte170m", matrix=""),)},
        {"content": "application/octet-stream"},  # an unknown brand is accepted
    ],
    ids=str,
)
def test_accepted(facts):
    assert broken_rules(**facts) == []


@pytest.mark.parametrize(
    ("rule", "facts"),
    [
        ("size", {"size_bytes": 6_291_457}),
        ("resolution", {"width_px": 1280, "height_px": 720}),
        ("resolution", {"width_px": 719}),
        ("resolution", {"height_px": 1282}),
        ("resolution", {"other_sizes": ("640x480",)}),
        ("resolution", {"rotation": 45}),
        ("frame_rate", {"frame_rate": 29.919}),
        ("frame_rate", {"frame_rate": 30.051}),
        ("frame_rate", {"frame_rate": 24.0}),
        ("frame_rate", {"frame_rate": 60.0}),
        ("frame_rate", {"odd_gap_share": 0.051}),
        ("codec", {"codec": "vp9"}),
        ("codec", {"codec": "av1"}),
        ("color", {"color_primaries": "bt2020"}),
        ("color", {"color_transfer": "arib-std-b67"}),
        ("color", {"color_transfer": "smpte2084"}),
        ("color", {"color_space": "smpte170m"}),
        ("color", {"color_space": "bt470bg"}),
        ("color", {"color_primaries": "smpte170m"}),
        ("duration", {"duration_s": 60.11}),
        ("duration", {"duration_s": 0.0}),
        ("duration", sound(starts_at_s=10.11)),
        ("duration", sound(starts_at_s=-4.0, duration_s=3.5)),
        ("resolution", coded(736, 1280)),
        ("resolution", coded(720, 1296)),
        ("resolution", coded(784, 1280) | {"codec": "hevc"}),
        ("resolution", coded(8192, 8192)),
        ("resolution", coded(1280, 736, cropped=(1280, 720)) | {"rotation": 90}),
        ("resolution", coded(1456, 1280, cropped=(1456, 1280), sample_aspect_ratio="45:91")),
        ("color", {"other_colors": (Colors(primaries="bt2020", transfer="arib-std-b67"),)}),
        ("integrity", {"faults": ("The file ends too early.",)}),
        ("content", {"video_streams": 2}),
    ],
    ids=str,
)
def test_rejected_by_exactly_one_rule(rule, facts):
    assert broken_rules(**facts) == [rule]


def test_all_violations_are_reported_at_once():
    everything = Media(
        content="video/mp4", size_bytes=7_000_000, video_streams=2, codec="vp9", width_px=640, height_px=480,
        frame_rate=15.0, odd_gap_share=1.0, duration_s=90.0, color_space="bt470bg", faults=("Cut off.",),
    )  # fmt: skip

    assert [violation.rule for violation in check(everything)] == [
        "content", "integrity", "resolution", "frame_rate", "codec", "color", "duration", "size",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"width_px": 1920, "height_px": 1080}, "Invalid resolution: 1920x1080"),
        ({"frame_rate": 59.94}, "Invalid frame rate: 59.94 fps"),
        ({"frame_rate": 24.0}, "Invalid frame rate: 24 fps"),
        ({"odd_gap_share": 0.4}, "Invalid frame rate: variable (40% of the frame gaps are irregular)"),
        ({"codec": "vp9"}, "Invalid codec: VP9"),
        ({"duration_s": 75.5}, "Invalid duration: 75.5 s"),
        (
            sound(starts_at_s=55.0) | {"duration_s": 56.0},
            "Invalid duration: 56 s: the sound begins 45 s after the picture ends",
        ),
        (
            sound(starts_at_s=-5.0) | {"duration_s": 15.0},
            "Invalid duration: 15 s: the picture begins 4 s after the sound ends",
        ),
        (coded(8192, 8192), "Invalid resolution: 720x1280, cropped from 8192x8192"),
        (
            {"other_colors": (Colors(), Colors(matrix="smpte170m"))},
            "Invalid colour: matrix smpte170m, in a part of the file",
        ),
        ({"size_bytes": 7_000_000}, "Invalid file size: 7,000,000 bytes"),
        (
            {"color_transfer": "arib-std-b67", "color_primaries": "bt2020", "color_space": "bt2020nc"},
            "Invalid colour: HDR HLG (primaries bt2020, transfer arib-std-b67, matrix bt2020nc)",
        ),
    ],
)
def test_a_violation_names_the_value_found(facts, message):
    [violation] = check(Media(**GOOD | facts))
    assert violation.message == message


@pytest.mark.parametrize(
    ("media", "message"),
    [
        (Media(content="application/x-empty", size_bytes=0), "Invalid file: an empty file"),
        (Media(content="image/png", size_bytes=9), "Invalid file: image/png"),
        (
            Media(content="video/mp4", size_bytes=9, faults=("It is cut off.",)),
            "Invalid file: an unreadable file (video/mp4)",
        ),
        (
            Media(content="audio/mp4", size_bytes=9, audio=Audio(stream_index=0, codec="aac")),
            "Invalid file: audio without video",
        ),
    ],
)
def test_a_file_without_video_is_reported_as_what_it_is(media, message):
    assert check(media)[0].message == message


def test_the_resolution_violation_states_the_required_size():
    [violation] = check(Media(**GOOD | {"width_px": 1920, "height_px": 1080}))

    assert "Video must be exactly 720x1280 as displayed." in violation.suggestions


@pytest.mark.parametrize("rule", rules.RULES)
def test_every_rule_has_advice_for_iphone_android_and_ffmpeg(rule):
    bad = Media(
        content="video/mp4", size_bytes=7_000_000, video_streams=2, codec="vp9", width_px=640, height_px=480,
        frame_rate=15.0, duration_s=90.0, color_transfer="smpte2084", faults=("Cut off.",),
    )  # fmt: skip

    advice = " ".join(rules.RULES[rule](bad, SPEC).suggestions)

    assert "iPhone" in advice
    assert "Android" in advice
    assert "ffmpeg -i INPUT" in advice


def test_hdr_gets_its_own_advice():
    [violation] = check(Media(**GOOD | {"color_transfer": "arib-std-b67"}))

    assert any("HDR Video off" in suggestion for suggestion in violation.suggestions)
    assert any("color_trc=bt709" in suggestion for suggestion in violation.suggestions)


def test_the_repair_command_is_one_shell_command():
    [violation] = check(Media(**GOOD | {"width_px": 1920, "height_px": 1080}))

    words = shlex.split(violation.suggestions[-1].removeprefix("On a computer: "))
    assert (words[0], words[-1]) == ("ffmpeg", "OUTPUT.mp4")


def test_an_encrypted_file_gets_no_repair_command():
    [violation] = check(Media(**GOOD | {"faults": ("The file is encrypted (DRM).",)}))

    assert not any("ffmpeg" in suggestion for suggestion in violation.suggestions)


def test_an_assumption_about_the_file_is_a_warning():
    assert rules.warnings(Media(**GOOD)) == ()
    assert rules.warnings(Media(**GOOD | {"color_space": ""})) == (
        "The file has no tag for its colour matrix; BT.709 is assumed.",
    )
