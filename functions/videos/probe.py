"""One file on disk into ``Media``: facts from its samples and bits, where headers can lie."""

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from math import log10
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Any

from videos import boxes, tools
from videos.errors import BadMedia, ToolFailed
from videos.model import Audio, Media
from videos.tools import MOST_PACKETS, MediaTools

PROBE_TIMEOUT_S = 12.0  # each; a file of 6 MiB takes a tenth of a second
# What cannot be a movie, though the mov demuxer opens some of it (a HEIC photo). Only what libmagic is
# sure of: it calls noise a picture now and then, and then it is for ffprobe to say.
NO_MOVIES = (
    "text/",
    "image/heic",
    "image/heif",
    "image/avif",
    "image/jpeg",
    "image/png",
    "image/gif",
    "image/webp",
)
MOST_KEYFRAMES = 5_000  # a minute of nothing else has 1,800; broken ones take their time
UNREADABLE = "It cannot be read as MP4 or MOV."
COLOURS = ("color_range", "color_primaries", "color_transfer", "color_space")
# A gap between two frames is ordinary from half to one and a half times that of 30 fps.
SHORTEST_GAP_S, LONGEST_GAP_S = Fraction(1, 60), Fraction(1, 20)


def probe(path: Path, using: MediaTools) -> Media:
    """Measure a file.

    What cannot be read at all comes back as ``Media`` with ``faults``, which the rules
    turn into a refusal: that a file is bad is a finding, not an error.

    Raises:
        ToolFailed: ffprobe or libmagic is missing, hung or was killed; try again.
    """
    size_bytes = path.stat().st_size
    content = tools.sniff(path) if size_bytes else "application/x-empty"
    if size_bytes == 0 or content.startswith(NO_MOVIES):
        return Media(content=content, size_bytes=size_bytes)
    faults = boxes.faults(path)
    try:
        printed = tools.run(tools.streams_command(using, path), timeout_s=PROBE_TIMEOUT_S)
    except BadMedia:
        return Media(content=content, size_bytes=size_bytes, faults=faults or (UNREADABLE,))
    facts = json.loads(printed)
    every_packet = facts.get("packets", ())
    faults += flood(every_packet, size_bytes)
    packets, hidden = packets_by_stream(every_packet)
    videos = [stream for stream in facts["streams"] if _is_video(stream)]
    media = Media(
        content=content,
        size_bytes=size_bytes,
        video_streams=len(videos),
        duration_s=duration_s(facts["streams"], packets),
        audio=_audio(facts["streams"], packets),
        faults=faults,
    )
    if not videos:
        return media
    index = videos[0]["index"]
    media = replace(media, hidden_frames=hidden[index])
    return _with_video(media, videos[0], packets.get(index, []), path, using)


def _with_video(
    media: Media, stream: dict[str, Any], packets: list[dict[str, Any]], path: Path, using: MediaTools
) -> Media:
    faults = list(media.faults)
    frames: list[dict[str, Any]] = []
    if not packets:
        faults.append("The video track holds no frames.")
    elif sum("K" in packet.get("flags", "") for packet in packets) > MOST_KEYFRAMES:
        faults.append("It holds more keyframes than can be looked at.")
    elif stream.get("codec_name") in ("h264", "hevc") and not media.faults:
        try:
            command = tools.keyframes_command(using, path, stream["index"])
            frames = json.loads(tools.run(command, timeout_s=PROBE_TIMEOUT_S)).get("frames", [])
        except BadMedia:
            faults.append(UNREADABLE)
        if not frames:
            faults.append("No frame of the video can be decoded.")
    if any("C" in packet.get("flags", "") for packet in packets):
        faults.append("Part of the video is missing: a frame reaches past the end of the file.")
    rotation, mirrored = turn(stream)
    crop = cropping(stream)
    sizes = Counter(displayed_size(frame, rotation, crop) for frame in frames or [stream])
    (width_px, height_px), _ = sizes.most_common(1)[0]
    first = frames[0] if frames else stream
    colours = {name: _known(first.get(name, "")) or _known(stream.get(name, "")) for name in COLOURS}
    rate, odd_gap_share = frame_rate(packets, Fraction(stream["time_base"]))
    return replace(
        media,
        stream_index=stream["index"],
        codec=stream.get("codec_name", ""),
        profile=stream.get("profile", ""),
        level=stream.get("level", 0),
        pixel_format=first.get("pix_fmt", ""),
        width_px=width_px,
        height_px=height_px,
        other_sizes=tuple(
            f"{width}x{height}" for width, height in sizes if (width, height) != (width_px, height_px)
        ),
        sample_aspect_ratio=_known(first.get("sample_aspect_ratio", "")) or "1:1",
        cropped=crop != (0, 0),
        rotation=rotation,
        mirrored=mirrored,
        frame_rate=rate,
        odd_gap_share=odd_gap_share,
        frame_count=len(packets),
        closed_gops=not faults
        and (
            stream.get("codec_name") != "h264"
            or closed_gops(path, packets, int(stream.get("nal_length_size", 4)))
        ),
        bit_rate=bit_rate(packets, media.duration_s),
        color_range=colours["color_range"],
        color_primaries=colours["color_primaries"],
        color_transfer=colours["color_transfer"],
        color_space=colours["color_space"],
        faults=tuple(faults),
    )


def with_loudness(audio: Audio, path: Path, using: MediaTools) -> Audio:
    """``audio`` as loud as it was measured to be; as it is, if that cannot be told.

    Source: EBU R 128 and ITU-R BS.1770; silence is -70 LUFS.
    """
    try:
        command = tools.loudness_command(using, path, audio.stream_index)
        printed = tools.run(command, timeout_s=PROBE_TIMEOUT_S)
    except (BadMedia, ToolFailed):
        return audio
    told = dict(re.findall(r"^lavfi\.r128\.(I|true_peak)=(\S+)$", printed, re.MULTILINE))  # the last of each
    if not told:  # shorter than the span that is measured
        return audio
    peak = float(told["true_peak"])
    return replace(
        audio,
        loudness_lufs=round(float(told["I"]), 1),
        true_peak_dbtp=round(20 * log10(peak), 1) if peak > 0 else None,
    )


def flood(packets: Sequence[dict[str, Any]], size_bytes: int) -> tuple[str, ...]:
    """What makes a file too costly to look into any further, a sentence; () if nothing.

    More frames than any camera writes; or frames that share their bytes, where every copy would
    have its own and a small file become a huge one.
    """
    if len(packets) >= MOST_PACKETS:
        return ("It holds more frames than can be looked at.",)
    if sum(int(packet.get("size", 0)) for packet in packets) > size_bytes:
        return ("Its frames overlap in the file.",)
    return ()


def packets_by_stream(
    packets: Iterable[dict[str, Any]],
) -> tuple[dict[int, list[dict[str, Any]]], Counter[int]]:
    """Packets by track, and how many of each an edit list hides (flag D), which are left out."""
    shown: dict[int, list[dict[str, Any]]] = {}
    hidden: Counter[int] = Counter()
    for packet in packets:
        if "D" in packet.get("flags", ""):
            hidden[packet["stream_index"]] += 1
        else:
            shown.setdefault(packet["stream_index"], []).append(packet)
    return shown, hidden


def closed_gops(path: Path, packets: Iterable[dict[str, Any]], length_bytes: int) -> bool:
    """Whether every keyframe of an H.264 track is an IDR picture, a NAL unit of type 5.

    Others are keyframes only by an SEI message (recovery point), and no place to start without it.

    Source: ITU-T H.264, table 7-1; ISO/IEC 14496-15 for the lengths between the units.
    """
    keyframes = (packet for packet in packets if "K" in packet.get("flags", "") and "pos" in packet)
    with path.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as data:
        return length_bytes > 0 and all(5 in _nal_types(data, packet, length_bytes) for packet in keyframes)


def _nal_types(data: mmap, packet: dict[str, Any], length_bytes: int) -> Iterator[int]:
    at, end = int(packet["pos"]), int(packet["pos"]) + int(packet.get("size", 0))
    while at + length_bytes < min(end, len(data)):
        yield data[at + length_bytes] & 0x1F
        at += length_bytes + int.from_bytes(data[at : at + length_bytes])


def frame_rate(packets: Sequence[dict[str, Any]], time_base: Fraction) -> tuple[float, float]:
    """Frames per second, and the share of gaps that are out of the ordinary.

    The rate is 1 ÷ the mean of the ordinary gaps in presentation order; of all gaps where
    none is ordinary, so that 15 fps is called that. A single frame counts by its duration.

    >>> frame_rate([{"pts": n * 1001} for n in range(100)], Fraction(1, 30000))
    (29.97, 0.0)
    """
    times = sorted(packet["pts"] for packet in packets if "pts" in packet)
    gaps = [(after - before) * time_base for before, after in pairwise(times)]
    if not gaps:
        gaps = [packet.get("duration", 0) * time_base for packet in packets]
    ordinary = [gap for gap in gaps if SHORTEST_GAP_S <= gap <= LONGEST_GAP_S]
    measured = ordinary or gaps
    total = sum(measured, Fraction(0))
    if not total:
        return 0.0, 0.0
    return round(float(len(measured) / total), 3), round(1 - len(ordinary) / len(gaps), 4)


def duration_s(streams: Sequence[dict[str, Any]], packets: dict[int, list[dict[str, Any]]]) -> float:
    """Seconds the longest picture or sound track lasts, by its samples."""
    tracks = [
        stream
        for stream in streams
        if stream.get("codec_type") in ("video", "audio") and not _is_cover(stream)
    ]
    return max((_track_duration_s(stream, packets) for stream in tracks), default=0.0)


def _track_duration_s(stream: dict[str, Any], packets: dict[int, list[dict[str, Any]]]) -> float:
    timed = [packet for packet in packets.get(stream["index"], []) if "pts" in packet]
    if not timed:
        return 0.0
    end = max(packet["pts"] + packet.get("duration", 0) for packet in timed)
    return round(float((end - min(packet["pts"] for packet in timed)) * Fraction(stream["time_base"])), 6)


def turn(stream: dict[str, Any]) -> tuple[int, bool]:
    """How a player turns the picture: (degrees clockwise, whether it mirrors it too).

    An angle that is no quarter turn comes back as it is, for the rules to refuse.

    Source: ffprobe's display matrix side data, whose ``rotation`` counts counter-clockwise.
    """
    for side_data in stream.get("side_data_list", ()):
        if "displaymatrix" in side_data:
            a, b, _, c, d, *_ = (
                int(number) for line in side_data["displaymatrix"].split("\n") for number in line.split()[1:]
            )
            return -int(side_data.get("rotation", 0)) % 360, a * d - b * c < 0
    return 0, False


def cropping(stream: dict[str, Any]) -> tuple[int, int]:
    """How many px of the width and of the height the container cuts off (its clap box).

    What the bitstream crops is gone from the frames already; ffprobe only tells of this.
    """
    for side_data in stream.get("side_data_list", ()):
        if side_data.get("side_data_type") == "Frame Cropping":
            left, right, top, bottom = (
                side_data[f"crop_{side}"] for side in ("left", "right", "top", "bottom")
            )
            return left + right, top + bottom
    return 0, 0


def displayed_size(frame: dict[str, Any], rotation: int, crop: tuple[int, int] = (0, 0)) -> tuple[int, int]:
    """Width and height in px as shown: cropped, pixels made square, then turned."""
    width, height = frame.get("width", 0) - crop[0], frame.get("height", 0) - crop[1]
    numerator, _, denominator = (_known(frame.get("sample_aspect_ratio", "")) or "1:1").partition(":")
    if int(numerator) and int(denominator or 0):
        width = round(width * int(numerator) / int(denominator))
    return (height, width) if rotation in (90, 270) else (width, height)


def bit_rate(packets: Sequence[dict[str, Any]], lasting_s: float) -> int:
    """Bits per second of these packets; 0 if they last no time."""
    return round(sum(int(packet.get("size", 0)) for packet in packets) * 8 / lasting_s) if lasting_s else 0


def _audio(streams: Sequence[dict[str, Any]], packets: dict[int, list[dict[str, Any]]]) -> Audio | None:
    readable = (
        stream for stream in streams if stream.get("codec_type") == "audio" and stream.get("codec_name")
    )
    stream = next(readable, None)
    if stream is None:
        return None
    lasting_s = _track_duration_s(stream, packets)
    return Audio(
        stream_index=stream["index"],
        codec=stream.get("codec_name", ""),
        profile=stream.get("profile", ""),
        channels=stream.get("channels", 0),
        sample_rate_hz=int(stream.get("sample_rate", 0)),
        bit_rate=bit_rate(packets.get(stream["index"], []), lasting_s),
        duration_s=lasting_s,
    )


def _is_video(stream: dict[str, Any]) -> bool:
    return stream.get("codec_type") == "video" and not _is_cover(stream)


def _is_cover(stream: dict[str, Any]) -> bool:
    return bool(stream.get("disposition", {}).get("attached_pic"))


def _known(value: str) -> str:
    return "" if value in ("unknown", "reserved", "N/A", "0:1") else value
