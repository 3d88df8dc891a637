"""What comes out looks and sounds like what went in: the same where it is copied, near enough where not."""

import re
import subprocess
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from dev.clips import BT709, ffmpeg, probe_lines, rewrap
from support.corpus import u16
from support.fixed import fix
from support.planted import H264_ENTRY, edited
from support.published import Published, publish
from videos import wiring
from videos.checking.probe import probe
from videos.checking.rules import check

pytestmark = pytest.mark.thorough

QUICK = ("-preset", "ultrafast")
HVC1 = ("-tag:v", "hvc1", "-x265-params", "log-level=error")


@pytest.fixture(scope="session")
def published_from(tmp_path_factory) -> Callable[[Path], Published]:
    """``published_from(clip())``: what was published of this clip; each is published once."""
    made: dict[Path, Published] = {}

    def publish_once(upload: Path) -> Published:
        if upload not in made:
            made[upload] = publish(upload, tmp_path_factory.mktemp("published_from"))
        return made[upload]

    return publish_once


# ── What is copied ───────────────────────────────────────────────────────────────

COPIED = {
    "H.264 with B-frames": {"options": ("-preset", "faster", "-bf", "3")},
    "HEVC at 29.97": {"codec": "libx265", "rate": "30000/1001"},
}


def hashes(path: Path, *what: str) -> list[str]:
    """One of every frame, or of every packet where ``what`` says copy."""
    lines = ffmpeg("-i", str(path), *what, "-f", "framemd5", "-").splitlines()
    return [line.split(",")[5].strip() for line in lines if not line.startswith("#")]


@pytest.mark.parametrize("kind", COPIED)
def test_a_copy_has_the_same_frames_and_the_same_packets_of_sound(clip, tmp_path, kind):
    source = clip(seconds=0.5, **COPIED[kind])
    frames, packets = hashes(source, "-map", "0:v:0"), hashes(source, "-map", "0:a", "-c", "copy")
    assert (len(frames), len(packets)) == (15, 25)

    published = publish(source, tmp_path)

    assert hashes(published.copy, "-map", "0:v:0") == frames
    for name, path in published.films.items():
        assert hashes(path, "-map", "0:a", "-c", "copy") == packets, name


# ── What is encoded ──────────────────────────────────────────────────────────────

# Of a hundred: three or more below what they have, far above what a crf that is worse by ten leaves of it.
LEAST_VMAF = {"720p.mp4": 95, "540p.mp4": 86, "360p.mp4": 74}


def test_an_encoded_picture_is_as_good_as_was_chosen(tmp_path):
    imageio_ffmpeg = pytest.importorskip("imageio_ffmpeg")  # its ffmpeg has libvmaf
    published = publish(detailed(tmp_path / "detailed.mp4"), tmp_path / "data")

    def vmaf(film: Path) -> float:
        films = ("-i", str(film), "-i", str(published.upload))
        compare = "[0:v]scale=720:1280:flags=bicubic[large];[large][1:v]libvmaf=n_threads=2:n_subsample=5"
        command = [imageio_ffmpeg.get_ffmpeg_exe(), "-nostdin", *films, "-lavfi", compare, "-f", "null", "-"]
        printed = subprocess.run(command, check=True, capture_output=True, text=True).stderr
        return float(re.search(r"VMAF score: (\S+)", printed)[1])

    scores = {name: vmaf(published.encoded[name]) for name in LEAST_VMAF}

    assert {name: score for name, score in scores.items() if score < LEAST_VMAF[name]} == {}


def detailed(path: Path) -> Path:
    """A clip of fine detail, some of it in motion; in HEVC, so that every H.264 of it is encoded."""
    zoom = "mandelbrot=size=720x1280:rate=30:maxiter=100:start_scale=2.5:end_scale=0.3:end_pts=60[zoom]"
    swing = "testsrc2=size=360x640:rate=30[bars];[zoom][bars]overlay=x='180+120*sin(3*t)':y=320"
    picture = f"{zoom};{swing},format=yuv420p,setparams={BT709}"
    ffmpeg(
        "-f", "lavfi", "-i", picture, "-t", "1", "-c:v", "libx265", *QUICK, "-crf", "20", *HVC1, str(path)
    )  # fmt: skip
    return path


# ── Together ─────────────────────────────────────────────────────────────────────

MOST_APART_S = 0.020


def flash_and_beep(
    path: Path,
    *,
    codec: str = "libx264",
    rate: str = "30",
    sound: tuple[str, ...] = ("-c:a", "aac"),
    before_picture: tuple[str, ...] = (),
    before_sound: tuple[str, ...] = (),
) -> Path:
    """A clip that goes white and beeps at 0.4 s and at 0.9 s."""
    white = "drawbox=color=white:t=fill:enable='between(t,0.38,0.48)+between(t,0.88,0.98)'"
    picture = f"color=black:size=720x1280:rate={rate}:duration=1.2,{white},format=yuv420p,setparams={BT709}"
    tone = "0.8*sin(2*PI*1000*t)*(between(t,0.4,0.5)+between(t,0.9,1.0))"
    ffmpeg(
        *before_picture, "-f", "lavfi", "-i", picture,
        *before_sound, "-f", "lavfi", "-i", f"aevalsrc='{tone}':sample_rate=48000:duration=1.2",
        "-c:v", codec, *QUICK, "-crf", "30", *(HVC1 if codec == "libx265" else ()), *sound, str(path),
    )  # fmt: skip
    return path


BRIGHTNESS = "scale=16:16,signalstats,metadata=print:key=lavfi.signalstats.YAVG:file="
LOUDNESS = (  # of every millisecond
    "aresample=48000,asetnsamples=n=48:p=0,astats=metadata=1:reset=1:measure_perchannel=none,"
    "ametadata=print:key=lavfi.astats.Overall.Peak_level:file="
)


def apart(film: Path) -> list[float]:
    """How much later than its flash each beep is heard, in seconds."""
    seen, heard = film.with_suffix(".seen"), film.with_suffix(".heard")
    ffmpeg(
        "-copyts", "-i", str(film),
        "-map", "0:v:0", "-filter:v", f"{BRIGHTNESS}{seen}", "-f", "null", "-",
        "-map", "0:a:0", "-filter:a", f"{LOUDNESS}{heard}", "-f", "null", "-",
    )  # fmt: skip
    return [beep - flash for flash, beep in zip(onsets(seen, 120), onsets(heard, -20), strict=True)]


def onsets(measured: Path, threshold: float) -> list[float]:
    """When it rises above a threshold, in seconds of the film."""
    values = re.findall(r"pts_time:(\S+)\n[^=]+=(\S+)", measured.read_text())
    above = [float(time) for time, value in values if float(value) > threshold]
    return [above[0], *(after for before, after in pairwise(above) if after - before > 0.2)]


def as_hls(published: Published, folder: Path) -> dict[str, Path]:
    """What a player of HLS puts together of each film: its init section and all its segments."""
    made = {}
    for output in published.video.outputs:
        if output.segments:
            film = published.files[Path(output.key).name]
            end = output.segments.init_bytes + sum(output.segments.sizes_bytes)
            made[film.name] = folder / f"hls-{film.name}"
            made[film.name].write_bytes(film.read_bytes()[output.segments.init_at :][:end])
    return made


TIMED = {
    "from the start": {},
    "at 29.97": {"rate": "30000/1001"},
    "with late sound": {"before_sound": ("-itsoffset", "0.3")},
    "with a late picture": {"before_picture": ("-itsoffset", "0.3")},
    "in HEVC": {"codec": "libx265"},
    "with PCM sound": {"sound": ("-c:a", "pcm_s16le")},
}


@pytest.mark.parametrize("kind", TIMED)
def test_sound_stays_with_its_picture(tmp_path, kind):
    source = flash_and_beep(tmp_path / "source.mov", **TIMED[kind])

    published = publish(source, tmp_path / "data")

    together = pytest.approx(apart(source), abs=MOST_APART_S)
    assert len(published.films) >= 3
    for name, path in published.films.items():
        assert apart(path) == together, name
    for name, path in as_hls(published, tmp_path).items():
        assert apart(path) == together, f"{name} as HLS"


MENDED = {
    "from 60 fps": {"rate": "60"},
    "from 59.94 fps": {"rate": "60000/1001"},
    "from 24 fps": {"rate": "24"},
    "from 25 fps": {"rate": "25"},
    "from 29.87 fps": {"rate": "29.87"},
    "from 60 fps with late sound": {"rate": "60", "before_sound": ("-itsoffset", "0.3")},
    "from 60 fps with a late picture": {"rate": "60", "before_picture": ("-itsoffset", "0.3")},
    "from 60 fps with sound at 44.1 kHz": {"rate": "60", "sound": ("-c:a", "aac", "-ar", "44100")},
    "from 60 fps with PCM sound": {"rate": "60", "sound": ("-c:a", "pcm_s16le")},
}


@pytest.mark.parametrize("kind", MENDED)
def test_sound_stays_with_a_picture_that_is_fixed(tmp_path, kind):
    source = flash_and_beep(tmp_path / "source.mov", **MENDED[kind])

    fixed = fix(source, tmp_path / "made")

    assert fixed.problems == ()
    assert apart(fixed.path) == pytest.approx(apart(source), abs=MOST_APART_S)


def test_sound_stays_with_a_picture_that_was_trimmed(tmp_path):
    whole = flash_and_beep(tmp_path / "whole.mp4")
    trimmed = tmp_path / "trimmed.mp4"
    ffmpeg("-ss", "0.25", "-i", str(whole), "-c", "copy", str(trimmed))

    published = publish(trimmed, tmp_path / "data")

    assert published.video.media.hidden_frames
    for name, path in published.films.items():
        assert apart(path) == pytest.approx(apart(trimmed), abs=MOST_APART_S), name


@pytest.mark.parametrize("late", ["v", "a"])
def test_no_browser_misses_that_a_track_of_hls_begins_late(clip, tmp_path, late):
    """Chromium passes over empty edits in what it gets piece by piece, and plays such a track at once."""
    source = tmp_path / "source.mp4"
    plain, other = str(clip(seconds=0.3)), {"v": "a", "a": "v"}[late]
    late_input = ("-itsoffset", "0.3", "-i", plain)
    ffmpeg("-i", plain, *late_input, "-map", f"0:{other}", "-map", f"1:{late}", "-c", "copy", str(source))

    published = publish(source, tmp_path / "data")

    for name, path in as_hls(published, tmp_path).items():
        assert -1 not in first_edits(path.read_bytes()), name


def first_edits(film: bytes) -> list[int]:
    """Where in its media each edit list begins; -1 is nowhere."""
    lists = [match.end() for match in re.finditer(b"elst", film)]
    return [int.from_bytes(film[at + 12 : at + 16], signed=True) for at in lists]


# ── Upright ──────────────────────────────────────────────────────────────────────

QUARTERS = [(200, 60, 60), (60, 180, 60), (60, 60, 180), (200, 200, 60)]  # from the top left, in RGB
# How a phone that is held so writes an upright picture, and how it says so.
HELD = {
    "turned by 90": ("transpose=clock", ("-display_rotation", "90")),
    "turned by 180": ("hflip,vflip", ("-display_rotation", "180")),
    "turned by 270": ("transpose=cclock", ("-display_rotation", "270")),
    "mirrored": ("hflip", ("-display_hflip",)),
}


def quartered(path: Path, how: str) -> Path:
    """A clip that shows four colours, once a player has turned it."""
    turn, says = HELD[how]
    red, green, blue = (
        "if(lt(Y,H/2),if(lt(X,W/2),{},{}),if(lt(X,W/2),{},{}))".format(*values)
        for values in zip(*QUARTERS, strict=True)
    )
    colours = f"format=gbrp,geq=r='{red}':g='{green}':b='{blue}',scale=out_color_matrix=bt709:out_range=tv"
    picture = f"color=size=720x1280:rate=30:duration=0.2,{colours},{turn},format=yuv420p,setparams={BT709}"
    flat = path.with_name("flat.mp4")
    ffmpeg("-f", "lavfi", "-i", picture, "-c:v", "libx264", *QUICK, "-crf", "15", str(flat))
    return rewrap(flat, path, before=says)


def quarters(path: Path) -> list[tuple[int, ...]]:
    """The colours in the middle of each quarter, as displayed."""
    raw = path.with_suffix(".rgb")
    whole = ("-frames:v", "1", "-vf", "scale=720:1280,format=rgb24", "-f", "rawvideo")
    ffmpeg("-i", str(path), *whole, str(raw))
    pixels = raw.read_bytes()
    starts = [3 * (720 * y + x) for y in (320, 960) for x in (180, 540)]
    return [tuple(pixels[start : start + 3]) for start in starts]


@pytest.mark.parametrize("how", HELD)
def test_a_portrait_stands_upright_in_its_colours_however_it_was_held(tmp_path, how):
    source = quartered(tmp_path / "source.mp4", how)

    published = publish(source, tmp_path / "data")

    upright = {**published.encoded, "poster.jpg": published.files["poster.jpg"]}
    for name, path in upright.items():
        [track] = probe_lines(path, "-show_entries", "stream=width,height:stream_side_data=rotation")
        width, height = map(int, re.match(r"width=(\d+)\|height=(\d+)", track).groups())
        assert (width * 16, "rotation" in track) == (height * 9, False), name
    for name, path in {**published.films, **upright}.items():
        assert quarters(path) == [pytest.approx(colour, abs=6) for colour in QUARTERS], name


# ── Colour ───────────────────────────────────────────────────────────────────────

UNSAID = "range=unspecified:colorspace=unknown:color_primaries=unknown:color_trc=unknown"
TAGGED = {
    "as BT.709": {},
    "as BT.709 in HEVC": {"codec": "libx265"},
    "not at all": {"colour": UNSAID, "options": ("-movflags", "-write_colr")},
    "with SMPTE 170M's transfer": {"colour": BT709.replace("color_trc=bt709", "color_trc=smpte170m")},
}


@pytest.mark.parametrize("how", TAGGED)
def test_what_is_encoded_says_bt709_in_container_and_bitstream(published_from, clip, how):
    published = published_from(clip(seconds=0.3, **TAGGED[how]))

    assert len(published.encoded) >= 2
    for name, path in published.encoded.items():
        assert in_container(path) == {(b"nclx", 1, 1, 1, "tv")}, name
        assert in_bitstream(path, "h264") == ["tv", "bt709", "bt709", "bt709"], name


@pytest.mark.parametrize("how", TAGGED)
def test_what_is_copied_says_bt709_in_container_and_bitstream(published_from, clip, how):
    published = published_from(clip(seconds=0.3, **TAGGED[how]))

    assert in_container(published.copy) == {(b"nclx", 1, 1, 1, "tv")}
    assert in_bitstream(published.copy, published.video.media.codec) == ["tv", "bt709", "bt709", "bt709"]


def in_container(path: Path) -> set[tuple[bytes | int | str, ...]]:
    """What every colr box says (ISO/IEC 14496-12, 12.1.5): kind, primaries, transfer, matrix, range."""
    data = path.read_bytes()
    return {
        (
            data[at : at + 4],
            *(int.from_bytes(data[at + offset : at + offset + 2]) for offset in (4, 6, 8)),
            "pc" if data[at + 10] & 0x80 else "tv",
        )
        for at in (match.end() for match in re.finditer(b"colr", data))
    }


def in_bitstream(path: Path, codec: str) -> list[str]:
    """What the picture says of itself without a container: range, matrix, transfer, primaries."""
    bare = path.with_suffix(f".{codec}")
    ffmpeg("-i", str(path), "-map", "0:v", "-c", "copy", "-bsf:v", f"{codec}_mp4toannexb", str(bare))
    names = "color_range,color_space,color_transfer,color_primaries"
    [line] = probe_lines(bare, "-show_entries", f"stream={names}")
    return [field.partition("=")[2] for field in line.split("|") if field.startswith("color")]


def test_hdr_that_the_container_alone_speaks_of_is_refused(clip, tmp_path):
    unsaid = "h264_metadata=colour_primaries=2:transfer_characteristics=2:matrix_coefficients=2"
    source = rewrap(clip(seconds=0.3), tmp_path / "hlg.mp4", "-bsf:v", unsaid)
    hlg = b"nclx" + u16(9, 18, 9) + b"\0"
    source.write_bytes(edited(source.read_bytes(), f"{H264_ENTRY}/colr", lambda _: hlg))

    assert [problem.rule for problem in check(probe(source, wiring.media_tools({})))] == ["color"]
