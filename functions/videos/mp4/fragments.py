"""Writes each rendition as one file that plays as a fast-start MP4 and, by byte range, as HLS.

ffmpeg's ``hybrid_fragmented`` writes fMP4, wraps it in one mdat, and appends a moov that
indexes the same samples. This module moves that moov to the front, so that playback can start at once:

    before   ftyp  free  mdat[ ftyp moov  moof mdat  moof mdat … ]  moov
    after    ftyp  moov  mdat[ ftyp moov  moof mdat  moof mdat … ]
                               └ init ─┘  └ segment ┘└ segment ┘

It also cuts the segments anew: at keyframes, by presentation time, each with the audio of its own frames.
ffmpeg cuts when a keyframe is decoded, some frames before it is presented, and not before every track has
begun; both differ between renditions, so a player that switched would hit a gap. The late start of a track
moves into the times of its fragments, because many players ignore empty edits.

A segment is one fragment, because Firefox drops frames where there are more. Inside its mdat, audio and
frames of the same time lie together, in parts of at most PART_S: a traf has a trun for each. In a part, the
audio comes before the frames: audio is small, and players show no frame without it.

Source: ISO/IEC 14496-12 for the boxes, RFC 8216 for the HLS requirements.
"""

import struct
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain, pairwise
from math import ceil
from pathlib import Path

from videos.errors import ToolFailed
from videos.model import Segments
from videos.mp4.boxes import box, boxes, header
from videos.mp4.moov import Chunk, for_fragments, indexed
from videos.mp4.movie import (
    DATA_OFFSET,
    DEFAULT_BASE_IS_MOOF,
    DEFAULT_FLAGS,
    DELAY,
    DURATION,
    FLAGS,
    PICTURE,
    SIZE,
    SOUND,
    Sample,
    Track,
    codecs,
    samples,
    tracks,
)

PLAIN_MP4 = struct.pack(">4sI4s4s4s", b"isom", 0x200, b"isom", b"iso2", b"mp41")  # some tools reject iso5
MIN_SEGMENT_S = 1.5  # the first keyframe after this starts the next segment
FIRST_PART_S = 0.15  # of a segment: players start there, and its audio comes before its keyframe
PART_S = 0.4  # sound and picture lie at most 0.5 s apart, with up to 0.1 s of reordered frames
FIELDS = (DURATION, SIZE, FLAGS, DELAY)  # of a sample in a trun
VERSION_1 = 1 << 24
NEAR_S = 0.001  # a sample this close before a cut counts as after it, against rounding errors

TrackSamples = tuple[Track, Sequence[Sample]]
Run = tuple[Sequence[Sample], int]  # and where it starts, from the first sample of its fragment


@dataclass(frozen=True, slots=True)
class _Fragment:
    """A moof and its mdat. ``chunks``: by the ids of the tracks in it; their bytes count from the moof."""

    data: bytes
    chunks: Mapping[bytes, Sequence[Chunk]]


@dataclass(frozen=True, slots=True)
class Rendition:
    """What a finished file contains, counted in the file itself.

    Attributes:
        shown_at_s: the presentation time of each frame, in order.
        audio_s: the duration of its audio; 0.0 if it has none.
    """

    segments: Segments
    shown_at_s: tuple[float, ...]
    audio_s: float


def put_index_first(written: Path, to: Path) -> Rendition:
    """Rewrite ffmpeg's file as a fast-start file, and return its contents and segments.

    Raises:
        ToolFailed: ffmpeg does not support ``hybrid_fragmented``; it needs version 7.1 or newer.
    """
    try:
        _, _, (_, media), (_, moov) = boxes(memoryview(written.read_bytes()))
        (_, inner_brand), (_, inner_moov), *halves = boxes(media)
    except ValueError:
        raise ToolFailed(
            "ffmpeg wrote no fragments.", suggestions=["Set FFMPEG to version 7.1 or newer."]
        ) from None
    index, inner_index = bytes(moov), bytes(inner_moov)
    sizes = [
        8 + len(moof) + 8 + len(mdat) for (_, moof), (_, mdat) in zip(halves[::2], halves[1::2], strict=True)
    ]
    whole = [media[begin:end] for begin, end in pairwise(accumulate([len(media) - sum(sizes), *sizes]))]
    by_type = tracks(index)
    picture, sound = by_type[PICTURE], by_type.get(SOUND)
    frames = [frame for fragment in whole for frame in samples(fragment, picture)]
    heard = [sample for fragment in whole for sample in samples(fragment, sound)] if sound else []
    segments_of_frames = _cut(frames, picture)
    cuts_s = _cuts_s(segments_of_frames, picture)
    audio_from_s = audio_until_s = 0.0
    audio: Sequence[Sequence[Sample]] = [[] for _ in segments_of_frames]
    if sound and heard:
        audio_from_s = sound.shown_s(heard[0].at)
        audio_until_s = sound.shown_s(heard[-1].at + heard[-1].duration)
        cuts_s[-1] = max(cuts_s[-1], audio_until_s)
        audio = _split(heard, _times_s(heard, sound), cuts_s[:-1])
    fragments = [
        _fragment(number, picture, sound, _parts(picture, shown, sound, sounds, span_s))
        for number, (shown, sounds, span_s) in enumerate(
            zip(segments_of_frames, audio, pairwise(cuts_s), strict=True), 1
        )
    ]
    init = box(b"ftyp", bytes(inner_brand)) + for_fragments(inner_index, by_type)
    front = box(b"ftyp", PLAIN_MP4)
    init_at = len(front) + len(indexed(index, _chunks(fragments, 0))) + 8
    chunks = _chunks(fragments, init_at + len(init))
    data = [init, *(fragment.data for fragment in fragments)]
    with to.open("wb") as file:
        file.writelines([front, indexed(index, chunks), header(b"mdat", sum(map(len, data))), *data])
    if heard:  # the first segment also has the audio before the video
        cuts_s[0] = min(cuts_s[0], max(audio_from_s, 0.0))
    segments = Segments(
        codecs=codecs(index),
        init_at=init_at,
        init_bytes=len(init),
        sizes_bytes=tuple(len(fragment.data) for fragment in fragments),
        durations_s=tuple(round(after - before, 6) for before, after in pairwise(cuts_s)),
    )
    return Rendition(segments, tuple(sorted(_times_s(frames, picture))), audio_until_s - audio_from_s)


def _chunks(fragments: Iterable[_Fragment], first_at: int) -> dict[bytes, list[Chunk]]:
    """The chunks of each track in a file whose first fragment starts at byte ``first_at``."""
    found: dict[bytes, list[Chunk]] = {}
    at = first_at
    for fragment in fragments:
        for track_id, chunks in fragment.chunks.items():
            found.setdefault(track_id, []).extend(chunk._replace(at=at + chunk.at) for chunk in chunks)
        at += len(fragment.data)
    return found


def _cut(frames: Sequence[Sample], picture: Track) -> list[list[Sample]]:
    """The frames of each segment."""
    segments: list[list[Sample]] = []
    begin_s = 0.0
    for frame in frames:
        shown_s = picture.shown_s(frame.at + frame.delay)
        if not segments or (frame.is_keyframe and shown_s - begin_s > MIN_SEGMENT_S - NEAR_S):
            segments.append([])
            begin_s = shown_s
        segments[-1].append(frame)
    return segments


def _cuts_s(segments: Sequence[Sequence[Sample]], picture: Track) -> list[float]:
    """The presentation time at which each segment starts, and at which the last one ends."""
    begins = [keyframe.at + keyframe.delay for keyframe, *_ in segments]
    end = max(frame.at + frame.delay + frame.duration for frame in segments[-1])
    return [picture.shown_s(at) for at in (*begins, end)]


def _parts(
    picture: Track,
    frames: Sequence[Sample],
    sound: Track | None,
    heard: Sequence[Sample],
    span_s: tuple[float, float],
) -> Iterable[list[TrackSamples]]:
    """The samples of a segment, in the order of the file: a short part, then equal parts of its time.

    A frame that is decoded before earlier frames goes with the earliest of them, so that after each part
    a player has all audio and all frames up to the same time.
    """
    if not sound or not heard:
        return [[(picture, frames)]]
    begin_s, end_s = span_s
    second_s = begin_s + FIRST_PART_S
    parts = max(0, ceil((end_s - second_s) / PART_S))
    begins_s = [begin_s, *(second_s + number * (end_s - second_s) / parts for number in range(parts))]
    sounds = _split(heard, _times_s(heard, sound), begins_s)
    missing_s = list(accumulate(reversed(_times_s(frames, picture)), min))[::-1]
    shown = _split(frames, missing_s, begins_s)
    return [
        [(sound, some_heard), (picture, some_frames)]
        for some_heard, some_frames in zip(sounds, shown, strict=True)
        if some_heard or some_frames
    ]


def _split(
    found: Sequence[Sample], times_s: Sequence[float], begins_s: Sequence[float]
) -> list[Sequence[Sample]]:
    """The samples from each time on until the next; those before all of them are in the first part.

    ``times_s`` never goes back.
    """
    begins = [bisect_left(times_s, begin_s, key=lambda time_s: time_s + NEAR_S) for begin_s in begins_s[1:]]
    return [found[begin:end] for begin, end in pairwise([0, *begins, len(found)])]


def _times_s(found: Iterable[Sample], track: Track) -> list[float]:
    """When each sample is presented."""
    shown_s = track.shown_s
    return [shown_s(at + delay) for at, delay, *_ in found]


def _fragment(
    number: int, picture: Track, sound: Track | None, parts: Iterable[Sequence[TrackSamples]]
) -> _Fragment:
    """A fragment with these samples, in the order of the file; it is the ``number``-th there, from 1."""
    runs = [(track, found) for part in parts for track, found in part if found]
    sizes = [sum(len(sample.data) for sample in found) for _, found in runs]
    offsets = list(accumulate(sizes[:-1], initial=0))

    def runs_of(wanted: Track, at: int) -> list[Run]:
        return [
            (found, at + offset)
            for (track, found), offset in zip(runs, offsets, strict=True)
            if track is wanted
        ]

    present = [track for track in (picture, sound) if track and runs_of(track, 0)]
    trafs = [_traf(track, runs_of(track, 0)) for track in present]

    def moof(at: int) -> bytes:
        return box(b"moof", box(b"mfhd", struct.pack(">II", 0, number)), *(traf(at) for traf in trafs))

    at = len(moof(0)) + 8
    chunks = {
        track.id: [
            Chunk(begin, len(found), sum(sample.duration for sample in found))
            for found, begin in runs_of(track, at)
        ]
        for track in present
    }
    data = [sample.data for _, found in runs for sample in found]
    return _Fragment(b"".join([moof(at), header(b"mdat", sum(sizes)), *data]), chunks)


def _traf(track: Track, runs: Sequence[Run]) -> Callable[[int], bytes]:
    """A traf with a trun for each run of samples, once it is known where the samples begin.

    What all samples share is written once.
    """
    rows = [[(one.duration, len(one.data), one.flags, one.delay) for one in run] for run, _ in runs]
    columns = list(zip(*chain.from_iterable(rows), strict=True))
    once = [number for number in (0, 1, 2) if len(set(columns[number])) == 1]
    each = [number for number in range(4) if number not in once and any(columns[number])]
    first = runs[0][0][0]
    head = struct.pack(">I4s", DEFAULT_BASE_IS_MOOF | sum(DEFAULT_FLAGS[FIELDS[n]] for n in once), track.id)
    head += b"".join(struct.pack(">I", columns[number][0]) for number in once)
    begin = struct.pack(">IQ", VERSION_1, first.at + track.late)  # the decoding time, in 64 bits
    flags = VERSION_1 | DATA_OFFSET | sum(FIELDS[number] for number in each)
    values = [[row[number] for row in run for number in each] for run in rows]
    tables = [struct.pack(f">{len(run)}i", *run) for run in values]

    def at(samples_at: int) -> bytes:
        truns = [
            box(b"trun", struct.pack(">III", flags, len(run), samples_at + offset), table)
            for (run, offset), table in zip(runs, tables, strict=True)
        ]
        return box(b"traf", box(b"tfhd", head), box(b"tfdt", begin), *truns)

    return at
