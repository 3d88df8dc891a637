"""The spec as data, and one function per rule. Every limit is inclusive.

To change a limit, change ``Spec``. To add a rule, write a function from ``Media`` to
``Violation | None``, add it to ``RULES``, and add its rows to tests/test_rules.py.
"""

from collections.abc import Callable, Iterable, Set
from dataclasses import asdict, dataclass, replace
from math import ceil

from videos.checking.advice import HDR, advice, labelled, repair_command
from videos.checking.parameter_sets import BLOCK_PX
from videos.errors import Violation
from videos.fix import OnViolation
from videos.model import Colors, Media


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """The accepted limits. Units are in the names; frame rates are frames per second."""

    width_px: int = 720
    height_px: int = 1280
    min_frame_rate: float = 29.97
    max_frame_rate: float = 30.0
    frame_rate_slack: float = 0.05  # for phone clocks, and containers that start with one irregular gap
    max_odd_gap_share: float = 0.05
    codecs: tuple[str, ...] = ("h264", "hevc")
    max_duration_s: float = 60.0
    duration_slack_s: float = 0.1  # the last frame, or audio padding
    max_bytes: int = 6 * 1024**2
    max_fix_bytes: int = 100 * 1024**2  # of a file that may be fixed

    @property
    def duration_limit_s(self) -> float:
        return self.max_duration_s + self.duration_slack_s

    def max_upload_bytes(self, on_violation: OnViolation) -> int:
        return self.max_fix_bytes if on_violation is OnViolation.FIX else self.max_bytes


SPEC = Spec()
Rule = Callable[[Media, Spec], Violation | None]

MAX_SIZES_LISTED = 3  # of the sizes that a stream changes to
# Display names of ffprobe's codec names.
CODEC_NAMES = {
    "h264": "H.264",
    "hevc": "HEVC",
    "vp8": "VP8",
    "vp9": "VP9",
    "av1": "AV1",
    "mpeg1video": "MPEG-1",
    "mpeg2video": "MPEG-2",
    "mpeg4": "MPEG-4 Part 2",
    "h263": "H.263",
    "mjpeg": "Motion JPEG",
    "prores": "ProRes",
    "dnxhd": "DNxHD",
}
BT709 = {
    "primaries": {"bt709"},
    "transfer": {"bt709", "smpte170m"},  # the same curve
    "matrix": {"bt709"},
}


def check(media: Media, spec: Spec = SPEC) -> tuple[Violation, ...]:
    """Every violation, not just the first, so that users repair a file once.

    An empty tuple means that the file is accepted. If the file is unreadable or has no
    video track, only the rules that still apply are checked: content, integrity and size.
    """
    applicable = RULES if media.video_streams else UNREADABLE_RULES
    return _violations(applicable, media, spec)


def preflight(
    media: Media, known: Set[str], spec: Spec = SPEC
) -> tuple[tuple[Violation, ...], tuple[str, ...]]:
    """Check what an app knows about a file before the upload.

    Args:
        known: the fields of ``media`` that the app provided; the others are ignored.

    Returns:
        The violations, and the names of the rules that could not be judged.
    """
    judged = [name for name, needed in NEEDS.items() if needed <= known]
    return _violations(judged, media, spec), tuple(name for name in RULES if name not in judged)


def _violations(rules: Iterable[str], media: Media, spec: Spec) -> tuple[Violation, ...]:
    return tuple(violation for rule in rules if (violation := RULES[rule](media, spec)))


def check_size(
    size_bytes: int, spec: Spec = SPEC, on_violation: OnViolation = OnViolation.REJECT
) -> tuple[Violation, ...]:
    """Check the size alone, before a download; of a file to fix, against the ceiling for those."""
    ceiling = replace(spec, max_bytes=spec.max_upload_bytes(on_violation))
    return _violations(("size",), Media(content="", size_bytes=size_bytes), ceiling)


def warnings(media: Media, assumed: str = "BT.709") -> tuple[str, ...]:
    """Assumptions made about an accepted file, one sentence each.

    ``assumed`` is what its colours are taken for where they have no tag.
    """
    untagged = [name for name, value in asdict(_color_tags(media)).items() if not value]
    if not untagged:
        return ()
    return (f"The file has no tag for its colour {', '.join(untagged)}; {assumed} is assumed.",)


def _content(media: Media, spec: Spec) -> Violation | None:
    if media.content == "application/x-empty":
        found = "an empty file"
    elif media.video_streams == 1:
        return None
    elif media.video_streams > 1:
        found = f"{media.video_streams} video tracks"
    elif media.faults:
        found = f"an unreadable file ({media.content})"
    elif media.audio:
        found = "audio without video"
    else:
        found = media.content
    return _violation(media, spec, "content", "file", found, "one video track in an MP4 or MOV file")


def _integrity(media: Media, spec: Spec) -> Violation | None:
    if not media.faults:
        return None
    return _violation(
        media, spec, "integrity", "file contents", " ".join(media.faults), "all data that its headers declare"
    )


def _size(media: Media, spec: Spec) -> Violation | None:
    if 1 <= media.size_bytes <= spec.max_bytes:
        return None
    expected = f"1 to {spec.max_bytes:,} bytes ({spec.max_bytes / 1024**2:g} MiB)"
    return _violation(media, spec, "size", "file size", f"{media.size_bytes:,} bytes", expected)


def _resolution(media: Media, spec: Spec) -> Violation | None:
    required = f"{spec.width_px}x{spec.height_px}"
    found = f"{media.width_px}x{media.height_px}"
    if media.rotation % 90:
        found += f", rotated by {media.rotation}°"
    elif found == required and not media.other_sizes:
        if not (coded := _coded_beyond(media)):
            return None
        found += f", cropped from {coded}"
    if media.other_sizes:
        more = len(media.other_sizes) - MAX_SIZES_LISTED
        listed = ", ".join(media.other_sizes[:MAX_SIZES_LISTED])
        found += f", then {listed}" + (f" and {more} more" if more > 0 else "")
    return _violation(media, spec, "resolution", "resolution", found, f"exactly {required} as displayed")


def _frame_rate(media: Media, spec: Spec) -> Violation | None:
    slack = spec.frame_rate_slack
    in_range = spec.min_frame_rate - slack <= media.frame_rate <= spec.max_frame_rate + slack
    variable = media.odd_gap_share > spec.max_odd_gap_share
    if in_range and not variable:
        return None
    found = f"{media.frame_rate:.2f}".rstrip("0").rstrip(".") + " fps"
    if variable and in_range:
        found = f"variable ({media.odd_gap_share:.0%} of the frame gaps are irregular)"
    return _violation(
        media,
        spec,
        "frame_rate",
        "frame rate",
        found,
        f"{spec.min_frame_rate:g} to {spec.max_frame_rate:g} fps, constant",
    )


def _codec(media: Media, spec: Spec) -> Violation | None:
    if media.codec in spec.codecs:
        return None
    expected = " or ".join(map(_codec_name, spec.codecs))
    return _violation(media, spec, "codec", "codec", _codec_name(media.codec), expected)


def _color(media: Media, spec: Spec) -> Violation | None:
    first, *later = [_wrong(colors) for colors in (_color_tags(media), *media.other_colors)]
    wrong = first or next(filter(None, later), {})
    if not wrong:
        return None
    found = ", ".join(f"{name} {value}" for name, value in wrong.items())
    if hdr := HDR.get(wrong.get("transfer", "")):
        found = f"HDR {hdr} ({found})"
    if not first:
        found += ", in a part of the file"
    return _violation(media, spec, "color", "colour", found, "BT.709 primaries, transfer and matrix (SDR)")


def _duration(media: Media, spec: Spec) -> Violation | None:
    apart_s = _apart_s(media)
    if 0 < media.duration_s <= spec.duration_limit_s and apart_s <= spec.duration_slack_s:
        return None
    found, expected = f"{media.duration_s:g} s", f"at most {spec.max_duration_s:g} s"
    if media.audio and apart_s > spec.duration_slack_s:
        first, second = ("picture", "sound") if media.audio.starts_at_s > 0 else ("sound", "picture")
        found += f": the {second} begins {apart_s:.3g} s after the {first} ends"
        expected += ", with picture and sound at the same time"
    return _violation(media, spec, "duration", "duration", found, expected)


def _apart_s(media: Media) -> float:
    """The time between picture and sound if one begins after the other has ended; else 0.0."""
    if not media.audio:
        return 0.0
    begins_s, ends_s = media.audio.starts_at_s, media.audio.starts_at_s + media.audio.duration_s
    return max(0.0, begins_s - media.video_duration_s, -ends_s)


RULES: dict[str, Rule] = {
    "content": _content,
    "integrity": _integrity,
    "resolution": _resolution,
    "frame_rate": _frame_rate,
    "codec": _codec,
    "color": _color,
    "duration": _duration,
    "size": _size,
}
UNREADABLE_RULES = ("content", "integrity", "size")
# The fields each rule needs before the upload. The other rules need the file.
NEEDS: dict[str, frozenset[str]] = {
    "resolution": frozenset({"width_px", "height_px"}),
    "frame_rate": frozenset({"frame_rate"}),
    "codec": frozenset({"codec"}),
    "color": frozenset({"color_primaries", "color_transfer", "color_space"}),
    "duration": frozenset({"duration_s"}),
    "size": frozenset({"size_bytes"}),
}


def _violation(media: Media, spec: Spec, rule: str, noun: str, found: str, expected: str) -> Violation:
    suggestions = advice(rule, media)
    if command := repair_command(media, max_bytes=spec.max_bytes, max_duration_s=spec.max_duration_s):
        suggestions = replace(suggestions, computer=(*suggestions.computer, command))
    return Violation(
        rule=rule,
        found=found,
        expected=expected,
        message=f"Invalid {noun}: {found}",
        suggestions=(
            f"Video must be {expected}." if rule == "resolution" else f"Expected: {expected}.",
            *labelled(suggestions),
        ),
        suggestions_for=suggestions,
    )


def _codec_name(codec: str) -> str:
    return CODEC_NAMES.get(codec, codec) or "an unknown codec"


def _color_tags(media: Media) -> Colors:
    return Colors(primaries=media.color_primaries, transfer=media.color_transfer, matrix=media.color_space)


def _wrong(colors: Colors) -> dict[str, str]:
    """The tags that are present and are not BT.709."""
    return {name: value for name, value in asdict(colors).items() if value and value not in BT709[name]}


def _coded_beyond(media: Media) -> str:
    """The coded size if it exceeds the displayed one by more than the codec's padding; else "".

    Every viewer decodes the rest, and it can hide content.
    """
    displayed = media.width_px, media.height_px
    if media.rotation in (90, 270):
        displayed = displayed[::-1]
    block_px = BLOCK_PX.get(media.codec, max(BLOCK_PX.values()))
    for coded, cropped, shown in (
        (media.coded_width_px, media.cropped_width_px, displayed[0]),
        (media.coded_height_px, media.cropped_height_px, displayed[1]),
    ):
        if coded > ceil(cropped / block_px) * block_px or coded > 2 * shown:
            return f"{media.coded_width_px}x{media.coded_height_px}"
    return ""
