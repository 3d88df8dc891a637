"""Which violations can be fixed, and what the fixes are, in plain words.

A fix makes a new file of the upload (``making/fixing.py``), which is then checked as any other.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

from videos.checking.geometry import MAX_CODED_PX
from videos.checking.parameter_sets import CODECS, OTHER_CODECS
from videos.checking.rules import CODEC_NAMES, SPEC, Spec
from videos.errors import Violation
from videos.fix import Fix
from videos.model import Colors, Media

MAX_FRAME_RATE = 250.0  # slow motion has 240, and some more by the clock of a phone

PRIMARIES = {
    "bt709": "BT.709",
    "bt470bg": "BT.601 (625 lines)",
    "smpte170m": "BT.601 (525 lines)",
    "smpte240m": "SMPTE 240M",
    "bt2020": "BT.2020",
    "smpte432": "Display P3",
}
HDR = {"arib-std-b67": "HLG", "smpte2084": "PQ"}
TRANSFERS = {
    "iec61966-2-1": "sRGB",
    "smpte240m": "SMPTE 240M",
    "bt2020-10": "BT.2020",
    "bt2020-12": "BT.2020",
}
# All of them are meant for the same screen (BT.1886).
SDR = frozenset({"bt709", "smpte170m", "smpte240m", "bt2020-10", "bt2020-12", "iec61966-2-1"})
MATRICES = frozenset({"bt709", "bt470bg", "smpte170m", "smpte240m", "bt2020nc", "gbr", "fcc"})
MAX_SD_WIDTH_PX, MAX_SD_HEIGHT_PX = 1279, 576
_OF_MATRIX = {"bt2020nc": "bt2020", "bt470bg": "bt470bg", "smpte170m": "smpte170m", "smpte240m": "smpte240m"}


def plan_fixes(media: Media, problems: Sequence[Violation], spec: Spec = SPEC) -> tuple[Fix, ...]:
    """What is changed for each of the violations that can be fixed, in their order."""
    return tuple(
        Fix(rule=problem.rule, found=found(media, problem), made=made(spec))
        for problem in problems
        if (described := _FIXES.get(problem.rule)) and _can_be_fixed(problem, media)
        for found, made in (described,)
    )


def unfixable(media: Media, problems: Sequence[Violation]) -> tuple[Violation, ...]:
    """The violations that no fix removes; () if the file can be fixed."""
    return tuple(problem for problem in problems if not _can_be_fixed(problem, media))


def colors_of(media: Media) -> Colors:
    """What the colours of a file are taken for: its tags, and where it has none, what players assume.

    A missing tag follows from the others. Without any, a picture of at most 1279x576 is BT.601, as in mpv.
    """
    return _completed(_tags(media), media)


def _completed(tags: Colors, media: Media) -> Colors:
    if tags.transfer in HDR:
        return replace(tags, primaries=tags.primaries or "bt2020", matrix=tags.matrix or "bt2020nc")
    matrix = tags.matrix or {"bt2020": "bt2020nc"}.get(tags.primaries, tags.primaries)
    if not matrix or matrix == "smpte432":
        matrix = _assumed(media) if not tags.primaries else "bt709"
    primaries = tags.primaries or _OF_MATRIX.get(matrix, "bt709")
    return Colors(primaries=primaries, transfer=tags.transfer or "bt709", matrix=matrix)


def _assumed(media: Media) -> str:
    """Source: mpv, mp_csp_guess_colorspace and mp_csp_guess_primaries."""
    width_px, height_px = media.coded_width_px or media.width_px, media.coded_height_px or media.height_px
    if not width_px or width_px > MAX_SD_WIDTH_PX or height_px > MAX_SD_HEIGHT_PX:
        return "bt709"
    return "bt470bg" if height_px == MAX_SD_HEIGHT_PX else "smpte170m"


def _tags(media: Media) -> Colors:
    return Colors(primaries=media.color_primaries, transfer=media.color_transfer, matrix=media.color_space)


def _can_be_fixed(problem: Violation, media: Media) -> bool:
    can_be = _CONDITIONS.get(problem.rule)
    return bool(can_be and can_be(media))


def _resolution_can_be(media: Media) -> bool:
    return media.rotation % 90 == 0 and media.coded_width_px * media.coded_height_px <= MAX_CODED_PX


def _color_can_be(media: Media) -> bool:
    colors = colors_of(media)
    known = colors.primaries in PRIMARIES and colors.matrix in MATRICES
    the_same = {_completed(other, media) for other in media.other_colors} <= {colors}
    return known and (colors.transfer in SDR or colors.transfer in HDR) and the_same


_CONDITIONS: dict[str, Callable[[Media], bool]] = {
    "resolution": _resolution_can_be,
    "frame_rate": lambda media: 0 < media.frame_rate <= MAX_FRAME_RATE,
    "codec": lambda media: media.codec in (*CODECS, *OTHER_CODECS),
    "color": _color_can_be,
    "size": lambda media: media.size_bytes > 0,
}


def _found_color(media: Media, _problem: Violation) -> str:
    """The primaries by name, and whatever does not go with them."""
    colors = colors_of(media)
    found = primaries = PRIMARIES.get(colors.primaries, colors.primaries)
    if hdr := HDR.get(colors.transfer):
        found += f" {hdr}"
    elif (transfer := TRANSFERS.get(colors.transfer, primaries)) != primaries:
        found += f", transfer {transfer}"
    if colors.matrix == "gbr":
        found += ", RGB"
    elif _OF_MATRIX.get(colors.matrix, "bt709") != colors.primaries != "smpte432":
        found += f", matrix {PRIMARIES.get(colors.matrix, colors.matrix)}"
    return found


def _found(_media: Media, problem: Violation) -> str:
    return problem.found


_FIXES: dict[str, tuple[Callable[[Media, Violation], str], Callable[[Spec], str]]] = {
    "resolution": (_found, lambda spec: f"{spec.width_px}x{spec.height_px}"),
    "frame_rate": (_found, lambda spec: f"{spec.max_frame_rate:g} fps"),
    "codec": (_found, lambda _: CODEC_NAMES["h264"]),
    "color": (_found_color, lambda _: "BT.709"),
    "size": (_found, lambda spec: f"at most {spec.max_bytes:,} bytes"),
}
