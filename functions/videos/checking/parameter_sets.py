"""Reads every sequence parameter set of a video track, from its decoder configuration and its samples.

ffmpeg's ``trace_headers`` prints their fields by the names of the standards. It reads the first sample
description only; those of others show when their keyframes are decoded.

Source: ITU-T H.264, 7.3.2.1.1 and E.1; H.265, 7.3.2.2 and E.2; H.273 for the numbers of colours.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from videos import tools
from videos.policy import PROBE_TIMEOUT_S
from videos.tools import MediaTools, safe_input

CODECS = ("h264", "hevc")  # those whose bitstream is read; the rules reject any other
# Others that phones and editors write into MP4 and MOV, and that our ffmpeg decodes; AV1 it does not.
OTHER_CODECS = ("vp8", "vp9", "mpeg4", "h263", "mpeg2video", "mpeg1video", "mjpeg", "prores", "dnxhd")
UNIT_TYPE = {"h264": 7, "hevc": 33}
BLOCK_PX = {"h264": 16, "hevc": 64}  # the largest block; frames are padded to whole blocks
# ffprobe's names; what is not named here is not BT.709 either.
UNSPECIFIED = 2
PRIMARIES = {1: "bt709", 5: "bt470bg", 6: "smpte170m", 7: "smpte240m", 9: "bt2020", 12: "smpte432"}
TRANSFERS = {
    1: "bt709",
    6: "smpte170m",
    7: "smpte240m",
    13: "iec61966-2-1",
    14: "bt2020-10",
    15: "bt2020-12",
    16: "smpte2084",
    18: "arib-std-b67",
}
MATRICES = {
    0: "gbr",
    1: "bt709",
    4: "fcc",
    5: "bt470bg",
    6: "smpte170m",
    7: "smpte240m",
    9: "bt2020nc",
    10: "bt2020c",
}
_FIELD = re.compile(r"\] \d+ +(\w+)(?:\[\d+\])* +[01]* *= (-?\d+)$")
_BEGINS = re.compile(r"\] (\w[\w ]+)$")


@dataclass(frozen=True, slots=True, kw_only=True)
class ParameterSet:
    """One sequence parameter set; "" for color tags that it does not have.

    Attributes:
        coded_width_px, coded_height_px: before cropping.
        shape: all that decides how the coded size is shown: cropping, and the shape of the pixels.
        progressive: no frame that uses it consists of two fields.
    """

    coded_width_px: int
    coded_height_px: int
    shape: tuple[int, ...]
    progressive: bool
    bit_depth: int
    chroma_format: int  # 1 is 4:2:0
    color_range: str
    color_primaries: str
    color_transfer: str
    color_space: str

    @property
    def format(self) -> tuple[int, int, int, int]:
        """Whatever a decoder must be set up for."""
        return self.coded_width_px, self.coded_height_px, self.bit_depth, self.chroma_format

    @property
    def tagged(self) -> bool:
        """Whether it says itself that its frames are BT.709 in limited range."""
        colors = (self.color_primaries, self.color_transfer, self.color_space)
        return colors == ("bt709",) * 3 and self.color_range == "tv"


def read_parameter_sets(
    path: Path, stream_index: int, codec: str, using: MediaTools, *, in_samples: bool
) -> tuple[ParameterSet, ...]:
    """The distinct sets, in order; those in samples only if there are any. Raises as ``tools.run``."""
    found: dict[ParameterSet, None] = {}
    fields: dict[str, int] = {}

    def read(line: str) -> None:
        nonlocal fields
        if field := _FIELD.search(line):
            fields.setdefault(field[1], int(field[2]))
        elif _BEGINS.search(line):
            if made := _parameter_set(fields, codec):
                found[made] = None
            fields = {}

    command = trace_command(using, path, stream_index, codec, in_samples=in_samples)
    tools.run(command, timeout_s=PROBE_TIMEOUT_S, on_one_processor=True, on_complaint=read)
    if made := _parameter_set(fields, codec):
        found[made] = None
    return tuple(found)


def trace_command(
    using: MediaTools, path: Path, stream_index: int, codec: str, *, in_samples: bool
) -> list[str]:
    """Without ``in_samples``, no sample is read: of a clip of 60 s, that takes 5 ms instead of 70."""
    traced = f"filter_units=pass_types={UNIT_TYPE[codec]},trace_headers"
    copied = ["-map", f"0:{stream_index}", "-c", "copy", "-bsf:v", traced, "-f", "null", "-"]
    quiet = [using.ffmpeg, "-hide_banner", "-nostdin", "-nostats", *safe_input()]
    no_sample = [] if in_samples else ["-nofind_stream_info", "-t", "0"]
    return [*quiet, "-v", "info", "-ignore_editlist", "1", *no_sample, "-i", str(path), *copied]


def _parameter_set(fields: dict[str, int], codec: str) -> ParameterSet | None:
    """The set with these fields; None if they belong to another type of unit."""
    if fields.get("nal_unit_type") != UNIT_TYPE[codec]:
        return None
    if codec == "h264":
        frames_only = fields.get("frame_mbs_only_flag", 1)
        width_px = (fields.get("pic_width_in_mbs_minus1", 0) + 1) * 16
        height_px = (fields.get("pic_height_in_map_units_minus1", 0) + 1) * 16 * (2 - frames_only)
        progressive = bool(frames_only)
    else:
        width_px = fields.get("pic_width_in_luma_samples", 0)
        height_px = fields.get("pic_height_in_luma_samples", 0)
        progressive = not (fields.get("field_seq_flag") or fields.get("general_interlaced_source_flag"))
    full = fields.get("video_full_range_flag")
    sides = ("left", "right", "top", "bottom")
    crop = f"{'frame_crop' if codec == 'h264' else 'conf_win'}_{{}}_offset".format
    shape = (*map(crop, sides), "aspect_ratio_idc", "sar_width", "sar_height")
    return ParameterSet(
        coded_width_px=width_px,
        coded_height_px=height_px,
        shape=tuple(fields.get(name, 0) for name in shape),
        progressive=progressive,
        bit_depth=fields.get("bit_depth_luma_minus8", 0) + 8,
        chroma_format=fields.get("chroma_format_idc", 1),
        color_range="" if full is None else "pc" if full else "tv",
        color_primaries=_name(PRIMARIES, fields.get("colour_primaries", UNSPECIFIED)),
        color_transfer=_name(TRANSFERS, fields.get("transfer_characteristics", UNSPECIFIED)),
        color_space=_name(MATRICES, fields.get("matrix_coefficients", UNSPECIFIED)),
    )


def _name(names: dict[int, str], number: int) -> str:
    return "" if number == UNSPECIFIED else names.get(number, f"number {number}")
