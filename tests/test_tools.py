"""The media tools: what they are told, what they can reach, and how they end, on real files."""

import os
import resource
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from clips import BT709, ffmpeg, probe_lines, rewrap
from corpus import u16
from planted import H264_ENTRY, edited
from videos import stills, tools, wiring
from videos.errors import BadMedia, ToolFailed
from videos.fragments import put_index_first
from videos.model import Media
from videos.probe import probe
from videos.tools import GIB, MediaTools, Poster, Sprite, Target, run

TOOLS: MediaTools = wiring.media_tools({})
SECRET = "SecretPhone-9"  # what no output may say
PLAIN = Media(content="video/mp4", size_bytes=1, codec="h264", bit_rate=1_000_000)


def stills_in(folder: Path, media: Media) -> tuple[Poster, Sprite]:
    sheet = stills.sheet(media.duration_s)
    return (
        Poster(Target(folder / "poster.jpg", 720, 1280), Target(folder / "tiny.rgb", *stills.TINY_PX)),
        Sprite(Target(folder / "sprite.jpg", *stills.sheet_size_px(sheet)), sheet),
    )


def every_command(source: Path, media: Media, folder: Path) -> dict[str, list[str]]:
    poster, sprite = stills_in(folder, media)
    targets = [Target(folder / "540p", 540, 960), Target(folder / "360p", 360, 640)]
    return {
        "streams": tools.streams_command(TOOLS, source),
        "keyframes": tools.keyframes_command(TOOLS, source, 0),
        "loudness": tools.loudness_command(TOOLS, source, 1),
        "playable": tools.playable_command(TOOLS, source, media, folder / "copy", poster),
        "playable, with a poster of later on": tools.playable_command(
            TOOLS, source, media, folder / "copy", replace(poster, time_s=0.5)
        ),
        "ladder": tools.ladder_command(TOOLS, source, media, targets, sprite, poster),
        "one rendition": tools.ladder_command(TOOLS, source, media, targets[:1], sprite),
    }


COMMANDS = list(every_command(Path("upload"), PLAIN, Path()))


def copied(source: Path, folder: Path) -> Path:
    """The copy that is playable first."""
    media = probe(source, TOOLS)
    poster, _ = stills_in(folder, media)
    run(tools.playable_command(TOOLS, source, media, folder / "copy", poster), timeout_s=30)
    return finished(folder / "copy")


def encoded(source: Path, folder: Path, *sizes: tuple[int, int]) -> list[Path]:
    """A rendition of each size."""
    media = probe(source, TOOLS)
    targets = [Target(folder / f"{width}x{height}", width, height) for width, height in sizes]
    _, sprite = stills_in(folder, media)
    run(tools.ladder_command(TOOLS, source, media, targets, sprite), timeout_s=30)
    return [finished(target.path) for target in targets]


def finished(written: Path) -> Path:
    path = written.with_suffix(".mp4")
    put_index_first(written, path)
    return path


def copied_and_encoded(source: Path, folder: Path) -> list[Path]:
    return [copied(source, folder), *encoded(source, folder, (90, 160))]


def shown(path: Path, track: str, entries: str) -> list[str]:
    """The values that ffprobe prints of a track."""
    [line] = probe_lines(path, "-select_streams", track, "-show_entries", f"stream={entries}")
    return [field.partition("=")[2] for field in line.split("|") if "=" in field]


def frames(path: Path) -> list[str]:
    """A hash of every decoded frame."""
    lines = ffmpeg("-i", str(path), "-map", "0:v:0", "-f", "framemd5", "-").splitlines()
    return [line.rpartition(",")[2] for line in lines if not line.startswith("#")]


# ── What a file can make them open ───────────────────────────────────────────────


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_reads_its_input_as_mov_from_this_disk_only(name):
    command = every_command(Path("upload"), PLAIN, Path())[name]

    inputs = [place for place, word in enumerate(command) if word == "upload"]
    assert inputs
    for end, start in zip(inputs, [0, *inputs], strict=False):
        before = list(pairwise(command[start:end]))
        assert ("-f", "mov") in before
        assert ("-protocol_whitelist", "file,pipe") in before


# Neither is text to libmagic, so both get past it.
CONCAT = b"ffconcat version 1.0\n#\x01\x02\xff\xfe\x80\nfile other\n"
HLS = b"#EXTM3U\n#\x01\x02\xff\xfe\x80\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nother\n#EXT-X-ENDLIST\n"


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize(
    ("upload", "script"), [("source", CONCAT), ("source.m3u8", HLS)], ids=["concat", "hls"]
)
def test_a_list_of_other_files_opens_none_of_them(tmp_path, name, upload, script):
    source = tmp_path / upload
    source.write_bytes(script)
    os.mkfifo(tmp_path / "other")  # nobody writes to it: whoever opens it hangs

    with pytest.raises(BadMedia):
        run(every_command(source, PLAIN, tmp_path)[name], timeout_s=2)


def test_a_list_of_other_files_passes_for_none_of_them(clip, tmp_path):
    source = tmp_path / "source"
    source.write_bytes(CONCAT)
    (tmp_path / "other").write_bytes(clip().read_bytes())

    media = probe(source, TOOLS)

    assert media.content == "application/octet-stream"  # libmagic has not stopped it
    assert (media.video_streams, media.duration_s, media.audio) == (0, 0, None)
    assert media.faults == ("It cannot be read as MP4 or MOV.",)


# ── What may not leave with an output ────────────────────────────────────────────


def test_what_h264_carries_between_its_pictures_stays_behind(clip, tmp_path):
    planted = f"h264_metadata=sei_user_data=086f3693-b7b3-4f2c-9653-21492feee5b8+{SECRET}"
    marked = rewrap(clip(), tmp_path / "marked.mp4", "-bsf:v", planted)
    assert SECRET.encode() in marked.read_bytes()

    outputs = copied_and_encoded(marked, tmp_path)

    assert not [path.name for path in outputs if SECRET.encode() in path.read_bytes()]


HEVC = {"codec": "libx265", "sound": False, "seconds": 0.5}


def test_what_hevc_carries_between_its_pictures_stays_behind(clip, tmp_path):
    plain = rewrap(clip(**HEVC), tmp_path / "plain.hevc", "-bsf:v", "hevc_mp4toannexb").read_bytes()
    message = bytes([5, 16 + len(SECRET)]) + bytes(range(1, 17)) + SECRET.encode() + b"\x80"
    before_a_picture, after_it = b"\0\0\1\x4e\1" + message, b"\0\0\1\x50\1" + message
    second_picture = plain.index(b"\0\0\1", plain.index(b"\0\0\1\x28\1") + 3)
    marked = tmp_path / "marked.hevc"
    marked.write_bytes(plain[:second_picture] + before_a_picture + plain[second_picture:] + after_it)
    source = rewrap(marked, tmp_path / "source.mp4", before=("-r", "30"))
    assert source.read_bytes().count(SECRET.encode()) == 2

    outputs = copied_and_encoded(source, tmp_path)

    assert not [path.name for path in outputs if SECRET.encode() in path.read_bytes()]


def test_no_rendition_tells_how_it_or_its_source_was_encoded(clip, tmp_path):
    assert b"x264 - core" in clip().read_bytes()

    outputs = copied_and_encoded(clip(), tmp_path)

    assert not [path.name for path in outputs if b"x264 - core" in path.read_bytes()]


def test_what_hevc_carries_in_its_header_stays_behind(clip, tmp_path):
    assert b"x265 (build" in clip(**HEVC).read_bytes()

    assert b"x265 (build" not in copied(clip(**HEVC), tmp_path).read_bytes()


def test_chapters_stay_behind(clip, tmp_path):
    chapters = tmp_path / "chapters.txt"
    chapters.write_text(f";FFMETADATA1\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=500\ntitle={SECRET}\n")
    source = tmp_path / "chaptered.mp4"
    ffmpeg(
        "-i", str(clip()), "-i", str(chapters), "-map", "0", "-map_chapters", "1", "-c", "copy", str(source)
    )
    assert SECRET.encode() in source.read_bytes()

    outputs = copied_and_encoded(source, tmp_path)

    assert not [path.name for path in outputs if SECRET.encode() in path.read_bytes()]
    assert not [path.name for path in outputs if probe_lines(path, "-show_chapters")]


# ── What the outputs are like ────────────────────────────────────────────────────


def test_an_output_begins_to_play_before_all_of_it_is_there(clip, tmp_path):
    for path in copied_and_encoded(clip(), tmp_path):
        data = path.read_bytes()
        assert data.index(b"moov") < data.index(b"mdat"), path.name


def keyframe_times(path: Path) -> list[str]:
    lines = probe_lines(path, "-select_streams", "v", "-show_entries", "packet=pts_time,flags")
    times = [dict(field.split("=") for field in line.split("|")[:2]) for line in lines]
    return [packet["pts_time"] for packet in times if "K" in packet["flags"]]


def test_renditions_have_keyframes_where_the_source_has_them_and_nowhere_else(clip, tmp_path):
    # A cut at 4 s without a keyframe, and then none for longer than x264 likes.
    source = clip(
        seconds=11, size="90x160", sound=False, video_filter="negate=enable='gte(t,4)'",
        options=("-g", "9999", "-force_key_frames", "0.1,0.7,2"),
    )  # fmt: skip
    assert keyframe_times(source) == ["0.000000", "0.100000", "0.700000", "2.000000"]

    renditions = encoded(source, tmp_path, (90, 160), (46, 80))

    assert [keyframe_times(path) for path in renditions] == [keyframe_times(source)] * 2


def test_no_smaller_rendition_is_larger_than_its_source(clip, tmp_path):
    source = clip(seconds=2, sound=False, options=low_bit_rate("150k"))

    renditions = encoded(source, tmp_path, (540, 960), (360, 640))

    assert max(path.stat().st_size for path in renditions) < source.stat().st_size


@pytest.mark.parametrize(("seconds", "rate"), [(1, "400k"), (2, "400k"), (2, "60k"), (5, "150k")])
def test_no_rendition_of_a_short_clip_is_larger_than_its_source(clip, tmp_path, seconds, rate):
    source = clip(seconds=seconds, sound=False, options=low_bit_rate(rate))

    renditions = encoded(source, tmp_path, (720, 1280), (540, 960), (360, 640))

    assert max(path.stat().st_size for path in renditions) <= source.stat().st_size


def low_bit_rate(rate: str) -> tuple[str, ...]:
    return ("-b:v", rate, "-maxrate", rate, "-bufsize", rate)


def test_surround_sound_becomes_stereo(clip, tmp_path):
    source = clip(options=("-ac", "6"))
    assert shown(source, "a", "codec_name,profile,channels") == ["aac", "LC", "6"]

    outputs = copied_and_encoded(source, tmp_path)

    assert [shown(path, "a", "codec_name,channels") for path in outputs] == [["aac", "2"]] * 2


def test_stereo_aac_is_copied_as_it_is(clip, tmp_path):
    def sound(path: Path) -> str:
        return ffmpeg("-i", str(path), "-map", "0:a", "-c", "copy", "-f", "md5", "-")

    assert [sound(path) for path in copied_and_encoded(clip(), tmp_path)] == [sound(clip())] * 2


def test_a_picture_that_does_not_say_its_colours_is_taken_and_tagged_as_bt709(clip, tmp_path):
    unsaid = "h264_metadata=colour_primaries=2:transfer_characteristics=2:matrix_coefficients=2"
    untagged = rewrap(clip(), tmp_path / "untagged.mp4", "-bsf:v", unsaid)
    silent = b"nclx" + u16(2, 2, 2) + b"\0"
    untagged.write_bytes(edited(untagged.read_bytes(), f"{H264_ENTRY}/colr", lambda _: silent))
    assert not probe(untagged, TOOLS).color_space
    said, taken = tmp_path / "said", tmp_path / "taken"
    said.mkdir()
    taken.mkdir()

    [of_tagged] = encoded(clip(), said, (360, 640))
    [of_untagged] = encoded(untagged, taken, (360, 640))

    assert frames(of_untagged) == frames(of_tagged)
    for path in (of_tagged, of_untagged):
        assert shown(path, "v", "color_space,color_transfer,color_primaries") == ["bt709"] * 3


def test_a_curve_by_its_other_name_is_tagged_as_bt709(clip, tmp_path):
    source = clip(seconds=0.5, sound=False, colour=BT709.replace("color_trc=bt709", "color_trc=smpte170m"))
    assert probe(source, TOOLS).color_transfer == "smpte170m"

    [rendition] = encoded(source, tmp_path, (90, 160))

    assert shown(rendition, "v", "color_space,color_transfer,color_primaries") == ["bt709"] * 3


# ── How they end ─────────────────────────────────────────────────────────────────


def python(program: str) -> list[str]:
    return [sys.executable, "-c", program]


def shell(script: str) -> list[str]:
    return ["/bin/sh", "-c", script]


def test_a_tool_gets_nothing_of_our_environment(monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)

    assert run(["/usr/bin/env"], timeout_s=5) == "LC_ALL=C\n"


def test_a_ctrl_c_is_for_us_not_for_a_tool():
    assert run(python("import os; print(os.getpgrp() == os.getpid())"), timeout_s=5) == "True\n"


@pytest.mark.parametrize(
    "script", ["exec sleep 5", "exec >&-; exec sleep 5"], ids=["silent", "output closed"]
)
def test_a_tool_that_hangs_is_killed_and_may_be_tried_again(script):
    with pytest.raises(ToolFailed, match=r"^sh did not finish in 0\.2 s\.$"):
        run(shell(script), timeout_s=0.2)


def test_a_tool_that_was_killed_may_be_tried_again():
    with pytest.raises(ToolFailed, match=r"^sh was killed by signal 9\.$"):
        run(shell("kill -9 $$"), timeout_s=5)


@pytest.mark.parametrize(
    ("status", "words"), [(228, "disk is full"), (244, "out of memory"), (255, "told to stop")]
)
def test_an_end_that_is_not_the_files_fault_may_be_tried_again(status, words):
    with pytest.raises(ToolFailed, match=words):
        run(shell(f"exit {status}"), timeout_s=5)


@pytest.mark.parametrize("status", [1, 69, 183])
def test_any_other_end_is_the_files_fault_in_the_tools_last_words(status):
    with pytest.raises(BadMedia, match=r"^sh: two / three / four$"):
        run(shell(f"printf 'one\\ntwo\\nthree\\nfour\\n' >&2; exit {status}"), timeout_s=5)


@pytest.mark.parametrize(
    "options", [("-movflags", "+nonsense"), ("-c:v", "nonsense"), ("-vf", "nonsense"), ("-nonsense", "1")]
)
def test_an_ffmpeg_that_cannot_do_what_we_ask_is_not_the_files_fault(clip, tmp_path, options):
    command = [TOOLS.ffmpeg, "-v", "error", "-i", str(clip()), *options, str(tmp_path / "out.mp4")]

    with pytest.raises(ToolFailed, match="cannot do this"):
        run(command, timeout_s=10)


def test_an_end_without_a_word_is_told_by_its_number():
    with pytest.raises(BadMedia, match=r"^sh: exit status 3$"):
        run(shell("exit 3"), timeout_s=5)


def test_a_missing_tool_may_be_tried_again_and_says_how_to_get_it():
    with pytest.raises(ToolFailed, match=r"^no-such-ffmpeg cannot be started") as failure:
        run(["/opt/no-such-ffmpeg"], timeout_s=5)

    assert "MediaToolsLayer" in failure.value.suggestions[0]


def test_whoever_listens_can_stop_a_tool(tmp_path):
    class Overtaken(Exception):
        pass

    def stop(line: str) -> None:
        raise Overtaken(line)

    finished = tmp_path / "finished"
    with pytest.raises(Overtaken, match=r"^begun$"):
        run(shell(f"echo begun; sleep 2; touch {finished}"), timeout_s=5, on_line=stop)

    assert not finished.exists()


def test_whoever_listens_hears_every_line_once():
    heard = []

    printed = run(shell("echo one; echo two; printf three"), timeout_s=5, on_line=heard.append)

    assert (heard, printed) == (["one", "two", "three"], "")


@pytest.mark.parametrize("listens", [True, False])
def test_a_tool_that_prints_a_lot_does_not_get_stuck(listens):
    heard: list[str] = []
    program = "import sys; sys.stderr.write('e' * 10**6); sys.stdout.write('o' * 10**6)"

    printed = run(python(program), timeout_s=5, on_line=heard.append if listens else None)

    assert len(printed) + sum(map(len, heard)) == 10**6


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="this system bounds no memory of others")
def test_a_tool_has_so_much_memory_and_no_more():
    def taking(size_bytes: int) -> list[str]:
        return python(f"import mmap; mmap.mmap(-1, {size_bytes})")

    run(taking(GIB // 2), timeout_s=5)
    with pytest.raises(BadMedia, match="Cannot allocate memory"):
        run(taking(GIB // 2), timeout_s=5, memory_bytes=GIB // 4)
    with pytest.raises(BadMedia, match="Cannot allocate memory"):
        run(taking(GIB * 3 // 2), timeout_s=5)
