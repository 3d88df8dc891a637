"""The media tools: their commands, their isolation and their failures, on real files."""

import ast
import ctypes
import os
import resource
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import pytest

from dev.clips import BT709, ffmpeg, probe_lines, rewrap
from support.cases import CASES
from support.corpus import u16
from support.media_tools import TOOLS, stills_in
from support.planted import H264_ENTRY, edited
from videos import tools
from videos.checking import ffprobe, parameter_sets
from videos.checking.probe import probe
from videos.errors import BadMedia, ToolExhausted, ToolFailed
from videos.making import commands, loudness
from videos.making.commands import Target
from videos.model import Audio, Media
from videos.mp4.fragments import put_index_first
from videos.tools import GIB, run

SECRET = "SecretPhone-9"  # must not be in any output
PLAIN = Media(content="video/mp4", size_bytes=1, codec="h264", bit_rate=1_000_000)


def every_command(source: Path, media: Media, folder: Path) -> dict[str, list[str]]:
    poster, sprite = stills_in(folder, media)
    targets = [Target(folder / "540p", 540, 960), Target(folder / "360p", 360, 640)]
    return {
        "packets": ffprobe.packets_command(TOOLS, source),
        "tracks": ffprobe.tracks_command(TOOLS, source),
        "readable packets": ffprobe.count_command(TOOLS, source, 0),
        "streams": ffprobe.streams_command(TOOLS, source),
        "parameter sets": parameter_sets.trace_command(TOOLS, source, 0, "h264", in_samples=True),
        "keyframes": ffprobe.keyframes_command(TOOLS, source, 0),
        "loudness": loudness.loudness_command(TOOLS, source, 1),
        "copy": commands.copy_command(TOOLS, source, media, folder / "copy"),
        "poster": commands.poster_command(TOOLS, source, media, poster),
        "later poster": commands.poster_command(TOOLS, source, media, replace(poster, time_s=0.5)),
        "sound": commands.sound_command(
            TOOLS, source, replace(media, audio=Audio(stream_index=1, codec="opus"))
        ),
        "ladder": commands.ladder_command(TOOLS, source, media, targets, sprite, poster),
        "one rendition": commands.ladder_command(TOOLS, source, media, targets[:1], sprite),
    }


COMMANDS = list(every_command(Path("upload"), PLAIN, Path()))


def copied(source: Path, folder: Path) -> Path:
    """The stream copy of ``source``."""
    media = probe(source, TOOLS)
    run(commands.copy_command(TOOLS, source, media, folder / "copy"), timeout_s=30)
    return finished(folder / "copy")


def encoded(source: Path, folder: Path, *sizes: tuple[int, int]) -> list[Path]:
    """A rendition of each size."""
    media = probe(source, TOOLS)
    targets = [Target(folder / f"{width}x{height}", width, height) for width, height in sizes]
    _, sprite = stills_in(folder, media)
    run(commands.ladder_command(TOOLS, source, media, targets, sprite), timeout_s=30)
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


@pytest.mark.parametrize("name", ["ladder", "one rendition"])
def test_each_encoder_has_two_threads_since_each_thread_keeps_pictures_in_memory(name):
    command = every_command(Path("upload"), PLAIN, Path())[name]

    threads = [command[place + 1] for place, word in enumerate(command) if word == "-threads"]
    assert threads == ["2"] * command.count("libx264")
    assert "threads=" not in " ".join(command)  # among x264-params it would win


# ── Forced demuxer and protocols ───────────────────────────────────────────────


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_forces_the_mov_demuxer_and_local_files(name):
    command = every_command(Path("upload"), PLAIN, Path())[name]

    inputs = [place for place, word in enumerate(command) if word == "upload"]
    assert inputs
    for end, start in zip(inputs, [0, *inputs], strict=False):
        before = list(pairwise(command[start:end]))
        assert ("-f", "mov") in before
        assert ("-protocol_whitelist", "file,pipe") in before


# libmagic recognises neither as text, so both reach ffprobe.
CONCAT = b"ffconcat version 1.0\n#\x01\x02\xff\xfe\x80\nfile other\n"
HLS = b"#EXTM3U\n#\x01\x02\xff\xfe\x80\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nother\n#EXT-X-ENDLIST\n"


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize(
    ("upload", "script"), [("source", CONCAT), ("source.m3u8", HLS)], ids=["concat", "hls"]
)
def test_a_playlist_upload_opens_no_other_file(tmp_path, name, upload, script):
    source = tmp_path / upload
    source.write_bytes(script)
    os.mkfifo(tmp_path / "other")  # it has no writer: a tool that opens it hangs

    with pytest.raises(BadMedia):
        run(every_command(source, PLAIN, tmp_path)[name], timeout_s=2)


def test_a_playlist_upload_is_not_probed_as_the_file_it_names(clip, tmp_path):
    source = tmp_path / "source"
    source.write_bytes(CONCAT)
    (tmp_path / "other").write_bytes(clip().read_bytes())

    media = probe(source, TOOLS)

    assert media.content == "application/octet-stream"  # libmagic did not recognise it
    assert (media.video_streams, media.duration_s, media.audio) == (0, 0, None)
    assert media.faults == ("The file cannot be read as MP4 or MOV.",)


@pytest.mark.parametrize(("time_s", "seek"), [(0.00005, []), (0.0015, ["0.002"]), (12.5, ["12.500"])])
def test_ffmpeg_is_given_no_time_with_an_exponent(tmp_path, time_s, seek):
    poster, _ = stills_in(tmp_path, PLAIN)

    command = commands.poster_command(TOOLS, Path("upload"), PLAIN, replace(poster, time_s=time_s))

    assert [command[at + 1] for at, word in enumerate(command) if word == "-ss"] == seek


# ── Private data in outputs ────────────────────────────────────────────────────


def test_h264_sei_messages_are_removed(clip, tmp_path):
    planted = f"h264_metadata=sei_user_data=086f3693-b7b3-4f2c-9653-21492feee5b8+{SECRET}"
    marked = rewrap(clip(), tmp_path / "marked.mp4", "-bsf:v", planted)
    assert SECRET.encode() in marked.read_bytes()

    outputs = copied_and_encoded(marked, tmp_path)

    assert not [path.name for path in outputs if SECRET.encode() in path.read_bytes()]


HEVC = {"codec": "libx265", "sound": False, "seconds": 0.5}


def test_hevc_sei_messages_are_removed(clip, tmp_path):
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


def test_no_output_contains_encoder_settings(clip, tmp_path):
    assert b"x264 - core" in clip().read_bytes()

    outputs = copied_and_encoded(clip(), tmp_path)

    assert not [path.name for path in outputs if b"x264 - core" in path.read_bytes()]


def test_hevc_sei_messages_in_the_header_are_removed(clip, tmp_path):
    assert b"x265 (build" in clip(**HEVC).read_bytes()

    assert b"x265 (build" not in copied(clip(**HEVC), tmp_path).read_bytes()


def test_chapters_are_removed(clip, tmp_path):
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


# ── Output format ──────────────────────────────────────────────────────────────


def test_outputs_have_their_index_first(clip, tmp_path):
    for path in copied_and_encoded(clip(), tmp_path):
        data = path.read_bytes()
        assert data.index(b"moov") < data.index(b"mdat"), path.name


def keyframe_times(path: Path) -> list[str]:
    lines = probe_lines(path, "-select_streams", "v", "-show_entries", "packet=pts_time,flags")
    times = [dict(field.split("=") for field in line.split("|")[:2]) for line in lines]
    return [packet["pts_time"] for packet in times if "K" in packet["flags"]]


def test_renditions_have_keyframes_where_the_source_has_them_and_nowhere_else(clip, tmp_path):
    # A scene cut without a keyframe at 4 s, then no keyframe for longer than x264's default.
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
@pytest.mark.thorough
def test_no_rendition_of_a_short_clip_is_larger_than_its_source(clip, tmp_path, seconds, rate):
    source = clip(seconds=seconds, sound=False, options=low_bit_rate(rate))

    renditions = encoded(source, tmp_path, (720, 1280), (540, 960), (360, 640))

    assert max(path.stat().st_size for path in renditions) <= source.stat().st_size


def low_bit_rate(rate: str) -> tuple[str, ...]:
    return ("-b:v", rate, "-maxrate", rate, "-bufsize", rate)


def test_surround_sound_becomes_stereo(clip):
    source = clip(options=("-ac", "6"))
    assert shown(source, "a", "codec_name,profile,channels") == ["aac", "LC", "6"]

    run(commands.sound_command(TOOLS, source, probe(source, TOOLS)), timeout_s=30)

    assert shown(commands.sound_path(source), "a", "codec_name,channels") == ["aac", "2"]


@pytest.mark.thorough
def test_encoded_sound_lasts_as_long_as_the_picture(tmp_path):
    """hls.js waits for ever for the sound of a segment that has none."""
    for case in (CASES["audio_shorter"], CASES["audio_at_the_very_end"]):
        source = case.make(tmp_path)
        run(commands.sound_command(TOOLS, source, probe(source, TOOLS)), timeout_s=30)

        [start_s, duration_s] = shown(commands.sound_path(source), "a", "start_time,duration")
        assert (float(start_s), float(duration_s)) == (0, pytest.approx(6, abs=0.03)), case.name


def test_stereo_aac_is_stream_copied(clip, tmp_path):
    def sound(path: Path) -> str:
        return ffmpeg("-i", str(path), "-map", "0:a", "-c", "copy", "-f", "md5", "-")

    assert [sound(path) for path in copied_and_encoded(clip(), tmp_path)] == [sound(clip())] * 2


def test_an_untagged_video_is_decoded_and_tagged_as_bt709(clip, tmp_path):
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


def test_smpte170m_transfer_is_tagged_as_bt709(clip, tmp_path):
    source = clip(seconds=0.5, sound=False, colour=BT709.replace("color_trc=bt709", "color_trc=smpte170m"))
    assert probe(source, TOOLS).color_transfer == "smpte170m"

    [rendition] = encoded(source, tmp_path, (90, 160))

    assert shown(rendition, "v", "color_space,color_transfer,color_primaries") == ["bt709"] * 3


# ── Exit and failures ──────────────────────────────────────────────────────────


def python(program: str) -> list[str]:
    return [sys.executable, "-c", program]


def shell(script: str) -> list[str]:
    return ["/bin/sh", "-c", script]


def test_a_tool_inherits_no_environment(monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)

    assert run(["/usr/bin/env"], timeout_s=5) == "LC_ALL=C\n"


def test_a_ctrl_c_does_not_reach_a_tool():
    assert run(python("import os; print(os.getpgrp() == os.getpid())"), timeout_s=5) == "True\n"


@pytest.mark.parametrize(
    "script", ["exec sleep 5", "exec >&-; exec sleep 5"], ids=["silent", "output closed"]
)
def test_a_hanging_tool_is_killed_and_may_be_retried(script):
    with pytest.raises(ToolFailed, match=r"^sh did not finish in 0\.2 s\.$"):
        run(shell(script), timeout_s=0.2)


def test_a_killed_tool_may_be_retried():
    with pytest.raises(ToolFailed, match=r"^sh was killed by signal 9\.$"):
        run(shell("kill -9 $$"), timeout_s=5)


@pytest.mark.parametrize(("status", "words"), [(228, "disk is full"), (255, "interrupted")])
def test_an_exit_status_of_a_system_error_may_be_retried(status, words):
    with pytest.raises(ToolFailed, match=words):
        run(shell(f"exit {status}"), timeout_s=5)


@pytest.mark.parametrize(
    ("ends", "words"),
    [
        ("exit 244", r"^sh needs more than 1,073,741,824 bytes of memory\.$"),
        ("kill -SEGV $$", r"^sh crashed with signal 11\.$"),
        ("exec sleep 60", r"^sh did not finish in 0\.5 s\.$"),
    ],
)
def test_a_tool_that_reaches_its_limits_or_crashes_tells_something_about_the_file(ends, words):
    with pytest.raises(ToolExhausted, match=words):
        run(shell(ends), timeout_s=0.5)


@pytest.mark.parametrize("status", [1, 69, 183])
def test_any_other_exit_status_is_bad_media_with_the_last_error_lines(status):
    with pytest.raises(BadMedia, match=r"^sh: two / three / four$"):
        run(shell(f"printf 'one\\ntwo\\nthree\\nfour\\n' >&2; exit {status}"), timeout_s=5)


@pytest.mark.parametrize(
    "options", [("-movflags", "+nonsense"), ("-c:v", "nonsense"), ("-vf", "nonsense"), ("-nonsense", "1")]
)
def test_an_ffmpeg_that_lacks_a_feature_is_not_bad_media(clip, tmp_path, options):
    command = [TOOLS.ffmpeg, "-v", "error", "-i", str(clip()), *options, str(tmp_path / "out.mp4")]

    with pytest.raises(ToolFailed, match="lacks a feature"):
        run(command, timeout_s=10)


def test_a_failure_without_output_reports_the_exit_status():
    with pytest.raises(BadMedia, match=r"^sh: exit status 3$"):
        run(shell("exit 3"), timeout_s=5)


def test_a_missing_tool_may_be_retried_and_suggests_how_to_install_it():
    with pytest.raises(ToolFailed, match=r"^no-such-ffmpeg cannot be started") as failure:
        run(["/opt/no-such-ffmpeg"], timeout_s=5)

    assert "MediaToolsLayer" in failure.value.suggestions[0]


def test_an_exception_in_on_line_kills_the_tool(tmp_path):
    class Overtaken(Exception):
        pass

    def stop(line: str) -> None:
        raise Overtaken(line)

    finished = tmp_path / "finished"
    with pytest.raises(Overtaken, match=r"^started$"):
        run(shell(f"echo started; sleep 2; touch {finished}"), timeout_s=5, on_line=stop)

    assert not finished.exists()


def test_on_line_receives_every_line_once():
    lines_received = []

    printed = run(shell("echo one; echo two; printf three"), timeout_s=5, on_line=lines_received.append)

    assert (lines_received, printed) == (["one", "two", "three"], "")


@pytest.mark.parametrize("with_on_line", [True, False])
def test_a_tool_with_a_lot_of_output_does_not_block(with_on_line):
    lines_received: list[str] = []
    program = "import sys; sys.stderr.write('e' * 10**6); sys.stdout.write('o' * 10**6)"

    printed = run(python(program), timeout_s=5, on_line=lines_received.append if with_on_line else None)

    assert len(printed) + sum(map(len, lines_received)) == 10**6


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="this system has no prlimit")
def test_a_tool_cannot_exceed_its_memory_limit():
    def taking(size_bytes: int) -> list[str]:
        limited = "resource.getrlimit(resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY"
        return python(
            f"import mmap, resource\nwhile not {limited}: pass\nmmap.mmap(-1, {size_bytes})"
        )  # the limit is set once the tool has started

    run(taking(GIB // 2), timeout_s=5)
    with pytest.raises(BadMedia, match="Cannot allocate memory"):
        run(taking(GIB // 2), timeout_s=5, memory_bytes=GIB // 4)
    with pytest.raises(BadMedia, match="Cannot allocate memory"):
        run(taking(GIB * 3 // 2), timeout_s=5)


LINUX = pytest.mark.skipif(sys.platform != "linux", reason="Linux only")
READS_OUR_ENVIRONMENT = f"""
import ctypes, os, sys
sys.path.insert(0, {str(Path(run.__code__.co_filename).parents[1])!r})
from videos.errors import BadMedia
from videos import tools
if "unprotected" in sys.argv:
    tools._without_our_environment = lambda start: start()
if "nobody" in sys.argv:  # what a program started as nobody is: without capabilities, and dumpable
    os.setgid(65534), os.setuid(65534), ctypes.CDLL(None).prctl(4, 1)
assert b"SECRET" in open("/proc/self/environ", "rb").read()
try:
    print(tools.run(["/bin/sh", "-c", "cat /proc/$PPID/environ"], timeout_s=5))
except BadMedia as error:
    print(error)
"""


@LINUX
@pytest.mark.parametrize("user", ["ourselves", "nobody"])
def test_a_tool_cannot_read_our_environment(user):
    if user == "nobody" and os.geteuid() != 0:
        pytest.skip("only root may become another user")

    def said(*how: str) -> str:
        command = [sys.executable, "-c", READS_OUR_ENVIRONMENT, user, *how]
        env = {"SECRET": "hunter2", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        return subprocess.run(command, env=env, cwd="/", capture_output=True, text=True, check=True).stdout

    assert "hunter2" in said("unprotected")
    assert "hunter2" not in said()


LIMITS = pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="this system has no prlimit")


@LIMITS
def test_a_tool_has_limits_of_cpu_time_file_size_and_open_files():
    told = run(
        python(
            "import resource as r, time; time.sleep(0.2);"
            "print([r.getrlimit(x) for x in (r.RLIMIT_CPU, r.RLIMIT_FSIZE, r.RLIMIT_NOFILE)])"
        ),
        timeout_s=5,
    )

    [cpu_s, file_bytes, files] = ast.literal_eval(told)
    most_s = 5 * os.cpu_count() + 1
    assert cpu_s == (most_s, most_s)
    assert file_bytes == (1024**3, 1024**3)
    assert files == (64, 64)


@pytest.mark.skipif(sys.platform != "linux", reason="only on Linux does a process choose its processors")
@pytest.mark.parametrize("on_one_processor", [False, True])
def test_a_tool_is_kept_on_one_processor_if_that_is_asked_for(on_one_processor):
    ours = len(os.sched_getaffinity(0))
    expected = 1 if on_one_processor else ours
    until = f"while len(os.sched_getaffinity(0)) != {expected}: time.sleep(0.01)"

    run(python(f"import os, time\n{until}"), timeout_s=5, on_one_processor=on_one_processor)

    assert len(os.sched_getaffinity(0)) == ours


def test_a_tool_that_cannot_be_kept_on_one_processor_runs_on_several(monkeypatch):
    monkeypatch.setattr(os, "sched_setaffinity", Mock(side_effect=PermissionError), raising=False)

    assert run(shell("echo fine"), timeout_s=5, on_one_processor=True) == "fine\n"


@LIMITS
def test_a_tool_that_writes_a_file_without_end_is_killed(tmp_path, monkeypatch):
    monkeypatch.setattr("videos.tools.MAX_FILE_BYTES", 100_000)
    endless = tmp_path / "endless"

    with pytest.raises(ToolFailed, match="crashed with signal"):
        run(shell(f"sleep 0.2; exec head -c 10000000 /dev/zero > {endless}"), timeout_s=5)

    assert endless.stat().st_size == 100_000


@LIMITS
def test_what_a_sandbox_refuses_is_logged_once_and_harmless(monkeypatch, caplog):
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    tools._warn_once.cache_clear()
    monkeypatch.setattr(resource, "prlimit", refuse)
    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: SimpleNamespace(prctl=lambda *_: -1))

    assert [run(shell("echo fine"), timeout_s=5) for _ in range(3)] == ["fine\n"] * 3

    refused = [record.getMessage() for record in caplog.records]
    assert len(refused) == len(set(refused))
    for name in ("RLIMIT_AS", "RLIMIT_CPU", "RLIMIT_FSIZE", "RLIMIT_NOFILE", "PR_SET_DUMPABLE"):
        assert any(name in message for message in refused), name
