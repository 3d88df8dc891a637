"""Measures all of a file into ``Media``: from its samples and frames, since headers can lie."""

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

from videos import tools
from videos.checking import ffprobe, timing
from videos.checking.ffprobe import Frame, Packet, Picture, Stream
from videos.checking.geometry import (
    MAX_CODED_PX,
    cropped_size,
    cropping,
    displayed_size,
    known,
    lacks_base_layer,
    turn,
)
from videos.checking.index import Index
from videos.checking.parameter_sets import CODECS, OTHER_CODECS, ParameterSet, read_parameter_sets
from videos.errors import BadMedia
from videos.model import Audio, Colors, Media
from videos.mp4 import integrity
from videos.mp4.tracks import TrackIndex
from videos.tools import MediaTools

# Never a movie, though the mov demuxer opens some of it (a HEIC photo). Only types that libmagic recognizes
# reliably: it takes noise for a picture now and then, and ffprobe decides about the rest.
NOT_MOVIES = (
    "text/",
    "image/heic",
    "image/heif",
    "image/avif",
    "image/jpeg",
    "image/png",
    "image/gif",
    "image/webp",
)
MAX_PRIMING_S = 0.06  # of AAC; if an edit list hides more, it is audio that somebody cut off
MAX_SILENT_S = 0.5  # before the first sound, or after the last: hls.js waits for sound in every segment
SEVERAL_DESCRIPTIONS = "It has several sample descriptions."
HIDDEN_START = "An edit list hides its beginning."
# A file whose pictures are larger breaks the spec anyway: a sample of its keyframes tells what to fix.
# Of one that no fix takes, a single keyframe is enough: nine of 16000x16000 take ten seconds.
MAX_PX_TO_DECODE_ALL = 1920 * 1088
SAMPLES = 8
OF_DOLBY_VISION = "ipt-c2"  # the matrix, by ffprobe's name
UNREADABLE = "The file cannot be read as MP4 or MOV."


def probe(path: Path, using: MediaTools) -> Media:
    """Measure a file.

    A file that cannot be read is no error: its ``Media`` has ``faults``, for which the rules reject it.

    Raises:
        ToolFailed: ffprobe or libmagic is missing, hung or was killed; try again.
    """
    size_bytes = path.stat().st_size
    content = tools.sniff(path) if size_bytes else "application/x-empty"
    media = Media(content=content, size_bytes=size_bytes)
    if size_bytes == 0 or content.startswith(NOT_MOVIES):
        return media
    faults = integrity.faults(path)
    try:
        index = Index.read(path, using)
    except BadMedia:
        return replace(media, faults=faults or (UNREADABLE,))
    faults += index.faults(size_bytes)
    parsed = _Parsed(index.streams) if faults else _parse(index, using)
    media = replace(
        media,
        video_streams=len(index.videos),
        duration_s=timing.seconds(index.span(stream) for stream in index.streams if stream.is_media),
        audio=_audio(index, parsed),
        faults=(*faults, *parsed.faults),
    )
    if not index.videos:
        return media
    media = _with_video(media, index, parsed)
    hidden = media.hidden_frames or (media.audio and HIDDEN_START in media.audio.copy_obstacles)
    return replace(media, starts_hidden=bool(hidden) and index.track(index.videos[0]).fragmented)


# ── The samples ──────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class _Parsed:
    """What the tools find in the samples.

    Attributes:
        streams: the tracks, with what their first samples tell. One without sense may be missing.
        frames: the keyframes of the video track; one of them, where it tells for all.
        sets: its parameter sets.
    """

    streams: Sequence[Stream]
    frames: Sequence[Frame] = ()
    sets: Sequence[ParameterSet] = ()
    faults: Sequence[str] = ()

    def of(self, stream: Stream) -> Stream:
        """What is found of a track; ``stream`` itself, as the index has it, if it is nothing."""
        return next((found for found in self.streams if found.index == stream.index), stream)


def _parse(index: Index, using: MediaTools) -> _Parsed:
    """Parse the samples, with the tools side by side. Raises ToolFailed, as ``tools.run`` does."""
    path, video = index.path, next(iter(index.videos), None)
    faults: list[str] = []
    streams: Sequence[Stream] = index.streams
    frames: Sequence[Frame] = ()
    sets: Sequence[ParameterSet] = ()
    with ThreadPoolExecutor() as threads:
        reading = threads.submit(ffprobe.read_streams, path, using)
        if video and video.codec_name in CODECS and index.packets_of(video):
            in_samples = index.units_of(video).sets or index.track(video).descriptions > 1
            tracing = threads.submit(
                read_parameter_sets, path, video.index, video.codec_name, using, in_samples=in_samples
            )
            try:
                frames = ffprobe.decode_keyframes(path, video.index, using, most=1)
                with suppress(BadMedia):  # odd headers do not make bad pictures
                    sets = tracing.result()
                coded_px = frames[0].width * frames[0].height if frames else 0
                if coded_px > MAX_PX_TO_DECODE_ALL:
                    if coded_px <= MAX_CODED_PX:
                        frames = ffprobe.decode_keyframes(
                            path, video.index, using, most=1, at_s=_samples_s(index)
                        )
                elif not (frames and _one_tells_for_all(index, video, sets)):
                    frames = ffprobe.decode_keyframes(path, video.index, using)
            except BadMedia:
                faults.append(UNREADABLE)
            if not frames:
                faults.append("No frame of the video can be decoded.")
        elif video and video.codec_name in OTHER_CODECS and index.packets_of(video):
            with suppress(BadMedia):
                frames = ffprobe.decode_keyframes(path, video.index, using, most=1)
        try:
            streams = reading.result()
        except BadMedia:
            faults.append(UNREADABLE)
    return _Parsed(streams, frames, sets, faults)


def _samples_s(index: Index) -> list[float]:
    begin_s, end_s = map(float, index.span(index.videos[0]) or (0, 0))
    return [begin_s + (end_s - begin_s) * number / SAMPLES for number in range(SAMPLES)]


def _one_tells_for_all(index: Index, video: Stream, sets: Sequence[ParameterSet]) -> bool:
    """Whether all frames are as the first is, since nothing in the file says anything else.

    Decoding 50 keyframes takes 0.16 s; a whole check without that takes 0.25.
    """
    return len(sets) == 1 and index.track(video).descriptions == 1 and not index.units_of(video).messages


# ── The tracks ───────────────────────────────────────────────────────────────────


def _with_video(media: Media, index: Index, parsed: _Parsed) -> Media:
    """``media`` with what is measured of its first video track."""
    stream = parsed.of(index.videos[0])
    packets, units, track = index.packets_of(stream), index.units_of(stream), index.track(stream)
    rotation, mirrored = turn(stream)
    crop = cropping(stream)
    pictures: Sequence[Picture] = parsed.frames or [stream]
    first = pictures[0]
    sizes = Counter(displayed_size(picture, rotation, crop) for picture in pictures)
    [((width_px, height_px), _)] = sizes.most_common(1)
    headers: list[Picture | ParameterSet] = [*pictures, *parsed.sets]
    color, *other_colors = dict.fromkeys(_colors(header, stream) for header in headers)
    ranges = {known(header.color_range) or known(stream.color_range) for header in headers} - {""}
    interlaced = any(frame.interlaced_frame for frame in parsed.frames) or not all(
        header.progressive for header in parsed.sets
    )
    span = index.span(stream)
    rate, odd_gap_share = timing.frame_rate(packets, Fraction(stream.time_base))
    obstacles = {
        "Its parameter sets cannot be read.": not parsed.sets,
        **_index_obstacles(track),
        "An end of sequence has content.": not units.bare_ends,
        "Coded size, crop or pixel format change.": len(set(map(_coding, pictures))) > 1
        or len({one.format for one in parsed.sets}) > 1,
        "The colour range changes.": len(ranges) > 1,
        "It is interlaced.": interlaced,
    }
    return replace(
        media,
        stream_index=stream.index,
        codec=stream.codec_name,
        profile=stream.profile,
        level=stream.level,
        pixel_format=first.pix_fmt,
        width_px=width_px,
        height_px=height_px,
        other_sizes=tuple(
            f"{width}x{height}" for width, height in sizes if (width, height) != (width_px, height_px)
        ),
        sample_aspect_ratio=known(first.sample_aspect_ratio) or "1:1",
        coded_width_px=max([one.width for one in pictures] + [one.coded_width_px for one in parsed.sets]),
        coded_height_px=max([one.height for one in pictures] + [one.coded_height_px for one in parsed.sets]),
        cropped_width_px=cropped_size(first, crop)[0],
        cropped_height_px=cropped_size(first, crop)[1],
        cropped=crop != (0, 0),
        interlaced=interlaced,
        rotation=rotation,
        mirrored=mirrored,
        frame_rate=rate,
        odd_gap_share=odd_gap_share,
        frame_count=len(packets),
        hidden_frames=len(index.packets[stream.index]) - len(packets),
        skipped_frames=units.skipped,
        closed_gops=not media.faults and units.closed_gops,
        video_duration_s=timing.seconds([span]),
        bit_rate=bit_rate(packets, media.duration_s),
        color_range=ranges.pop() if len(ranges) == 1 else "",
        color_range_changes=len(ranges) > 1,
        color_primaries=color.primaries,
        color_transfer=color.transfer,
        color_space=OF_DOLBY_VISION if lacks_base_layer(stream) else color.matrix,
        other_colors=tuple(other_colors),
        tagged=bool(parsed.sets) and all(header.tagged for header in parsed.sets),
        copy_obstacles=tuple(words for words, holds in obstacles.items() if holds),
    )


def _audio(index: Index, parsed: _Parsed) -> Audio | None:
    """What is measured of the audio track, if any."""
    if not index.sound:
        return None
    stream = parsed.of(index.sound)
    packets, track, span = index.packets_of(stream), index.track(stream), index.span(stream)
    shown = next(map(index.span, index.videos), None)
    duration_s = timing.seconds([span])
    late_s, early_s = (span[0] - shown[0], shown[1] - span[1]) if span and shown else (0, 0)
    obstacles = {
        **_index_obstacles(track),
        HIDDEN_START: track.hidden_at_start_s > MAX_PRIMING_S,
        "Its frames overlap, or leave gaps.": not timing.is_steady(packets),
        "It starts later than the pictures.": late_s > MAX_SILENT_S,
        "It ends before the pictures.": early_s > MAX_SILENT_S,
    }
    return Audio(
        stream_index=stream.index,
        codec=stream.codec_name,
        profile=stream.profile,
        channels=stream.channels,
        sample_rate_hz=stream.sample_rate,
        bit_rate=bit_rate(packets, duration_s),
        duration_s=duration_s,
        starts_at_s=round(float(late_s), 3),
        copy_obstacles=tuple(words for words, holds in obstacles.items() if holds),
    )


def _index_obstacles(track: TrackIndex) -> dict[str, bool]:
    """Reasons against copying a track, each with whether it holds."""
    return {
        SEVERAL_DESCRIPTIONS: track.descriptions > 1,
        "An edit list joins several parts of it.": track.is_cut,
    }


def _colors(picture: Picture | ParameterSet, stream: Stream) -> Colors:
    return Colors(
        primaries=known(picture.color_primaries) or known(stream.color_primaries),
        transfer=known(picture.color_transfer) or known(stream.color_transfer),
        matrix=known(picture.color_space) or known(stream.color_space),
    )


def _coding(picture: Picture) -> tuple[object, ...]:
    """What a decoder and a scaler must be set up for."""
    crops = (picture.crop_left, picture.crop_right, picture.crop_top, picture.crop_bottom)
    return picture.width, picture.height, *crops, picture.sample_aspect_ratio, picture.pix_fmt


def bit_rate(packets: Sequence[Packet], duration_s: float) -> int:
    """Bits per second; 0 if ``duration_s`` is 0."""
    return round(sum(packet.size for packet in packets) * 8 / duration_s) if duration_s else 0
