"""The clips that cases are made of: each is made once in a folder, and shared by all cases in it.

A picture shows its own number, so that one sees which pictures a rendition holds; a second of sound has
a tone of its own, so that one hears which seconds it holds.
"""

import os
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

from dev.clips import BT709, ffmpeg, make_clip, rewrap
from support.cases.mp4_file import Movie
from support.cases.table import tone_hz

BITS = 9  # of the number: up to 512 pictures
STRIP = "ih/16"  # the height of the number, at the top
LOUDNESS = 0.4  # of 1


def picture(
    folder: Path,
    *,
    seconds: float = 6,
    codec: str = "libx264",
    gop: int = 30,
    b_frames: int = 0,
    first: int = 0,
    settings: str = "",
    options: tuple[str, ...] = (),
    rate: str = "30",
    size: str = "720x1280",
    colour: str = BT709,
    pixels: str = "yuv420p",
    before: str = "null",
    after: str = "null",
    suffix: str = ".mp4",
) -> Path:
    """A moving test picture that conforms unless asked otherwise, without sound.

    Args:
        first: the number that its first picture shows.
        settings: more of x264's or x265's own, "name=value:name=value".
        before, after: video filters around the number.
    """
    name = repr(sorted((key, value) for key, value in locals().items() if key != "folder"))
    keyframes = f"keyint={gop}:min-keyint=1:scenecut=0:bframes={b_frames}:b-adapt=0"
    settings = ":".join(filter(None, [keyframes, settings]))
    private = ("-x265-params", f"log-level=error:open-gop=0:{settings}") if codec == "libx265" else ()
    private = private or (("-x264-params", settings) if codec == "libx264" else ())

    def make(path: Path) -> None:
        make_clip(
            path,
            seconds=seconds,
            size=size,
            rate=rate,
            codec=codec,
            sound=False,
            colour=colour,
            pixels=pixels,
            video_filter=f"{before},{numbered(first)},{after}",
            options=("-crf", "40", "-g", str(gop), "-bf", str(b_frames), *private, *options),
        )

    return once(folder, name, make, suffix)


def numbered(first: int = 0) -> str:
    """The filter that puts a picture's number on it, and colours that tell which side is up.

    The number is in binary, white on black, at the top, its lowest bit on the left. Below it are red on
    the left and green on the right, and blue is at the bottom.
    """
    boxes = [f"drawbox=x=0:y=0:w=iw:h={STRIP}:t=fill:color=black"]
    boxes += (
        f"drawbox=x=iw*{bit}/{BITS}:y=0:w=iw/{BITS}:h={STRIP}:t=fill:color=white"
        f":enable='mod(floor((n+{first})/{1 << bit}),2)'"
        for bit in range(BITS)
    )
    boxes.append(f"drawbox=x=0:y={STRIP}:w=iw/2:h=ih/8:t=fill:color=red")
    boxes.append(f"drawbox=x=iw/2:y={STRIP}:w=iw/2:h=ih/8:t=fill:color=lime")
    boxes.append("drawbox=x=0:y=ih*7/8:w=iw:h=ih/8:t=fill:color=blue")
    return ",".join(boxes)


def tones(
    folder: Path,
    *,
    seconds: float = 6,
    codec: str = "aac",
    rate: int = 48_000,
    channels: int = 2,
    first: float = 0,
    sound: str = "",
    options: tuple[str, ...] = (),
    suffix: str = ".mp4",
) -> Path:
    """Sound alone, a tone for each second of it (``tone_hz``).

    Args:
        first: the second whose tone it begins with.
        sound: another expression for ffmpeg's aevalsrc.
    """
    sound = sound or f"{LOUDNESS}*sin(2*PI*({tone_hz(0)}+{tone_hz(1) - tone_hz(0)}*floor(t+{first}))*t)"
    source = f"aevalsrc='{sound}':s={rate}:d={seconds}"

    def make(path: Path) -> None:
        ffmpeg("-f", "lavfi", "-i", source, "-ac", str(channels), "-c:a", codec, *options, str(path))

    return once(folder, f"{source} {channels} {codec} {options}", make, suffix)


def one_tone(folder: Path, hz: int, **wanted: object) -> Path:
    """The same tone all the way."""
    return tones(folder, sound=f"{LOUDNESS}*sin(2*PI*{hz}*t)", **wanted)  # type: ignore[arg-type]


def clip(folder: Path, **wanted: object) -> Movie:
    """A picture with its tones, six seconds of each unless asked otherwise; sound is 48 kHz AAC."""
    lasting = {name: value for name, value in wanted.items() if name == "seconds"}
    return Movie.of(picture(folder, **wanted), tones(folder, **lasting))  # type: ignore[arg-type]


def filtered(folder: Path, source: Path, bitstream_filter: str) -> Path:
    """The same packets through a bitstream filter of the picture."""

    def make(path: Path) -> None:
        rewrap(source, path, "-bsf:v", bitstream_filter)

    return once(folder, f"{source.name} {bitstream_filter}", make)


def rewrapped(folder: Path, source: Path, *options: str, before: tuple[str, ...] = ()) -> Path:
    """The same packets in another file: see ``clips.rewrap``."""

    def make(path: Path) -> None:
        rewrap(source, path, *options, before=before)

    return once(folder, f"{source.name} {options} {before}", make)


def bare_h264(folder: Path, units: list[bytes]) -> Path:
    """A file of H.264 units as they are, 30 pictures a second."""
    stream = b"".join(b"\0\0\0\1" + unit for unit in units)

    def make(path: Path) -> None:
        raw = path.with_suffix(".h264")
        raw.write_bytes(stream)
        rewrap(raw, path, before=("-r", "30", "-f", "h264"))
        raw.unlink()

    return once(folder, f"h264 {sha256(stream).hexdigest()}", make)


def once(folder: Path, name: str, make: Callable[[Path], None], suffix: str = ".mp4") -> Path:
    """The part of that name; made if it is not there, and whole as soon as it is."""
    parts = folder / "parts"
    parts.mkdir(parents=True, exist_ok=True)
    stem = sha256(name.encode()).hexdigest()[:20]
    path = parts / f"{stem}{suffix}"
    if not path.exists():
        unfinished = parts / f"{stem}-{os.getpid()}{suffix}"
        make(unfinished)
        unfinished.rename(path)
    return path
