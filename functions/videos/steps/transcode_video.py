"""Produce the outputs of an accepted clip that its check did not: the other renditions, the sprite sheet.

A file that is to be fixed is first made into a clip that keeps the spec. That is checked, copied and
published as any upload would be, and the other renditions are made of it; by a later attempt, too.

Each attempt writes to its own folder and publishes by compare-and-set, so that no client
sees a partial result. An attempt that loses its race deletes what it wrote.
"""

from contextlib import suppress
from dataclasses import replace
from math import ceil
from pathlib import Path

from videos.checking import rules
from videos.checking.probe import probe
from videos.errors import BadMedia, LostRace, Rejected, ToolFailed, Unavailable, UnknownVideo
from videos.making.commands import can_copy_sound
from videos.making.fixing import make_fixed
from videos.making.loudness import with_loudness
from videos.making.outputs import MadeFiles, PicturesLost, SoundLost, can_be_copied, make_copy, make_ladder
from videos.model import Media, OutputName, State, Video
from videos.policy import HEARTBEAT_S, LEASE_S, LOOK_AGAIN_S, PROGRESS_STEP_S
from videos.service import Service
from videos.steps.attempts import begin, end_without_result, is_live, store, watched_until, write
from videos.steps.check_upload import PROGRESS_PLAYABLE, check_upload
from videos.steps.endings import erase, fail, reject, sweep, was_kept_long_enough

PROGRESS_FIXED = 50  # of 100: fixing takes about as long as the rest


class SourceGone(Exception):
    """The file was deleted."""


def transcode_video(video_id: str, service: Service, *, first_try: bool = False) -> Video:
    """Look after a video: check it if that is still to be done, else produce every output.

    Args:
        first_try: True on the first delivery. Then an attempt in progress belongs to *another* job and
            must be left alone; on a redelivery, the previous worker of this job has ended.

    Returns:
        The current video; unchanged if there is nothing to do or another worker is doing it.

    Raises:
        UnknownVideo: it was deleted.
        FileNotFoundError: nothing was uploaded yet.
        ToolFailed, Unavailable, OSError: retry.
    """
    try:
        video = service.videos.get(video_id)
    except UnknownVideo:
        sweep(video_id, service)  # deletes the files of a killed attempt
        raise
    if was_kept_long_enough(video, service):
        erase(video_id, service)
        return video
    if video.finished:
        sweep(video_id, service)
        return video
    checking = video.state is State.AWAITING_UPLOAD
    if is_live(video, service) and (first_try or checking):
        # This may be the only job left, if that attempt is lost: look again.
        service.jobs.put(video_id, delay_s=LOOK_AGAIN_S if checking else ceil(LEASE_S))
        return video
    if checking:
        return check_upload(video_id, service)  # puts a job for the rest
    try:
        video = begin(video, State.PROCESSING, service)
    except LostRace:
        return service.videos.get(video_id)
    if video.finished:
        sweep(video_id, service)
        return video
    attempt = _Attempt(video, service)
    try:
        _run(attempt)
    except LostRace:
        return service.videos.get(video_id)
    finally:
        attempt.sweep()
    return attempt.video


def _run(attempt: "_Attempt") -> None:
    service = attempt.service
    try:
        with service.private_folder() as folder:
            attempt.fetch(folder / "source")
            _make_outputs(attempt, folder)
    except SourceGone:
        attempt.video = fail(attempt.video, "The uploaded file was deleted.", service)
    except Rejected as rejected:
        attempt.video = reject(attempt.video, rejected.violations, service, failure=attempt.last_error)
    except (ToolFailed, Unavailable, OSError) as error:
        attempt.video = end_without_result(attempt.video, error, service)


def _make_outputs(attempt: "_Attempt", folder: Path) -> None:
    """Produce all outputs; without audio if decoding fails only because of the audio.

    Raises:
        Rejected: the video track cannot be decoded.
        ToolFailed: what we made of it ourselves cannot.
    """
    try:
        _fix_copy_and_encode(attempt, folder)
    except PicturesLost as lost:
        raise attempt.undecodable(lost) from None
    except (BadMedia, SoundLost) as error:
        if attempt.media.audio is None:
            raise attempt.undecodable(error) from None
        attempt.drop_audio()
        try:
            _fix_copy_and_encode(attempt, folder)
        except (BadMedia, PicturesLost, SoundLost) as again:
            raise attempt.undecodable(again) from None


def _fix_copy_and_encode(attempt: "_Attempt", folder: Path) -> None:
    if attempt.to_be_fixed:
        _fix(attempt, folder)
    if not attempt.video.playable or not attempt.kept:
        _copy(attempt, folder)
    if attempt.measure_sound(folder / "source"):
        _copy(attempt, folder)  # again, with encoded audio
    have = [output.name for output in attempt.kept]
    attempt.begin_run(attempt.progress_playable, 99)
    made = make_ladder(
        folder,
        attempt.media,
        have,
        attempt.video.poster_time_s,
        attempt.service.tools,
        attempt.on_progress,
    )
    attempt.publish(made, State.COMPLETED)


def _fix(attempt: "_Attempt", folder: Path) -> None:
    """Put a clip that keeps the spec in the place of the source. Raises as ``make_fixed``."""
    service, source = attempt.service, folder / "source"
    attempt.begin_run(0, PROGRESS_FIXED)
    fixed = make_fixed(
        source,
        attempt.media,
        attempt.video.fit,
        folder,
        service.tools,
        attempt.on_share,
        spec=service.spec,
    )
    fixed.replace(source)
    media = probe(source, service.tools)
    if violations := rules.check(media, service.spec):
        raise ToolFailed(f"The fixed clip breaks the spec: {violations[0].message}")
    attempt.take_up(media)


def _copy(attempt: "_Attempt", folder: Path) -> None:
    if can_be_copied(attempt.media):
        with suppress(BadMedia):  # if the copy fails, decoding decides
            attempt.publish(
                make_copy(folder, attempt.media, attempt.video.poster_time_s, attempt.service.tools)
            )


class _Attempt:
    """One attempt at a video, with the record as it last wrote it. LostRace from any write ends it."""

    def __init__(self, video: Video, service: Service) -> None:
        assert video.media
        self.video = video
        self.media = video.media
        self.service = service
        self.kept = video.outputs  # outputs that are published together with what is made next
        self.fixed = video.output(OutputName.P720) if video.fixes else None
        self.to_be_fixed = bool(video.fixes) and not self.fixed
        self.progress_playable = PROGRESS_FIXED if video.fixes else PROGRESS_PLAYABLE
        self.written_at = service.monotonic()
        self.run_began_at = 0.0  # monotonic seconds
        self.run_progress = (0, 99)  # at its begin and at its end
        self.last_error = ""  # error output of the tool that failed on the file; for the log

    def fetch(self, source: Path) -> None:
        """Download the file that was checked, or what it was fixed into.

        Raises SourceGone if it was deleted, or replaced.
        """
        assert self.video.source
        key = self.fixed.key if self.fixed else self.video.source.key
        try:
            fetched = self.service.storage.fetch(key, source)
        except FileNotFoundError:
            raise SourceGone from None
        if not self.fixed and fetched.etag != self.video.source.etag:
            raise SourceGone

    def take_up(self, media: Media) -> None:
        """Go on with what was fixed; a sign of life, as the copy of it writes none."""
        self.media, self.to_be_fixed = media, False
        self._write(progress=PROGRESS_FIXED)

    def drop_audio(self) -> None:
        """Continue without audio in every output: broken audio alone does not reject a video."""
        self.media = replace(self.media, audio=None)
        self.kept = ()
        self._write(warnings=(*self.video.warnings, "The audio cannot be decoded; the video is silent."))

    def undecodable(self, reason: Exception) -> Rejected | ToolFailed:
        if self.video.fixes and not self.to_be_fixed:
            return ToolFailed(f"The fixed clip cannot be decoded: {reason}")
        self.last_error = str(reason)
        broken = replace(self.media, faults=("The video frames cannot be decoded.",))
        return Rejected(rules.check(broken, self.service.spec))

    def measure_sound(self, source: Path) -> bool:
        """Measure the audio, if any. True if it turned out to be damaged, so that it must be encoded.

        The loudness is published with the next write.
        """
        audio = self.media.audio
        if not audio or audio.loudness_lufs is not None:
            return False
        measured = with_loudness(audio, source, self.service.tools)
        self.media = replace(self.media, audio=measured)
        return can_copy_sound(audio) and not can_copy_sound(measured)

    def publish(self, made: MadeFiles, state: State = State.PROCESSING) -> None:
        """Store the files, then publish them with one write."""
        made_now = store(made.files, self.video, self.service)
        outputs = {output.name: output for output in (*self.kept, *made_now)}
        self.kept = tuple(outputs.values())
        now = self.service.now()
        self._write(
            state,
            media=self.media,
            outputs=self.kept,
            blurhash=made.blurhash or self.video.blurhash,
            playable_at=self.video.playable_at or now,
            completed_at=now if state is State.COMPLETED else None,
            progress=self.progress_playable,
        )

    def begin_run(self, begins_at: int, ends_at: int) -> None:
        """Note that an encode begins, and from where to where it brings the progress."""
        self.run_began_at = self.service.monotonic()
        self.run_progress = begins_at, ends_at

    def on_progress(self, line: str) -> None:
        """Handle one line of ffmpeg's ``-progress``."""
        name, _, value = line.partition("=")
        if name == "frame" and value.isdecimal():  # out_time stays N/A until the sprite exists
            self.on_share(min(int(value) / self.media.frame_count, 1.0))

    def on_share(self, share: float) -> None:
        """Report how much of a run is done, 0.0 to 1.0; writes at most once a second."""
        begins_at, ends_at = self.run_progress
        progress = begins_at + int(share * (ends_at - begins_at))
        now = self.service.monotonic()
        silent_s = now - self.written_at
        if silent_s >= HEARTBEAT_S or (silent_s >= PROGRESS_STEP_S and progress > self.video.progress):
            done = share * (ends_at - begins_at) / (99 - begins_at)  # of this run and those after it
            left_s = (now - self.run_began_at) * (1 - done) / done if done else None
            self._write(progress=progress, time_left_s=left_s)

    def sweep(self) -> None:
        """Delete the files that no record references, except those of another running attempt."""
        sweep(self.video.id, self.service, over=self.video.attempt)

    def _write(self, state: State = State.PROCESSING, **facts: object) -> None:
        recover_at = None if state is State.COMPLETED else watched_until(self.video, self.service)
        updated = self.video.to(state, at=self.service.now(), recover_at=recover_at, **facts)
        self.video = write(updated, self.service)
        self.written_at = self.service.monotonic()
