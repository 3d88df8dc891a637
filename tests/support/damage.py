"""Clips whose headers are right and whose samples are not."""

from pathlib import Path

from dev.clips import probe_lines


def damaged(clip: Path, path: Path, track: str, *, share: float = 0.5, kept_bytes: int = 5) -> Path:
    """``clip`` with the last packets of one track overwritten, that share of them; its headers stay right."""
    lines = probe_lines(clip, "-select_streams", track, "-show_entries", "packet=pos,size")
    packets = [tuple(int(field.partition("=")[2]) for field in line.split("|")[:2]) for line in lines]
    data = bytearray(clip.read_bytes())
    for size, pos in packets[int(len(packets) * (1 - share)) :]:
        data[pos + kept_bytes : pos + size] = (b"\x55" if kept_bytes else b"\xff") * (size - kept_bytes)
    path.write_bytes(data)
    return path
