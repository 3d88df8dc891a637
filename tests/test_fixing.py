"""What breaks the spec comes out keeping it: upright, in time, in its colours, with nothing private."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from dev.clips import BT601, BT709, HLG, PQ, damaged, ffmpeg, make_clip
from support.cases.joining import join_in_band
from support.cases.mp4_file import Movie
from support.cases.parts import picture
from support.color_science import (
    converted,
    delta_e,
    hlg,
    hlg_scene,
    lab,
    pq,
)
from support.films import Film
from support.fixed import HELD, Fixed, chart, fix, patches, recorded, zscaled
from support.media_tools import TOOLS
from videos.checking import rules
from videos.checking.fixes import plan_fixes, unfixable
from videos.checking.probe import probe
from videos.fix import Fit
from videos.making.fixing import make_fixed
from videos.making.outputs import PicturesLost, SoundLost, can_be_copied
from videos.model import Media

pytestmark = pytest.mark.thorough

TEN_BITS = "yuv420p10le"
FULL = BT709.replace("tv", "pc")
BT601_525 = "range=tv:colorspace=smpte170m:color_primaries=smpte170m:color_trc=smpte170m"

# What phones record, and what is wrong with it.
KINDS = {
    "HLG on its right": (
        {"size": "1080x1920", "held": "on its right", "colour": HLG, "pixels": TEN_BITS},
        {"resolution", "color"},
    ),
    "HLG at 60 fps": (
        {"size": "1080x1920", "rate": "60", "colour": HLG, "pixels": TEN_BITS},
        {"resolution", "frame_rate", "color"},
    ),
    "HLG in 720p": ({"held": "on its left", "colour": HLG, "pixels": TEN_BITS}, {"color"}),
    "4K at 60 fps in full range": (
        {"size": "2160x3840", "rate": "60", "held": "on its right", "colour": BT601.replace("tv", "pc")}
        | {"pixels": "yuvj420p"},
        {"resolution", "frame_rate", "color"},
    ),
    "wide and upside down": (
        {"size": "1920x1080", "rate": "29.87", "held": "upside down", "colour": FULL, "pixels": "yuvj420p"},
        {"resolution", "frame_rate"},
    ),
    "landscape": ({"size": "1280x720"}, {"resolution"}),
    "square": ({"size": "720x720"}, {"resolution"}),
    "24 fps": ({"rate": "24"}, {"frame_rate"}),
    "25 fps": ({"rate": "25"}, {"frame_rate"}),
    "59.94 fps": ({"rate": "60000/1001"}, {"frame_rate"}),
    "60 fps": ({"rate": "60"}, {"frame_rate"}),
    "240 fps": ({"rate": "240", "seconds": 0.25}, {"frame_rate"}),
    "PQ": ({"colour": PQ, "pixels": TEN_BITS}, {"color"}),
    "BT.601, 625 lines": ({"colour": BT601}, {"color"}),
    "BT.601, 525 lines": ({"size": "480x854", "colour": BT601_525}, {"resolution", "color"}),
    "full range": ({"size": "1080x1920", "colour": FULL, "pixels": "yuvj420p"}, {"resolution"}),
    "interlaced": (
        {"size": "1440x1080", "rate": "50", "before": "tinterlace=interleave_top,fieldorder=tff"}
        | {"options": ("-flags", "+ildct+ilme")},
        {"resolution", "frame_rate"},
    ),
    "4:2:2 in ten bits": ({"size": "1080x1920", "pixels": "yuv422p10le"}, {"resolution"}),
    "4:4:4": ({"size": "1080x1920", "pixels": "yuv444p"}, {"resolution"}),
    "4K": ({"size": "2160x3840"}, {"resolution"}),
    "an odd size": ({"size": "607x1081", "pixels": "yuv444p"}, {"resolution"}),
    "ProRes": ({"codec": "prores_ks", "pixels": "yuv422p10le", "suffix": ".mov"}, {"codec"}),
    "VP9": ({"codec": "libvpx-vp9", "options": ("-cpu-used", "8", "-deadline", "realtime")}, {"codec"}),
    "MPEG-4 Part 2": ({"codec": "mpeg4"}, {"codec"}),
}


@pytest.mark.parametrize("kind", KINDS)
def test_what_phones_record_comes_out_conforming_and_upright(tmp_path, kind):
    wanted, broken = KINDS[kind]
    fixed = fixed_from(tmp_path, **wanted)

    problems = rules.check(fixed.before)
    assert {problem.rule for problem in problems} - {"size"} == broken
    assert unfixable(fixed.before, problems) == ()
    assert {fix.rule for fix in plan_fixes(fixed.before, problems)} - {"size"} == broken
    assert fixed.problems == ()
    assert can_be_copied(fixed.after)  # so it plays as soon as it is fixed
    assert fixed.after.tagged
    film = fixed.film if fixed.before.width_px < fixed.before.height_px else inner(fixed)
    assert {picture.way for picture in film.pictures} == {"upright"}


def fixed_from(folder: Path, *, fit: Fit = Fit.CONTAIN, suffix: str = ".mp4", **wanted: object) -> Fixed:
    return fix(recorded(folder / f"source{suffix}", **({"seconds": 0.5} | wanted)), folder / "made", fit)


def inner(fixed: Fixed) -> Film:
    """What lies between the bars."""
    height_px = 2 * round(720 * fixed.before.height_px / fixed.before.width_px / 2)
    return fixed.part(720, height_px, 0, (1280 - height_px) // 2)


# ── Size ─────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("held", HELD)
@pytest.mark.parametrize("fit", Fit)
def test_a_picture_stands_upright_however_it_was_held(tmp_path, held, fit):
    fixed = fixed_from(tmp_path, size="1080x1920", held=held, fit=fit, seconds=0.1)

    assert {picture.way for picture in fixed.film.pictures} == {"upright"}


def test_a_wide_picture_is_shown_whole_between_black_bars(tmp_path):
    fixed = fixed_from(tmp_path, size="1920x1080", seconds=0.1)

    assert {picture.way for picture in inner(fixed).pictures} == {"upright"}
    for y in (0.01, 0.32, 0.68, 0.99):
        assert fixed.film.pictures[0].at(0.5, y) == pytest.approx((16, 128, 128), abs=2)


def test_a_wide_picture_can_fill_the_frame_instead(tmp_path):
    fixed = fixed_from(tmp_path, size="1920x1080", seconds=0.1, fit=Fit.COVER)

    [picture, *_] = fixed.film.pictures
    assert picture.way == "upright"  # what is at its left and right is red and green still


def test_a_picture_of_nearly_the_shape_gets_no_bars(tmp_path):
    fixed = fixed_from(tmp_path, size="1088x1920", seconds=0.1)

    edges = fixed.part(720, 4, 0, 1276).pictures[0].at(0.5, 0.5)
    assert edges[1] > 200  # the blue of its lower edge


def test_a_size_that_changes_on_the_way_becomes_one(tmp_path):
    """Half a second upright, then half a second lying down."""
    movie = Movie.read(picture(tmp_path, seconds=0.5, size="1080x1920"))
    join_in_band(
        movie.picture, Movie.read(picture(tmp_path, seconds=0.5, first=15, size="1920x1080")).picture
    )
    source = movie.save(tmp_path / "source.mp4")

    fixed = fix(source, tmp_path / "made")

    assert fixed.before.other_sizes == ("1920x1080",)
    assert fixed.problems == ()
    lying = inner(replace(fixed, before=WIDE)).pictures
    found = [upright.number() for upright in fixed.film.pictures[:14]] + [
        wide.number() for wide in lying[14:]
    ]
    assert [number for number in range(30) if number not in found] in ([], [14])  # ffmpeg loses one


def test_pixels_that_are_not_square_become_square(tmp_path):
    """1440x1080 at 4:3 is shown as 1920x1080."""
    fixed = fixed_from(tmp_path, size="1440x1080", seconds=0.1, options=("-vf", "setsar=4/3"))

    assert (fixed.before.width_px, fixed.before.height_px) == (1920, 1080)
    assert {picture.way for picture in inner(fixed).pictures} == {"upright"}


WIDE = Media(content="", size_bytes=0, width_px=1920, height_px=1080)

# ── Rate ─────────────────────────────────────────────────────────────────────────


def numbers(fixed: Fixed) -> list[int]:
    return [picture.number() for picture in fixed.film.pictures]


def test_of_60_pictures_a_second_every_other_one_stays(tmp_path):
    assert numbers(fixed_from(tmp_path, rate="60", seconds=1)) == list(range(0, 60, 2))


def test_of_240_pictures_a_second_every_eighth_one_stays(tmp_path):
    found = numbers(fixed_from(tmp_path, rate="240", seconds=0.5))

    assert len(found) == 15
    assert {after - before for before, after in pairwise(found[1:])} == {8}


@pytest.mark.parametrize(("rate", "shown"), [("24", 24), ("25", 25), ("15", 15), ("10", 10)])
def test_no_picture_of_a_slower_clip_is_lost_and_repeats_are_spread(tmp_path, rate, shown):
    found = numbers(fixed_from(tmp_path, rate=rate, seconds=1))

    assert len(found) == 30
    assert sorted(set(found)) == list(range(shown))
    repeats = [found.count(number) for number in range(shown)]
    assert max(repeats) - min(repeats) <= 1


def test_a_camera_whose_clock_jitters_loses_no_picture(tmp_path):
    """29.87 fps, each frame up to 6 ms early or late: as a Pixel 7 records."""
    times = "settb=1/90000,setpts='(N/29.87+0.006*sin(N*N))/TB'"
    options = (
        "-vf",
        times,
        "-fps_mode",
        "passthrough",
        "-video_track_timescale",
        "90000",
    )
    options = (*options, "-enc_time_base", "1:90000")
    fixed = fixed_from(tmp_path, rate="30", seconds=3, size="1080x1920", options=options, sound=False)

    found = numbers(fixed)
    steps = [after - before for before, after in pairwise(found)]
    assert fixed.problems == ()
    assert steps.count(0) <= 1
    assert set(steps) <= {0, 1}


def test_a_variable_rate_becomes_constant_and_keeps_its_times(tmp_path):
    """A second at 30 fps, a second at 15, a second at 60."""
    times = "settb=1/90000,setpts='if(lt(N,30),N/30,if(lt(N,45),1+(N-30)/15,2+(N-45)/60))/TB'"
    options = ("-vf", times, "-fps_mode", "passthrough", "-enc_time_base", "1:90000")
    fixed = fixed_from(tmp_path, rate="30", seconds=3.5, options=options, sound=False)

    assert [problem.rule for problem in rules.check(fixed.before)] == ["frame_rate"]
    assert fixed.problems == ()
    slow = [30 + n // 2 for n in range(30)]
    assert numbers(fixed)[:90] == [*range(30), *slow, *range(45, 105, 2)]


def test_interlaced_pictures_become_whole(tmp_path):
    fixed = fixed_from(tmp_path, **KINDS["interlaced"][0] | {"seconds": 1})

    assert fixed.before.interlaced
    assert not fixed.after.interlaced
    assert fixed.film.combed < 0.1
    assert len(fixed.film.pictures) == 30


# ── Colours ──────────────────────────────────────────────────────────────────────

# The ColorChecker's patches in BT.709 (R'G'B' of 255), from dark skin to black.
CHECKER = [
    (115, 82, 68), (194, 150, 130), (98, 122, 157), (87, 108, 67), (133, 128, 177), (103, 189, 170),
    (214, 126, 44), (80, 91, 166), (193, 90, 99), (94, 60, 108), (157, 188, 64), (224, 163, 46),
    (56, 61, 150), (70, 148, 73), (175, 54, 60), (231, 199, 31), (187, 86, 149), (8, 133, 161),
    (243, 243, 242), (200, 200, 200), (160, 160, 160), (122, 122, 121), (85, 85, 85), (52, 52, 52),
]  # fmt: skip
BT2020 = "range=tv:colorspace=bt2020nc:color_primaries=bt2020:color_trc=bt2020-10"
SDR = {
    "BT.709 in full range": ("bt709", "bt709", FULL, True, 8),
    "BT.709 in ten bits": ("bt709", "bt709", BT709, False, 10),
    "BT.601, 625 lines": ("bt470bg", "bt470bg", BT601, False, 8),
    "BT.601, 625 lines, in full range": ("bt470bg", "bt470bg", BT601.replace("tv", "pc"), True, 8),
    "BT.601, 525 lines": ("smpte170m", "smpte170m", BT601_525, False, 8),
    "the matrix of BT.601 alone": (
        "bt709", "smpte170m", BT709.replace("colorspace=bt709", "colorspace=smpte170m"), False, 8,
    ),
    "SMPTE 240M": ("smpte240m", "smpte240m", BT709.replace("bt709", "smpte240m"), False, 8),
    "BT.2020": ("bt2020", "bt2020nc", BT2020, False, 10),
    "Display P3": (
        "smpte432", "bt709", BT709.replace("primaries=bt709", "primaries=smpte432"), False, 10,
    ),
}  # fmt: skip


def displayed() -> list[tuple[float, float, float]]:
    return [tuple(value / 255 for value in patch) for patch in CHECKER]


@pytest.mark.parametrize("space", SDR)
def test_colours_stay_what_they_are(tmp_path, space):
    primaries, matrix, tags, full, bits = SDR[space]
    sent = [coded(patch, primaries) for patch in displayed()]

    fixed = fix(chart(tmp_path / "chart.mp4", sent, tags, matrix, full=full, bits=bits), tmp_path / "made")

    apart = differences(patches(fixed.path), displayed())
    assert unfixable(fixed.before, rules.check(fixed.before)) == ()
    assert fixed.problems == ()
    assert max(apart) < 2.5
    assert sum(apart) / len(apart) < 1.0


def coded(patch, primaries):
    light = converted(tuple(value**2.4 for value in patch), "bt709", primaries)
    return tuple(max(value, 0.0) ** (1 / 2.4) for value in light)


def differences(found, expected) -> list[float]:
    return [delta_e(lab(one), lab(other)) for one, other in zip(found, expected, strict=True)]


def as_hlg(patch, white=203):
    """A patch as a camera would record it whose white is shown at 203 cd/m2."""
    light = converted(tuple(value**2.4 for value in patch), "bt709", "bt2020")
    scene = hlg_scene(tuple(max(value, 0.0) * white / 1000 for value in light))
    return tuple(hlg(min(value, 1.0)) for value in scene)


def as_pq(patch, white=203):
    light = converted(tuple(value**2.4 for value in patch), "bt709", "bt2020")
    return tuple(pq(value * white) for value in light)


HDR = {"HLG": (as_hlg, HLG), "PQ": (as_pq, PQ)}
# zscale takes each channel of HLG to the screen alone, and colours become more saturated than by BT.2100.
APART = {"HLG": (4.0, 2.5), "PQ": (1.5, 0.6)}  # at most, and on average


@pytest.mark.parametrize("kind", HDR)
def test_hdr_keeps_hues_and_greys_and_both_kinds_look_alike(tmp_path, kind):
    """Light is compressed, so that nothing is as bright; skin stays skin, and grey stays grey."""
    encode, tags = HDR[kind]
    sent = [encode(patch) for patch in displayed()]

    fixed = fix(chart(tmp_path / "chart.mp4", sent, tags, "bt2020nc"), tmp_path / "made")

    found = patches(fixed.path)
    for one, other in zip(map(lab, found), map(lab, displayed()), strict=True):
        assert one[0] < other[0] + 2
        lighter = (other[0] + (one[0] - other[0]), *other[1:])
        assert delta_e(one, lighter) < 8  # at the same lightness: hue and chroma alone
    greys = found[18:]
    assert all(max(grey) - min(grey) < 0.015 for grey in greys)
    assert greys == sorted(greys, reverse=True)
    assert 0.78 < greys[0][1] < 0.90  # diffuse white leaves room for what is brighter
    assert greys[-1][1] == pytest.approx(52 / 255, abs=0.02)  # and shadows are what they were


@pytest.mark.parametrize("kind", HDR)
def test_hdr_comes_out_as_through_another_implementation_of_the_same_curve(tmp_path, kind):
    """zscale and ``tonemap`` in floating point, with the curve that the table has."""
    encode, tags = HDR[kind]
    sent = [encode(patch) for patch in displayed()]
    source = chart(tmp_path / "chart.mp4", sent, tags, "bt2020nc")
    graph = (
        "zscale=720:1280,zscale=transfer=linear:npl=203,format=gbrpf32le,tonemap=mobius:param=0.3:peak=4.926:desat=0,"
        "zscale=primaries=bt709:transfer=bt709:matrix=bt709:range=limited,format=yuv420p"
    )

    fixed = fix(source, tmp_path / "made")

    apart = differences(patches(fixed.path), patches(zscaled(source, tmp_path / "zscaled.mp4", graph)))
    most, usual = APART[kind]
    assert max(apart) < most
    assert sum(apart) / len(apart) < usual


def test_highlights_of_hdr_roll_off_instead_of_clipping(tmp_path):
    """Greys from 203 to 1000 cd/m2 are told apart, and the brightest is white."""
    greys = [(hlg(hlg_scene((share,) * 3)[0]),) * 3 for share in (0.203 + n * 0.797 / 23 for n in range(24))]

    fixed = fix(chart(tmp_path / "chart.mp4", greys, HLG, "bt2020nc"), tmp_path / "made")

    found = [round(255 * grey[1]) for grey in patches(fixed.path)]
    assert found == sorted(found)
    assert len(set(found)) >= 18  # of 24
    assert found[-1] > 250


def test_hdr_is_mapped_in_a_folder_of_any_name(tmp_path):
    source = recorded(tmp_path / "source.mp4", seconds=0.1, colour=HLG, pixels=TEN_BITS)

    assert fix(source, tmp_path / "Ann's clips, 50%: a=[1]; b\\c").problems == ()


# ── Sound ────────────────────────────────────────────────────────────────────────


def test_a_clip_without_sound_stays_silent(tmp_path):
    assert fixed_from(tmp_path, size="1080x1920", sound=False, seconds=0.2).after.audio is None


SOUNDS = {
    "mono": ("-ac", "1"),
    "5.1": ("-ac", "6"),
    "44.1 kHz": ("-ar", "44100"),
    "PCM": ("-c:a", "pcm_s16le"),
    "HE-AAC's half rate": ("-ar", "24000"),
}


@pytest.mark.parametrize("kind", SOUNDS)
def test_sound_becomes_stereo_aac_lc(tmp_path, kind):
    fixed = fixed_from(tmp_path, size="1080x1920", options=SOUNDS[kind], suffix=".mov")

    audio = fixed.after.audio
    assert (audio.codec, audio.profile, audio.channels, audio.sample_rate_hz) == ("aac", "LC", 2, 48_000)
    assert fixed.film.sound.hears(440, 0.1, 0.4)


@pytest.mark.parametrize("sound", [(), ("-ar", "8000", "-ac", "1"), ("-ar", "44100")])
def test_sound_ends_with_the_clip_and_not_with_its_last_frame(tmp_path, sound):
    """Else a clip of exactly 60.1 s would become too long, and fail."""
    fixed = fixed_from(tmp_path, size="1080x1920", seconds=1.1, options=sound)

    assert fixed.after.audio.duration_s == pytest.approx(1.1, abs=0.001)
    assert fixed.after.duration_s <= fixed.before.duration_s


def test_sound_that_cannot_be_decoded_is_told_apart(tmp_path):
    clip = recorded(tmp_path / "clip.mp4", size="1080x1920", seconds=0.5)
    source = damaged(clip, tmp_path / "source.mp4", "a", share=1.0, kept_bytes=0)

    with pytest.raises(SoundLost):
        fix(source, tmp_path / "made")


# ── What cannot be fixed ─────────────────────────────────────────────────────────


def test_a_damaged_picture_is_not_fixed(tmp_path):
    clip = recorded(tmp_path / "clip.mp4", size="1080x1920", seconds=1, sound=False)
    source = damaged(clip, tmp_path / "source.mp4", "v")

    with pytest.raises(PicturesLost):
        fix(source, tmp_path / "made")


def test_a_picture_that_cannot_be_decoded_at_all_is_not_tried_again_without_sound(tmp_path):
    source = recorded(tmp_path / "clip.mp4", size="1080x1920", seconds=0.2)
    elsewhere = replace(probe(source, TOOLS), stream_index=7)

    with pytest.raises(PicturesLost, match="matches no streams"):
        make_fixed(source, elsewhere, Fit.CONTAIN, tmp_path, TOOLS, lambda _: None)


def test_who_raises_while_it_is_told_of_the_progress_stops_the_fix(tmp_path):
    class Stop(Exception):
        pass

    source = make_clip(tmp_path / "source.mp4", size="1080x1920", seconds=3)

    def stop(_share: float) -> None:
        raise Stop

    with pytest.raises(Stop):
        make_fixed(source, probe(source, TOOLS), Fit.CONTAIN, tmp_path, TOOLS, stop)


def test_the_sound_is_told_of_too_so_that_the_attempt_is_known_to_live(tmp_path):
    class Stop(Exception):
        pass

    source = make_clip(tmp_path / "source.mp4", size="1080x1920", seconds=0.2)
    told: list[float] = []

    def stop(share: float) -> None:
        told.append(share)
        raise Stop

    with pytest.raises(Stop):
        make_fixed(source, probe(source, TOOLS), Fit.CONTAIN, tmp_path, TOOLS, stop)
    assert told == [0.0]
    assert not (tmp_path / "fixed.mp4").exists()


# ── Bytes, and what is private ───────────────────────────────────────────────────


@pytest.mark.parametrize(("max_bytes", "least_bytes"), [(60_000, 0), (300_000, 100_000)])
def test_even_noise_fits_into_the_bytes_that_are_allowed(tmp_path, max_bytes, least_bytes):
    source = tmp_path / "noise.mp4"
    noise = "nullsrc=size=360x640:rate=30:duration=2,geq=random(1)*255:128:128,scale=1080:1920:flags=neighbor"
    ffmpeg(
        "-f", "lavfi", "-i", noise,
        "-c:v", "libx264", "-preset", "ultrafast", "-crf", "40", "-pix_fmt", "yuv420p", str(source),
    )  # fmt: skip
    spec = replace(rules.SPEC, max_bytes=max_bytes)

    made = make_fixed(source, probe(source, TOOLS), Fit.CONTAIN, tmp_path, TOOLS, lambda _: None, spec=spec)

    assert least_bytes <= made.stat().st_size <= max_bytes
