"""GET /s3/params as Uppy asks its own server, Companion, for it: a query instead of a JSON body.

Sources: @uppy/aws-s3 5.1 and 6.3. They send ``filename``, ``type``, and whatever the page has set as ``meta``
of the file as ``metadata[name]``, all as text: String() of a value, which may be "null" or "undefined".
"""

import json
import re
from collections.abc import Mapping
from math import isfinite

import msgspec
from msgspec.structs import astuple

from videos.errors import BadRequest
from videos.web.requests import UploadRequest, names_of

EXAMPLE = "?filename=a.mp4&type=video%2Fmp4&size=1048576, size in bytes if you know it"
# Companion's ``type`` is our ``content_type``, its metadata our ``custom``; it knows forms only.
FIELDS = names_of(UploadRequest) - {"content_type", "custom", "method", "exact_size", "fileSize"}
UPPYS_OWN = ("name", "type", "relativePath")  # metadata of every file, which nobody has set
NOT_TOLD = ("", "null", "undefined")
MAX_NAME_CHARS = 40
_METADATA = re.compile(r"metadata\[(.+)\]", re.DOTALL)
# Built at import, as every decoder. Not strict: what is a number is text in a query.
_decoder = msgspec.json.Decoder(UploadRequest, strict=False)


def upload_request(query: Mapping[str, str]) -> UploadRequest:
    """The request for a ticket that a query means. Metadata that is none of its fields is ``custom``.

    Raises:
        BadRequest: ``filename`` or ``type`` is missing, or a parameter is unknown or of the wrong type.
    """
    for required in ("filename", "type"):
        if required not in query:
            raise _bad(f"The query has no {required}.")
    told = {name: value for name, value in query.items() if value not in NOT_TOLD}
    metadata = {named[1]: value for name, value in told.items() if (named := _METADATA.fullmatch(name))}
    given = {name: value for name, value in told.items() if not _METADATA.fullmatch(name)}
    content_type = given.pop("type", None)
    if unknown := sorted(given.keys() - FIELDS):
        raise _bad(f"Unknown parameter: {unknown[0][:MAX_NAME_CHARS]!r}.")
    fields = {name: value for name, value in metadata.items() if name in FIELDS}
    custom = {name: value for name, value in metadata.items() if name not in FIELDS and name not in UPPYS_OWN}
    request = {"filename": None, "size": None, **fields, **given}
    text = json.dumps({**request, "content_type": content_type, "custom": custom}, ensure_ascii=False)
    try:
        decoded = _decoder.decode(text.encode(errors="ignore"))  # half a surrogate pair is not UTF-8
    except msgspec.ValidationError as error:
        raise _bad(f"Invalid query: {error}.") from None
    if any(isinstance(value, float) and not isfinite(value) for value in astuple(decoded)):
        raise _bad("Invalid query: a number is not finite.")
    return decoded


def _bad(message: str) -> BadRequest:
    return BadRequest(message, suggestions=[f"Send {EXAMPLE}."])
