"""Every request body of the API as a type; ``answers`` has the answers.

A picker tells more or less than it knows: null, 0, "" and "unknown" mean that it does not know. Then the
check finds out.
"""

import json
from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType, field

from videos.errors import BadRequest
from videos.fix import Fit, OnViolation

MAX_EXTERNAL_ID_CHARS = 128
MAX_CUSTOM_BYTES = 1024
MIN_INTEGER, MAX_INTEGER = -(2**63), 2**63 - 1  # an event with another one is rejected by EventBridge
UNKNOWN = ("", "unknown", "unspecified")


# What is said of a field without its type: msgspec decodes more than the document promises.
def _documented(description: str, **schema: Any) -> Meta:
    return Meta(description=description, extra_json_schema=schema or None)


CONTENT_TYPES = ("video/mp4", "video/quicktime", "video/x-m4v", "video/3gpp", "application/octet-stream", "")
Size = Annotated[int | None, _documented("Bytes, as the picker reports them; null or 0 if unknown")]
ExternalId = Annotated[str, Meta(max_length=MAX_EXTERNAL_ID_CHARS)]
Custom = dict[str, Any]


class Clip(Struct, frozen=True, kw_only=True):
    """What a picker or a camera knows about a clip, named as in ``Specs``, and what to do if it breaks the
    spec; every field is optional.

    ``width`` and ``height`` are as displayed, or as coded if ``rotation`` is given.
    """

    size: Size = None
    file_size: Annotated[int | None, Meta(description="The same, if ``size`` is not there")] = field(
        name="fileSize", default=None
    )
    duration: Annotated[float | None, Meta(description="Seconds")] = None
    duration_ms: Annotated[float | None, Meta(description="The same, if ``duration`` is not there")] = None
    width: Annotated[int | None, Meta(description="px")] = None
    height: Annotated[int | None, Meta(description="px")] = None
    rotation: Annotated[int | None, Meta(description="Degrees that a player turns the picture by")] = None
    codec: Annotated[
        str | None, Meta(description="As ffprobe, iOS, Android or RFC 6381 name it: h264, avc1, avc1.640028…")
    ] = None
    fps: Annotated[float | None, Meta(description="Frames per second")] = None
    color_primaries: str | None = None
    color_transfer: str | None = None
    color_space: str | None = None
    on_violation: Annotated[
        OnViolation | None,
        Meta(description="What to do with a clip that breaks the spec; null: what OnViolation says"),
    ] = None
    fit: Annotated[
        Fit,
        Meta(description="How a picture of another shape is fixed: with bars, or by cutting off its edges"),
    ] = Fit.CONTAIN

    def facts(self) -> dict[str, Any]:
        """What is known, under the names that ``steps.preflight`` takes."""
        milliseconds = self.duration_ms or 0
        facts = {
            "size_bytes": self.size or self.file_size,
            "duration_s": self.duration or milliseconds / 1000,
            "width_px": self.width,
            "height_px": self.height,
            "codec": _told(self.codec),
            "frame_rate": self.fps,
            "color_primaries": _told(self.color_primaries),
            "color_transfer": _told(self.color_transfer),
            "color_space": _told(self.color_space),
            "rotation": self.rotation,
        }
        return {name: value for name, value in facts.items() if value}


class PreflightRequest(Clip, frozen=True, kw_only=True):
    """The body of POST /preflight. Fields of other names are not judged; the answer lists them."""


class UploadRequest(Clip, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The JSON body of POST /upload. What is known of the clip besides its size is optional."""

    filename: Annotated[str | None, Meta(description="Shown to people; never part of a path or a key")]
    content_type: Annotated[
        str | None,
        _documented("null, empty or application/octet-stream if unknown", enum=[*CONTENT_TYPES, None]),
    ]
    size: Size | UnsetType = UNSET  # type: ignore[assignment]  # required, unless there is a fileSize
    method: Annotated[
        Literal["POST", "PUT"], Meta(description="PUT is for uploaders that send a raw body")
    ] = "POST"
    exact_size: Annotated[bool, Meta(description="Sign the length too; with PUT only")] = False
    poster_time: Annotated[
        float,
        _documented(
            "The moment that the poster shows, in seconds; at most MaxDurationS", minimum=0, maximum=60
        ),
    ] = 0.0
    external_id: Annotated[
        ExternalId | None, Meta(description="The app's own id of the video, given back as it is")
    ] = None
    custom: Annotated[
        Custom | None,
        Meta(
            description=f"An object of the app's own, given back as it is; at most {MAX_CUSTOM_BYTES} bytes, "
            "with integers of at most 64 bits"
        ),
    ] = None

    def __post_init__(self) -> None:
        if self.size is UNSET and self.file_size is None:
            raise ValueError("Object missing required field `size`")


def custom_text(custom: dict[str, Any] | None) -> str:
    """``custom`` as it is stored; "" if it is None or empty.

    Raises:
        BadRequest: it is too long, or EventBridge would not take it.
    """
    text = json.dumps(custom, ensure_ascii=False, separators=(",", ":")) if custom else ""
    if len(text.encode()) > MAX_CUSTOM_BYTES:
        raise BadRequest(
            f"custom exceeds {MAX_CUSTOM_BYTES} bytes.",
            suggestions=["Send an id of your own, and keep the rest on your side."],
        )
    if text:
        json.loads(text, parse_int=_fits)
    return text


def _fits(digits: str) -> None:
    if not MIN_INTEGER <= int(digits) <= MAX_INTEGER:
        raise BadRequest(
            "custom holds an integer of more than 64 bits.", suggestions=["Send such a number as a string."]
        )


class UploadForm(Struct, frozen=True, kw_only=True):
    """The form of POST /upload; ``form`` reads it. What else is in it is ignored."""

    file: Annotated[str, _documented("The clip, with its file name and type", format="binary")]
    poster_time: Annotated[float, _documented("As in JSON", minimum=0, maximum=60)] = 0.0
    on_violation: Annotated[OnViolation | UnsetType, Meta(description="As in JSON")] = UNSET
    fit: Annotated[Fit, Meta(description="As in JSON")] = Fit.CONTAIN
    external_id: Annotated[str, Meta(max_length=MAX_EXTERNAL_ID_CHARS, description="As in JSON")] = ""
    custom: Annotated[str, _documented("As in JSON, encoded", contentMediaType="application/json")] = "{}"


def names_of(kind: type[Struct]) -> frozenset[str]:
    """The names of a request's fields on the wire."""
    return frozenset(kind.__struct_encode_fields__)


def _told(text: str | None) -> str | None:
    return None if text is None or text.lower() in UNKNOWN else text
