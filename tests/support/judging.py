"""What the service made of a case, compared with what is right for it, by decoding everything."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path

from support.cases.table import FRAMES_A_SECOND, LADDER, Right, Tone
from support.films import Film, Picture, decoded_still
from support.hls_truth import untruths
from videos.model import LADDER_PX, State, Video

NEAR_S = 0.002  # between a picture's time and what it should be
NEAR_END_S = 0.1  # between the end of sound and what it should be: the last frame is filled up
NEAR_LUMA = 4.0  # a range that is taken for the other is off by ten
COMBED = 0.1  # share of pictures
HEARD = 0.02  # effective value from which a hidden tone is heard; the tone itself has 0.2 and more
APART_S = 0.5
EDGE_S, WINDOW_S = 0.07, 0.1  # where a tone is listened to: near its beginning and near its end
COLOURS = {
    "color_range": "tv",
    "color_space": "bt709",
    "color_transfer": "bt709",
    "color_primaries": "bt709",
}


@dataclass(frozen=True)
class Outcome:
    """What became of an upload.

    Attributes:
        checked: the record as the check left it.
        video: the record in the end.
        files: every stored file of the video besides the upload.
        playlist: the text of a playlist, by its name in the API.
    """

    checked: Video
    video: Video
    files: list[Path]
    playlist: Callable[[str], str]

    @cached_property
    def films(self) -> dict[str, Film]:
        """Everything that plays, by the name of the output."""
        paths = {path.name: path for path in self.files}
        return {
            str(output.name): Film(paths[Path(output.key).name])
            for output in self.video.outputs
            if output.content_type == "video/mp4"
        }

    def file(self, name: str) -> Path | None:
        output = next((output for output in self.video.outputs if output.name == name), None)
        return output and next(path for path in self.files if path.name == Path(output.key).name)


def faults(outcome: Outcome, right: Right) -> list[str]:
    """Everything that is wrong, a sentence each; [] if the service was right."""
    rules = {problem.rule for problem in outcome.video.problems}
    if outcome.video.state is State.REJECTED:
        allowed = {*right.rejected_by, *right.or_rejected_by}
        if rules and rules <= allowed:
            return list(_left_by_rejection(outcome))
        said = " ".join(problem.message for problem in outcome.video.problems)
        return [f"It is rejected by {', '.join(sorted(rules))}: {said}"]
    if not right.completed:
        return [f"It is {outcome.video.state}, not rejected by {' or '.join(right.rejected_by)}."]
    if outcome.video.state is not State.COMPLETED:
        return [f"It is {outcome.video.state}: {outcome.video.failure}"]
    return list(_faults(outcome, right))


def _left_by_rejection(outcome: Outcome) -> Iterator[str]:
    """It was rejected by the check, before anything played."""
    if outcome.checked.state is not State.REJECTED:
        attempts = outcome.video.attempts
        yield f"It was {outcome.checked.state} after its check, and rejected {attempts} attempts later."
    if outcome.video.playable or outcome.files:
        yield f"It is rejected, and has {len(outcome.files)} files."


def _faults(outcome: Outcome, right: Right) -> Iterator[str]:
    films = outcome.films
    if outcome.video.attempts > 1:
        yield f"It took {outcome.video.attempts} attempts."
    if missing := set(LADDER) - films.keys():
        yield f"There is no {', '.join(sorted(missing))}."
        return
    ways = set()
    for name, film in films.items():
        way = film.pictures[0].way if film.pictures else ""
        ways.add(way)
        yield from (f"{name}: {fault}" for fault in _of_picture(film, right, way))
        yield from (f"{name}: {fault}" for fault in _of_sound(film, right))
        yield from (f"{name}: {fault}" for fault in _of_both(film))
    for name, size in LADDER_PX.items():
        if films[name].size != size:
            yield f"{name}: It is {films[name].size}."
    yield from _of_stills(outcome, right, ways)
    yield from untruths(outcome.playlist, films)


def _of_picture(film: Film, right: Right, way: str) -> Iterator[str]:
    if way != "upright" and not right.any_way_up:
        yield f"The picture is {way or 'not as it was sent'}."
    if right.numbers is not None:
        yield from _of_numbers(film, right, way or "upright")
    for moment, luma in right.luma.items():
        shown = _at(film, moment)
        if abs(shown.luma - luma) > NEAR_LUMA:
            yield f"The luma at {moment} s is {shown.luma:.1f}, not {luma:.1f}."
    if right.was_interlaced and film.combed > COMBED:
        yield f"{film.combed:.0%} of the pictures show two fields."
    if film.video.get("field_order", "progressive") not in ("progressive", "unknown"):
        yield f"Its field order is {film.video['field_order']}."
    said = {name: film.video.get(name) for name in COLOURS}
    if said != COLOURS:
        yield f"Its colours are {said}."


def _of_numbers(film: Film, right: Right, way: str) -> Iterator[str]:
    assert right.numbers is not None
    found = [picture.number(way) for picture in film.pictures]
    held = {*found, *(picture.number(way) for picture in film.hidden_pictures)}
    if others := held - set(right.numbers):
        yield f"It holds pictures that were cut off: {spans(sorted(others))}."
    times = right.times_s or [place / FRAMES_A_SECOND for place in range(len(right.numbers))]
    expected = list(zip(right.numbers, times, strict=True))
    place, late = 0, []
    for number, time_s in expected:
        optional = number in right.optional
        if place < len(found) and found[place] == number:
            allowed = 1 / FRAMES_A_SECOND if optional else NEAR_S
            if abs(film.times_s[place] - time_s) > allowed:
                late.append(f"{number} at {film.times_s[place]:.3f} s, not {time_s:.3f} s")
            place += 1
        elif not optional:
            yield f"It shows {spans(found)} ({len(found)}), not {spans(right.numbers)} ({len(expected)})."
            return
    if place < len(found):
        yield f"It shows {len(found) - place} pictures too many: {spans(found[place:])}."
    if late:
        yield f"{len(late)} pictures are shown at other times: {'; '.join(late[:3])}."


def _of_sound(film: Film, right: Right) -> Iterator[str]:
    if not right.tones:
        if film.has_sound:
            yield "It has sound."
        return
    if not film.has_sound:
        yield "It has no sound."
        return
    missed = [tone for tone in right.tones if not _heard(film, tone)]
    if missed:
        named = ", ".join(f"{tone.hz} Hz from {tone.begin_s:g} to {tone.end_s:g} s" for tone in missed[:4])
        yield f"{len(missed)} of {len(right.tones)} tones are not heard where they belong: {named}."
    ends_s = (right.sound_s, max(right.sound_s, right.picture_s))  # silence may go on with the picture
    if min(abs(film.sound.end_s - end_s) for end_s in ends_s) > NEAR_END_S:
        yield f"The sound ends at {film.sound.end_s:.3f} s, not {right.sound_s:.3f} s."
    repeated = sum(after <= before for before, after in pairwise(film.sound_packets_s))
    if repeated:
        yield f"{repeated} frames of sound have the time of the one before."
    if right.hidden_hz:
        for place, sound in {"": film.sound, " behind the edit list": film.all_sound}.items():
            at, loudness = sound.loudest(right.hidden_hz)
            if loudness > HEARD:
                yield f"What was cut off is heard at {at:.2f} s{place} ({loudness:.2f})."


def _heard(film: Film, tone: Tone) -> bool:
    lasting_s = tone.end_s - tone.begin_s
    edge_s, window_s = min(EDGE_S, lasting_s / 5), min(WINDOW_S, lasting_s / 2)
    begins = (tone.begin_s + edge_s, tone.end_s - edge_s - window_s)
    return all(film.sound.hears(tone.hz, begin, begin + window_s) for begin in begins)


def _of_both(film: Film) -> Iterator[str]:
    if film.apart_s > APART_S:
        yield f"Sound and picture of one moment lie {film.apart_s:.2f} s apart."
    if film.complaints:
        yield f"ffmpeg complains of it: {film.complaints[0]}"


def _of_stills(outcome: Outcome, right: Right, ways: set[str]) -> Iterator[str]:
    poster = outcome.file("poster")
    if poster is None:
        yield "There is no poster."
        return
    shown = decoded_still(poster)
    if len({shown.way, *ways}) > 1:
        yield f"The renditions and the poster do not agree which way is up: {sorted({shown.way, *ways})}."
    if right.numbers is not None and shown.number(shown.way or "upright") not in right.numbers:
        yield f"The poster shows {shown.number()}, which was cut off."


def _at(film: Film, moment_s: float) -> Picture:
    """What is shown at a moment."""
    places = [place for place, at in enumerate(film.times_s) if at <= moment_s + NEAR_S]
    return film.pictures[places[-1] if places else 0]


def spans(numbers) -> str:
    """In few words: "0-59, 120-179".

    >>> spans([0, 1, 2, 5, 5])
    '0-2, 5, 5'
    """
    found: list[list[int]] = []
    for number in numbers:
        if found and number == found[-1][1] + 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    named = [str(first) if first == last else f"{first}-{last}" for first, last in found]
    return ", ".join(named if len(named) <= 8 else [*named[:7], "…"])
