"""Every answer of the API as a type. ``msgspec.json.encode`` writes it as it is declared.

A field whose default is ``UNSET`` is left out of an answer that it does not concern; ``None`` is written
as null. Sizes are in bytes, pictures in px, durations in seconds unless a name ends in ``_ms``, and bit
rates in bits per second.
"""

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from videos.errors import Violation
from videos.fix import Fix
from videos.model import OutputName, State
from videos.suggestions import SuggestionsFor

Timestamp = Annotated[str, Meta(description="ISO 8601, in UTC", extra_json_schema={"format": "date-time"})]
Url = Annotated[str, Meta(description="Absolute", extra_json_schema={"format": "uri"})]
Given = Annotated[str | UnsetType, Meta(description="As the request for the ticket gave it, if it did")]
Fixes = Annotated[
    list[Fix] | UnsetType,
    Meta(
        description="What is changed so that the clip meets the spec: what was found, and what is made of it"
    ),
]
GivenObject = Annotated[dict[str, Any] | UnsetType, Meta(description="The same")]


class Links(Struct, frozen=True, kw_only=True):
    """Where to follow a video."""

    status: Url
    metadata: Url


class Upload(Struct, frozen=True, kw_only=True):
    """How to send the file to storage.

    POST: a multipart form of ``fields``, in order, then the file as the field ``file``.
    PUT: the raw bytes, with exactly ``headers``, and the Content-Length that every client sends by itself.
    """

    method: Literal["POST", "PUT"]
    url: Url
    fields: Annotated[dict[str, str] | UnsetType, Meta(description="With POST only")] = UNSET
    headers: Annotated[dict[str, str] | UnsetType, Meta(description="With PUT only")] = UNSET
    expires_at: Timestamp
    max_bytes: int


class Ticket(Struct, frozen=True, kw_only=True):
    """The answer to POST /upload with JSON."""

    id: str
    url: Annotated[Url, Meta(description="The stable playback URL, redirects once the video is playable")]
    state: State
    upload: Upload
    links: Links


class CompanionTicket(Struct, frozen=True, kw_only=True):
    """The answer to GET /s3/params: a form ticket as Uppy's Companion gives it, and our id and links."""

    method: Literal["POST"]
    url: Annotated[Url, Meta(description="Of storage")]
    fields: Annotated[
        dict[str, str], Meta(description="``key`` ends in the id, and Uppy tells it to the page")
    ]
    expires: Annotated[int, Meta(description="Seconds")]
    id: str
    links: Links


class AudioSpecs(Struct, frozen=True, kw_only=True):
    """What was measured of the sound track."""

    codec: str
    profile: str
    channels: int
    sample_rate: Annotated[int, Meta(description="Hz")]
    bit_rate: Annotated[int, Meta(description="bit/s; 0 if unknown")]
    duration: Annotated[float, Meta(description="Seconds")]
    loudness_lufs: Annotated[
        float | None, Meta(description="Integrated loudness, EBU R 128; null until it is measured")
    ]
    true_peak_dbtp: Annotated[float | None, Meta(description="null until it is measured")]


class Specs(Struct, frozen=True, kw_only=True):
    """What was measured of a file, with ffprobe's names and values.

    ``width`` and ``height`` are as displayed: after cropping, sample aspect ratio and rotation.
    The ``color_*`` fields are null where the file does not say.
    """

    width: Annotated[int, Meta(description="px")]
    height: Annotated[int, Meta(description="px")]
    fps: Annotated[float, Meta(description="Frames per second")]
    duration: Annotated[float, Meta(description="Seconds, of the longest track")]
    codec: str
    profile: str
    level: int
    pixel_format: str
    color_primaries: str | None
    color_transfer: str | None
    color_space: str | None
    color_range: str | None
    rotation: Annotated[int, Meta(description="Degrees, clockwise, that a player turns the picture by")]
    bit_rate: Annotated[int, Meta(description="bit/s, of the video track")]
    frame_count: int
    audio: Annotated[AudioSpecs | None, Meta(description="null without sound")]


class CheckedUpload(Struct, frozen=True, kw_only=True):
    """The answer to POST /upload with a form, once the file in it is accepted."""

    id: str
    url: Annotated[Url, Meta(description="The stable playback URL")]
    specs: Specs
    state: State
    fixes: Fixes = UNSET
    links: Links


class Verdict(Struct, frozen=True, kw_only=True):
    """The answer to POST /preflight."""

    accepted: Annotated[
        bool, Meta(description="No rule that could be judged is broken, or what is broken will be fixed")
    ]
    violations: Annotated[list[Violation], Meta(description="Empty if all of them will be fixed")]
    fixes: Fixes = UNSET
    unjudged: Annotated[list[str], Meta(description="Rules that need the file, or fields not sent")]
    fitting_bit_rate: Annotated[
        int | None,
        Meta(description="bit/s of video that keeps the file below the size limit; null without duration"),
    ]
    ignored: Annotated[
        list[str] | UnsetType, Meta(description="Fields of the request that no rule knows, if there are any")
    ] = UNSET


class Ending(Struct, frozen=True, kw_only=True):
    """Why a video was rejected, failed or expired."""

    error: str
    suggestions: list[str]
    suggestions_for: Annotated[SuggestionsFor, Meta(description="The suggestions by reader")]
    code: str
    violations: Annotated[
        list[Violation] | UnsetType, Meta(description="Only if the file breaks the spec")
    ] = UNSET


class Usage(Struct, frozen=True, kw_only=True):
    limit: Annotated[int, Meta(description="0 is no limit")]
    used: int


class Quota(Struct, frozen=True, kw_only=True):
    """What one owner may upload in a day."""

    uploads: Usage
    bytes: Usage
    resets_at: Timestamp


class ErrorAnswer(Ending, frozen=True, kw_only=True):
    """The answer to every request that fails."""

    quota: Annotated[Quota | UnsetType, Meta(description="With code quota_exceeded")] = UNSET
    state: Annotated[State | UnsetType, Meta(description="With code not_playable")] = UNSET
    message: Annotated[
        str | UnsetType, Meta(description="Of GET /s3/params: ``error`` once more, where Uppy looks")
    ] = UNSET


class Following(Struct, frozen=True, kw_only=True):
    """What a status says of a video in any state."""

    id: str
    state: str
    progress: Annotated[int, Meta(description="0 to 100; never decreases")]
    playable: bool
    updated_at: Timestamp
    retry_after_ms: Annotated[int | None, Meta(description="When to poll again; null: the state is final")]
    time_left_ms: Annotated[int | None, Meta(description="An estimate; null if there is none")]
    fixes: Fixes = UNSET
    external_id: Given = UNSET
    custom: GivenObject = UNSET


class AwaitingUpload(Following, frozen=True, kw_only=True):
    """A ticket was issued."""

    state: Literal["awaiting_upload"]
    retry_after_ms: int


class Queued(Following, frozen=True, kw_only=True):
    """The file is accepted and waits for a worker; it plays already if it could be copied."""

    state: Literal["queued"]
    retry_after_ms: int


class Processing(Following, frozen=True, kw_only=True):
    """A worker has started."""

    state: Literal["processing"]
    retry_after_ms: int


class Completed(Following, frozen=True, kw_only=True):
    """Every output is published."""

    state: Literal["completed"]
    retry_after_ms: None


class Ended(Following, frozen=True, kw_only=True):
    """What a status says of a video that came to nothing."""

    retry_after_ms: None
    error: str
    suggestions: list[str]
    suggestions_for: Annotated[SuggestionsFor, Meta(description="The suggestions by reader")]


class Rejected(Ended, frozen=True, kw_only=True):
    """The file violates the spec."""

    state: Literal["rejected"]
    code: Literal["video_refused"]
    violations: list[Violation]


class Failed(Ended, frozen=True, kw_only=True):
    """Processing failed after every retry."""

    state: Literal["failed"]
    code: Literal["processing_failed"]


class Expired(Ended, frozen=True, kw_only=True):
    """Nothing was uploaded before the ticket expired."""

    state: Literal["expired"]
    code: Literal["upload_expired"]


STATUS_IN: dict[State, type[Following]] = {
    State.AWAITING_UPLOAD: AwaitingUpload,
    State.QUEUED: Queued,
    State.PROCESSING: Processing,
    State.COMPLETED: Completed,
    State.REJECTED: Rejected,
    State.FAILED: Failed,
    State.EXPIRED: Expired,
}


class Status(Following, frozen=True, kw_only=True):
    """The answer to GET /videos/{id}/status in whatever state: any of ``STATUS_IN``."""

    state: State
    error: str | UnsetType = UNSET
    suggestions: list[str] | UnsetType = UNSET
    suggestions_for: SuggestionsFor | UnsetType = UNSET
    code: str | UnsetType = UNSET
    violations: list[Violation] | UnsetType = UNSET


class ListedVideo(Status, frozen=True, kw_only=True):
    """One video of a page: its status, and what a list shows of it."""

    filename: str
    created_at: Timestamp
    url: Url
    poster: Annotated[Url | None, Meta(description="null until the video is playable")]
    blurhash: Annotated[str | None, Meta(description="The poster's placeholder; null until there is one")]
    links: Links


class VideoPage(Struct, frozen=True, kw_only=True):
    """The answer to GET /videos, newest first."""

    videos: list[ListedVideo]
    after: Annotated[
        str | None, Meta(description="Send it as ``after`` to get the next page; null on the last")
    ]


class StorageInfo(Struct, frozen=True, kw_only=True):
    """The stored upload, and the number and total size of its outputs."""

    content_type: str
    size_bytes: int
    etag: str
    uploaded_at: Timestamp
    outputs: int
    outputs_bytes: int


class Rendition(Struct, frozen=True, kw_only=True):
    """One MP4 file to play."""

    name: OutputName
    codec: str
    codecs: Annotated[str | None, Meta(description="As in RFC 6381; null for one that HLS does not offer")]
    width: Annotated[int, Meta(description="px")]
    height: Annotated[int, Meta(description="px")]
    size_bytes: int
    bit_rate: Annotated[int | None, Meta(description="bit/s, of the whole file")]
    url: Url


class Metadata(Struct, frozen=True, kw_only=True):
    """The answer to GET /videos/{id} and …/metadata. What is not known yet is null. ``error`` and what
    follows it are there once the video is rejected, failed or expired.
    """

    id: str
    filename: str
    url: Annotated[Url, Meta(description="The stable playback URL")]
    state: State
    playable: bool
    created_at: Timestamp
    updated_at: Timestamp
    playable_at: Timestamp | None
    completed_at: Timestamp | None
    specs: Specs | None
    storage_info: StorageInfo | None
    renditions: list[Rendition]
    hls: Annotated[Url | None, Meta(description="The HLS master playlist")]
    poster: Url | None
    poster_time: Annotated[float, Meta(description="Seconds into the video that the poster shows")]
    blurhash: Annotated[str | None, Meta(description="The poster's placeholder")]
    sprite: Annotated[Url | None, Meta(description="One image of small stills, for previews while seeking")]
    sprite_vtt: Annotated[Url | None, Meta(description="WebVTT: which part of the sprite belongs to when")]
    warnings: Annotated[list[str], Meta(description="What was assumed about an accepted file")]
    fixes: Fixes = UNSET
    links: Links
    external_id: Given = UNSET
    custom: GivenObject = UNSET
    error: str | UnsetType = UNSET
    suggestions: list[str] | UnsetType = UNSET
    suggestions_for: SuggestionsFor | UnsetType = UNSET
    code: str | UnsetType = UNSET
    violations: list[Violation] | UnsetType = UNSET
