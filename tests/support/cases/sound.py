"""Sound tracks that are odd: empty, out of step, damaged, switched off; and pictures switched off."""

from dataclasses import replace
from pathlib import Path

from dev.clips import HLG
from support.cases.mp4_file import Movie, Track
from support.cases.parts import clip, one_tone, picture, tones
from support.cases.table import Right, Tone, case, rejected, tones_of

WHOLE = Right(numbers=range(180), tones=tones_of((0, 6)))
SILENT = Right(numbers=range(180))
FIRST_HZ, SECOND_HZ = 300, 1000  # of two tracks


# ── No sample in it ──────────────────────────────────────────────────────────────


def emptied(track: Track) -> Track:
    track.samples = []
    track.show_plainly()
    return track


@case("empty_audio", SILENT, sample=True)
def empty_audio(folder: Path) -> Movie:
    """A sound track without a sample: the microphone was refused, or closed at once."""
    movie = clip(folder)
    emptied(movie.sound)
    return movie


@case("empty_audio", SILENT)
def empty_audio_fragmented(folder: Path) -> Movie:
    """A sound track of which no fragment has anything, as a browser records a muted microphone."""
    movie = clip(folder, b_frames=2)
    emptied(movie.sound)
    return movie.in_fragments()


@case("empty_audio", SILENT)
def empty_audio_first(folder: Path) -> Movie:
    """The empty sound track comes before the picture."""
    movie = clip(folder)
    emptied(movie.sound)
    movie.tracks.reverse()
    return movie


@case("empty_audio", WHOLE)
def empty_audio_then_another(folder: Path) -> Movie:
    """The first sound track is empty, the second is not."""
    movie = Movie.of(picture(folder), one_tone(folder, FIRST_HZ), tones(folder))
    emptied(movie.sounds[0])
    return movie


@case("empty_audio", SILENT)
def empty_pcm(folder: Path) -> Movie:
    """QuickTime's uncompressed sound, two tracks of it, without a sample."""
    pcm = tones(folder, codec="pcm_s16le", seconds=0.1, suffix=".mov")
    movie = Movie.of(picture(folder, suffix=".mov"), pcm, pcm)
    for track in movie.sounds:
        emptied(track)
    return movie


@case("empty_audio", SILENT)
def empty_opus_beside_hevc(folder: Path) -> Movie:
    """An Opus track without a sample beside HEVC."""
    movie = Movie.of(picture(folder, codec="libx265"), tones(folder, codec="libopus"))
    emptied(movie.sound)
    return movie


# ── Frames with the time of the one before ───────────────────────────────────────


def repeat_times(track: Track, *numbers: int) -> None:
    """Give each of these samples no duration, and the one after it both."""
    for number in numbers:
        lasting, after = track.samples[number].duration, track.samples[number + 1].duration
        track.change([number], duration=0)
        track.change([number + 1], duration=lasting + after)


@case("audio_dup_times", WHOLE, sample=True)
def audio_dup_times(folder: Path) -> Movie:
    """Some frames of AAC have the time of the one before."""
    movie = clip(folder)
    repeat_times(movie.sound, *range(20, 200, 40))
    movie.sound.show_plainly()
    return movie


@case("audio_dup_times", WHOLE)
def audio_dup_times_opus(folder: Path) -> Movie:
    """Some packets of Opus have the time of the one before; beside B-frames."""
    movie = Movie.of(picture(folder, b_frames=2), tones(folder, codec="libopus"))
    repeat_times(movie.sound, *range(20, 200, 40))
    return movie


@case("audio_dup_times", WHOLE)
def audio_dup_times_at_both_ends(folder: Path) -> Movie:
    """The first two frames have the same time, and the last two."""
    movie = clip(folder)
    repeat_times(movie.sound, 0, len(movie.sound.samples) - 2)
    movie.sound.show_plainly()
    return movie


@case("audio_dup_times", WHOLE)
def audio_dup_times_in_a_row(folder: Path) -> Movie:
    """Ten frames have the same time, and the gap after them is ten times as long; beside HEVC."""
    movie = Movie.of(picture(folder, codec="libx265"), tones(folder))
    repeat_times(movie.sound, *range(111, 121))
    return movie


@case("audio_dup_times", WHOLE)
def audio_dup_times_in_pairs(folder: Path) -> Movie:
    """Every second frame has the time of the one before, on one channel."""
    movie = Movie.of(picture(folder), tones(folder, channels=1, rate=44_100))
    repeat_times(movie.sound, *range(0, 250, 2))
    return movie


@case("audio_dup_times", WHOLE)
def audio_fragments_overlap(folder: Path) -> Movie:
    """Each fragment of sound but the first says that it begins half a frame before the last one ends."""
    movie = clip(folder)
    movie.sound.fragments_early = 512
    return movie.in_fragments()


# ── Damaged frames ───────────────────────────────────────────────────────────────


def damage(track: Track, *numbers: int) -> None:
    """Overwrite these samples with ones."""
    for number in numbers:
        sample = track.samples[number]
        track.samples[number] = replace(sample, data=b"\xff" * len(sample.data))


@case("bad_audio_frame", WHOLE, sample=True)
def bad_frame_opus(folder: Path) -> Movie:
    """Opus, one packet of it damaged, 1.2 s from its beginning."""
    movie = Movie.of(picture(folder), tones(folder, codec="libopus"))
    damage(movie.sound, 60)
    return movie


@case("bad_audio_frame", WHOLE)
def bad_frame_aac(folder: Path) -> Movie:
    """AAC, one frame of it damaged."""
    movie = clip(folder)
    damage(movie.sound, 100)
    return movie


@case("bad_audio_frame", WHOLE)
def bad_frames_at_both_ends(folder: Path) -> Movie:
    """The second frame of AAC and the last are damaged; in fragments."""
    movie = clip(folder, b_frames=2)
    damage(movie.sound, 1, -1)
    return movie.in_fragments()


@case("bad_audio_frame", WHOLE)
def bad_frames_of_six_channels(folder: Path) -> Movie:
    """Six channels of AAC, three frames of them damaged; beside HEVC."""
    movie = Movie.of(picture(folder, codec="libx265"), tones(folder, channels=6))
    damage(movie.sound, 70, 117, 211)
    return movie


@case("bad_audio_frame", WHOLE)
def cut_frames_aac(folder: Path) -> Movie:
    """Of three frames of AAC only the first half is there, and of another nothing."""
    movie = clip(folder)
    for number in (70, 117, 211):
        data = movie.sound.samples[number].data
        movie.sound.change([number], data=data[: len(data) // 2])
    movie.sound.change([164], data=b"")
    return movie


@case("bad_audio_frame", WHOLE)
def bad_frame_mp3(folder: Path) -> Movie:
    """MP3 in MP4, one frame of it damaged."""
    movie = Movie.of(picture(folder), tones(folder, codec="libmp3lame"))
    damage(movie.sound, 100)
    return movie


# ── Switched off ─────────────────────────────────────────────────────────────────


def two_sounds(folder: Path, **wanted: object) -> Movie:
    """A picture with a tone of FIRST_HZ, and another of SECOND_HZ."""
    return Movie.of(picture(folder, **wanted), one_tone(folder, FIRST_HZ), one_tone(folder, SECOND_HZ))  # type: ignore[arg-type]


def switch(*tracks: tuple[Track, bool]) -> None:
    for track, enabled in tracks:
        track.enable(enabled)


FIRST_HEARD = Right(numbers=range(180), tones=(Tone(0, 6, FIRST_HZ),))
SECOND_HEARD = Right(numbers=range(180), tones=(Tone(0, 6, SECOND_HZ),))


@case("audio_off", SECOND_HEARD, sample=True)
def audio_off(folder: Path) -> Movie:
    """The first sound track is switched off by its flag, the second is on."""
    movie = two_sounds(folder)
    switch((movie.sounds[0], False), (movie.sounds[1], True))
    return movie


@case("audio_off", FIRST_HEARD)
def audio_off_second(folder: Path) -> Movie:
    """The first sound track is on, the second is switched off."""
    movie = two_sounds(folder)
    switch((movie.sounds[0], True), (movie.sounds[1], False))
    return movie


@case("audio_off", SILENT)
def audio_off_only(folder: Path) -> Movie:
    """The only sound track is switched off."""
    movie = clip(folder)
    movie.sound.enable(False)
    return movie


@case("audio_off", SECOND_HEARD)
def audio_off_fragmented(folder: Path) -> Movie:
    """The first sound track is switched off, in fragments beside HEVC."""
    movie = two_sounds(folder, codec="libx265", b_frames=2)
    switch((movie.sounds[0], False), (movie.sounds[1], True))
    return movie.in_fragments()


@case("audio_off", WHOLE)
def picture_off_first(folder: Path) -> Movie:
    """The first picture track is switched off, the second is on; with sound."""
    movie = Movie.of(picture(folder, first=300), picture(folder), tones(folder))
    switch((movie.tracks[0], False), (movie.tracks[1], True))
    return movie


@case("audio_off", WHOLE)
def picture_off_second(folder: Path) -> Movie:
    """The second picture track breaks every rule, and is switched off."""
    wrong = picture(folder, size="640x480", rate="15", colour=HLG)
    movie = Movie.of(picture(folder), tones(folder), wrong)
    switch((movie.tracks[0], True), (movie.tracks[2], False))
    return movie


@case("audio_off", rejected("content"))
def picture_off_only(folder: Path) -> Movie:
    """The only picture track is switched off."""
    movie = clip(folder)
    movie.picture.enable(False)
    return movie
