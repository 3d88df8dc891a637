"""What a bitstream says of its pictures: which way up they are, and whether they are of two fields."""

from pathlib import Path

from support.cases.bitstream import display_orientation
from support.cases.joining import join, join_in_band, put_before_keyframes
from support.cases.mp4_file import Box, Movie
from support.cases.parts import clip, filtered, picture, rewrapped
from support.cases.table import Right, case, rejected, tones_of

# ── Turned by a message in the bitstream ─────────────────────────────────────────

ONE_WAY = Right(numbers=range(180), any_way_up=True, or_rejected_by=("resolution",))


def turned(folder: Path, orientation: str, source: Path) -> Movie:
    """With an H.264 display orientation message at each keyframe."""
    return Movie.read(filtered(folder, source, f"h264_metadata=display_orientation=insert:{orientation}"))


@case("sei_orientation", ONE_WAY, sample=True)
def sei_orientation(folder: Path) -> Movie:
    """An H.264 display orientation message asks for a quarter turn; the container has no matrix."""
    return turned(folder, "rotate=90", picture(folder))


@case("sei_orientation", ONE_WAY)
def sei_half_turn(folder: Path) -> Movie:
    """It asks for half a turn; B-frames."""
    return turned(folder, "rotate=180", picture(folder, b_frames=2))


@case("sei_orientation", ONE_WAY)
def sei_mirrored(folder: Path) -> Movie:
    """It asks for the picture to be mirrored; in fragments."""
    return turned(folder, "flip=horizontal", picture(folder)).in_fragments()


@case("sei_orientation", ONE_WAY)
def sei_hevc(folder: Path) -> Movie:
    """An HEVC display orientation message at each keyframe asks for a quarter turn."""
    movie = Movie.read(picture(folder, codec="libx265"))
    put_before_keyframes(movie.picture, range(180), [display_orientation(0x4000)])
    return movie


@case("sei_orientation", ONE_WAY)
def sei_from_the_middle(folder: Path) -> Movie:
    """The message begins after three seconds."""
    movie = Movie.read(picture(folder, seconds=3))
    join_in_band(movie.picture, turned(folder, "rotate=90", picture(folder, seconds=3, first=90)).picture)
    return movie


@case("sei_orientation", Right(numbers=range(180), or_rejected_by=("resolution",)))
def sei_landscape(folder: Path) -> Movie:
    """1280x720 that the message turns upright; players that pass over it show it lying."""
    return turned(folder, "rotate=90", picture(folder, after="transpose=clock"))


@case("sei_orientation", Right(numbers=range(180)))
def sei_beside_matrix(folder: Path) -> Movie:
    """1280x720 that the container's matrix turns upright; the message asks for the same."""
    lying = filtered(
        folder,
        picture(folder, after="transpose=clock"),
        "h264_metadata=display_orientation=insert:rotate=90",
    )
    return Movie.read(rewrapped(folder, lying, before=("-display_rotation", "90")))


# ── Interlaced ───────────────────────────────────────────────────────────────────

TOP_FIRST = {
    "rate": "60",
    "before": "interlace=scan=tff:lowpass=off",
    "settings": "interlaced=1:tff=1",
}
COMBED = Right(numbers=range(180), was_interlaced=True)


@case("interlaced", COMBED, sample=True)
def interlaced(folder: Path) -> Movie:
    """MBAFF, top field first: the fields of a picture are a sixtieth of a second apart."""
    return Movie.read(picture(folder, **TOP_FIRST))  # type: ignore[arg-type]


@case("interlaced", Right(numbers=range(180), was_interlaced=True, tones=tones_of((0, 6))))
def interlaced_bottom_first(folder: Path) -> Movie:
    """MBAFF, bottom field first, with B-frames and sound."""
    bottom_first = {name: value.replace("tff", "bff") for name, value in TOP_FIRST.items()}
    return clip(folder, b_frames=2, **bottom_first)


@case("interlaced", COMBED)
def interlaced_from_the_middle(folder: Path) -> Movie:
    """Three seconds of whole pictures, then three of fields, in band."""
    movie = Movie.read(picture(folder, seconds=3))
    fields = picture(folder, seconds=3, first=90, **TOP_FIRST)  # type: ignore[arg-type]
    join_in_band(movie.picture, Movie.read(fields).picture)
    return movie


@case("interlaced", COMBED)
def interlaced_second_description(folder: Path) -> Movie:
    """Three seconds of whole pictures, then three of fields in a sample description of their own."""
    movie = Movie.read(picture(folder, seconds=3))
    fields = picture(folder, seconds=3, first=90, **TOP_FIRST)  # type: ignore[arg-type]
    join(movie.picture, Movie.read(fields).picture)
    return movie


@case("interlaced", Right(numbers=range(180)))
def interlaced_in_name(folder: Path) -> Movie:
    """Whole pictures, coded so that fields would be allowed."""
    return Movie.read(picture(folder, settings="fake-interlaced=1"))


@case("interlaced", Right(numbers=range(180)))
def interlaced_by_the_container(folder: Path) -> Movie:
    """Whole pictures, of which QuickTime's fiel box says that they are fields, top first."""
    movie = Movie.read(picture(folder, suffix=".mov"))
    [description] = movie.picture.descriptions
    description.put(Box(b"fiel", bytes([2, 9])))
    return movie


@case("interlaced", rejected("resolution", "frame_rate", "codec"))
def interlaced_hevc(folder: Path) -> Movie:
    """HEVC codes each field as a picture: 720x640, sixty a second."""
    fields = {"size": "720x640", "rate": "60", "settings": "interlace=tff"}
    return Movie.read(picture(folder, codec="libx265", seconds=3, **fields))  # type: ignore[arg-type]
