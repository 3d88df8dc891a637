"""Each rule at and around each of its edges, and what a refusal tells people."""

import shlex

import pytest

from videos import rules
from videos.model import Audio, Media
from videos.rules import SPEC, check

GOOD = {
    "content": "video/mp4", "size_bytes": 1_000_000, "video_streams": 1,
    "codec": "h264", "pixel_format": "yuv420p",
    "width_px": 720, "height_px": 1280, "frame_rate": 30.0, "frame_count": 300, "duration_s": 10.0,
    "color_primaries": "bt709", "color_transfer": "bt709", "color_space": "bt709", "color_range": "tv",
}  # fmt: skip


def broken(**facts) -> list[str]:
    return [problem.rule for problem in check(Media(**GOOD | facts))]


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
        {"content": "application/octet-stream"},  # an unknown brand is no reason
    ],
    ids=str,
)
def test_accepted(facts):
    assert broken(**facts) == []


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
        ("integrity", {"faults": ("The file ends too early.",)}),
        ("content", {"video_streams": 2}),
    ],
    ids=str,
)
def test_refused_by_one_rule_alone(rule, facts):
    assert broken(**facts) == [rule]


def test_every_rule_is_reported_at_once():
    everything = Media(
        content="video/mp4", size_bytes=7_000_000, video_streams=2, codec="vp9", width_px=640, height_px=480,
        frame_rate=15.0, odd_gap_share=1.0, duration_s=90.0, color_space="bt470bg", faults=("Cut off.",),
    )  # fmt: skip

    assert [problem.rule for problem in check(everything)] == [
        "content", "integrity", "resolution", "frame_rate", "codec", "color", "duration", "size",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"width_px": 1920, "height_px": 1080}, "Invalid resolution: 1920x1080"),
        ({"frame_rate": 59.94}, "Invalid frame rate: 59.94 fps"),
        ({"frame_rate": 24.0}, "Invalid frame rate: 24 fps"),
        ({"odd_gap_share": 0.4}, "Invalid frame rate: variable (40% of the frames come early or late)"),
        ({"codec": "vp9"}, "Invalid codec: VP9"),
        ({"duration_s": 75.5}, "Invalid duration: 75.5 s"),
        ({"size_bytes": 7_000_000}, "Invalid file size: 7,000,000 bytes"),
        (
            {"color_transfer": "arib-std-b67", "color_primaries": "bt2020", "color_space": "bt2020nc"},
            "Invalid colour: HDR HLG (primaries bt2020, transfer arib-std-b67, matrix bt2020nc)",
        ),
    ],
)
def test_a_refusal_begins_with_what_was_found(facts, message):
    [problem] = check(Media(**GOOD | facts))
    assert problem.message == message


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
            "Invalid file: sound without a picture",
        ),
    ],
)
def test_a_file_without_a_video_says_what_it_is_instead(media, message):
    assert check(media)[0].message == message


def test_resolution_is_told_as_people_ask_for_it():
    [problem] = check(Media(**GOOD | {"width_px": 1920, "height_px": 1080}))

    assert "Video must be exactly 720x1280 as displayed." in problem.suggestions


@pytest.mark.parametrize("rule", rules.RULES)
def test_every_rule_tells_phones_what_to_do(rule):
    bad = Media(
        content="video/mp4", size_bytes=7_000_000, video_streams=2, codec="vp9", width_px=640, height_px=480,
        frame_rate=15.0, duration_s=90.0, color_transfer="smpte2084", faults=("Cut off.",),
    )  # fmt: skip

    told = " ".join(rules.RULES[rule](bad, SPEC).suggestions)

    assert "iPhone" in told
    assert "Android" in told
    assert "ffmpeg -i INPUT" in told


def test_hdr_gets_its_own_advice():
    [problem] = check(Media(**GOOD | {"color_transfer": "arib-std-b67"}))

    assert any("HDR Video off" in suggestion for suggestion in problem.suggestions)
    assert any("out_transfer=bt709" in suggestion for suggestion in problem.suggestions)


def test_the_mending_command_is_one_shell_command():
    [problem] = check(Media(**GOOD | {"width_px": 1920, "height_px": 1080}))

    words = shlex.split(problem.suggestions[-1].removeprefix("On a computer: "))
    assert (words[0], words[-1]) == ("ffmpeg", "OUTPUT.mp4")


def test_an_encrypted_file_gets_no_command_that_cannot_work():
    [problem] = check(Media(**GOOD | {"faults": ("The file is encrypted (DRM).",)}))

    assert not any("ffmpeg" in suggestion for suggestion in problem.suggestions)


def test_what_was_taken_for_granted_is_a_warning():
    assert rules.warnings(Media(**GOOD)) == ()
    assert rules.warnings(Media(**GOOD | {"color_space": ""})) == (
        "The file does not say its colour matrix; taken as BT.709.",
    )
