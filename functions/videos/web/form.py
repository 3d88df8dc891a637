"""The multipart form of POST /upload: its one file, written to disk."""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from videos.errors import BadRequest
from videos.fix import Fit, OnViolation
from videos.web.requests import Custom, ExternalId

MAX_PARTS = 100
Wish = TypeVar("Wish", OnViolation, Fit)
_external_id = msgspec.json.Decoder(ExternalId)
_custom = msgspec.json.Decoder(Custom)


@dataclass(frozen=True, slots=True)
class SentFile:
    path: Path
    filename: str
    content_type: str
    poster_time: float
    on_violation: OnViolation | None
    fit: Fit
    external_id: str
    custom: dict[str, Any]


def file_of(body: bytes, content_type: str, folder: Path) -> SentFile:
    """Write the form's file into ``folder``; of the fields, those of ``SentFile`` are read.

    Raises:
        BadRequest: the body is not a form, the form does not hold exactly one file, or
            a field is not of its type.
    """
    from multipart import MultipartParser, parse_options_header  # deferred: most uploads ask for a ticket

    _, options = parse_options_header(content_type)
    try:
        parser = MultipartParser(
            io.BytesIO(body),
            options.get("boundary", ""),
            charset="latin-1",  # decodes any header: a filename in another encoding is no reason to reject
            spool_limit=len(body),  # in memory: the body is there already
        )
        parts = list(islice(parser, MAX_PARTS + 1))
    except ValueError as error:  # a MultipartError, or a boundary that cannot be encoded
        raise BadRequest(
            f"Malformed form: {error}.",
            suggestions=[
                "Let your HTTP client write the Content-Type with its boundary; do not set it yourself."
            ],
        ) from None
    if len(parts) > MAX_PARTS:
        raise BadRequest(
            f"The form has more than {MAX_PARTS} parts.",
            suggestions=["Send the file and the documented fields only."],
        )
    files = [part for part in parts if part.filename is not None]
    if len(files) != 1:
        raise BadRequest(
            f"The form holds {len(files)} files; it must hold one.",
            suggestions=[
                'Send the clip as the field "file": curl -F "file=@clip.mp4;type=video/mp4" …/upload'
            ],
        )
    [sent] = files
    path = folder / "file"
    sent.save_as(path)
    fields = {part.name: part.raw for part in parts if part.filename is None}
    return SentFile(
        path,
        filename=sent.filename.encode("latin-1").decode(errors="replace"),
        content_type=sent.content_type,
        poster_time=_seconds(fields.get("poster_time") or b"0"),
        on_violation=_one_of(OnViolation, "on_violation", fields),
        fit=_one_of(Fit, "fit", fields) or Fit.CONTAIN,
        external_id=_text(fields.get("external_id") or b""),
        custom=_object(fields.get("custom") or b"{}"),
    )


def _seconds(value: bytes) -> float:
    try:
        return float(value)
    except ValueError:
        raise BadRequest(
            "poster_time must be a number.", suggestions=["Send seconds, such as 1.5, or leave it out."]
        ) from None


def _one_of(kind: type[Wish], name: str, fields: Mapping[str, bytes]) -> Wish | None:
    """None if the field is missing or empty."""
    try:
        return kind(value) if (value := fields.get(name, b"").decode(errors="replace")) else None
    except ValueError:
        known = " or ".join(kind)
        raise BadRequest(
            f"{name} must be {known}.", suggestions=[f"Send {known}, or leave it out."]
        ) from None


def _text(value: bytes) -> str:
    text = value.decode(errors="replace")
    try:
        return _external_id.decode(msgspec.json.encode(text))
    except msgspec.ValidationError as error:
        raise BadRequest(
            f"Invalid external_id: {error}.", suggestions=["Send a shorter one, or leave it out."]
        ) from None


def _object(value: bytes) -> dict[str, Any]:
    try:
        return _custom.decode(value)
    except (ValueError, RecursionError):  # msgspec's errors are ValueErrors
        raise BadRequest(
            "custom must be a JSON object.", suggestions=['Send one such as {"draft": 7}, or leave it out.']
        ) from None
