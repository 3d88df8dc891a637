"""What is measured of real files, and that headers are not believed."""

import shlex
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest

from dev.clips import BT601, BT2020, HLG, PQ, crop_by_box, ffmpeg, rewrap
from support.planted import before
from videos import wiring
from videos.checking.advice import repair_command
from videos.checking.ffprobe import Packet
from videos.checking.probe import probe
from videos.checking.rules import Spec, check, warnings
from videos.checking.timing import frame_rate
from videos.mp4.integrity import faults
from videos.tools import MediaTools

TOOLS: MediaTools = wiring.media_tools({})


def measured(path: Path):
    return probe(path, TOOLS)


def broken(path: Path) -> list[str]:
    return [problem.rule for problem in check(measured(path))]


def test_a_plain_clip(clip):
    media = measured(clip(seconds=2))

    assert (media.codec, media.pixel_format, media.width_px, media.height_px) == (
        "h264",
        "yuv420p",
        720,
        1280,
    )
    assert (media.frame_rate, media.frame_count, media.odd_gap_share) == (30.0, 60, 0.0)
    assert (media.color_primaries, media.color_transfer, media.color_space) == ("bt709", "bt709", "bt709")
    assert media.duration_s == pytest.approx(2.0, abs=0.05)
    assert (media.audio.codec, media.audio.profile, media.audio.channels) == ("aac", "LC", 2)


@pytest.mark.parametrize("rate", ["30", "30000/1001", "2997/100"])
@pytest.mark.parametrize("codec", ["libx264", "libx265"])
def test_conforming_rates_and_codecs_pass(clip, rate, codec):
    assert broken(clip(rate=rate, codec=codec)) == []


@pytest.mark.parametrize("rate", ["15", "24", "25", "50", "60", "120"])
def test_other_rates_are_called_by_their_number(clip, rate):
    [problem] = check(measured(clip(rate=rate)))

    assert problem.message == f"Invalid frame rate: {rate} fps"


def joined(first: Path, second: Path, to: Path) -> Path:
    """Both in one track, each with its own parameter sets in the samples."""
    streams = [path.with_suffix(".h264") for path in (first, second)]
    for source, stream in zip((first, second), streams, strict=True):
        rewrap(source, stream, "-bsf:v", "h264_mp4toannexb")
    both = to.with_suffix(".h264")
    both.write_bytes(b"".join(stream.read_bytes() for stream in streams))
    return rewrap(both, to, before=("-r", "30"))


@pytest.mark.thorough
# Only the first keyframe is decoded where nothing in the file says that another one is different.
@pytest.mark.parametrize(
    ("codec", "keyframe", "head"),
    [("libx264", 60, bytes([6])), ("libx265", 57, bytes([39 << 1, 1]))],
    ids=["h264", "hevc"],
)
def test_a_message_at_a_later_keyframe_that_says_another_transfer_is_read(
    clip, tmp_path, codec, keyframe, head
):
    hlg = head + bytes([147, 1, 18])  # alternative_transfer_characteristics (H.264, D.1.32; H.265, D.2.38)
    source = clip(seconds=3, codec=codec, sound=False)
    changed = tmp_path / "changed.mp4"
    changed.write_bytes(before(keyframe, hlg)(source.read_bytes(), b""))

    assert measured(source).other_colors == ()
    assert [colors.transfer for colors in measured(changed).other_colors] == ["arib-std-b67"]


@pytest.mark.parametrize(
    ("change", "size"),
    [("crop_right=20", "700x1280"), ("crop_top=80", "720x1200")],
)
def test_another_cropping_in_the_middle_is_read(clip, tmp_path, change, size):
    first = clip(seconds=1, sound=False)
    second = rewrap(first, tmp_path / "second.mp4", "-bsf:v", f"h264_metadata={change}")

    assert measured(joined(first, second, tmp_path / "both.mp4")).other_sizes == (size,)


@pytest.mark.parametrize("clockwise", [90, 270])
def test_a_quarter_turn_counts_as_displayed(clip, tmp_path, clockwise):
    turned = rewrap(
        clip(size="1280x720"), tmp_path / "turned.mp4", before=("-display_rotation", str(-clockwise))
    )

    assert measured(turned).rotation == clockwise
    assert broken(turned) == []


def test_a_mirrored_picture_passes_and_is_known_as_such(clip, tmp_path):
    mirrored = rewrap(clip(), tmp_path / "mirrored.mp4", before=("-display_hflip",))

    assert measured(mirrored).mirrored
    assert broken(mirrored) == []


def test_pixels_that_are_not_square_count_as_displayed(clip):
    assert broken(clip(size="360x1280", video_filter="setsar=2")) == []
    assert broken(clip(video_filter="setsar=4/3")) == ["resolution"]


def test_what_the_container_crops_counts_as_displayed(clip, tmp_path):
    padded = clip(size="768x1280", codec="libx265")  # to a whole block of 64 px, as many chips do
    shown = crop_by_box(padded, tmp_path / "shown.mp4", width=720, height=1280)
    hidden = crop_by_box(clip(), tmp_path / "hidden.mp4", width=640, height=1200)

    assert broken(shown) == []
    assert [problem.found for problem in check(measured(hidden))] == ["640x1200"]


def test_more_than_padding_may_not_be_cropped_by_the_container(clip, tmp_path):
    larger = crop_by_box(clip(size="752x1312"), tmp_path / "larger.mp4", width=720, height=1280)

    [violation] = check(measured(larger))
    assert violation.message == "Invalid resolution: 720x1280, cropped from 752x1312"


def test_sound_that_outlasts_the_picture_counts(clip, tmp_path):
    longer = tmp_path / "longer.mp4"
    sound = ("-f", "lavfi", "-i", "sine=duration=61")
    ffmpeg(
        "-i", str(clip()), *sound, "-map", "0:v", "-map", "1:a", "-c:v", "copy", "-b:a", "32k", str(longer)
    )

    assert broken(longer) == ["duration"]


def test_a_size_that_changes_on_the_way_is_seen(clip, tmp_path):
    first, second = tmp_path / "first.h264", tmp_path / "second.h264"
    ffmpeg("-i", str(clip()), "-c", "copy", "-bsf:v", "h264_mp4toannexb", str(first))
    ffmpeg("-i", str(clip(size="640x480")), "-c", "copy", "-bsf:v", "h264_mp4toannexb", str(second))
    joined = tmp_path / "joined.h264"
    joined.write_bytes(first.read_bytes() + second.read_bytes())
    changing = tmp_path / "changing.mp4"
    ffmpeg("-r", "30", "-i", str(joined), "-c", "copy", str(changing))

    [problem] = check(measured(changing))
    assert problem.message == "Invalid resolution: 720x1280, then 640x480"


def test_hdr_is_told_by_its_name(clip):
    [problem] = check(measured(clip(codec="libx265", pixels="yuv420p10le", colour=HLG)))

    assert problem.message.startswith("Invalid colour: HDR HLG")


def test_the_bitstream_wins_over_the_box(clip, tmp_path):
    relabelled = rewrap(
        clip(colour=HLG), tmp_path / "relabelled.mp4",
        "-color_primaries", "bt709", "-color_trc", "bt709", "-colorspace", "bt709",
    )  # fmt: skip

    assert broken(relabelled) == ["color"]


def test_a_clip_of_sixty_seconds_passes_and_a_longer_one_does_not(clip, tmp_path):
    small = clip(sound=False, options=("-b:v", "300k"))  # sound would leave a gap at each joint

    def repeated(times: int) -> Path:
        return rewrap(small, tmp_path / f"{times}.mp4", "-t", str(times), before=("-stream_loop", str(times)))

    assert broken(repeated(60)) == []
    assert broken(repeated(61)) == ["duration"]


def test_the_duration_is_that_of_the_samples_not_of_the_header(clip, tmp_path):
    lying = tmp_path / "lying.mp4"
    data = bytearray(clip(seconds=2).read_bytes())
    header = data.index(b"mvhd") + 4
    data[header + 16 : header + 20] = (9_999_999).to_bytes(
        4
    )  # duration, after version, two dates and the timescale
    lying.write_bytes(data)

    assert measured(lying).duration_s == pytest.approx(2.0, abs=0.05)


def test_a_clip_without_sound_passes(clip):
    assert measured(clip(sound=False)).audio is None
    assert broken(clip(sound=False)) == []


def test_two_video_tracks_are_one_too_many(clip, tmp_path):
    double = tmp_path / "double.mp4"
    ffmpeg("-i", str(clip()), "-i", str(clip()), "-map", "0:v", "-map", "1:v", "-c", "copy", str(double))

    assert broken(double) == ["content"]


def test_cover_art_is_no_video_track(clip, tmp_path):
    cover = tmp_path / "cover.jpg"
    ffmpeg("-i", str(clip()), "-frames:v", "1", "-update", "1", str(cover))
    covered = tmp_path / "covered.mp4"
    ffmpeg(
        "-i", str(clip()), "-i", str(cover), "-map", "0", "-map", "1", "-c", "copy",
        "-disposition:v:1", "attached_pic", str(covered),
    )  # fmt: skip

    assert broken(covered) == []


@pytest.mark.parametrize(
    "flags", ["+faststart", "+frag_keyframe+empty_moov", "+frag_every_frame+empty_moov+default_base_moof"]
)
def test_however_the_boxes_lie(clip, tmp_path, flags):
    assert broken(rewrap(clip(seconds=3), tmp_path / "boxes.mp4", "-movflags", flags)) == []


def test_b_frames_are_counted_in_presentation_order(clip):
    assert broken(clip(options=("-preset", "medium", "-bf", "3"))) == []


# ── Files that are no video, or no longer one ────────────────────────────────────


@pytest.mark.parametrize(
    ("name", "content", "found"),
    [
        ("empty", b"", "an empty file"),
        ("text", b"hello. I am no video at all\n" * 50, "text/plain"),
        ("png", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(200), "image/png"),
        ("pdf", b"%PDF-1.7\n" + b"1 0 obj\n" * 50, "application/pdf"),
        ("playlist", b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nfile:///etc/passwd\n", "text"),
        ("zip", b"PK\x03\x04" + bytes(200), "application/zip"),
        ("noise", bytes(range(256)) * 64, "an unreadable file"),
    ],
)
def test_what_is_no_movie_is_told_what_it_is(tmp_path, name, content, found):
    path = tmp_path / f"{name}.mp4"
    path.write_bytes(content)

    problems = check(measured(path))

    assert problems[0].rule == "content"
    assert found in problems[0].found or found in measured(path).content


@pytest.mark.parametrize("keep", [0.2, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("flags", ["+faststart", "0"], ids=["index first", "index last"])
def test_a_file_that_lost_its_tail_is_refused(clip, tmp_path, keep, flags):
    whole = rewrap(clip(), tmp_path / "whole.mp4", "-movflags", flags).read_bytes()
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(whole[: int(len(whole) * keep)])

    problems = check(measured(cut))

    assert "integrity" in [problem.rule for problem in problems]
    assert any("missing" in problem.found or "before its" in problem.found for problem in problems)


def test_data_in_another_file_is_not_fetched(clip, tmp_path):
    path = tmp_path / "elsewhere.mp4"
    data = bytearray(clip().read_bytes())
    reference = data.index(b"url ") + 4
    data[reference + 3] = 0  # no longer self-contained
    path.write_bytes(data)

    assert faults(path) == ("The file refers to media in another file.",)
    assert broken(path) == ["integrity"]
    assert not repair_command(measured(path), max_bytes=1000, max_duration_s=60)


def test_an_encrypted_track_is_refused(clip, tmp_path):
    key = "00112233445566778899aabbccddeeff"
    encrypted = rewrap(
        clip(), tmp_path / "encrypted.mp4",
        "-encryption_scheme", "cenc-aes-ctr", "-encryption_key", key, "-encryption_kid", key,
    )  # fmt: skip

    assert "The file is encrypted (DRM)." in measured(encrypted).faults
    assert "integrity" in broken(encrypted)


# ── Mending ──────────────────────────────────────────────────────────────────────

QUICK = Spec(max_duration_s=3, max_bytes=1_500_000)  # the same rules, on shorter clips


@pytest.mark.parametrize(
    "wanted",
    [
        {"size": "1920x1080"},
        {"size": "1080x1920", "rate": "60"},
        {"rate": "15"},
        {"seconds": 4, "size": "320x240", "rate": "10"},
        {"colour": BT601},
        {"colour": BT2020},
        {"seconds": 0.2, "codec": "libx265", "colour": HLG},
        {"seconds": 0.2, "codec": "libx265", "colour": PQ},
        {"codec": "mpeg4"},
        {"seconds": 2, "options": ("-b:v", "20M", "-minrate", "20M", "-maxrate", "20M", "-bufsize", "1M")},
    ],
    ids=str,
)
@pytest.mark.thorough
def test_the_suggested_command_really_mends_it(clip, tmp_path, wanted):
    refused = clip(**wanted)
    problems = check(measured(refused), QUICK)
    assert problems
    command = problems[0].suggestions_for.computer[-1]
    mended = tmp_path / "mended.mp4"

    _, *words = shlex.split(
        command.replace("INPUT", shlex.quote(str(refused))).replace("OUTPUT.mp4", str(mended))
    )
    ffmpeg(*words)

    assert check(measured(mended), QUICK) == ()
    assert not warnings(measured(mended))  # its colours are named, too


def test_what_is_left_of_a_cut_file_can_be_mended(clip, tmp_path):
    whole = rewrap(clip(seconds=2), tmp_path / "whole.mp4", "-movflags", "+faststart").read_bytes()
    cut, mended = tmp_path / "cut.mp4", tmp_path / "mended.mp4"
    cut.write_bytes(whole[: int(len(whole) * 0.6)])
    assert "integrity" in broken(cut)
    command = repair_command(measured(cut), max_bytes=QUICK.max_bytes, max_duration_s=3)

    _, *words = shlex.split(command.replace("INPUT", str(cut)).replace("OUTPUT.mp4", str(mended)))
    ffmpeg(*words)

    assert broken(mended) == []


def test_nothing_is_suggested_for_a_file_with_nothing_to_play(clip):
    media = measured(clip())

    assert repair_command(replace(media, codec=""), max_bytes=1000, max_duration_s=60) == ""


# ── Frame rate, from times alone ─────────────────────────────────────────────────


def rate_of(*times: int, per_second: int = 600) -> tuple[float, float]:
    packets = [Packet(stream_index=0, pts=time, duration=20) for time in times]
    return frame_rate(packets, Fraction(1, per_second))


def test_rounding_to_the_timescale_does_not_count():
    thirty_in_600ths_of_29_97 = [round(n * 600 / 29.97) for n in range(300)]

    assert rate_of(*thirty_in_600ths_of_29_97)[0] == pytest.approx(29.97, abs=0.01)


def test_one_dropped_frame_does_not_count():
    assert rate_of(*(n * 20 for n in range(100) if n != 50)) == (30.0, 0.0)


def test_a_single_gap_of_a_tenth_of_a_second_does_not_count_however_short_the_clip():
    assert rate_of(0, 20, 40, 100, 120) == (30.0, 0.0)
    assert rate_of(0, 20, 40, 101, 121)[1] > 0.05


def test_odd_gaps_count_by_their_number():
    a_hundredth_early = [n * 20 for n in range(100)] + [n * 20 + 1 for n in range(0, 100, 10)]

    assert rate_of(*a_hundredth_early)[1] == pytest.approx(10 / 109, abs=1e-4)


def test_odd_gaps_count_by_their_time():
    a_second_is_missing = [n * 20 + (600 if n >= 100 else 0) for n in range(200)]

    assert rate_of(*a_second_is_missing) == (30.0, pytest.approx(620 / (199 * 20 + 600), abs=1e-4))


def test_frames_at_the_same_time_have_no_rate():
    assert rate_of(7, 7, 7) == (0.0, 0.0)


def test_a_held_last_frame_does_not_count():
    assert rate_of(*(n * 20 for n in range(100)), 100_000)[0] == 30.0


def test_fifteen_then_sixty_is_no_thirty():
    times = [n * 40 for n in range(100)] + [4000 + n * 10 for n in range(400)]

    _, odd_gap_share = rate_of(*times)
    assert odd_gap_share > 0.05


def test_a_single_frame_counts_by_its_duration():
    assert rate_of(0) == (30.0, 0.0)
