"""Far more coded than shown: cropped by the bitstream, or squeezed by the shape of its pixels."""

from pathlib import Path

from dev.clips import crop_by_box
from support.cases.bitstream import picture_set, sequence_set, still
from support.cases.joining import join, join_in_band
from support.cases.mp4_file import Movie, Track
from support.cases.parts import bare_h264, filtered, once, picture
from support.cases.table import Right, case, rejected

WIDTH_PX, HEIGHT_PX = 720, 1280


def cropped_still(folder: Path, coded_px: int, count: int = 30) -> Movie:
    """A grey square of which the bitstream shows 720x1280."""
    hidden = {"crop_right_px": coded_px - WIDTH_PX, "crop_bottom_px": coded_px - HEIGHT_PX}
    units = [sequence_set(coded_px, coded_px, **hidden), picture_set(), *still(coded_px, coded_px, count)]
    movie = Movie.read(bare_h264(folder, units))
    movie.picture.show_as(WIDTH_PX, HEIGHT_PX)
    return movie


def honest_still(folder: Path) -> Movie:
    """A second of grey, a few hundred bytes."""
    units = [sequence_set(WIDTH_PX, HEIGHT_PX), picture_set(), *still(WIDTH_PX, HEIGHT_PX, 30)]
    return Movie.read(bare_h264(folder, units))


def cropped_hevc(folder: Path, width_px: int, height_px: int, seconds: float = 6) -> Track:
    """HEVC of this size, of which the bitstream shows the left upper 720x1280."""
    source = picture(
        folder, seconds=seconds, codec="libx265", b_frames=2, after=f"pad={width_px}:{height_px}"
    )
    crop = f"hevc_metadata=crop_right={width_px - WIDTH_PX}:crop_bottom={height_px - HEIGHT_PX}"
    track = Movie.read(filtered(folder, source, crop)).picture
    track.show_as(WIDTH_PX, HEIGHT_PX)
    return track


@case("crop_bomb", rejected("resolution"), sample=True)
def crop_bomb(folder: Path) -> Movie:
    """8192x8192 coded, of which the bitstream shows 720x1280: 264 KB that cost every viewer."""
    return cropped_still(folder, 8192, count=60)


@case("crop_bomb", rejected("resolution"))
def crop_bomb_in_band(folder: Path) -> Movie:
    """A second of honest pictures, then parameter sets in band, and 4096x4096; in fragments."""
    movie = honest_still(folder)
    join_in_band(movie.picture, cropped_still(folder, 4096).picture)
    return movie.in_fragments()


@case("crop_bomb", rejected("resolution"))
def crop_bomb_second_description(folder: Path) -> Movie:
    """A second of honest pictures, then 4096x4096 in a sample description of its own."""
    movie = honest_still(folder)
    join(movie.picture, cropped_still(folder, 4096).picture)
    return movie


@case("crop_bomb", rejected("resolution"))
def crop_bomb_hevc(folder: Path) -> Movie:
    """HEVC, 2048x2048 coded."""
    movie = Movie.read(picture(folder, seconds=1, codec="libx265"))
    movie.tracks = [cropped_hevc(folder, 2048, 2048, seconds=1)]
    return movie


@case("crop_bomb", rejected("resolution"))
def crop_a_block_too_many(folder: Path) -> Movie:
    """H.264, 736x1280 coded: a column of blocks is never shown."""
    wide = picture(folder, seconds=2, after=f"pad={WIDTH_PX + 16}:{HEIGHT_PX}")
    movie = Movie.read(filtered(folder, wide, "h264_metadata=crop_right=16"))
    movie.picture.show_as(WIDTH_PX, HEIGHT_PX)
    return movie


@case("crop_bomb", rejected("resolution"))
def crop_by_the_container(folder: Path) -> Movie:
    """2160x3840 coded, of which a clap box shows the middle."""
    large = picture(folder, seconds=1, size="2160x3840")

    def crop(path: Path) -> None:
        crop_by_box(large, path, width=WIDTH_PX, height=HEIGHT_PX)

    return Movie.read(once(folder, f"clap {large.name}", crop))


@case("crop_bomb", rejected("resolution"))
def pixels_squeezed_by_three(folder: Path) -> Movie:
    """2160x1280 coded, of pixels three times as high as wide, so that 720x1280 are shown."""
    return Movie.read(picture(folder, seconds=2, size="2160x1280", after="setsar=1/3"))


@case("crop_bomb", Right(numbers=range(60)))
def pixels_squeezed_by_two(folder: Path) -> Movie:
    """1440x1280 coded, of pixels twice as high as wide: no more than twice what is shown."""
    return Movie.read(picture(folder, seconds=2, size="1440x1280", after="setsar=1/2"))


@case("crop_bomb", Right(numbers=range(180)))
def crop_within_a_block_hevc(folder: Path) -> Movie:
    """HEVC, 768x1280 coded as many chips do: 720 are not a multiple of its largest block."""
    movie = Movie.read(picture(folder, codec="libx265"))
    movie.tracks = [cropped_hevc(folder, 768, HEIGHT_PX)]
    return movie
