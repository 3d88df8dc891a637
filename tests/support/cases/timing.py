"""When pictures are shown: times that repeat, and gaps."""

from dataclasses import replace
from pathlib import Path

from support.cases.mp4_file import Movie, Track
from support.cases.parts import clip, picture
from support.cases.sound import repeat_times
from support.cases.table import FRAMES_A_SECOND, Right, case, rejected, tones_of

# ── Pictures with the time of the one before ─────────────────────────────────────

REPEATED = (10, 70, 130)
TOO_MANY = tuple(range(5, 165, 8))


def repeated_times(count: int, *numbers: int, **more: object) -> Right:
    """What is right where the picture after each of these is shown at the same time as it."""
    times = [number / FRAMES_A_SECOND for number in range(count)]
    for number in numbers:
        times[number + 1] = times[number]
    pairs = frozenset(number + place for number in numbers for place in (0, 1))
    return Right(numbers=range(count), times_s=times, optional=pairs, **more)  # type: ignore[arg-type]


@case("dup_times", repeated_times(180, *REPEATED), sample=True)
def dup_times(folder: Path) -> Movie:
    """Three of 180 pictures have the time of the one before; the gap after each is twice as long."""
    movie = Movie.read(picture(folder))
    repeat_times(movie.picture, *REPEATED)
    return movie


@case("dup_times", repeated_times(180, *REPEATED))
def dup_times_b_frames(folder: Path) -> Movie:
    """The same by composition offsets, with B-frames; decoding times are even."""
    movie = Movie.read(picture(folder, b_frames=2))
    track = movie.picture
    frame = track.samples[0].duration
    for place, start in enumerate(track.starts):
        shown = (start + track.samples[place].delay - track.lead) // frame
        if shown - 1 in REPEATED:
            track.change([place], delay=track.samples[place].delay - frame)
    return movie


@case("dup_times", repeated_times(180, *REPEATED))
def dup_times_hevc(folder: Path) -> Movie:
    """The same in HEVC."""
    movie = Movie.read(picture(folder, codec="libx265"))
    repeat_times(movie.picture, *REPEATED)
    return movie


@case("dup_times", repeated_times(180, *REPEATED, tones=tones_of((0, 6))))
def dup_times_fragmented(folder: Path) -> Movie:
    """The same in fragments, with sound."""
    movie = clip(folder)
    repeat_times(movie.picture, *REPEATED)
    return movie.in_fragments()


@case("dup_times", repeated_times(180, 0, 178))
def dup_times_at_both_ends(folder: Path) -> Movie:
    """The first two pictures have the same time, and the last two."""
    movie = Movie.read(picture(folder))
    repeat_times(movie.picture, 0, 178)
    return movie


NEARLY = 0.001  # seconds after the picture before


@case(
    "dup_times",
    Right(
        numbers=range(180),
        times_s=[
            (number - 1) / FRAMES_A_SECOND + NEARLY if number - 1 in REPEATED else number / FRAMES_A_SECOND
            for number in range(180)
        ],
    ),
)
def nearly_dup_times(folder: Path) -> Movie:
    """Three pictures come a millisecond after the one before, as Android's camera jitters."""
    movie = Movie.read(picture(folder))
    repeat_times(movie.picture, *REPEATED)
    moment = round(NEARLY * movie.picture.rate)
    for number in REPEATED:
        rest = movie.picture.samples[number + 1].duration - moment
        movie.picture.change([number], duration=moment)
        movie.picture.change([number + 1], duration=rest)
    return movie


@case("dup_times", rejected("frame_rate"))
def dup_times_too_many(folder: Path) -> Movie:
    """Twenty of 180 pictures have the time of the one before."""
    movie = Movie.read(picture(folder))
    repeat_times(movie.picture, *TOO_MANY)
    return movie


# ── Gaps ─────────────────────────────────────────────────────────────────────────


def hold(track: Track, number: int, seconds: float) -> None:
    """Let a picture last so long, all in all."""
    track.change([number], duration=round(seconds * track.rate))
    track.show_all()


def leave_out(track: Track, *numbers: int) -> None:
    """Pictures that were never recorded: the one before each lasts longer."""
    for number in numbers:
        before = track.samples[number - 1]
        track.change([number - 1], duration=before.duration + track.samples[number].duration)
    kept = [sample for number, sample in enumerate(track.samples) if number not in numbers]
    track.samples = [replace(sample) for sample in kept]
    track.show_all()


def held(count: int, number: int, seconds: float) -> Right:
    """What is right where a picture lasts so long, all in all."""
    later = seconds - 1 / FRAMES_A_SECOND
    times = [at / FRAMES_A_SECOND + (later if at > number else 0) for at in range(count)]
    return Right(numbers=range(count), times_s=times)


@case("frame_rate", rejected("frame_rate"))
def hole_in_the_middle(folder: Path) -> Movie:
    """A whole second is missing in the middle of six: its pictures were never recorded."""
    movie = clip(folder)
    leave_out(movie.picture, *range(119, 89, -1))
    return movie


@case("frame_rate", rejected("frame_rate"))
def hole_of_a_second_hevc(folder: Path) -> Movie:
    """In fragments of HEVC with B-frames, the third begins a second late."""
    movie = Movie.read(picture(folder, codec="libx265", b_frames=2))
    hold(movie.picture, 59, 1 + 1 / FRAMES_A_SECOND)
    return movie.in_fragments()


@case("frame_rate", rejected("frame_rate", "integrity"))
def hole_by_an_empty_edit(folder: Path) -> Movie:
    """An edit list shows nothing for a second between two segments."""
    movie = clip(folder)
    for track in movie.tracks:
        track.show((0, 3), (None, 1), (3, 6))
    return movie


@case("frame_rate", rejected("frame_rate"))
def first_picture_held(folder: Path) -> Movie:
    """The first picture of six seconds lasts one second."""
    movie = Movie.read(picture(folder))
    hold(movie.picture, 0, 1)
    return movie


@case("frame_rate", rejected("frame_rate"))
def two_gaps_of_a_tenth(folder: Path) -> Movie:
    """Two gaps of a tenth of a second in two seconds: few by number, a tenth of the time."""
    movie = Movie.read(picture(folder, seconds=2))
    hold(movie.picture, 20, 0.1)
    hold(movie.picture, 40, 0.1)
    return movie


@case("frame_rate", held(30, 14, 0.1))
def one_gap_of_a_tenth(folder: Path) -> Movie:
    """A single gap of a tenth of a second, in one second."""
    movie = Movie.read(picture(folder, seconds=1))
    hold(movie.picture, 14, 0.1)
    return movie


DROPPED = (40, 80, 120, 160)
STAYED = [number for number in range(180) if number not in DROPPED]


@case("frame_rate", Right(numbers=STAYED, times_s=[number / FRAMES_A_SECOND for number in STAYED]))
def four_pictures_dropped(folder: Path) -> Movie:
    """Four single pictures of 180 are missing: under a twentieth of the gaps, and of the time."""
    movie = Movie.read(picture(folder, gop=1))
    leave_out(movie.picture, *reversed(DROPPED))
    return movie


@case("frame_rate", Right(numbers=range(120)))
def last_picture_held(folder: Path) -> Movie:
    """The last picture lasts two seconds."""
    movie = Movie.read(picture(folder, seconds=4))
    hold(movie.picture, -1, 2)
    return movie
