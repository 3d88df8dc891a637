"""Edit lists: cuts and trims that encode nothing anew, and samples that share their bytes."""

from fractions import Fraction
from pathlib import Path

from support.cases.bitstream import picture_set, sequence_set, still
from support.cases.colours import DARK_GREY
from support.cases.mp4_file import Edit, Movie, Sample
from support.cases.parts import LOUDNESS, bare_h264, clip, picture, tones
from support.cases.table import FRAMES_A_SECOND, Right, Tone, case, rejected, seconds_of, tones_of

HIDDEN_HZ = 3000
Span = tuple[float, float]


# ── Several segments ─────────────────────────────────────────────────────────────


def cut(movie: Movie, *spans: Span) -> Movie:
    """Show these spans, of each track."""
    for track in movie.tracks:
        track.show(*spans)
    return movie


def showing(*spans: Span) -> Right:
    return Right(numbers=seconds_of(*spans), tones=tones_of(*spans))


MIDDLE_OUT = ((0, 3), (5, 8))


@case("edit_cut", showing(*MIDDLE_OUT), sample=True)
def edit_cut_middle_key(folder: Path) -> Movie:
    """The middle of eight seconds is cut out by two segments; the second begins at a keyframe."""
    return cut(clip(folder, seconds=8), *MIDDLE_OUT)


BETWEEN_KEYFRAMES = ((0.5, 3), (4.5, 7))


@case("edit_cut", showing(*BETWEEN_KEYFRAMES))
def edit_cut_between_keyframes(folder: Path) -> Movie:
    """Two segments that begin half a second after a keyframe, with B-frames."""
    return cut(clip(folder, seconds=8, b_frames=2), *BETWEEN_KEYFRAMES)


THREE = ((0, 1), (3, 5), (6, 8))


@case("edit_cut", showing(*THREE))
def edit_cut_three_hevc(folder: Path) -> Movie:
    """Three segments of HEVC."""
    return cut(clip(folder, seconds=8, codec="libx265", b_frames=2), *THREE)


LATER_FIRST = ((4, 6), (0, 2))


@case("edit_cut", showing(*LATER_FIRST))
def edit_reordered(folder: Path) -> Movie:
    """Two segments: the later part is shown first."""
    return cut(clip(folder), *LATER_FIRST)


TWICE = ((0, 2), (0, 2), (4, 6))


@case("edit_cut", showing(*TWICE))
def edit_repeated(folder: Path) -> Movie:
    """Three segments, two of them the same."""
    return cut(clip(folder), *TWICE)


@case("edit_cut", Right(numbers=seconds_of((0, 2), (4, 6)), tones=tones_of((0, 4))))
def edit_cut_picture_alone(folder: Path) -> Movie:
    """The picture is cut by two segments; the sound goes on under it in one."""
    movie = clip(folder)
    movie.picture.show((0, 2), (4, 6))
    movie.sound.show((0, 4))
    return movie


# ── The same bytes many times ────────────────────────────────────────────────────

JUMPS = ((0, 1), (2, 3), (4, 5), (6, 7))


@case("edit_many_cuts", Right(numbers=seconds_of(*JUMPS)), sample=True)
def edit_many_cuts(folder: Path) -> Movie:
    """Jump cuts inside one group of pictures: each segment has to be decoded from its one keyframe."""
    return cut(Movie.read(picture(folder, seconds=8, gop=240)), *JUMPS)


LOOPED = ((0, 1),) * 6


@case("edit_many_cuts", showing(*LOOPED))
def edit_loop(folder: Path) -> Movie:
    """One second six times, by six segments, with its sound."""
    return cut(clip(folder, seconds=1), *LOOPED)


def times_over(samples: list[Sample], times: int) -> list[Sample]:
    return [sample for _ in range(times) for sample in samples]


@case("edit_many_cuts", Right(numbers=[0, 1] * 900))
def shared_still(folder: Path) -> Movie:
    """A minute of two keyframes in turn, all 1,800 pictures of the same few bytes."""
    tiny = ("-preset", "medium", "-crf", "51")
    movie = Movie.read(picture(folder, seconds=1, gop=1, before=DARK_GREY, options=tiny))
    movie.picture.samples = times_over(movie.picture.samples[:2], 900)
    movie.picture.show_all()
    return movie.sharing_bytes()


@case("edit_many_cuts", Right(numbers=[number for number in range(90) for _ in (1, 2)]))
def shared_pairs(folder: Path) -> Movie:
    """15 pictures a second of HEVC, each of them a keyframe, shown twice from the same bytes."""
    movie = Movie.read(picture(folder, seconds=3, codec="libx265", gop=1))
    movie.picture.samples = [sample for sample in movie.picture.samples for _ in (1, 2)]
    movie.picture.show_all()
    return movie.sharing_bytes()


@case("edit_many_cuts", Right(numbers=range(180), tones=(Tone(0, 6, 0),)))
def shared_silence(folder: Path) -> Movie:
    """Six seconds of silence from one frame of AAC."""
    movie = Movie.of(picture(folder), tones(folder, sound="0"))
    movie.sound.samples = times_over(movie.sound.samples[2:3], 282)
    movie.sound.show_all()
    return movie.sharing_bytes()


@case("edit_many_cuts", rejected("integrity", "size"))
def shared_bomb(folder: Path) -> Movie:
    """A minute of two keyframes in turn that are 300 KB each: 270 MB of pictures in 600 KB."""
    movie = Movie.read(picture(folder, seconds=1, gop=1))
    padding = (300_000).to_bytes(4) + bytes([12]) + b"\xff" * 299_998 + b"\x80"
    for number in (0, 1):
        movie.picture.change([number], data=padding + movie.picture.samples[number].data)
    movie.picture.samples = times_over(movie.picture.samples[:2], 900)
    movie.picture.show_all()
    return movie.sharing_bytes()


@case("edit_many_cuts", rejected("integrity", "size"))
def edit_bomb(folder: Path) -> Movie:
    """A minute in one group of pictures; sixty segments show its last second: 108,000 pictures to decode."""
    minute = [sequence_set(720, 1280), picture_set(), *still(720, 1280, 1800)]
    return cut(Movie.read(bare_h264(folder, minute)), *[(59, 60)] * 60)


# ── What was cut off ─────────────────────────────────────────────────────────────


def tone_outside(folder: Path, begin_s: float, end_s: float, **wanted: object) -> Path:
    """A tone of HIDDEN_HZ that is silent from a tenth of a second before to a tenth after this."""
    silent = f"between(t,{begin_s - 0.1},{end_s + 0.1})"
    sound = f"if({silent},0,{LOUDNESS}*sin(2*PI*{HIDDEN_HZ}*t))"
    return tones(folder, sound=sound, **wanted)  # type: ignore[arg-type]


def trimmed(begin_s: float, end_s: float) -> Right:
    silence = (Tone(0, end_s - begin_s, 0),)
    return Right(numbers=seconds_of((begin_s, end_s)), tones=silence, hidden_hz=HIDDEN_HZ)


@case("audio_trim", trimmed(2, 4), sample=True)
def audio_trim(folder: Path) -> Movie:
    """Six seconds, of which an edit list shows the third and the fourth, as phones trim."""
    return cut(Movie.of(picture(folder), tone_outside(folder, 2, 4)), (2, 4))


@case("audio_trim", trimmed(2, 6))
def audio_trim_beginning_hevc(folder: Path) -> Movie:
    """The first two seconds are hidden; HEVC with B-frames."""
    movie = Movie.of(picture(folder, codec="libx265", b_frames=2), tone_outside(folder, 2, 6))
    return cut(movie, (2, 6))


@case("audio_trim", trimmed(0, 4))
def audio_trim_end(folder: Path) -> Movie:
    """The last two seconds are hidden; B-frames."""
    return cut(Movie.of(picture(folder, b_frames=2), tone_outside(folder, 0, 4)), (0, 4))


@case("audio_trim", trimmed(1.5, 4.5))
def audio_trim_opus(folder: Path) -> Movie:
    """The first and the last second and a half are hidden, between keyframes; Opus."""
    return cut(Movie.of(picture(folder), tone_outside(folder, 1.5, 4.5, codec="libopus")), (1.5, 4.5))


@case("audio_trim", Right(numbers=range(150), tones=(Tone(0, 5, 0),), hidden_hz=HIDDEN_HZ))
def audio_trim_sound_alone(folder: Path) -> Movie:
    """The microphone was open a second before the camera: only sound is hidden."""
    movie = Movie.of(picture(folder, seconds=5), tone_outside(folder, 1, 6))
    movie.sound.show((1, 6))
    return movie


@case("audio_trim", trimmed(2, 6))
def audio_trim_fragmented(folder: Path) -> Movie:
    """The first two seconds of fragments are hidden, by an edit that lasts to the end (0)."""
    movie = Movie.of(picture(folder), tone_outside(folder, 2, 6)).in_fragments()
    for track in movie.tracks:
        track.edits = [Edit(Fraction(0), track.lead + 2 * track.rate)]
    return movie


@case("audio_trim", Right(numbers=range(180), tones=tones_of((0, 5.9))))
def audio_priming(folder: Path) -> Movie:
    """What is hidden is an encoder's run-up of 2,112 samples, as Apple writes it."""
    movie = clip(folder)
    movie.sound.edits = [Edit(Fraction(59, 10), 2112)]
    return movie


@case("audio_trim", Right(numbers=seconds_of((1 / FRAMES_A_SECOND, 5))))
def picture_trim_by_one(folder: Path) -> Movie:
    """The first picture and the last second are hidden; no sound."""
    return cut(Movie.read(picture(folder, b_frames=2)), (1 / FRAMES_A_SECOND, 5))
