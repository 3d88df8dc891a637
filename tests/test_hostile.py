"""Files made to hurt: each gets a verdict, soon, in little memory, and reaches nothing but itself."""

import json
import re
import stat
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from dev.clips import ffmpeg, probe_lines, rewrap
from support import corpus
from support.corpus import HTML, MOST_BYTES, PDF, box, box_of, patched, resized, u32, within
from videos import wiring
from videos.checking.probe import probe
from videos.checking.rules import check, warnings
from videos.errors import Rejected, Violation
from videos.model import State
from videos.service import Service
from videos.steps.request_upload import receive_file
from videos.steps.transcode_video import transcode_video
from videos.tools import GIB, MediaTools

TOOLS: MediaTools = wiring.media_tools({})
FUNCTIONS = Path(__file__).parent.parent / "functions"
MOST_SECONDS = 30.0
MOST_OWN_BYTES = 256 * 1024**2
MOST_WORDS = 8_000  # characters of a whole refusal; a record in DynamoDB holds 400 KB
ESCAPES = (
    "\x1b]0;owned\x07\x1b[2J\x1b[31m\r\nINFO faked line <script>alert('PAYLOAD')</script> ${jndi:ldap://x}"
)


def judged(path: Path) -> tuple[Violation, ...]:
    """The verdict on a file; whatever it is, it is told in plain words and not in ours."""
    before = set(path.parent.iterdir())
    with within(MOST_SECONDS):
        media = probe(path, TOOLS)
    problems = check(media)
    told_plainly(problems, path)
    assert all(sentence.isprintable() for sentence in warnings(media))
    assert set(path.parent.iterdir()) == before
    return problems


def told_plainly(problems: Sequence[Violation], path: Path) -> None:
    words = [word for problem in problems for field in astuple(problem) for word in _words(field)]
    assert all(word and word.isprintable() for word in words)
    everything = "\n".join(words)
    assert len(everything) < MOST_WORDS
    for ours in (str(path.parent), "/tmp", "ffprobe", "Traceback", "PAYLOAD", "://"):  # noqa: S108
        assert ours not in everything
    assert not re.search(r"0x[0-9a-f]{5,}", everything)


def _words(field: str | tuple[Any, ...]) -> list[str]:
    return [field] if isinstance(field, str) else [word for part in field for word in _words(part)]


def broken(path: Path) -> list[str]:
    return [problem.rule for problem in judged(path)]


@pytest.fixture
def saved(tmp_path):
    """``saved(data)``: these bytes as a file, alone in a folder."""
    folder = tmp_path / "only"
    folder.mkdir()

    def save(data: bytes) -> Path:
        path = folder / "clip.mp4"
        path.write_bytes(data)
        return path

    return save


@pytest.fixture
def whole(clip) -> bytes:
    return clip(seconds=0.5, options=("-crf", "45")).read_bytes()


@pytest.fixture
def description(clip) -> bytes:
    """The stsd box of a real clip: H.264, 720x1280."""
    return box_of(clip(sound=False).read_bytes(), b"stsd")


# ── What it costs, measured from outside ─────────────────────────────────────────

JUDGE = """
import json, resource, sys, time
from pathlib import Path
from typing import Any
sys.path.insert(0, sys.argv[1])
from videos import wiring
from videos.checking import ffprobe, probe, rules
decode, runs = ffprobe.decode_keyframes, []
ffprobe.decode_keyframes = lambda *args, **options: runs.append(1) or decode(*args, **options)
problems = rules.check(probe.probe(Path(sys.argv[2]), wiring.media_tools({})))
tools = resource.getrusage(resource.RUSAGE_CHILDREN)
status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
print(json.dumps({
    "rules": [problem.rule for problem in problems],
    "cpu_s": time.process_time() + tools.ru_utime + tools.ru_stime,
    "keyframe_runs": len(runs),
    "own_bytes": int(status["VmHWM"].split()[0]) * 1024,  # ru_maxrss begins with that of our parent
    "tool_bytes": tools.ru_maxrss * 1024,
}))
"""


@dataclass(frozen=True)
class Cost:
    rules: list[str]
    cpu_s: float  # unlike the time it takes, the same on a busy machine
    keyframe_runs: int
    own_bytes: int
    tool_bytes: int


def cost_of(path: Path) -> Cost:
    """Judge a file in a process of its own, which ends when its time is over."""
    command = [sys.executable, "-c", JUDGE, str(FUNCTIONS), str(path)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=MOST_SECONDS, check=False)
    assert run.returncode == 0, run.stderr[-500:]
    return Cost(**json.loads(run.stdout))


def affordable(cost: Cost) -> bool:
    return cost.own_bytes < MOST_OWN_BYTES and cost.tool_bytes < GIB


needs_proc = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
FLOOD = "no bound on how many packets ffprobe prints and we keep: tools.run, probe.probe"


@needs_proc
def test_a_plain_clip_costs_little(clip):
    cost = cost_of(clip())

    assert cost.rules == []
    assert cost.own_bytes < 64 * 1024**2
    assert cost.tool_bytes < GIB / 4


@needs_proc
def test_a_million_frames_that_are_only_claimed(saved, description):
    cost = cost_of(saved(corpus.tiny_frames(description, 1000, claimed=1_000_000)))

    assert "integrity" in cost.rules
    assert affordable(cost)


@needs_proc
@pytest.mark.parametrize("count", [1_000_000, MOST_BYTES - 1000], ids=["a million", "as many as fit"])
def test_real_frames_of_a_byte_each(saved, description, count):
    cost = cost_of(saved(corpus.tiny_frames(description, count)))

    assert cost.rules
    assert cost.cpu_s < 6
    assert affordable(cost)


@needs_proc
def test_keyframes_without_number_that_cannot_be_decoded(saved, description):
    cost = cost_of(saved(corpus.broken_keyframes(description, 200_000)))

    assert "integrity" in cost.rules
    assert cost.cpu_s < 6
    assert affordable(cost)


@needs_proc
def test_sixteen_thousand_pixels_square(clip, saved):
    claimed = patched(
        clip().read_bytes(), b"avc1", 24, (16_384).to_bytes(2) * 2, nth=1
    )  # the first is a brand
    assert affordable(cost_of(saved(claimed)))


@needs_proc
# ffmpeg decodes pictures of the second size, and not of the first.
@pytest.mark.parametrize(("side", "keyframe_runs"), [(16_384, 2), (16_000, 1)])
@pytest.mark.thorough
def test_sixteen_thousand_pixels_square_in_the_bitstream(clip, saved, side, keyframe_runs):
    data = clip(sound=False).read_bytes()
    at, lie = corpus.body_of(data, b"avcC"), avc_configuration(side, side)

    cost = cost_of(saved(data[:at] + lie + data[at + len(lie) :]))

    assert cost.rules
    assert cost.keyframe_runs == keyframe_runs  # each takes a second of the second kind
    assert affordable(cost)


def avc_configuration(width: int, height: int) -> bytes:
    """The body of an avcC box with one sequence and one picture parameter set (ITU-T H.264, 7.3.2.1)."""

    def ue(number: int) -> str:
        binary = f"{number + 1:b}"
        return "0" * (len(binary) - 1) + binary

    bits = ue(0) + ue(0) + ue(2) + ue(1) + "0" + ue(width // 16 - 1) + ue(height // 16 - 1) + "1100" + "1"
    bits += "0" * (-len(bits) % 8)
    coded = int(bits, 2).to_bytes(len(bits) // 8).replace(b"\0\0\1", b"\0\0\3\1")  # no start code inside
    sps = bytes([0x67, 66, 0, 62]) + coded
    pps = b"\x68\xce\x38\x80"
    return (
        bytes([1, 66, 0, 62, 0xFF, 0xE1]) + len(sps).to_bytes(2) + sps + b"\x01" + len(pps).to_bytes(2) + pps
    )


@needs_proc
@pytest.mark.thorough
def test_five_hundred_tracks(saved, description):
    cost = cost_of(saved(corpus.tracks(description, 500)))

    assert "content" in cost.rules
    assert affordable(cost)


@needs_proc
@pytest.mark.parametrize(
    "data",
    [
        pytest.param(corpus.nested(b"moov", 780_000), id="a box in a box"),
        pytest.param((u32(8) + b"free") * 786_000, id="side by side"),
        pytest.param(box(b"moov", (u32(8) + b"trak") * 78) * 9_900, id="both"),
        pytest.param(box(b"free", says=0x7FFFFFFF), id="giant"),
        pytest.param(u32(1) + b"mdat" + b"\x7f" + b"\xff" * 7, id="64 bits of giant"),
    ],
)
@pytest.mark.thorough
def test_boxes_without_end(saved, data):
    cost = cost_of(saved(corpus.FILE_TYPE + data))

    assert cost.rules
    assert affordable(cost)


@needs_proc
def test_a_title_of_a_megabyte(clip, tmp_path):
    data = clip().read_bytes()
    title = box(b"\xa9nam", box(b"data", u32(1, 0), b"A" * 1024**2))
    handler = box(b"hdlr", u32(0, 0), b"mdirappl", bytes(9))
    tags = box(b"udta", box(b"meta", u32(0), handler, box(b"ilst", title)))
    titled = tmp_path / "titled.mp4"
    titled.write_bytes(resized(data, b"moov", len(box_of(data, b"moov")) + len(tags)) + tags)
    assert len(probe_lines(titled, "-show_entries", "format_tags=title")[-1]) > 1024**2

    cost = cost_of(titled)

    assert cost.rules == []
    assert affordable(cost)


# ── In bounded time, in few words ────────────────────────────────────────────────


@needs_proc
def test_start_codes_where_lengths_should_be(clip, saved):
    source = clip(sound=False, options=("-x264-params", "repeat-headers=1"))
    data = bytearray(source.read_bytes())
    for line in probe_lines(source, "-show_entries", "packet=pos,size"):
        fields = dict(field.split("=") for field in line.split("|") if "=" in field)
        at, end = int(fields["pos"]), int(fields["pos"]) + int(fields["size"])
        while at < end:
            length = int.from_bytes(data[at : at + 4])
            data[at : at + 4] = u32(1)
            at += 4 + length
    path = saved(bytes(data).replace(b"avcC", b"free"))

    judged(path)
    assert cost_of(path).cpu_s < 2


def test_frames_that_are_all_the_same_bytes(clip, saved, description):
    [first, *_] = probe_lines(clip(sound=False), "-show_entries", "packet=pos,size")
    fields = dict(field.split("=") for field in first.split("|") if "=" in field)
    at, size = int(fields["pos"]), int(fields["size"])
    picture = clip(sound=False).read_bytes()[at : at + size]

    path = saved(corpus.overlapping_frames(description, picture, 10, 100_000))

    assert "integrity" in broken(path)  # each would be scanned, decoded and copied again


def test_boxes_that_each_miss_another_number_of_bytes(saved):
    assert "integrity" in broken(saved(corpus.unmatched_boxes(20_000)))


def test_a_size_of_its_own_for_every_keyframe(clip):
    media = replace(probe(clip(), TOOLS), other_sizes=tuple(f"{width}x1280" for width in range(800, 2000)))

    told_plainly(check(media), clip())


# ── What is something else ───────────────────────────────────────────────────────


@pytest.mark.parametrize("name", sorted(corpus.renamed("")))
def test_what_was_renamed_is_refused(saved, tmp_path, name):
    path = saved(corpus.renamed(str(tmp_path / "canary"))[name])

    problems = judged(path)

    assert problems[0].rule == "content"
    assert "canary" not in str(problems)


@pytest.mark.parametrize("codec", [b"zzzz", b"    ", b"\x1b[2J"], ids=["letters", "blanks", "an escape"])
def test_a_codec_that_nobody_knows_is_refused(saved, whole, codec):
    assert "codec" in broken(saved(whole.replace(b"avc1\0\0", codec + b"\0\0")))


POLYGLOTS = {
    "zip tail": lambda clip: clip + corpus.zipped(),
    "pdf tail": lambda clip: clip + PDF,
    "html tail": lambda clip: clip + HTML,
    "pdf head": lambda clip: box(b"free", PDF) + clip,
    "html head": lambda clip: box(b"free", HTML) + clip,
    "zip in between": lambda clip: (
        clip.replace(box_of(clip, b"ftyp"), corpus.FILE_TYPE, 1) + box(b"free", corpus.zipped())
    ),
    "page in a box of its own": lambda clip: clip + box(b"uuid", bytes(16), HTML),
    "bare page first": lambda clip: HTML + clip,
    "bare pdf first": lambda clip: PDF + clip,
    "shell first": lambda clip: b"#!/bin/sh\necho PAYLOAD\nexit\n" + clip,
}


@pytest.mark.parametrize("name", sorted(POLYGLOTS))
def test_of_a_file_that_is_two_things_only_the_picture_goes_on(own_service, saved, whole, name):
    path = saved(POLYGLOTS[name](whole))

    if judged(path):
        return
    video = transcode_video(receive_file("clip.mp4", "video/mp4", path, own_service).id, own_service)

    assert video.state is State.COMPLETED
    for output in video.outputs:
        published = path.with_name(str(output.name))
        own_service.storage.fetch(output.key, published)
        assert not re.search(rb"PAYLOAD|<script|%PDF|PK\x03\x04", published.read_bytes())


def test_a_photo_with_a_clip_behind_it_is_a_photo(clip, tmp_path, saved, whole):
    photo = tmp_path / "photo.jpg"
    ffmpeg("-i", str(clip()), "-frames:v", "1", "-update", "1", str(photo))

    [problem] = judged(saved(photo.read_bytes() + whole))

    assert (problem.rule, problem.found) == ("content", "image/jpeg")


# ── What is broken ───────────────────────────────────────────────────────────────


@pytest.mark.parametrize("twentieth", range(20))
def test_a_file_cut_anywhere_gets_a_verdict(saved, whole, twentieth):
    assert broken(saved(whole[: len(whole) * twentieth // 20]))


@pytest.mark.parametrize("left", range(1, 12))
def test_a_file_cut_in_its_last_box_gets_a_verdict(saved, whole, left):
    judged(saved(whole[:-left]))


FIELDS = [  # box, offset in its body
    (b"mvhd", 12), (b"mvhd", 16), (b"tkhd", 20), (b"mdhd", 12), (b"mdhd", 16),
    (b"stts", 4), (b"stts", 8), (b"stts", 12), (b"stsc", 4), (b"stsc", 12),
    (b"stsz", 4), (b"stsz", 8), (b"stco", 4), (b"stco", 8), (b"stss", 4), (b"elst", 4), (b"elst", 8),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "offset"), FIELDS, ids=str)
def test_a_header_that_lies_gets_a_verdict(saved, whole, kind, offset):
    for lie in (0, 1, 0x7FFFFFFF, 0xFFFFFFFF):
        judged(saved(patched(whole, kind, offset, u32(lie))))


@pytest.mark.parametrize("kind", [b"mvhd", b"tkhd", b"mdhd"])
@pytest.mark.parametrize("lie", [0, 0x7FFFFFFF, 0xFFFFFFFF])
def test_a_duration_in_a_header_is_not_believed(saved, whole, kind, lie):
    path = saved(patched(whole, kind, 20 if kind == b"tkhd" else 16, u32(lie)))

    assert broken(path) == []
    assert probe(path, TOOLS).duration_s == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("kind", [b"ftyp", b"moov", b"trak", b"mdia", b"stbl", b"stsd", b"avcC", b"mdat"])
def test_a_box_of_another_size_than_it_is_gets_a_verdict(saved, whole, kind):
    for size in (0, 1, 7, 8, 0x7FFFFFFF, 0xFFFFFFFF):
        judged(saved(resized(whole, kind, size)))


def test_what_a_tag_says_is_never_repeated(own_service, clip, tmp_path):
    tags = ("-metadata", f"title={ESCAPES}", "-metadata:s:v", f"handler_name={ESCAPES}", "-metadata:s:a",
            f"language={ESCAPES}", "-movflags", "use_metadata_tags", "-metadata", f"x={ESCAPES}")  # fmt: skip
    wide = rewrap(clip(size="320x240"), tmp_path / "wide.mp4", *tags)
    good = rewrap(clip(), tmp_path / "good.mp4", *tags)
    assert b"PAYLOAD" in good.read_bytes()

    assert broken(wide) == ["resolution"]
    video = transcode_video(receive_file(ESCAPES, "video/mp4", good, own_service).id, own_service)

    assert video.filename.isprintable()
    for output in video.outputs:
        published = tmp_path / output.name
        own_service.storage.fetch(output.key, published)
        assert b"PAYLOAD" not in published.read_bytes()


# ── What it reaches ──────────────────────────────────────────────────────────────


@pytest.fixture
def own_service(local_rig, tmp_path) -> Service:
    workspace = tmp_path / "work"
    return Service(
        storage=local_rig.storage,
        videos=local_rig.videos,
        jobs=local_rig.jobs,
        tools=TOOLS,
        workspace=workspace,
    )


@pytest.fixture
def watched(tmp_path) -> MediaTools:
    """The tools, each run of which writes down what it opens, connects to and starts."""
    tracer = Path("/usr/bin/strace")
    if not tracer.exists():
        pytest.skip("strace is not installed: apt-get install strace")
    folder = tmp_path / "traces"
    folder.mkdir()
    calls = "trace=openat,open,openat2,creat,connect,socket,bind,execve"

    def wrapper(program: str) -> str:
        path = folder / Path(program).name
        path.write_text(
            f'#!/bin/sh\nexec "{tracer}" -f -s 999 -e {calls} -o "{folder}/$$.trace" "{program}" "$@"\n'
        )
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return str(path)

    return MediaTools(ffmpeg=wrapper(TOOLS.ffmpeg), ffprobe=wrapper(TOOLS.ffprobe))


def reached(tools: MediaTools) -> tuple[int, set[str], list[str]]:
    """How often a tool ran, the files it opened or tried to, and every other call it made."""
    opened: set[str] = set()
    other: list[str] = []
    runs = 0
    for trace in Path(tools.ffmpeg).parent.glob("*.trace"):
        runs += 1
        calls = [
            line for line in trace.read_text(errors="replace").splitlines() if re.match(r"\d+ +\w+\(", line)
        ]
        for call in calls[1:]:  # the first is the tool itself
            if match := re.match(r'\d+ +(?:open|openat|openat2|creat)\((?:AT_FDCWD, )?"([^"]*)"', call):
                opened.add(match[1])
            else:
                other.append(call)
    return runs, opened, other


def test_the_watch_sees_what_is_opened(watched, saved, tmp_path):
    canary = tmp_path / "canary"
    canary.write_text("secret")
    path = saved(corpus.renamed(str(canary))["concat"])

    subprocess.run([watched.ffprobe, "-f", "concat", "-safe", "0", path], capture_output=True, check=False)

    assert reached(watched)[:2] == (1, {str(path), str(canary)})


def test_the_probe_of_anything_opens_that_file_only(watched, saved, whole, tmp_path):
    canary = str(tmp_path / "canary")
    Path(canary).write_text("secret")
    hostile = {"alias": corpus.redirected(whole, canary), **corpus.renamed(canary)}

    for data in hostile.values():
        path = saved(data)
        assert check(probe(path, watched))

    runs, opened, other = reached(watched)
    assert runs > 5
    assert opened == {str(path)}
    assert other == []


def test_a_transcode_opens_its_own_folder_only_and_leaves_nothing_in_it(watched, own_service, saved, whole):
    service = replace(own_service, tools=watched)

    video = transcode_video(receive_file("a.mp4", "video/mp4", saved(whole + HTML), service).id, service)

    assert video.state is State.COMPLETED
    runs, opened, other = reached(watched)
    # tracks, packets, streams, a keyframe, parameter sets; the copy, the poster, the loudness, the ladder
    assert runs == 9
    assert {Path(name).parent.parent for name in opened} == {service.workspace}
    assert other == []
    assert list(service.workspace.iterdir()) == []


def test_a_refused_file_is_nowhere_any_more(own_service, saved, whole, tmp_path):
    for data in (*corpus.renamed(str(tmp_path / "canary")).values(), whole[: len(whole) // 2]):
        if not data:
            continue
        with pytest.raises(Rejected):
            receive_file("clip.mp4", "video/mp4", saved(data), own_service)

    assert list(own_service.workspace.iterdir()) == []
    assert list(own_service.storage.keys("")) == []
