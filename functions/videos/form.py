"""The multipart form of POST /upload: the one file in it, on disk."""

import io
from dataclasses import dataclass
from pathlib import Path

from python_multipart import parse_form
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import File

from videos.errors import BadRequest

UNTYPED = "application/octet-stream"  # what curl says of a .mov; the check finds out what it is


@dataclass(frozen=True, slots=True)
class SentFile:
    path: Path
    filename: str
    content_type: str


def file_of(body: bytes, content_type: str, folder: Path) -> SentFile:
    """Write the form's file into ``folder``; other fields are ignored.

    Raises:
        BadRequest: this is no form, or holds no file, or more than one.
    """
    files: list[File] = []
    try:
        parse_form({"Content-Type": content_type.encode()}, io.BytesIO(body), None, files.append)
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
    return SentFile(path, name, "video/mp4" if kind == UNTYPED else kind)
