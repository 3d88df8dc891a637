"""Tracks with several sample descriptions: clips joined as they are, each by its own encoder."""

from dataclasses import replace
from pathlib import Path

from support.cases.joining import join
from support.cases.mp4_file import Movie, Track
from support.cases.parts import clip, picture, tones
from support.cases.table import Right, case, rejected, tones_of

PICTURES = Right(numbers=range(180))
WHOLE = Right(numbers=range(180), tones=tones_of((0, 6)))
# ffmpeg reads no description but the first of fragments: what is lost then must not be lost without a word.
WHOLE_OR_NOT = replace(WHOLE, or_rejected_by=("integrity", "content"))
RATE_AT = 24  # bytes into the sample entry of sound
OTHER = ("-preset", "veryfast", "-profile:v", "high")


# ── Of the picture ───────────────────────────────────────────────────────────────


@case("stsd2_video", PICTURES, sample=True)
def stsd2_video_nob(folder: Path) -> Movie:
    """Two clips joined, each with a sample description of its own, baseline and high; no B-frames."""
    movie = Movie.read(picture(folder, seconds=3, options=("-profile:v", "baseline")))
    join(movie.picture, other(folder))
    return movie


def other(folder: Path, **wanted: object) -> Track:
    """Three seconds that begin with number 90, of an encoder that was set differently."""
    set_so = {"seconds": 3, "first": 90, "settings": "ref=4", "options": OTHER}
    return Movie.read(picture(folder, **set_so | wanted)).picture  # type: ignore[arg-type]


@case("stsd2_video", PICTURES)
def stsd2_video_b_frames(folder: Path) -> Movie:
    """The same, with three B-frames in a row in the first clip and two in the second."""
    movie = Movie.read(picture(folder, seconds=3, b_frames=3))
    join(movie.picture, other(folder, b_frames=2))
    return movie


@case("stsd2_video", PICTURES)
def stsd2_video_hevc(folder: Path) -> Movie:
    """Two HEVC clips joined, one of them with smaller coding units and without B-frames."""
    movie = Movie.read(picture(folder, seconds=3, codec="libx265", b_frames=2))
    join(movie.picture, other(folder, codec="libx265", settings="ctu=16:max-tu-size=16", options=()))
    return movie


@case("stsd2_video", WHOLE)
def stsd3_video(folder: Path) -> Movie:
    """Three clips: those at both ends share a description, as where one was put into another."""
    movie = Movie.of(picture(folder, seconds=2), tones(folder))
    join(movie.picture, other(folder, seconds=2, first=60))
    last = Movie.read(picture(folder, seconds=2, first=120)).picture
    movie.picture.samples += last.samples
    movie.picture.show_all()
    return movie


@case("stsd2_video", WHOLE_OR_NOT)
def stsd2_video_fragmented(folder: Path) -> Movie:
    """Two clips joined in fragments, which name their description; with sound."""
    movie = Movie.of(picture(folder, seconds=3), tones(folder))
    join(movie.picture, other(folder))
    return movie.in_fragments()


@case("stsd2_video", PICTURES)
def stsd2_video_second_only(folder: Path) -> Movie:
    """Of two descriptions, no picture uses the first."""
    movie = Movie.read(picture(folder))
    movie.picture.descriptions[:0] = other(folder).descriptions
    movie.picture.change(range(180), description=2)
    return movie


@case("stsd2_video", rejected("resolution"))
def stsd2_video_other_size(folder: Path) -> Movie:
    """The second clip is 1280x720."""
    movie = Movie.read(picture(folder, seconds=3))
    join(movie.picture, other(folder, size="1280x720"))
    return movie


# ── Of the sound ─────────────────────────────────────────────────────────────────


@case("stsd2_audio_rates", WHOLE, sample=True)
def stsd2_audio_rates(folder: Path) -> Movie:
    """The sound of two clips joined: 44.1, then 48 kHz."""
    movie = Movie.of(picture(folder), tones(folder, seconds=3, rate=44_100))
    join(movie.sound, Movie.read(tones(folder, seconds=3, first=3)).sound)
    return movie


@case("stsd2_audio_rates", WHOLE)
def stsd3_audio_rates(folder: Path) -> Movie:
    """Three clips: 48, 32 and 44.1 kHz."""
    movie = Movie.of(picture(folder), tones(folder, seconds=2))
    join(movie.sound, Movie.read(tones(folder, seconds=2, first=2, rate=32_000)).sound)
    join(movie.sound, Movie.read(tones(folder, seconds=2, first=4, rate=44_100)).sound)
    return movie


@case("stsd2_audio_rates", WHOLE)
def stsd2_audio_channels(folder: Path) -> Movie:
    """One channel, then two."""
    movie = Movie.of(picture(folder), tones(folder, seconds=3, channels=1))
    join(movie.sound, Movie.read(tones(folder, seconds=3, first=3)).sound)
    return movie


@case("stsd2_audio_rates", WHOLE_OR_NOT)
def stsd2_audio_fragmented(folder: Path) -> Movie:
    """48, then 44.1 kHz, in fragments, beside B-frames."""
    movie = Movie.of(picture(folder, b_frames=2), tones(folder, seconds=3))
    join(movie.sound, Movie.read(tones(folder, seconds=3, first=3, rate=44_100)).sound)
    return movie.in_fragments()


@case("stsd2_audio_rates", WHOLE)
def stsd2_audio_same(folder: Path) -> Movie:
    """Two descriptions that say the same, beside HEVC."""
    movie = Movie.of(picture(folder, codec="libx265"), tones(folder, seconds=3))
    join(movie.sound, Movie.read(tones(folder, seconds=3, first=3)).sound)
    return movie


@case("stsd2_audio_rates", WHOLE)
def audio_rate_said_wrong(folder: Path) -> Movie:
    """The container says 44.1 kHz, the configuration of the AAC says 48 kHz, which decoders believe."""
    movie = clip(folder)
    [description] = movie.sound.descriptions
    description.set(RATE_AT, 44_100 << 16)
    return movie
