"""Loudness of the audio, by EBU R 128."""

import re
from dataclasses import replace
from math import log10
from pathlib import Path

from videos import tools
from videos.errors import BadMedia, ToolFailed
from videos.model import Audio
from videos.policy import PROBE_TIMEOUT_S
from videos.tools import MediaTools, safe_input


def loudness_command(tools: MediaTools, source: Path, stream_index: int) -> list[str]:
    """The ffmpeg argv that measures the loudness by EBU R 128, and prints it every 0.1 s."""
    measure = "ebur128=metadata=1:peak=true,ametadata=mode=print:file=-"
    sound = ["-map", f"0:{stream_index}", "-filter:a", measure, "-f", "null", "-"]
    return [tools.ffmpeg, "-nostdin", *safe_input(), "-i", str(source), *sound]


DAMAGED = "It has damaged frames."


def with_loudness(audio: Audio, path: Path, using: MediaTools) -> Audio:
    """``audio`` with its measured loudness; unchanged if it cannot be measured.

    All of it is decoded. Damaged frames are an obstacle to copying, since browsers stop at them.

    Source: EBU R 128 and ITU-R BS.1770; silence is -70 LUFS.
    """
    complaints: list[str] = []
    try:
        command = loudness_command(using, path, audio.stream_index)
        printed = tools.run(command, timeout_s=PROBE_TIMEOUT_S, on_complaint=complaints.append)
    except (BadMedia, ToolFailed):
        return audio
    if any("Error submitting packet to decoder" in line for line in complaints):
        audio = replace(audio, copy_obstacles=(*audio.copy_obstacles, DAMAGED))
    measured = dict(re.findall(r"^lavfi\.r128\.(I|true_peak)=(\S+)$", printed, re.MULTILINE))  # last of each
    if not measured:  # shorter than one measuring interval
        return audio
    peak = float(measured["true_peak"])
    return replace(
        audio,
        loudness_lufs=round(float(measured["I"]), 1),
        true_peak_dbtp=round(20 * log10(peak), 1) if peak > 0 else None,
    )
