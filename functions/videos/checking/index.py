"""Reads what a file tells before any sample is parsed: its tracks, its packets, the heads of its units.

That takes milliseconds whatever the file, and bounds what the rest may cost.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from videos.checking import ffprobe, timing
from videos.checking.ffprobe import MAX_PACKETS, Packet, Stream
from videos.checking.parameter_sets import CODECS
from videos.checking.units import Units, read_units
from videos.mp4.tracks import TrackIndex, read_tracks
from videos.tools import MediaTools

MAX_KEYFRAMES = 5_000  # a minute of keyframes only has 1,800; broken ones are slow to decode
MAX_SHARED_BYTES = 6 * 1024**2  # of samples that share their bytes in the file; each has its own in a copy
MAX_CONFIGURATION_BYTES = 64 * 1024  # of a track's parameter sets outside its samples


@dataclass(frozen=True, slots=True)
class Index:
    """What a file tells before its samples are parsed. Disabled tracks are left out.

    Attributes:
        packets: every one, by the index of its track.
        shown: those that no edit list hides.
        units: of each video track.
        tracks: by their id.
        missing: how many samples that the first video track lists cannot be read.
    """

    path: Path
    streams: Sequence[Stream]
    packets: Mapping[int, Sequence[Packet]]
    shown: Mapping[int, Sequence[Packet]]
    units: Mapping[int, Units]
    tracks: Mapping[int, TrackIndex]
    missing: int

    @classmethod
    def read(cls, path: Path, using: MediaTools) -> "Index":
        """Read no sample but for the heads of its units. Raises as ``tools.run``."""
        contents = ffprobe.read_packets(path, using)
        tracks = read_tracks(path)
        packets: dict[int, list[Packet]] = {stream.index: [] for stream in contents.streams}
        for packet in contents.packets:
            packets[packet.stream_index].append(packet)
        enabled = [stream for stream in contents.streams if stream.is_enabled]
        return cls(
            path,
            enabled,
            packets,
            {
                stream.index: shown(packets[stream.index], stream, _track(stream, tracks))
                for stream in contents.streams
            },
            {
                stream.index: read_units(
                    path, packets[stream.index], stream.codec_name, stream.nal_length_size
                )
                for stream in contents.streams  # a tool parses all of them, whether we use them or not
                if stream.codec_name in CODECS
            },
            tracks,
            next((_missing(path, one, packets, tracks, using) for one in enabled if one.is_video), 0),
        )

    @property
    def videos(self) -> list[Stream]:
        return [stream for stream in self.streams if stream.is_video]

    @property
    def sound(self) -> Stream | None:
        """The first audio track that can be read and has samples; without any, it is legal and silent."""
        return next(
            (
                stream
                for stream in self.streams
                if stream.codec_type == "audio" and stream.codec_name and self.packets_of(stream)
            ),
            None,
        )

    def packets_of(self, stream: Stream) -> Sequence[Packet]:
        """Those that are shown."""
        return self.shown[stream.index]

    def units_of(self, stream: Stream) -> Units:
        return self.units.get(stream.index, Units())

    def track(self, stream: Stream) -> TrackIndex:
        return _track(stream, self.tracks)

    def span(self, stream: Stream) -> timing.Span | None:
        return timing.span(self.packets_of(stream), Fraction(stream.time_base))

    def faults(self, size_bytes: int) -> tuple[str, ...]:
        """What makes it unusable, or too expensive to process, one sentence each."""
        found = [fault for units in self.units.values() for fault in units.faults]
        if any(track.configuration_bytes > MAX_CONFIGURATION_BYTES for track in self.tracks.values()):
            found.append(f"The decoder configuration has more than {MAX_CONFIGURATION_BYTES:,} bytes.")
        if sum(map(len, self.packets.values())) >= MAX_PACKETS:
            found.append(f"The file has {MAX_PACKETS:,} or more packets, more than this service inspects.")
        written_bytes = sum(packet.size for stream in self.streams for packet in self.packets_of(stream))
        if written_bytes > max(size_bytes, MAX_SHARED_BYTES):
            found.append("Frames share their bytes in the file; written out, they exceed the size limit.")
        for stream in filter(None, [*self.videos[:1], self.sound]):
            found += self.track(stream).faults
        for video in self.videos[:1]:
            packets = self.packets_of(video)
            if not packets:
                found.append("The video track has no frames.")
            if self.missing:
                found.append(f"Part of the video is missing: {self.missing:,} frames are not in the file.")
            if sum(packet.is_keyframe for packet in packets) > MAX_KEYFRAMES:
                found.append(
                    f"The video has more than {MAX_KEYFRAMES:,} keyframes, more than this service inspects."
                )
            if any(packet.is_corrupt for packet in packets):
                found.append("Part of the video is missing: a frame extends past the end of the file.")
        return tuple(dict.fromkeys(found))


def shown(packets: Sequence[Packet], stream: Stream, track: TrackIndex) -> list[Packet]:
    """The packets of a track, without those that an edit list hides."""
    visible = [packet for packet in packets if not packet.is_hidden]
    if not track.fragmented or not track.hidden_at_start_s:
        return visible
    # ffprobe marks nothing in fragments. What an edit list hides there comes before 0.
    return [packet for packet in visible if packet.pts is None or packet.pts + packet.duration > 0]


def _missing(
    path: Path,
    video: Stream,
    packets: Mapping[int, Sequence[Packet]],
    tracks: Mapping[int, TrackIndex],
    using: MediaTools,
) -> int:
    """ffprobe ends at a sample that is outside the file, and says nothing: count what it found."""
    listed, found = _track(video, tracks).samples, len(packets[video.index])
    if found < listed and sum(map(len, packets.values())) < MAX_PACKETS:
        found = ffprobe.count_packets(path, video.index, using)  # an edit list may have left some out
    return max(0, listed - found)


def _track(stream: Stream, tracks: Mapping[int, TrackIndex]) -> TrackIndex:
    track_id = int(stream.id or "0", 16)
    return tracks.get(track_id, TrackIndex(track_id))
