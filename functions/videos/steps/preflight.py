"""Check a clip by what an app knows about it, before the upload."""

from dataclasses import dataclass
from typing import Any

from videos.checking import rules
from videos.checking.advice import fitting_bit_rate
from videos.checking.verdict import decide
from videos.errors import Violation
from videos.fix import Fix, OnViolation
from videos.model import Media
from videos.service import Service

MAX_CODEC_CHARS = 32  # of the name an app sends; the error message repeats it
# The names of iOS, Android and MP4 for ffprobe's. In RFC 6381's, profile and level follow a dot.
CODECS = {
    **dict.fromkeys(("avc1", "avc", "avc3", "h.264", "x264", "video/avc"), "h264"),
    **dict.fromkeys(("hvc1", "hev1", "h265", "h.265", "x265", "video/hevc"), "hevc"),
    "vp09": "vp9",
    "av01": "av1",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Preflight:
    """The result: violations, or what will be fixed; rules that need the file itself; a bit rate that fits.

    ``fitting_bit_rate`` is for the video track, in bits per second; None if the duration is unknown.
    """

    violations: tuple[Violation, ...]
    fixes: tuple[Fix, ...]
    unjudged: tuple[str, ...]
    fitting_bit_rate: int | None


def preflight(
    service: Service,
    *,
    on_violation: OnViolation | None = None,
    size_bytes: int | None = None,
    duration_s: float | None = None,
    width_px: int | None = None,
    height_px: int | None = None,
    rotation: int = 0,
    codec: str | None = None,
    frame_rate: float | None = None,
    color_primaries: str | None = None,
    color_transfer: str | None = None,
    color_space: str | None = None,
) -> Preflight:
    """Apply the rules that can be judged before the upload, by what is known.

    Args:
        on_violation: None for what the service does by default.
        width_px, height_px: as displayed, or as coded if there is a ``rotation``, in degrees.
        codec: as ffprobe, iOS, Android or RFC 6381 name it.
    """
    swapped = rotation % 180 == 90
    facts = {
        "size_bytes": size_bytes,
        "duration_s": duration_s,
        "width_px": height_px if swapped else width_px,
        "height_px": width_px if swapped else height_px,
        "codec": _codec(codec),
        "frame_rate": frame_rate,
        "color_primaries": color_primaries,
        "color_transfer": color_transfer,
        "color_space": color_space,
    }
    known: dict[str, Any] = {name: value for name, value in facts.items() if value is not None}
    media = Media(**{"content": "", "size_bytes": 0, **known, "rotation": rotation % 360})
    violations, unjudged = rules.preflight(media, known.keys(), service.spec)
    violations, fixes = decide(media, violations, on_violation or service.on_violation, service.spec)
    fitting = None
    if duration_s and duration_s > 0:
        kept_s = min(duration_s, service.spec.max_duration_s)
        fitting = fitting_bit_rate(kept_s, max_bytes=service.spec.max_bytes)
    return Preflight(violations=violations, fixes=fixes, unjudged=unjudged, fitting_bit_rate=fitting)


def _codec(name: str | None) -> str | None:
    if not name:
        return None
    name = name.lower()
    return CODECS.get(name, CODECS.get(name.partition(".")[0], name))[:MAX_CODEC_CHARS]
