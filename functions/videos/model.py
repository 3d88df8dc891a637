"""A video: its record, the measurements of its file, and its states."""

from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Self

from videos.errors import Violation, WrongMove
from videos.fix import Fit, Fix, OnViolation
from videos.keys import inbox_key, outputs_prefix, sources_prefix


class State(StrEnum):
    AWAITING_UPLOAD = "awaiting_upload"  # a ticket was issued
    QUEUED = "queued"  # the file is accepted and waits for a worker; playable if it could be copied
    PROCESSING = "processing"  # a worker has started
    COMPLETED = "completed"  # every output is published
    REJECTED = "rejected"  # the file breaks the spec, and is not fixed
    FAILED = "failed"  # processing failed after every retry
    EXPIRED = "expired"  # nothing was uploaded before the ticket expired


class OutputName(StrEnum):
    P720 = "720p"
    P720_HEVC = "720p-hevc"  # a stream copy; not every player decodes HEVC
    P720_TURNED = "720p-turned"  # a stream copy; the player rotates or scales it
    P540 = "540p"
    P360 = "360p"
    POSTER = "poster"
    SPRITE = "sprite"


# One row per state: the states it may move to.
MOVES: dict[State, frozenset[State]] = {
    State.AWAITING_UPLOAD: frozenset(
        {State.AWAITING_UPLOAD, State.QUEUED, State.REJECTED, State.FAILED, State.EXPIRED}
    ),
    State.QUEUED: frozenset({State.PROCESSING, State.FAILED}),
    State.PROCESSING: frozenset({State.PROCESSING, State.COMPLETED, State.REJECTED, State.FAILED}),
    State.COMPLETED: frozenset(),
    State.REJECTED: frozenset(),
    State.FAILED: frozenset({State.AWAITING_UPLOAD, State.QUEUED}),  # an operator redrives it
    State.EXPIRED: frozenset(),
}
# The upright H.264 renditions of every completed video, best first.
LADDER_PX = {
    OutputName.P720: (720, 1280),
    OutputName.P540: (540, 960),
    OutputName.P360: (360, 640),
}
# Faults that re-encoding cannot repair.
PROTECTED = "The file is encrypted (DRM)."
ELSEWHERE = "The file refers to media in another file."
FINISHED = frozenset({State.COMPLETED, State.REJECTED, State.FAILED, State.EXPIRED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Audio:
    """The first enabled audio track that can be read.

    Attributes:
        starts_at_s: when it starts, relative to the video; negative if before.
        copy_obstacles: why it is encoded instead of copied, one sentence each.
    """

    stream_index: int
    codec: str
    profile: str = ""
    channels: int = 0
    sample_rate_hz: int = 0
    bit_rate: int = 0  # bits per second, 0 if unknown
    duration_s: float = 0.0
    loudness_lufs: float | None = None  # integrated, EBU R 128; None until measured
    true_peak_dbtp: float | None = None
    starts_at_s: float = 0.0
    copy_obstacles: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Colors:
    """Color tags by ffprobe's names; "" where there is none."""

    primaries: str = ""
    transfer: str = ""
    matrix: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Media:
    """Measurements of one file; taken from its samples wherever a header could be wrong.

    Attributes:
        content: MIME type, detected by libmagic.
        width_px, height_px: as displayed, after cropping, sample aspect ratio and rotation.
        other_sizes: every other displayed size in the stream, such as ``"1280x720"``.
        coded_width_px, coded_height_px: the largest coded size of any frame or parameter set.
        cropped_width_px, cropped_height_px: the coded size less what bitstream and container crop.
        cropped: the container crops the picture.
        interlaced: some frames consist of two fields.
        rotation: how far a player rotates it clockwise, in degrees: 0, 90, 180 or 270.
        frame_rate: frames per second, 1 ÷ the mean of the regular gaps between frames.
        hidden_frames: how many frames an edit list hides; they are still in the file.
        starts_hidden: an edit list hides the beginning of fragments, which tools skip only when told to.
        skipped_frames: how many frames a decoder may leave out where recordings are joined.
        closed_gops: decoding can start at every keyframe.
        odd_gap_share: the share of irregular gaps, of their number or of their time, 0.0 to 1.0.
        duration_s: from the first to the last moment of all tracks, from their samples.
        video_duration_s: the same, of the video track alone.
        color_*: from the bitstream, else the container; "" if neither has a value, or the range changes.
        color_range_changes: some frames have full range, others limited range.
        other_colors: different color tags of other frames or parameter sets.
        tagged: every parameter set says BT.709 in limited range, so that a copy needs no tags.
        copy_obstacles: why the video is encoded instead of copied, one sentence each.
        faults: what makes the file unusable, one sentence each: missing bytes, encryption…
    """

    content: str
    size_bytes: int
    video_streams: int = 0
    stream_index: int = 0
    codec: str = ""
    profile: str = ""
    level: int = 0
    pixel_format: str = ""
    width_px: int = 0
    height_px: int = 0
    other_sizes: tuple[str, ...] = ()
    sample_aspect_ratio: str = "1:1"
    coded_width_px: int = 0
    coded_height_px: int = 0
    cropped_width_px: int = 0
    cropped_height_px: int = 0
    cropped: bool = False
    interlaced: bool = False
    rotation: int = 0
    mirrored: bool = False
    frame_rate: float = 0.0
    odd_gap_share: float = 0.0
    frame_count: int = 0
    hidden_frames: int = 0
    starts_hidden: bool = False
    skipped_frames: int = 0
    closed_gops: bool = True
    duration_s: float = 0.0
    video_duration_s: float = 0.0
    bit_rate: int = 0
    color_range: str = ""
    color_range_changes: bool = False
    color_primaries: str = ""
    color_transfer: str = ""
    color_space: str = ""
    other_colors: tuple[Colors, ...] = ()
    tagged: bool = False
    audio: Audio | None = None
    copy_obstacles: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()

    @property
    def upright(self) -> bool:
        """Whether the coded picture equals the displayed one: no rotation, no mirroring, square pixels."""
        return not self.rotation and not self.mirrored and self.sample_aspect_ratio == "1:1"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredObject:
    """One object in storage. ``etag`` changes whenever the bytes do."""

    key: str
    size_bytes: int
    etag: str
    stored_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Segments:
    """The byte ranges of a rendition that HLS plays: an init section, then consecutive segments.

    ``codecs`` lists what a player must decode, as in RFC 6381.
    """

    codecs: str
    init_at: int  # byte offset
    init_bytes: int
    sizes_bytes: tuple[int, ...]
    durations_s: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """The layout of a sprite sheet: row by row, one still per ``every_s`` of video."""

    every_s: float
    tiles: int
    columns: int
    tile_width_px: int
    tile_height_px: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """One published file: a rendition, or a picture (``codec`` "mjpeg")."""

    name: OutputName
    key: str
    content_type: str
    codec: str
    width_px: int
    height_px: int
    size_bytes: int
    segments: Segments | None = None  # renditions only
    sheet: Sheet | None = None  # the sprite only


@dataclass(frozen=True, slots=True, kw_only=True)
class Video:
    """One upload and everything made from it. Immutable: a step creates the next version with ``to``.

    Attributes:
        owner: who may see it; "" if it was uploaded while access was open.
        pass_secret: signs its playback links, if it has an owner; never sent to clients.
        version: the number of writes; ``Videos.update`` compares it: the only lock.
        external_id, custom: the app's own id of it and JSON object (as text); "" if it sent none.
        poster_time_s: the time in the video that its poster shows.
        on_violation, fit: what to do with a file that breaks the spec, and how its picture fills the frame.
        fixes: what is changed of the file first of all.
        blurhash: placeholder for the poster; "" until computed.
        progress: 0 to 100; never goes down.
        time_left_s: an estimate, while it is being processed.
        playable_at, completed_at: when the first and the last output were published.
        problems: the violations; records are stored under this field name.
        failure: for operators, why it failed or was rejected; never sent, as it may hold a tool's output.
        source: the file that the check took, or rejected; None before. ``media`` measures it until it is
            fixed, then the clip that it was made into.
        attempt: the check or transcode at work, which may publish; names its folders. "" if there is none.
        attempts: how many attempts failed through no fault of the file.
        exhausted: how often a tool ran into its limits, since the last success.
        lost: how many attempts ended with their worker, and theirs alone.
        rounds: how often ``recover_videos`` re-queued it since it was last worked on.
        recover_at: when ``recover_videos`` should check it, unless a step writes first; None once
            finished. A failed one has files, and is erased then.
    """

    id: str
    filename: str
    content_type: str
    created_at: datetime
    updated_at: datetime
    upload_expires_at: datetime
    owner: str = ""
    pass_secret: str = field(default="", repr=False)
    state: State = State.AWAITING_UPLOAD
    version: int = 0
    external_id: str = ""
    custom: str = ""
    poster_time_s: float = 0.0
    on_violation: OnViolation = OnViolation.REJECT
    fit: Fit = Fit.CONTAIN
    fixes: tuple[Fix, ...] = ()
    blurhash: str = ""
    progress: int = 0
    time_left_s: float | None = None
    playable_at: datetime | None = None
    completed_at: datetime | None = None
    recover_at: datetime | None = None
    source: StoredObject | None = None
    media: Media | None = None
    problems: tuple[Violation, ...] = ()
    warnings: tuple[str, ...] = ()
    attempt: str = ""
    attempts: int = 0
    exhausted: int = 0
    lost: int = 0
    rounds: int = 0
    outputs: tuple[Output, ...] = ()
    failure: str = ""

    @property
    def inbox_key(self) -> str:
        return inbox_key(self.id)

    @property
    def source_key(self) -> str:
        """Where its file is: in the inbox, until the check takes it."""
        return self.source.key if self.source else self.inbox_key

    @property
    def outputs_prefix(self) -> str:
        """The key prefix of the outputs of all attempts."""
        return outputs_prefix(self.id)

    @property
    def attempt_prefixes(self) -> tuple[str, str]:
        """The key prefixes of what the current attempt takes, and of what it makes."""
        return f"{sources_prefix(self.id)}{self.attempt}/", f"{self.outputs_prefix}{self.attempt}/"

    @property
    def setbacks(self) -> int:
        """How many attempts came to nothing."""
        return self.attempts + self.exhausted + self.lost

    @property
    def playable(self) -> bool:
        """Whether an output can be played. Stays true unless decoding proves the file broken."""
        return self.playable_at is not None

    @property
    def finished(self) -> bool:
        return self.state in FINISHED

    @property
    def files(self) -> frozenset[str]:
        """The keys of all its stored files; any other key under its id is left over."""
        source = () if self.state in (State.REJECTED, State.EXPIRED) else (self.source_key,)
        return frozenset((*source, *(output.key for output in self.outputs)))

    def output(self, name: OutputName) -> Output | None:
        return next((output for output in self.outputs if output.name == name), None)

    def to(self, state: State, *, at: datetime, recover_at: datetime | None = None, **facts: Any) -> Self:
        """This video in its next state.

        Args:
            at: the time of the change.
            recover_at: when to check it again; required unless nothing is left to do.
            **facts: other fields to change. ``progress`` never goes down; ``time_left_s`` is
                reset unless given.

        Raises:
            WrongMove: ``MOVES`` has no such transition.
        """
        if state not in MOVES[self.state]:
            raise WrongMove(f"Video {self.id} is {self.state}; it cannot become {state}.")
        facts.setdefault("time_left_s", None)
        facts["progress"] = 100 if state is State.COMPLETED else max(self.progress, facts.get("progress", 0))
        return replace(self, state=state, updated_at=at, recover_at=recover_at, **facts)

    def postponed(self, recover_at: datetime, *, rounds: int = 0) -> Self:
        """The same video with a later ``recover_at``; ``rounds`` is added to its count."""
        return replace(self, recover_at=recover_at, rounds=self.rounds + rounds)
