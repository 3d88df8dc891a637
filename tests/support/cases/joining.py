"""Recordings joined without encoding anything anew, and parameter sets where they are not expected.

Source: ISO/IEC 14496-15, 5.3.3.1 (avcC), 8.3.3.1 (hvcC); ISO/IEC 14496-12, 8.5.2 (sample descriptions).
"""

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

from support.cases.mp4_file import PICTURE, SOUND, Box, Sample, Track

IN_BAND = {b"avc1": b"avc3", b"hvc1": b"hev1"}
LENGTH_BYTES = 4  # before each unit of a sample
BEFORE_ARRAYS = 22  # bytes of an hvcC


def join(first: Track, second: Track) -> None:
    """Append a track with its own sample descriptions, as AVFoundation joins what it need not encode."""
    there = len(first.descriptions)
    first.descriptions.extend(second.descriptions)
    lead = Fraction(second.lead, second.rate) - Fraction(first.lead, first.rate)
    run_up = 1 if first.handler == SOUND and second.lead else 0  # of the encoder: a frame of sound
    for sample in second.samples[run_up:]:
        delay = Fraction(sample.delay, second.rate) - lead if first.handler == PICTURE else Fraction(0)
        first.samples.append(
            replace(
                sample,
                duration=round(Fraction(sample.duration, second.rate) * first.rate),
                delay=round(delay * first.rate),
                description=sample.description + there,
            )
        )
    first.show_all()


def join_in_band(first: Track, second: Track) -> None:
    """Append a track whose parameter sets go into its keyframes, so that there is one description."""
    own = parameter_sets(second.descriptions[0])
    added = _join_as_one(first, second)
    put_before_keyframes(first, added, own)


def join_by_sets(first: Track, second: Track) -> None:
    """Append a track whose parameter sets have other numbers, and go beside those that are there."""
    description, [other] = first.descriptions[0], second.descriptions
    _join_as_one(first, second)
    add_to_avcc(description, parameter_sets(other))


def _join_as_one(first: Track, second: Track) -> range:
    """Append a track but for its description; the numbers of its samples."""
    before, [own] = len(first.samples), second.descriptions
    join(first, second)
    first.descriptions.remove(own)
    added = range(before, len(first.samples))
    first.change(added, description=1)
    return added


def put_before_keyframes(track: Track, numbers: Sequence[int], units: Sequence[bytes]) -> None:
    """Put units into those of the samples that are keyframes: parameter sets, then, in band."""
    before = b"".join(sized(unit) for unit in units)
    for number in numbers:
        if track.samples[number].keyframe:
            track.change([number], data=before + track.samples[number].data)
    for description in track.descriptions:
        description.kind = IN_BAND.get(description.kind, description.kind)


def append_unit(track: Track, number: int, unit: bytes) -> None:
    """Put a unit at the end of a sample."""
    track.change([number], data=track.samples[number].data + sized(unit))


def parameter_sets(description: Box) -> list[bytes]:
    """The units of its avcC or hvcC box."""
    if description.all(b"hvcC"):
        return _hevc_sets(description.find(b"hvcC").body)
    return [unit for units in _avc_sets(description.find(b"avcC").body) for unit in units]


def _avc_sets(configuration: bytes) -> tuple[list[bytes], list[bytes]]:
    """Sequence sets and picture sets."""
    at, found = 5, []
    for mask in (0x1F, 0xFF):
        units, at = _listed(configuration, at + 1, configuration[at] & mask)
        found.append(units)
    sequences, pictures = found
    return sequences, pictures


def _hevc_sets(configuration: bytes) -> list[bytes]:
    at, found = BEFORE_ARRAYS + 1, []
    for _ in range(configuration[BEFORE_ARRAYS]):
        units, at = _listed(configuration, at + 3, int.from_bytes(configuration[at + 1 : at + 3]))
        found += units
    return found


def _listed(data: bytes, at: int, count: int) -> tuple[list[bytes], int]:
    """So many units, each after its length in 16 bits, and where they end."""
    units = []
    for _ in range(count):
        end = at + 2 + int.from_bytes(data[at : at + 2])
        units.append(data[at + 2 : end])
        at = end
    return units, at


def add_to_avcc(description: Box, added: Sequence[bytes]) -> None:
    """Put more parameter sets into an avcC of a profile that has nothing behind them (baseline, main)."""
    configuration = description.find(b"avcC")
    sequences, pictures = _avc_sets(configuration.body)
    sequences += (unit for unit in added if unit[0] & 0x1F == 7)
    pictures += (unit for unit in added if unit[0] & 0x1F == 8)
    lists = bytes([0xE0 | len(sequences)]) + _with_lengths(sequences)
    lists += bytes([len(pictures)]) + _with_lengths(pictures)
    configuration.body = configuration.body[:5] + lists


def add_to_hvcc(description: Box, kind: int, added: Sequence[bytes]) -> None:
    """Put one more array of units, of this type, into an hvcC."""
    configuration = description.find(b"hvcC")
    head, arrays = configuration.body[:BEFORE_ARRAYS], configuration.body[BEFORE_ARRAYS + 1 :]
    more = bytes([kind]) + len(added).to_bytes(2) + _with_lengths(added)
    configuration.body = head + bytes([configuration.body[BEFORE_ARRAYS] + 1]) + arrays + more


def _with_lengths(units: Sequence[bytes]) -> bytes:
    return b"".join(len(unit).to_bytes(2) + unit for unit in units)


def sized(unit: bytes) -> bytes:
    """A unit as it lies in a sample."""
    return len(unit).to_bytes(LENGTH_BYTES) + unit


def hevc_types(sample: Sample) -> list[int]:
    """The types of the units in a sample."""
    types, at = [], 0
    while at < len(sample.data):
        types.append(sample.data[at + LENGTH_BYTES] >> 1 & 0x3F)
        at += LENGTH_BYTES + int.from_bytes(sample.data[at : at + LENGTH_BYTES])
    return types
