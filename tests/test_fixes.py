"""What can be fixed, and how it is said."""

from dataclasses import replace

import pytest

from videos.checking import rules
from videos.checking.fixes import colors_of, plan_fixes, unfixable
from videos.checking.parameter_sets import OTHER_CODECS
from videos.checking.verdict import decide, warnings
from videos.errors import Violation
from videos.fix import Fix, OnViolation
from videos.making.color import needs_table, write_table
from videos.model import ELSEWHERE, PROTECTED, Colors, Media

GOOD = Media(
    content="video/mp4",
    size_bytes=2_000_000,
    video_streams=1,
    codec="h264",
    width_px=720,
    height_px=1280,
    coded_width_px=720,
    coded_height_px=1280,
    cropped_width_px=720,
    cropped_height_px=1280,
    frame_rate=30.0,
    frame_count=300,
    duration_s=10.0,
    video_duration_s=10.0,
    color_primaries="bt709",
    color_transfer="bt709",
    color_space="bt709",
)
HLG = {"color_primaries": "bt2020", "color_transfer": "arib-std-b67", "color_space": "bt2020nc"}


def sized(width_px: int, height_px: int) -> dict[str, int]:
    names = ("{}_px", "coded_{}_px", "cropped_{}_px")
    return {
        name.format(side): px
        for name in names
        for side, px in {"width": width_px, "height": height_px}.items()
    }


def violations(**facts: object) -> tuple[Media, tuple[Violation, ...]]:
    media = replace(GOOD, **facts)
    return media, rules.check(media)


FIXED = {
    "a larger picture": (sized(1080, 1920), Fix(rule="resolution", found="1080x1920", made="720x1280")),
    "a wide picture": (sized(1920, 1080), Fix(rule="resolution", found="1920x1080", made="720x1280")),
    "59.94 fps": ({"frame_rate": 59.94}, Fix(rule="frame_rate", found="59.94 fps", made="30 fps")),
    "24 fps": ({"frame_rate": 24.0}, Fix(rule="frame_rate", found="24 fps", made="30 fps")),
    "a variable rate": (
        {"odd_gap_share": 0.3},
        Fix(rule="frame_rate", found="variable (30% of the frame gaps are irregular)", made="30 fps"),
    ),
    "HLG": (HLG, Fix(rule="color", found="BT.2020 HLG", made="BT.709")),
    "PQ": (
        {**HLG, "color_transfer": "smpte2084"},
        Fix(rule="color", found="BT.2020 PQ", made="BT.709"),
    ),
    "BT.601": (
        {"color_primaries": "smpte170m", "color_transfer": "smpte170m", "color_space": "smpte170m"},
        Fix(rule="color", found="BT.601 (525 lines)", made="BT.709"),
    ),
    "the matrix of BT.601 alone": (
        {"color_space": "bt470bg"},
        Fix(rule="color", found="BT.709, matrix BT.601 (625 lines)", made="BT.709"),
    ),
    "Display P3": ({"color_primaries": "smpte432"}, Fix(rule="color", found="Display P3", made="BT.709")),
    "RGB of a screen": (
        {"color_transfer": "iec61966-2-1", "color_space": "gbr"},
        Fix(rule="color", found="BT.709, transfer sRGB, RGB", made="BT.709"),
    ),
    "BT.2020 with its own transfer": (
        {**HLG, "color_transfer": "bt2020-10"},
        Fix(rule="color", found="BT.2020", made="BT.709"),
    ),
    "SMPTE 240M": (
        dict.fromkeys(HLG, "smpte240m"),
        Fix(rule="color", found="SMPTE 240M", made="BT.709"),
    ),
    "slow motion by a fast clock": (
        {"frame_rate": 240.4},
        Fix(rule="frame_rate", found="240.4 fps", made="30 fps"),
    ),
    "Motion JPEG": ({"codec": "mjpeg"}, Fix(rule="codec", found="Motion JPEG", made="H.264")),
    "ProRes": ({"codec": "prores"}, Fix(rule="codec", found="ProRes", made="H.264")),
    "48 MB": (
        {"size_bytes": 48_000_000},
        Fix(rule="size", found="48,000,000 bytes", made="at most 6,291,456 bytes"),
    ),
}


@pytest.mark.parametrize("what", FIXED)
def test_a_fix_says_in_plain_words_what_it_changes(what):
    facts, fix = FIXED[what]
    media, problems = violations(**facts)

    assert unfixable(media, problems) == ()
    assert plan_fixes(media, problems) == (fix,)


def test_every_violation_has_its_fix():
    media, problems = violations(**sized(2160, 3840), **HLG, frame_rate=60.0, size_bytes=98_000_000)

    assert [fix.rule for fix in plan_fixes(media, problems)] == ["resolution", "frame_rate", "color", "size"]


UNFIXABLE = {
    "no picture": ({"video_streams": 0}, "content"),
    "two pictures": ({"video_streams": 2}, "content"),
    "damage": ({"faults": ("The file ends too soon.",)}, "integrity"),
    "encryption": ({"faults": (PROTECTED,)}, "integrity"),
    "media elsewhere": ({"faults": (ELSEWHERE,)}, "integrity"),
    "61 s": ({"duration_s": 61.0}, "duration"),
    "no bytes": ({"size_bytes": 0}, "size"),
    "a codec that is not decoded": ({"codec": "av1"}, "codec"),
    "8K": (sized(7680, 4320), "resolution"),
    "8K that is cropped": ({"coded_width_px": 7680, "coded_height_px": 4320}, "resolution"),
    "an odd angle": ({"rotation": 45}, "resolution"),
    "no frame rate": ({"frame_rate": 0.0}, "frame_rate"),
    "480 fps": ({"frame_rate": 480.0}, "frame_rate"),
    "a matrix nobody knows": ({"color_space": "number 99"}, "color"),
    "Dolby Vision without a base layer": ({"color_space": "ipt-c2"}, "color"),
    "colours that change": ({"other_colors": (Colors(primaries="bt2020", matrix="bt2020nc"),)}, "color"),
}


@pytest.mark.parametrize("what", UNFIXABLE)
def test_what_cannot_be_fixed_is_named(what):
    facts, rule = UNFIXABLE[what]
    media, problems = (
        violations(**facts, frame_rate=60.0) if "frame_rate" not in facts else violations(**facts)
    )

    assert [problem.rule for problem in unfixable(media, problems)] == [rule]
    assert rule not in [fix.rule for fix in plan_fixes(media, problems)]


@pytest.mark.parametrize(
    ("facts", "told"),
    [
        ({"duration_s": 61.0}, ["duration", "resolution"]),
        ({"size_bytes": 0}, ["size", "resolution"]),
        ({"size_bytes": 104_857_601, "duration_s": 61.0}, ["duration", "size", "resolution"]),
    ],
)
def test_what_no_fix_removes_is_told_first_and_each_rule_once(facts, told):
    media, problems = violations(**sized(1080, 1920), **facts)

    rejected_for, fixes = decide(media, problems, OnViolation.FIX)

    assert fixes == ()
    assert [problem.rule for problem in rejected_for] == told


def test_a_later_tag_that_means_the_same_can_be_fixed():
    media, problems = violations(**HLG, other_colors=(Colors(transfer="arib-std-b67"),))

    assert [problem.rule for problem in problems] == ["color"]
    assert unfixable(media, problems) == ()


BT601_525 = Colors(primaries="smpte170m", transfer="bt709", matrix="smpte170m")
UNTAGGED = {
    (640, 480): BT601_525,
    (720, 480): BT601_525,
    (720, 576): Colors(primaries="bt470bg", transfer="bt709", matrix="bt470bg"),
    (1280, 720): Colors(primaries="bt709", transfer="bt709", matrix="bt709"),
    (480, 640): Colors(primaries="bt709", transfer="bt709", matrix="bt709"),
}


@pytest.mark.parametrize("size", UNTAGGED, ids=str)
def test_untagged_colours_are_taken_by_the_size_of_the_picture(size):
    untagged = dict.fromkeys(("color_primaries", "color_transfer", "color_space"), "")

    assert colors_of(replace(GOOD, **sized(*size), **untagged)) == UNTAGGED[size]


def test_every_codec_that_is_fixed_has_a_name_that_people_know():
    assert {rules.CODEC_NAMES[codec] for codec in OTHER_CODECS} == {
        "VP8", "VP9", "MPEG-1", "MPEG-2", "MPEG-4 Part 2", "H.263", "Motion JPEG", "ProRes", "DNxHD",
    }  # fmt: skip


def test_a_warning_says_what_untagged_colours_are_converted_from():
    untagged = replace(GOOD, **sized(640, 480), **dict.fromkeys(HLG, ""))
    fixes = plan_fixes(untagged, rules.check(untagged))

    assert warnings(untagged, fixes) == (
        "The file has no tag for its colour primaries, transfer, matrix; BT.601 (525 lines) is assumed.",
    )
    assert warnings(GOOD, fixes) == ()


def test_colours_that_nobody_has_told_yet_are_no_obstacle():
    """As in a preflight, which knows little."""
    media = Media(content="", size_bytes=0, width_px=1080, height_px=1920)
    problems, _ = rules.preflight(media, {"width_px", "height_px"})

    assert plan_fixes(media, problems) == (Fix(rule="resolution", found="1080x1920", made="720x1280"),)
    assert unfixable(media, problems) == ()


def test_hdr_with_the_primaries_of_sdr_is_mapped_all_the_same(tmp_path):
    odd = replace(GOOD, color_transfer="arib-std-b67")

    assert needs_table(colors_of(odd))
    assert write_table(colors_of(odd), tmp_path / "table").stat().st_size > 0
    assert not needs_table(colors_of(GOOD))
