"""What a video is, what we know of its file, and the states it moves through."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, time, timedelta
from enum import StrEnum
from math import ceil
from typing import Any, Self

from videos.errors import Problem, QuotaExceeded, WrongMove


class State(StrEnum):
    AWAITING_UPLOAD = "awaiting_upload"  # a ticket is out
    QUEUED = "queued"  # the file keeps the spec and waits for a worker
    PROCESSING = "processing"  # a worker has it; it may be playable already
    COMPLETED = "completed"  # every output is there
    REJECTED = "rejected"  # the file breaks the spec
    FAILED = "failed"  # we could not process it, however often we tried
    EXPIRED = "expired"  # nothing was uploaded in time


# One row per state: the states it may move to. The README draws this.
MOVES: dict[State, frozenset[State]] = {
    State.AWAITING_UPLOAD: frozenset({State.QUEUED, State.REJECTED, State.FAILED, State.EXPIRED}),
    State.QUEUED: frozenset({State.PROCESSING, State.FAILED}),
    State.PROCESSING: frozenset({State.PROCESSING, State.COMPLETED, State.REJECTED, State.FAILED}),
    State.COMPLETED: frozenset(),
    State.REJECTED: frozenset(),
    State.FAILED: frozenset({State.AWAITING_UPLOAD, State.QUEUED}),  # an operator sent it back
    State.EXPIRED: frozenset(),
}
# The upright H.264 renditions that every video ends up with, best first.
LADDER_PX = {"720p": (720, 1280), "540p": (540, 960), "360p": (360, 640)}
FINISHED = frozenset({State.COMPLETED, State.REJECTED, State.FAILED, State.EXPIRED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Audio:
    """The first sound track that can be read."""

    stream_index: int
    codec: str
    profile: str = ""
    channels: int = 0
    sample_rate_hz: int = 0
    bit_rate: int = 0  # bits per second, 0 if unknown
    duration_s: float = 0.0
    loudness_lufs: float | None = None  # integrated, EBU R 128; None until measured
    true_peak_dbtp: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Media:
    """Facts about one file, as measured from its samples where headers can lie.

    Attributes:
        content: what the bytes are, as a MIME type by libmagic.
        width_px, height_px: as displayed, after cropping, sample aspect ratio and rotation.
        other_sizes: every further displayed size met in the stream, ``"1280x720"``.
        cropped: the container shows a part of the picture only.
        rotation: clockwise quarter turns a player makes, in degrees: 0, 90, 180 or 270.
        frame_rate: frames per second, 1 ÷ the mean of the ordinary gaps between frames.
        hidden_frames: how many frames an edit list hides; they are in the file all the same.
        closed_gops: every keyframe can be decoded from without what came before it.
        odd_gap_share: how many of the gaps are no ordinary ones, 0.0 to 1.0.
        duration_s: the longest track's samples.
        color_*: as the bitstream says, else the container; "" where neither does.
        faults: what makes the file unusable, a sentence each: missing bytes, encryption…
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
    cropped: bool = False
    rotation: int = 0
    mirrored: bool = False
    frame_rate: float = 0.0
    odd_gap_share: float = 0.0
    frame_count: int = 0
    hidden_frames: int = 0
    closed_gops: bool = True
    duration_s: float = 0.0
    bit_rate: int = 0
    color_range: str = ""
    color_primaries: str = ""
    color_transfer: str = ""
    color_space: str = ""
    audio: Audio | None = None
    faults: tuple[str, ...] = ()

    @property
    def upright(self) -> bool:
        """Whether the coded picture is the displayed one: no turn, no mirror, square pixels."""
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
    """Where HLS finds a rendition in its own file: an init section, then one segment after the other.

    ``codecs`` is what a player must be able to decode, as in RFC 6381.
    """

    codecs: str
    init_at: int  # byte offset
    init_bytes: int
    sizes_bytes: tuple[int, ...]
    durations_s: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """How stills lie on a sprite sheet: row by row, one for every ``every_s`` of the video."""

    every_s: float
    tiles: int
    columns: int
    tile_width_px: int
    tile_height_px: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """One published file: a rendition, or a picture (``codec`` "mjpeg")."""

    name: str  # "720p", "720p-hevc", "720p-turned", "540p", "360p", "poster", "sprite"
    key: str
    content_type: str
    codec: str
    width_px: int
    height_px: int
    size_bytes: int
    segments: Segments | None = None  # of a rendition
    sheet: Sheet | None = None  # of the sprite


def source_key(video_id: str) -> str:
    """Where the upload of a video lies; known without its record, which may be gone."""
    return f"uploads/{video_id}"


def outputs_prefix(video_id: str) -> str:
    return f"outputs/{video_id}/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Video:
    """One upload and what became of it. Immutable: a step makes the next one with ``to``.

    Attributes:
        owner: who may see it; "" for one that was uploaded while access was open.
        pass_secret: what signs its playback links, if it has an owner; never shown.
        version: the count of writes; ``Videos.update`` compares it, so it is the only lock.
        poster_time_s: the moment of the video that its poster shows.
        blurhash: what to show until the poster is there; "" until it is made.
        progress: 0 to 100; never goes down.
        time_left_s: an estimate, while it is worked on.
        playable_at, completed_at: when the first output, and the last, could be had.
        attempt: the run of the transcode step that may publish; names its folder of outputs.
        attempts: how many such runs were begun.
        rounds: how often ``recover_videos`` had to set it going again.
        recover_at: when ``recover_videos`` should look, if nothing happened by then;
            None once finished.
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
    poster_time_s: float = 0.0
    blurhash: str = ""
    progress: int = 0
    time_left_s: float | None = None
    playable_at: datetime | None = None
    completed_at: datetime | None = None
    recover_at: datetime | None = None
    source: StoredObject | None = None
    media: Media | None = None
    problems: tuple[Problem, ...] = ()
    warnings: tuple[str, ...] = ()
    attempt: str = ""
    attempts: int = 0
    rounds: int = 0
    outputs: tuple[Output, ...] = ()
    failure: str = ""

    @property
    def source_key(self) -> str:
        return source_key(self.id)

    @property
    def outputs_prefix(self) -> str:
        """Where every output of every attempt lies."""
        return outputs_prefix(self.id)

    @property
    def attempt_prefix(self) -> str:
        """Where the outputs of the attempt lie that may publish."""
        return f"{self.outputs_prefix}{self.attempt}/"

    @property
    def playable(self) -> bool:
        """Whether an output can be played; once true it stays, unless the file turns out to be broken."""
        return self.playable_at is not None

    @property
    def finished(self) -> bool:
        return self.state in FINISHED

    @property
    def files(self) -> frozenset[str]:
        """The keys of everything stored that belongs to it; all else under its name is left over."""
        source = () if self.state in (State.REJECTED, State.EXPIRED) else (self.source_key,)
        return frozenset((*source, *(output.key for output in self.outputs)))

    def output(self, name: str) -> Output | None:
        return next((output for output in self.outputs if output.name == name), None)

    def to(self, state: State, *, at: datetime, recover_at: datetime | None = None, **facts: Any) -> Self:
        """This video, one step further.

        Args:
            at: the time of the step.
            recover_at: when to look again; must be given unless ``state`` is a finished one.
            **facts: further fields to change. ``progress`` is raised, never lowered; an estimate
                of the time left is forgotten unless it is made anew.

        Raises:
            WrongMove: no arrow leads there.
        """
        if state not in MOVES[self.state]:
            raise WrongMove(f"Video {self.id} is {self.state}; it cannot become {state}.")
        facts.setdefault("time_left_s", None)
        facts["progress"] = 100 if state is State.COMPLETED else max(self.progress, facts.get("progress", 0))
        return replace(self, state=state, updated_at=at, recover_at=recover_at, **facts)

    def postponed(self, recover_at: datetime, *, rounds: int = 0) -> Self:
        """The same video, to be looked at again later; ``rounds`` are counted."""
        return replace(self, recover_at=recover_at, rounds=self.rounds + rounds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """What one owner may upload in a day, by UTC; 0 is no limit."""

    uploads: int = 0
    size_bytes: int = 0


UNLIMITED = Quota()


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """What registering a video takes from its owner's quota."""

    owner: str
    at: datetime
    size_bytes: int
    quota: Quota

    @property
    def day(self) -> str:
        return self.at.astimezone(UTC).date().isoformat()

    @property
    def resets_at(self) -> datetime:
        return datetime.combine(self.at.astimezone(UTC).date() + timedelta(days=1), time(tzinfo=UTC))

    def fits(self, uploads: int, size_bytes: int) -> bool:
        """Whether enough is left for it when so much of the day's quota is used."""
        most = self.quota
        return not (0 < most.uploads < uploads + 1 or 0 < most.size_bytes < size_bytes + self.size_bytes)

    def refusal(self, uploads: int, size_bytes: int) -> QuotaExceeded:
        """For an owner who has used so much of the day's quota already."""
        return QuotaExceeded(
            {
                "uploads": {"limit": self.quota.uploads, "used": uploads},
                "bytes": {"limit": self.quota.size_bytes, "used": size_bytes},
            },
            resets_at=self.resets_at,
            retry_after_s=ceil((self.resets_at - self.at).total_seconds()),
        )
