"""Measures frame rate and duration from the times of samples, since headers can lie."""

from collections.abc import Iterable, Sequence
from fractions import Fraction
from itertools import pairwise
from math import ceil, floor
from statistics import median

from videos.checking.ffprobe import Packet

# A gap between two frames is ordinary from half to one and a half times that of 30 fps.
MIN_GAP_S, MAX_GAP_S = Fraction(1, 60), Fraction(1, 20)
HARMLESS_GAP_S = Fraction(1, 10)  # a single one of at most this length is ignored

Span = tuple[Fraction, Fraction]  # seconds from … to


def frame_rate(packets: Sequence[Packet], time_base: Fraction) -> tuple[float, float]:
    """Frames per second, and the share of gaps that are not ordinary.

    The rate is 1 ÷ the mean of the ordinary gaps in presentation order. If none is ordinary, as in
    15 fps, all gaps count. A single frame counts by its duration. The share is of the number of gaps or
    of their time, whichever is larger. A single odd gap of at most 0.1 s does not count.

    >>> frame_rate([Packet(stream_index=0, pts=n * 1001) for n in range(100)], Fraction(1, 30000))
    (29.97, 0.0)
    """
    times = sorted(packet.pts for packet in packets if packet.pts is not None)
    if len(times) == 1:
        times.append(times[0] + packets[0].duration)
    return rate_of(times, time_base) or (0.0, 0.0)


def rate_of(times: Sequence[int], time_base: Fraction) -> tuple[float, float] | None:
    """The same, of presentation times in order, in units of ``time_base``; None if they take no time."""
    shortest, longest = ceil(MIN_GAP_S / time_base), floor(MAX_GAP_S / time_base)
    gaps = [after - before for before, after in pairwise(times)]
    ordinary = [gap for gap in gaps if shortest <= gap <= longest]
    measured = ordinary or gaps
    if not (total := sum(measured)):
        return None
    odd = [gap for gap in gaps if not shortest <= gap <= longest]
    harmless = len(odd) == 1 and odd[0] * time_base <= HARMLESS_GAP_S and bool(ordinary)
    share = max(Fraction(len(odd), len(gaps)), Fraction(sum(odd), sum(gaps)))
    return round(float(len(measured) / (total * time_base)), 3), 0.0 if harmless else round(float(share), 4)


def span(packets: Iterable[Packet], time_base: Fraction) -> Span | None:
    """The presentation times at which a track starts and ends; None if it has no timed samples."""
    timed = [(packet.pts, packet.pts + packet.duration) for packet in packets if packet.pts is not None]
    if not timed:
        return None
    return min(start for start, _ in timed) * time_base, max(end for _, end in timed) * time_base


def seconds(spans: Iterable[Span | None]) -> float:
    """The time from the earliest start to the latest end."""
    found = [one for one in spans if one]
    if not found:
        return 0.0
    return round(float(max(end for _, end in found) - min(start for start, _ in found)), 6)


def is_steady(packets: Sequence[Packet]) -> bool:
    """Whether audio frames have no gap or overlap of a whole frame; phones jitter by less."""
    lengths = [packet.duration for packet in packets[:-1]]
    usual = median(lengths) if lengths else 0
    return all(abs(length - usual) < usual for length in lengths)
