"""The spec as data, and one small function per rule. Every limit is inclusive.

To change a limit, change ``Spec``. To add a rule, write a function from facts to
``Problem | None``, put it into ``RULES``, and add its rows to tests/test_rules.py.
"""

from collections.abc import Callable, Iterable, Set
from dataclasses import dataclass

from videos.advice import HDR, advice, mend_command
from videos.errors import Problem
from videos.model import Media


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """The accepted range. Units are in the names; frame rates are frames per second."""

    width_px: int = 720
    height_px: int = 1280
    min_frame_rate: float = 29.97
    max_frame_rate: float = 30.0
    frame_rate_slack: float = 0.05  # phone clocks, and containers that start with one odd gap
    max_odd_gap_share: float = 0.05
    codecs: tuple[str, ...] = ("h264", "hevc")
    max_duration_s: float = 60.0
    duration_slack_s: float = 0.1  # the last frame, or audio padding
    max_bytes: int = 6 * 1024**2

    @property
    def longest_s(self) -> float:
        return self.max_duration_s + self.duration_slack_s


SPEC = Spec()
Rule = Callable[[Media, Spec], Problem | None]

SIZES_NAMED = 3  # of those a picture changes to on the way
# What people call them, instead of ffprobe's names.
CODEC_NAMES = {
    "h264": "H.264",
    "hevc": "HEVC",
    "vp9": "VP9",
    "av1": "AV1",
    "mpeg4": "MPEG-4 Part 2",
    "prores": "ProRes",
}
BT709 = {
    "primaries": {"bt709"},
    "transfer": {"bt709", "smpte170m"},
    "matrix": {"bt709"},
}  # 170M: the same curve


def check(media: Media, spec: Spec = SPEC) -> tuple[Problem, ...]:
    """Every broken rule, not just the first, so that people mend a file once.

    An empty tuple means that the file is accepted. Of a file that cannot be read, or has
    no video track, only what is certain is reported: its content and its size.
    """
    judged = RULES if media.video_streams else UNREADABLE_RULES
    return _broken(judged, media, spec)


def preflight(known: Media, told: Set[str], spec: Spec = SPEC) -> tuple[tuple[Problem, ...], tuple[str, ...]]:
    """Judge what an app knows of a file before it sends it.

    Args:
        told: which fields of ``known`` were told; the rest are not believed.

    Returns:
        The broken rules, and the names of the rules that could not be judged.
    """
    judged = [name for name, needed in NEEDS.items() if needed <= told]
    return _broken(judged, known, spec), tuple(name for name in RULES if name not in judged)


def _broken(names: Iterable[str], media: Media, spec: Spec) -> tuple[Problem, ...]:
    return tuple(problem for name in names if (problem := RULES[name](media, spec)))


def check_size(size_bytes: int, spec: Spec = SPEC) -> tuple[Problem, ...]:
    """What the size alone breaks: known before a byte is sent, or before one is downloaded."""
    return _broken(("size",), Media(content="", size_bytes=size_bytes), spec)


def warnings(media: Media) -> tuple[str, ...]:
    """What we took for granted about an accepted file, a sentence each."""
    untagged = [name for name, value in _colours(media).items() if not value]
    if not untagged:
        return ()
    return (f"The file does not say its colour {', '.join(untagged)}; taken as BT.709.",)


def _content(media: Media, spec: Spec) -> Problem | None:
    if media.content == "application/x-empty":
        found = "an empty file"
    elif media.video_streams == 1:
        return None
    elif media.video_streams > 1:
        found = f"{media.video_streams} video tracks"
    elif media.faults:
        found = f"an unreadable file ({media.content})"
    elif media.audio:
        found = "sound without a picture"
    else:
        found = media.content
    return _problem(media, spec, "content", "file", found, "one video track in an MP4 or MOV file")


def _integrity(media: Media, spec: Spec) -> Problem | None:
    if not media.faults:
        return None
    return _problem(
        media, spec, "integrity", "file contents", " ".join(media.faults), "everything the headers announce"
    )


def _size(media: Media, spec: Spec) -> Problem | None:
    if 1 <= media.size_bytes <= spec.max_bytes:
        return None
    expected = f"1 to {spec.max_bytes:,} bytes ({spec.max_bytes / 1024**2:g} MiB)"
    return _problem(media, spec, "size", "file size", f"{media.size_bytes:,} bytes", expected)


def _resolution(media: Media, spec: Spec) -> Problem | None:
    wanted = f"{spec.width_px}x{spec.height_px}"
    found = f"{media.width_px}x{media.height_px}"
    if media.rotation % 90:
        found += f", turned by {media.rotation}°"
    elif found == wanted and not media.other_sizes:
        return None
    if media.other_sizes:
        more = len(media.other_sizes) - SIZES_NAMED
        named = ", ".join(media.other_sizes[:SIZES_NAMED])
        found += f", then {named}" + (f" and {more} more" if more > 0 else "")
    return _problem(media, spec, "resolution", "resolution", found, f"exactly {wanted} as displayed")


def _frame_rate(media: Media, spec: Spec) -> Problem | None:
    slack = spec.frame_rate_slack
    in_range = spec.min_frame_rate - slack <= media.frame_rate <= spec.max_frame_rate + slack
    variable = media.odd_gap_share > spec.max_odd_gap_share
    if in_range and not variable:
        return None
    found = f"{media.frame_rate:.2f}".rstrip("0").rstrip(".") + " fps"
    if variable and in_range:
        found = f"variable ({media.odd_gap_share:.0%} of the frames come early or late)"
    return _problem(
        media,
        spec,
        "frame_rate",
        "frame rate",
        found,
        f"{spec.min_frame_rate:g} to {spec.max_frame_rate:g} fps, steady",
    )


def _codec(media: Media, spec: Spec) -> Problem | None:
    if media.codec in spec.codecs:
        return None
    expected = " or ".join(map(_codec_name, spec.codecs))
    return _problem(media, spec, "codec", "codec", _codec_name(media.codec), expected)


def _color(media: Media, spec: Spec) -> Problem | None:
    wrong = [
        f"{name} {value}" for name, value in _colours(media).items() if value and value not in BT709[name]
    ]
    if not wrong:
        return None
    found = ", ".join(wrong)
    if hdr := HDR.get(media.color_transfer):
        found = f"HDR {hdr} ({found})"
    return _problem(media, spec, "color", "colour", found, "BT.709 primaries, transfer and matrix (SDR)")


def _duration(media: Media, spec: Spec) -> Problem | None:
    if 0 < media.duration_s <= spec.longest_s:
        return None
    return _problem(
        media, spec, "duration", "duration", f"{media.duration_s:g} s", f"at most {spec.max_duration_s:g} s"
    )


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
# What a rule must know to judge before there is a file. The others have to see it.
NEEDS: dict[str, frozenset[str]] = {
    "resolution": frozenset({"width_px", "height_px"}),
    "frame_rate": frozenset({"frame_rate"}),
    "codec": frozenset({"codec"}),
    "color": frozenset({"color_primaries", "color_transfer", "color_space"}),
    "duration": frozenset({"duration_s"}),
    "size": frozenset({"size_bytes"}),
}


def _problem(media: Media, spec: Spec, rule: str, noun: str, found: str, expected: str) -> Problem:
    suggestions = [
        f"Video must be {expected}." if rule == "resolution" else f"Expected: {expected}.",
        *advice(rule, media),
    ]
    if command := mend_command(media, max_bytes=spec.max_bytes, max_duration_s=spec.max_duration_s):
        suggestions.append(f"On a computer: {command}")
    return Problem(
        rule=rule,
        found=found,
        expected=expected,
        message=f"Invalid {noun}: {found}",
        suggestions=tuple(suggestions),
    )


def _codec_name(codec: str) -> str:
    return CODEC_NAMES.get(codec, codec) or "an unknown codec"


def _colours(media: Media) -> dict[str, str]:
    return {"primaries": media.color_primaries, "transfer": media.color_transfer, "matrix": media.color_space}
