"""Far more units than pictures need."""

from pathlib import Path

from support.cases.bitstream import picture_set, sequence_set
from support.cases.joining import add_to_hvcc, parameter_sets, sized
from support.cases.mp4_file import Movie, Track
from support.cases.parts import clip, picture
from support.cases.sizes import honest_still
from support.cases.table import Right, case, rejected, tones_of

FLOOD_BYTES = 5_800_000
EMPTY_MESSAGE = bytes([0x06, 0x03, 0x00, 0x80])  # H.264 SEI: a filler payload of no bytes
FILLER = bytes([0x0C, 0x80])  # H.264, of no bytes
HEVC_PICTURE_SET = 34  # type of a unit


def flood(track: Track, number: int, unit: bytes) -> None:
    """Put FLOOD_BYTES of one small unit before a picture."""
    before = sized(unit) * (FLOOD_BYTES // len(sized(unit)))
    track.change([number], data=before + track.samples[number].data)


def hevc_picture_set(track: Track) -> bytes:
    """The one that it has."""
    [found] = [
        unit for unit in parameter_sets(track.descriptions[0]) if unit[0] >> 1 & 0x3F == HEVC_PICTURE_SET
    ]
    return found


@case("pps_flood", rejected("integrity"), sample=True)
def pps_flood(folder: Path) -> Movie:
    """A keyframe with 480,000 picture parameter sets before it."""
    movie = honest_still(folder)
    flood(movie.picture, 0, picture_set())
    return movie


@case("pps_flood", rejected("integrity"))
def sps_flood(folder: Path) -> Movie:
    """A keyframe with 180,000 sequence parameter sets before it."""
    movie = honest_still(folder)
    flood(movie.picture, 0, sequence_set(720, 1280))
    return movie


@case("pps_flood", rejected("integrity"))
def sei_flood(folder: Path) -> Movie:
    """A picture in the middle with 725,000 messages before it; in fragments."""
    movie = honest_still(folder)
    flood(movie.picture, 15, EMPTY_MESSAGE)
    return movie.in_fragments()


@case("pps_flood", rejected("integrity"))
def filler_flood(folder: Path) -> Movie:
    """The last picture with 960,000 units of filler before it."""
    movie = honest_still(folder)
    flood(movie.picture, -1, FILLER)
    return movie


@case("pps_flood", rejected("integrity"))
def hevc_flood(folder: Path) -> Movie:
    """A keyframe of HEVC in the middle with 480,000 picture parameter sets before it."""
    movie = Movie.read(picture(folder, seconds=2, codec="libx265"))
    flood(movie.picture, 30, hevc_picture_set(movie.picture))
    return movie


@case("pps_flood", rejected("integrity"))
def hvcc_flood(folder: Path) -> Movie:
    """60,000 picture parameter sets in the hvcC."""
    movie = Movie.read(picture(folder, seconds=2, codec="libx265"))
    units = [hevc_picture_set(movie.picture)] * 60_000
    add_to_hvcc(movie.picture.descriptions[0], HEVC_PICTURE_SET, units)
    return movie


@case("pps_flood", Right(numbers=range(180), tones=tones_of((0, 6))))
def many_slices(folder: Path) -> Movie:
    """Forty slices a picture, as encoders for bad networks make: no flood."""
    return clip(folder, settings="slice-max-mbs=90")
