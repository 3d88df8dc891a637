"""The multipart form of POST /upload: the one file in it, on disk."""

import io
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from python_multipart import parse_form
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import Field, File

from videos.errors import BadRequest

MOST_PARTS = 100
UNTYPED = "application/octet-stream"  # what curl says of a .mov; the check finds out what it is


@dataclass(frozen=True, slots=True)
class SentFile:
    path: Path
    filename: str
    content_type: str
    poster_time: float


def file_of(body: bytes, content_type: str, folder: Path) -> SentFile:
    """Write the form's file into ``folder``; of the fields, only ``poster_time`` is read.

    Raises:
        BadRequest: this is no form, or holds no file, or more than one, or a poster time that is no number.
    """
    files: list[File] = []
    fields: dict[bytes | None, bytes | None] = {}
    parts = count(1)

    def keep(part: Field | File) -> None:
        if next(parts) > MOST_PARTS:
            raise FormParserError(f"it has more than {MOST_PARTS} parts.")
        if isinstance(part, File):
            files.append(part)
        else:
            fields[part.field_name] = part.value

    try:
        parse_form({"Content-Type": content_type.encode()}, io.BytesIO(body), keep, keep)
    except (FormParserError, ValueError) as error:
        raise BadRequest(
            f"The form cannot be read: {error}",
            suggestions=[
                "Let your HTTP client write the Content-Type with its boundary; do not set it yourself."
            ],
        ) from None
    if len(files) != 1:
        raise BadRequest(
            f"The form holds {len(files)} files; it must hold one.",
            suggestions=[
                'Send the clip as the field "file": curl -F "file=@clip.mp4;type=video/mp4" …/upload'
            ],
        )
    [sent] = files
    path = folder / "file"
    sent.file_object.seek(0)
    path.write_bytes(sent.file_object.read())
    sent.close()
    name = (sent.file_name or b"").decode(errors="replace")
    kind = sent.content_type or UNTYPED
    return SentFile(
        path, name, "video/mp4" if kind == UNTYPED else kind, _seconds(fields.get(b"poster_time"))
    )


def _seconds(value: bytes | None) -> float:
    try:
        return float(value or b"0")
    except ValueError:
        raise BadRequest(
            "poster_time is no number.", suggestions=["Send seconds, such as 1.5, or leave it out."]
        ) from None
