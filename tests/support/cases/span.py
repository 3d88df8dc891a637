"""Tracks that begin or end at other times than each other."""

from pathlib import Path

from support.cases.mp4_file import Movie, Track
from support.cases.parts import picture, tones
from support.cases.table import FRAMES_A_SECOND, Right, Tone, case, rejected, tones_of

AN_HOUR_S = 3600


def pause_after(track: Track, number: int, seconds: float) -> None:
    """Let a sample last so much longer."""
    lasting = track.samples[number].duration + round(seconds * track.rate)
    track.change([number], duration=lasting)
    track.show_all()


# ── Sound that goes on after the picture, or ends before it ──────────────────────


def lasting(picture_s: float, sound_s: float) -> Right:
    return Right(numbers=range(round(picture_s * FRAMES_A_SECOND)), tones=tones_of((0, sound_s)))


@case("audio_longer", lasting(5, 12), sample=True)
def audio_longer(folder: Path) -> Movie:
    """Five seconds of picture, twelve of sound."""
    return Movie.of(picture(folder, seconds=5), tones(folder, seconds=12))


@case("audio_longer", lasting(3, 8))
def audio_longer_hevc_opus(folder: Path) -> Movie:
    """Three seconds of HEVC, eight of Opus."""
    return Movie.of(picture(folder, seconds=3, codec="libx265"), tones(folder, seconds=8, codec="libopus"))


@case("audio_longer", lasting(4, 6.5))
def audio_longer_fragmented(folder: Path) -> Movie:
    """Four seconds of picture with B-frames, six and a half of sound on one channel, in fragments."""
    movie = Movie.of(picture(folder, seconds=4, b_frames=2), tones(folder, seconds=6.5, channels=1))
    return movie.in_fragments()


@case("audio_longer", lasting(2, 30))
def audio_much_longer(folder: Path) -> Movie:
    """Two seconds of picture, thirty of sound."""
    return Movie.of(picture(folder, seconds=2), tones(folder, seconds=30))


@case("audio_longer", lasting(1 / FRAMES_A_SECOND, 5))
def audio_under_a_still(folder: Path) -> Movie:
    """One picture, five seconds of sound."""
    return Movie.of(picture(folder, seconds=1 / FRAMES_A_SECOND), tones(folder, seconds=5))


@case("audio_longer", lasting(6, 2.5))
def audio_shorter(folder: Path) -> Movie:
    """Six seconds of picture, two and a half of sound."""
    return Movie.of(picture(folder), tones(folder, seconds=2.5))


@case("audio_longer", lasting(6, 5.6))
def audio_a_little_shorter(folder: Path) -> Movie:
    """Six seconds of picture with a keyframe every fifth of a second, 5.6 of sound."""
    return Movie.of(picture(folder, gop=6), tones(folder, seconds=5.6))


@case("audio_longer", rejected("duration"))
def audio_too_long(folder: Path) -> Movie:
    """Five seconds of picture, 61 of sound."""
    return Movie.of(picture(folder, seconds=5), tones(folder, seconds=61))


# ── Sound that begins later than the picture, or earlier ─────────────────────────


@case("audio_late", Right(numbers=range(300), tones=tones_of((0, 5), at_s=5)), sample=True)
def audio_late(folder: Path) -> Movie:
    """An empty edit lets the sound begin five seconds after the picture, and end with it."""
    movie = Movie.of(picture(folder, seconds=10), tones(folder, seconds=5))
    movie.sound.show_all(after_s=5)
    return movie


@case("audio_late", Right(numbers=range(180), tones=tones_of((0, 5), at_s=1)))
def audio_late_hevc_opus(folder: Path) -> Movie:
    """Opus begins a second after HEVC, by an empty edit."""
    movie = Movie.of(picture(folder, codec="libx265"), tones(folder, seconds=5, codec="libopus"))
    movie.sound.show_all(after_s=1)
    return movie


@case("audio_late", Right(numbers=range(180), tones=tones_of((0, 4), at_s=2)))
def audio_late_fragmented(folder: Path) -> Movie:
    """The first fragment of sound says that it begins at two seconds; no edit list says so."""
    movie = Movie.of(picture(folder, b_frames=2), tones(folder, seconds=4))
    movie.sound.begins_at = 2 * movie.sound.rate
    return movie.in_fragments()


@case("audio_late", Right(numbers=range(180), tones=tones_of((0, 0.5), at_s=5.5)))
def audio_at_the_very_end(folder: Path) -> Movie:
    """Half a second of sound at the end of six seconds of picture."""
    movie = Movie.of(picture(folder), tones(folder, seconds=0.5))
    movie.sound.show_all(after_s=5.5)
    return movie


HOLE = (*tones_of((0, 2)), Tone(2, 4, 0), *(Tone(t.begin_s + 4, t.end_s + 4, t.hz) for t in tones_of((2, 4))))


@case("audio_late", Right(numbers=range(180), tones=HOLE))
def audio_pauses(folder: Path) -> Movie:
    """Two seconds of sound, two of nothing (a frame that lasts so long), two of sound."""
    movie = Movie.of(picture(folder), tones(folder, seconds=4))
    frames = 2 * movie.sound.rate // 1024
    pause_after(movie.sound, frames, 2)
    return movie


HALF_A_SECOND_LATE = [0.5 + number / FRAMES_A_SECOND for number in range(150)]


@case("audio_late", Right(numbers=range(150), times_s=HALF_A_SECOND_LATE, tones=tones_of((0, 5.5))))
def picture_late(folder: Path) -> Movie:
    """The picture begins half a second after the sound, by an empty edit."""
    movie = Movie.of(picture(folder, seconds=5), tones(folder, seconds=5.5))
    movie.picture.show_all(after_s=0.5)
    return movie


# ── Tracks that are far apart ────────────────────────────────────────────────────


def two_seconds(folder: Path) -> Movie:
    return Movie.of(picture(folder, seconds=2), tones(folder, seconds=2))


@case("late_sound", rejected("duration"), sample=True)
def late_sound(folder: Path) -> Movie:
    """Two seconds of picture; an empty edit lets two seconds of sound begin an hour later."""
    movie = two_seconds(folder)
    movie.sound.show_all(after_s=AN_HOUR_S)
    return movie


@case("late_sound", rejected("duration"))
def late_picture(folder: Path) -> Movie:
    """Two seconds of sound; an empty edit lets two seconds of HEVC begin an hour later."""
    movie = Movie.of(picture(folder, seconds=2, codec="libx265"), tones(folder, seconds=2))
    movie.picture.show_all(after_s=AN_HOUR_S)
    return movie


@case("late_sound", rejected("duration"))
def late_sound_fragmented(folder: Path) -> Movie:
    """The first fragment of sound says that it begins an hour later."""
    movie = two_seconds(folder)
    movie.sound.begins_at = AN_HOUR_S * movie.sound.rate
    return movie.in_fragments()


@case("late_sound", rejected("duration"))
def sound_pauses_for_an_hour(folder: Path) -> Movie:
    """A second of sound, a frame that lasts an hour, another second."""
    movie = two_seconds(folder)
    pause_after(movie.sound, 47, AN_HOUR_S)
    return movie


@case("late_sound", rejected("duration"))
def picture_held_for_an_hour(folder: Path) -> Movie:
    """The last picture lasts an hour."""
    movie = two_seconds(folder)
    pause_after(movie.picture, -1, AN_HOUR_S)
    return movie


@case("late_sound", rejected("duration", "integrity"))
def sound_late_by_45_s(folder: Path) -> Movie:
    """Two seconds of picture; two of sound begin 45 seconds later, within the longest duration."""
    movie = two_seconds(folder)
    movie.sound.show_all(after_s=45)
    return movie


@case(
    "late_sound", Right(numbers=range(60), tones=tones_of((0, 2)), or_rejected_by=("duration", "integrity"))
)
def both_late(folder: Path) -> Movie:
    """An empty edit of an hour in each track: two seconds from the first moment to the last."""
    movie = two_seconds(folder)
    for track in movie.tracks:
        track.show_all(after_s=AN_HOUR_S)
    return movie
