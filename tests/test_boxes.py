"""What files say of themselves: boxes, byte by byte, and tracks that measure otherwise than they look."""

import random
from fractions import Fraction
from pathlib import Path

import pytest

from dev.clips import HLG, ffmpeg, probe_lines, rewrap
from support.corpus import patched, u32
from videos import wiring
from videos.checking.ffprobe import Disposition, Packet, Stream
from videos.checking.probe import probe
from videos.checking.rules import check
from videos.checking.timing import seconds, span
from videos.mp4.boxes import CONTAINERS
from videos.mp4.integrity import faults

TOOLS = wiring.media_tools({})
ENDS_BEFORE_ITS_INDEX = "The file ends before its index (moov box): the recording or upload was cut off."
ENCRYPTED = "The file is encrypted (DRM)."
ELSEWHERE = "The file refers to media in another file."


def box(kind: bytes, *inside: bytes, size: int | None = None) -> bytes:
    """One box; ``size`` is what it says of itself, if that is not the truth."""
    body = b"".join(inside)
    return (len(body) + 8 if size is None else size).to_bytes(4) + kind + body


def long_box(kind: bytes, *inside: bytes, size: int | None = None) -> bytes:
    """One whose size takes 64 bits, as of files beyond 4 GiB."""
    body = b"".join(inside)
    return (1).to_bytes(4) + kind + (len(body) + 16 if size is None else size).to_bytes(8) + body


def moov(sample_entry: bytes = b"avc1", reference: bytes = b"") -> bytes:
    """An index, as far down as the entry that says how samples are coded and where they are."""
    samples = box(b"stbl", box(b"stsd", bytes(8), box(sample_entry, bytes(70))))
    where = box(b"dinf", box(b"dref", bytes(8), reference or box(b"url ", bytes(3), b"\1")))
    return box(b"moov", box(b"trak", box(b"mdia", box(b"minf", where, samples))))


def told(tmp_path: Path, *file: bytes) -> tuple[str, ...]:
    path = tmp_path / "file"
    path.write_bytes(b"".join(file))
    return faults(path)


FTYP = box(b"ftyp", b"isom")
MDAT = box(b"mdat", bytes(100))


@pytest.mark.parametrize("file", [[FTYP, moov(), MDAT], [FTYP, MDAT, moov()], [MDAT, moov()]])
def test_whole_files_have_no_fault(tmp_path, file):
    assert told(tmp_path, *file) == ()


def test_a_box_without_a_size_goes_to_the_end(tmp_path):
    to_the_end = box(b"mdat", bytes(100), size=0)

    assert told(tmp_path, FTYP, to_the_end) == (ENDS_BEFORE_ITS_INDEX,)
    assert told(tmp_path, FTYP, moov(), to_the_end) == ()


def test_an_index_without_a_size_is_looked_into(tmp_path):
    assert told(tmp_path, MDAT, box(b"moov", moov(b"encv")[8:], size=0)) == (ENCRYPTED,)


def test_a_size_of_64_bits_is_read(tmp_path):
    assert told(tmp_path, long_box(b"mdat", bytes(100)), moov()) == ()
    assert told(tmp_path, long_box(b"mdat", bytes(100)), moov(b"encv")) == (ENCRYPTED,)
    assert told(tmp_path, MDAT, long_box(b"moov", moov(b"encv")[8:])) == (ENCRYPTED,)
    assert told(tmp_path, MDAT, moov(reference=long_box(b"url ", bytes(3), b"\1"))) == ()
    assert told(tmp_path, moov(), long_box(b"mdat", bytes(100), size=5_000_000_116)) == (
        "The file ends too early: 5,000,000,000 bytes of its mdat box are missing.",
    )


@pytest.mark.parametrize("kind", [b"mdat", b"moov", b"moof"])
def test_missing_bytes_are_counted(tmp_path, kind):
    [fault] = told(
        tmp_path, *([MDAT, moov()] if kind == b"moof" else [moov()]), box(kind, bytes(8), size=16 + 1234)
    )

    assert fault == f"The file ends too early: 1,234 bytes of its {kind.decode()} box are missing."


def test_a_track_that_breaks_off_is_found_in_its_index(tmp_path):
    cut = box(b"moov", box(b"trak", bytes(8), size=116), size=124)

    assert told(tmp_path, MDAT, cut) == (
        "The file ends too early: 100 bytes of its moov box are missing.",  # and with it what is inside
    )


def test_what_lies_after_the_last_byte_but_is_no_media_may_be_missing(tmp_path):
    assert told(tmp_path, moov(), MDAT, box(b"free", size=1000)) == ()


def test_media_without_an_index_was_cut_off(tmp_path):
    assert told(tmp_path, FTYP, MDAT) == (ENDS_BEFORE_ITS_INDEX,)


@pytest.mark.parametrize("kind", [b"url ", b"urn ", b"alis"])
def test_media_in_another_file_is_named_however_it_is_referred_to(tmp_path, kind):
    elsewhere, here = (box(kind, bytes(3), bytes([flag]), b"x") for flag in (0, 1))

    assert told(tmp_path, moov(reference=elsewhere), MDAT) == (ELSEWHERE,)
    assert told(tmp_path, moov(reference=here), MDAT) == ()
    assert told(tmp_path, moov(reference=here + elsewhere + elsewhere), MDAT) == (ELSEWHERE,)


@pytest.mark.parametrize("kind", [b"encv", b"enca", b"drmi", b"drms"])
def test_encrypted_samples_are_named(tmp_path, kind):
    assert told(tmp_path, moov(kind), MDAT) == (ENCRYPTED,)


def test_a_key_for_decryption_is_named(tmp_path):
    assert told(tmp_path, box(b"moov", moov()[8:], box(b"pssh", bytes(24))), MDAT) == (ENCRYPTED,)


def test_every_fault_is_told_once_in_the_order_of_the_file(tmp_path):
    torn = box(b"mdat", bytes(8), size=17)

    assert told(tmp_path, moov(b"encv", box(b"url ", bytes(4))), moov(b"enca"), torn) == (
        ELSEWHERE,
        ENCRYPTED,
        "The file ends too early: 1 bytes of its mdat box are missing.",
    )


def test_the_last_bytes_of_a_container_are_not_read_together_with_what_follows(tmp_path):
    padded = box(b"moov", moov()[8:], (100).to_bytes(4))

    assert told(tmp_path, MDAT, padded, b"pssh" + b"free") == ()


# ── Files made to be slow, and files of nothing ──────────────────────────────────


@pytest.mark.parametrize("kind", [b"moov", b"stsd"])
def test_boxes_in_boxes_without_end_are_not_followed(tmp_path, kind):
    nested = kind + bytes(CONTAINERS[kind])
    levels = 6 * 1024**2 // (len(nested) + 4)
    sizes = range(levels * (len(nested) + 4), 0, -len(nested) - 4)

    assert told(tmp_path, *(size.to_bytes(4) + nested for size in sizes)) == ()


def test_of_a_million_boxes_only_the_first_are_looked_at(tmp_path):
    assert told(tmp_path, *[box(b"free")] * 9_000, MDAT) == (ENDS_BEFORE_ITS_INDEX,)
    assert told(tmp_path, box(b"free") * 1_000_000, MDAT) == ()


@pytest.mark.parametrize(
    "junk",
    [
        b"",
        b"\0\0\0\x08mda",
        b"Dear Sir or Madam, mdat and moov are words, too.",
        bytes(1000),
        b"\xff" * 1000,
        bytes(range(256)) * 64,
        random.Random(7).randbytes(100_000),  # noqa: S311
        b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(200),
    ],
    ids=["nothing", "seven bytes", "text", "zeros", "ones", "a pattern", "noise", "a picture"],
)
def test_what_is_no_box_at_all_has_no_fault(tmp_path, junk):
    assert told(tmp_path, junk) == ()


@pytest.mark.parametrize("lie", [box(b"mdat", bytes(100), size=7), long_box(b"mdat", bytes(100), size=15)])
def test_a_box_smaller_than_its_own_header_ends_the_search(tmp_path, lie):
    assert told(tmp_path, FTYP, lie) == ()


def test_a_64_bit_size_that_is_cut_in_two_is_no_error(tmp_path):
    assert told(tmp_path, FTYP, long_box(b"free")[:11]) == ()


# ── Tracks that measure otherwise than they look ─────────────────────────────────


def measured(path: Path):
    return probe(path, TOOLS)


def test_the_bitstream_of_hevc_wins_over_the_box(clip, tmp_path):
    relabelled = rewrap(
        clip(codec="libx265", colour=HLG, seconds=0.5), tmp_path / "relabelled.mp4",
        "-color_primaries", "bt709", "-color_trc", "bt709", "-colorspace", "bt709",
    )  # fmt: skip

    assert measured(relabelled).color_transfer == "arib-std-b67"
    assert [problem.rule for problem in check(measured(relabelled))] == ["color"]


@pytest.mark.parametrize("codec", ["libx264", "libx265"])
def test_a_picture_whose_keyframe_is_broken_is_found_out(clip, tmp_path, codec):
    whole = clip(codec=codec, sound=False, seconds=0.5)
    [first, *_] = probe_lines(whole, "-show_entries", "packet=pos,size")
    size, pos = (int(field.partition("=")[2]) for field in first.split("|")[:2])
    data = bytearray(whole.read_bytes())
    data[pos : pos + size] = b"\xff" * size
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(data)

    assert "No frame of the video can be decoded." in measured(broken).faults


def test_pixels_of_unknown_shape_are_square(clip):
    media = measured(clip(video_filter="setsar=0"))

    assert media.sample_aspect_ratio == "1:1"
    assert media.upright
    assert (media.width_px, media.height_px) == (720, 1280)


def test_cover_art_does_not_make_a_video_longer():
    video = Stream(index=0, codec_type="video", time_base="1/30")
    cover = Stream(index=1, codec_type="video", time_base="1/1", disposition=Disposition(attached_pic=True))
    packets = {
        0: [Packet(stream_index=0, pts=n, duration=1) for n in range(30)],
        1: [Packet(stream_index=1, pts=0, duration=600)],
    }

    spans = [
        span(packets[track.index], Fraction(track.time_base)) for track in (video, cover) if track.is_media
    ]
    assert seconds(spans) == 1.0


def with_unknown_sound(source: Path, path: Path) -> Path:
    """``source`` with its first sound track in a format nobody knows, as iPhones add one for space."""
    path.write_bytes(source.read_bytes().replace(b"mp4a", b"apac", 1).replace(b"esds", b"free", 1))
    return path


def test_sound_that_nobody_can_decode_is_ignored(clip, tmp_path):
    media = measured(with_unknown_sound(clip(), tmp_path / "unknown.mp4"))

    assert media.audio is None
    assert check(media) == ()


def test_the_first_sound_that_can_be_decoded_counts(clip, tmp_path):
    twice = tmp_path / "twice.mp4"
    ffmpeg("-i", str(clip()), "-map", "0:v", "-map", "0:a", "-map", "0:a", "-c", "copy", str(twice))

    audio = measured(with_unknown_sound(twice, tmp_path / "unknown.mp4")).audio

    assert (audio.stream_index, audio.codec) == (2, "aac")


@pytest.mark.parametrize(
    ("table", "entry"),
    [(b"stsz", 12 + 4 * 2), (b"stco", 8 + 4 * 2)],
    ids=["a size larger than any file", "a place behind the end"],
)
def test_frames_that_the_index_lists_and_the_file_does_not_hold_are_missed(clip, tmp_path, table, entry):
    """ffprobe ends at the first of them, without a word."""
    path = tmp_path / "clip.mp4"
    path.write_bytes(patched(clip(seconds=2).read_bytes(), table, entry, u32(0x7FFFFFFF)))

    assert measured(path).faults == ("Part of the video is missing: 58 frames are not in the file.",)


def test_keyframes_that_lean_on_what_came_before_are_known(clip):
    leaning = clip(seconds=3, size="90x160", options=("-x264-params", "open-gop=1:keyint=30:bframes=3"))

    assert not measured(leaning).closed_gops
    assert measured(clip(seconds=3, size="90x160")).closed_gops


def test_frames_that_were_trimmed_but_are_still_there_are_counted(clip, tmp_path):
    long = clip(seconds=3, size="90x160", options=("-g", "300"))
    trimmed = tmp_path / "trimmed.mp4"
    ffmpeg("-ss", "1", "-i", str(long), "-c", "copy", str(trimmed))

    media = measured(trimmed)

    assert (media.hidden_frames, media.frame_count) == (30, 60)
    assert measured(long).hidden_frames == 0
