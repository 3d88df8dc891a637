"""Colours, ranges and depths that change on the way."""

from pathlib import Path

from dev.clips import BT601, BT709, HLG
from support.cases.joining import join, join_by_sets, join_in_band
from support.cases.mp4_file import Movie, Track
from support.cases.parts import picture
from support.cases.table import Right, case, rejected

PQ = HLG.replace("arib-std-b67", "smpte2084")
MATRIX_OF_BT601 = BT709.replace("colorspace=bt709", "colorspace=smpte170m")
FULL_RANGE = {"colour": BT709.replace("tv", "pc"), "pixels": "yuvj420p"}
# The same grey; ffmpeg draws as if all ranges were limited, so that the other one has a luma of 32 here.
DARK_GREY = "drawbox=x=0:y=0:w=iw:h=ih:t=fill:color=0x202020"
DARK_GREY_IN_FULL = DARK_GREY.replace("202020", "131313")
DARK_GREY_LUMA = 16 + 32 * 219 / 255  # in limited range
FULL_GREY = {**FULL_RANGE, "before": DARK_GREY_IN_FULL}
OTHER_NUMBER = "sps-id=1"  # of both parameter sets


def recorded(folder: Path, **wanted: object) -> Track:
    """Three seconds unless asked otherwise."""
    return Movie.read(picture(folder, **{"seconds": 3} | wanted)).picture  # type: ignore[arg-type]


def beginning(folder: Path, **wanted: object) -> Movie:
    return Movie.read(picture(folder, **{"seconds": 3} | wanted))  # type: ignore[arg-type]


# ── Colours ──────────────────────────────────────────────────────────────────────


@case("colour_changes", rejected("color"), sample=True)
def colour_changes(folder: Path) -> Movie:
    """Three seconds that say BT.709, then three that say BT.2020 and HLG in parameter sets in band."""
    movie = beginning(folder)
    join_in_band(movie.picture, recorded(folder, first=90, colour=HLG))
    return movie


@case("colour_changes", rejected("color"))
def colour_second_description(folder: Path) -> Movie:
    """BT.709, then HLG in a sample description of its own."""
    movie = beginning(folder)
    join(movie.picture, recorded(folder, first=90, colour=HLG))
    return movie


@case("colour_changes", rejected("color"))
def colour_hlg_first(folder: Path) -> Movie:
    """HLG in the avcC, then BT.709 in band."""
    movie = beginning(folder, colour=HLG)
    join_in_band(movie.picture, recorded(folder, first=90))
    return movie


@case("colour_changes", rejected("color"))
def colour_by_parameter_set(folder: Path) -> Movie:
    """Both sets are in the avcC; fragments of BT.709 use the first, then fragments of HLG the second."""
    movie = beginning(folder)
    join_by_sets(movie.picture, recorded(folder, first=90, colour=HLG, settings=OTHER_NUMBER))
    return movie.in_fragments()


@case("colour_changes", rejected("color"))
def colour_pq_hevc_at_the_end(folder: Path) -> Movie:
    """Five seconds of HEVC in BT.709, then one in BT.2020 and PQ, in band."""
    movie = beginning(folder, seconds=5, codec="libx265", b_frames=2)
    join_in_band(
        movie.picture, recorded(folder, seconds=1, first=150, codec="libx265", b_frames=2, colour=PQ)
    )
    return movie


@case("colour_changes", rejected("color"))
def colour_bt601_for_a_second(folder: Path) -> Movie:
    """One second in the middle is in BT.601, all of it; before and after are BT.709."""
    movie = beginning(folder)
    join_in_band(movie.picture, recorded(folder, seconds=1, first=90, colour=BT601))
    join_in_band(movie.picture, recorded(folder, seconds=2, first=120))
    return movie


@case("colour_changes", rejected("color"))
def colour_matrix_alone(folder: Path) -> Movie:
    """From the fifth second on, the matrix is that of BT.601, and nothing else."""
    movie = beginning(folder, seconds=4)
    join_in_band(movie.picture, recorded(folder, seconds=2, first=120, colour=MATRIX_OF_BT601))
    return movie


# ── Ranges ───────────────────────────────────────────────────────────────────────


def grey_at(*moments_s: float) -> Right:
    return Right(numbers=range(180), luma=dict.fromkeys(moments_s, DARK_GREY_LUMA))


@case("range_changes", grey_at(3.5, 5.5), sample=True)
def range_changes(folder: Path) -> Movie:
    """Three seconds in limited range, then three in full range, a plain dark grey whose luma is 32."""
    movie = beginning(folder)
    join_in_band(movie.picture, recorded(folder, first=90, **FULL_GREY))
    return movie


@case("range_changes", grey_at(0.5, 2.5, 3.5, 5.5))
def range_full_first(folder: Path) -> Movie:
    """The same grey in full range, then in limited range; B-frames."""
    movie = beginning(folder, b_frames=2, **FULL_GREY)
    join_in_band(movie.picture, recorded(folder, first=90, b_frames=2, before=DARK_GREY))
    return movie


@case("range_changes", grey_at(0.5, 2.5, 3.5, 5.5))
def range_second_description(folder: Path) -> Movie:
    """Limited range, then full range in a sample description of its own."""
    movie = beginning(folder, before=DARK_GREY)
    join(movie.picture, recorded(folder, first=90, **FULL_GREY))
    return movie


@case("range_changes", grey_at(2.5, 3.5))
def range_hevc_for_two_seconds(folder: Path) -> Movie:
    """HEVC; two seconds in the middle are in full range, in band."""
    movie = beginning(folder, seconds=2, codec="libx265")
    full = recorded(folder, seconds=2, first=60, codec="libx265", **FULL_GREY)
    join_in_band(movie.picture, full)
    join_in_band(movie.picture, recorded(folder, seconds=2, first=120, codec="libx265"))
    return movie


@case("range_changes", grey_at(3.5, 5.5))
def range_by_parameter_set(folder: Path) -> Movie:
    """Both sets are in the avcC; fragments in full range use the second."""
    movie = beginning(folder)
    full = recorded(folder, first=90, settings=OTHER_NUMBER, **FULL_GREY)
    join_by_sets(movie.picture, full)
    return movie.in_fragments()


@case("range_changes", Right(numbers=range(180)))
def depth_changes(folder: Path) -> Movie:
    """Eight bits, then ten, in band."""
    movie = beginning(folder)
    join_in_band(movie.picture, recorded(folder, first=90, pixels="yuv420p10le"))
    return movie
