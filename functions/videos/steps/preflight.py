"""Check a clip by what an app knows about it, before the upload."""

from dataclasses import dataclass
from typing import Any

from videos.checking import rules
from videos.checking.advice import fitting_bit_rate
from videos.errors import Violation
from videos.model import Media
from videos.service import Service

MAX_CODEC_CHARS = 32  # of the name an app sends; the error message repeats it
# The names of iOS, Android and MP4 for ffprobe's h264 and hevc.
CODECS = {
    **dict.fromkeys(("avc1", "avc", "avc3", "h.264", "x264", "video/avc"), "h264"),
    **dict.fromkeys(("hvc1", "hev1", "h265", "h.265", "x265", "video/hevc"), "hevc"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PreflightRequest:
    """What a phone's picker or camera knows about a clip, named as in ``specs``; every field is optional.

    ``width`` and ``height`` are as displayed, or as coded if ``rotation`` is given.
    """

    size: int | None = None
    duration: float | None = None
    width: int | None = None
    height: int | None = None
    rotation: int | None = None
    codec: str | None = None
    fps: float | None = None
    color_primaries: str | None = None
    color_transfer: str | None = None
    color_space: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Preflight:
    """The result: violations, rules that need the file itself, and a bit rate that fits.

    ``fitting_bit_rate`` is for the video track, in bits per second; None if the duration is unknown.
    """

    violations: tuple[Violation, ...]
    unjudged: tuple[str, ...]
    fitting_bit_rate: int | None


def preflight(request: PreflightRequest, service: Service) -> Preflight:
    """Apply the rules that can be judged before the upload."""
    swapped = (request.rotation or 0) % 180 == 90
    facts = {
        "size_bytes": request.size,
        "duration_s": request.duration,
        "width_px": request.height if swapped else request.width,
        "height_px": request.width if swapped else request.height,
        "codec": _codec(request.codec),
        "frame_rate": request.fps,
        "color_primaries": request.color_primaries,
        "color_transfer": request.color_transfer,
        "color_space": request.color_space,
    }
    known: dict[str, Any] = {name: value for name, value in facts.items() if value is not None}
    media = Media(**{"content": "", "size_bytes": 0, **known, "rotation": (request.rotation or 0) % 360})
    violations, unjudged = rules.preflight(media, known.keys(), service.spec)
    fitting = None
    if request.duration and request.duration > 0:
        kept_s = min(request.duration, service.spec.max_duration_s)
        fitting = fitting_bit_rate(kept_s, max_bytes=service.spec.max_bytes)
    return Preflight(violations=violations, unjudged=unjudged, fitting_bit_rate=fitting)


def _codec(name: str | None) -> str | None:
    return CODECS.get(name.lower(), name.lower())[:MAX_CODEC_CHARS] if name else None
