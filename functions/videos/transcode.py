"""From an accepted upload to files that play: the picture as it is first, then the ladder.

An attempt writes under a folder of its own and publishes by compare-and-set, so nobody
sees half a result, and an attempt that lost its race removes what it wrote.
"""

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from math import ceil
from pathlib import Path
from uuid import uuid4

from videos import rules, steps, stills, tools
from videos.errors import BadMedia, LostRace, Problem, Refused, ToolFailed, Unavailable, UnknownVideo
from videos.fragments import put_index_first
from videos.model import LADDER_PX, Media, Output, Segments, Sheet, State, Video
from videos.probe import probe, with_loudness
from videos.service import Service
from videos.tools import GIB, Poster, Sprite, Target

PLAYABLE_TIMEOUT_S = 30.0  # 60 s of video take 0.2 s
LADDER_TIMEOUT_S = 240.0  # 60 s of video take 40 s on two slow cores; less than the function has
LADDER_MEMORY_BYTES = 2 * GIB  # of address space; x264 at 720x1280 stays under 0.4 GiB resident
PROGRESS_PLAYABLE = 5  # of 100: copying is that little of the work
PROGRESS_STEP_S = 1.0  # a write a second at most
HEARTBEAT_S = 15.0  # and one at least, so that nobody takes us for dead
LEASE_S = 60.0  # who has written within it is left alone; fetching and copying take less

COPYABLE_PIXELS = ("yuv420p",)


class SourceGone(Exception):
    """The upload is not there any more."""


def transcode(video_id: str, service: Service, *, last_try: bool = False, first_try: bool = False) -> Video:
    """Make every output of a queued video, and publish each as soon as it is there.

    Args:
        last_try: whether this delivery of the job is the last; the video then says ``failed``.
        first_try: whether the job was never delivered before. Who was given the video before has
            another job, and may be in the middle of it; else whoever had this job is gone.

    Returns:
        The video as it is now; unchanged if there is nothing to do, or somebody else does it.

    Raises:
        UnknownVideo: it was deleted.
        ToolFailed, Unavailable, OSError: try again.
    """
    try:
        video = service.videos.get(video_id)
    except UnknownVideo:
        steps.sweep(video_id, service)  # what a run left that was killed
        raise
    if video.state is State.AWAITING_UPLOAD:  # the job overtook the update that follows it, or outlived it
        video = steps.check_upload(video_id, service)  # and this may be the only job there is
    if video.finished:
        steps.sweep(video_id, service)
        return video
    if first_try and _in_good_hands(video, service):
        service.jobs.put(video_id, delay_s=ceil(LEASE_S))  # to see whether they finished it
        return video
    if video.attempts >= service.most_attempts:  # enough: recover_videos fails it once it is silent
        return video
    if last_try:  # nobody comes after us to remove what we leave, should we be killed
        service.jobs.put(video_id, delay_s=steps.CLEAN_UP_AFTER_S)
    attempt = _Attempt(video, service)
    try:
        _work_on(attempt, last_try=last_try)
    except LostRace:
        return service.videos.get(video_id)
    finally:
        attempt.sweep()
    return attempt.video


def _in_good_hands(video: Video, service: Service) -> bool:
    """Whether an attempt has written lately. A clock that is far off does not count."""
    silent = abs(service.now() - video.updated_at)
    return video.state is State.PROCESSING and silent < timedelta(seconds=LEASE_S)


def _work_on(attempt: "_Attempt", *, last_try: bool) -> None:
    service = attempt.service
    attempt.begin()
    try:
        with service.private_folder() as folder:
            attempt.fetch(folder / "source")
            _make_outputs(attempt, folder)
    except SourceGone:
        attempt.video = steps.fail(attempt.video, "The uploaded file is gone.", service)
    except Refused as refusal:
        attempt.video = steps.reject(attempt.video, refusal.problems, service, failure=attempt.last_words)
    except (ToolFailed, Unavailable, OSError) as error:
        if not last_try:
            raise
        attempt.video = steps.fail(attempt.video, f"It could not be processed: {error}", service)


def _make_outputs(attempt: "_Attempt", folder: Path) -> None:
    """All of them; without sound if it is the sound that cannot be read.

    Raises:
        Refused: the picture cannot be decoded.
    """
    try:
        _copy_and_encode(attempt, folder)
    except BadMedia as error:
        attempt.last_words = str(error)
        if attempt.media.audio is None:
            raise Refused(attempt.undecodable()) from None
        attempt.silence()
        try:
            _copy_and_encode(attempt, folder)
        except BadMedia:
            raise Refused(attempt.undecodable()) from None


def _copy_and_encode(attempt: "_Attempt", folder: Path) -> None:
    service, source = attempt.service, folder / "source"
    poster = _poster(attempt, folder)
    if not attempt.video.playable and can_be_copied(attempt.media):
        with suppress(BadMedia):  # what cannot be copied may be decoded all the same: that decides
            _copy(attempt, source, poster)
    attempt.measure_loudness(source)
    media = attempt.media
    missing = [
        Target(folder / name, *size) for name, size in LADDER_PX.items() if not attempt.video.output(name)
    ]
    sheet = stills.sheet(media.duration_s)
    sprite = Sprite(Target(folder / "sprite.jpg", *stills.sheet_size_px(sheet)), sheet)
    no_poster = attempt.video.output("poster") is None
    command = tools.ladder_command(
        service.tools, source, media, missing, sprite, poster if no_poster else None
    )
    attempt.encodes_from = time.monotonic()
    tools.run(
        command, timeout_s=LADDER_TIMEOUT_S, memory_bytes=LADDER_MEMORY_BYTES, on_line=attempt.on_progress
    )
    made = [_rendition(target, "h264") for target in missing]
    made.append(_picture(sprite.target, sheet=sheet))
    facts = {}
    if no_poster:
        made.append(_picture(poster.target))
        facts["blurhash"] = stills.placeholder(poster.tiny.path)
    attempt.publish(made, State.COMPLETED, **facts)


def _copy(attempt: "_Attempt", source: Path, poster: Poster) -> None:
    media, using = attempt.media, attempt.service.tools
    copy = Target(source.with_name(copy_name(media)), media.width_px, media.height_px)

    def make(*, tagged: bool) -> None:
        command = tools.playable_command(using, source, media, copy.path, poster, tagged=tagged)
        tools.run(command, timeout_s=PLAYABLE_TIMEOUT_S)

    try:
        make(tagged=True)
    except BadMedia:  # its headers may be odd where its pictures are not
        make(tagged=False)
    attempt.publish(
        [_rendition(copy, media.codec), _picture(poster.target)],
        blurhash=stills.placeholder(poster.tiny.path),
    )


def _poster(attempt: "_Attempt", folder: Path) -> Poster:
    """At the time that was asked for, or of the last picture, should that be earlier."""
    media = attempt.media
    last_s = (media.frame_count - 1) / media.frame_rate if media.frame_rate else 0.0
    return Poster(
        Target(folder / "poster.jpg", *stills.POSTER_PX),
        Target(folder / "tiny.rgb", *stills.TINY_PX),
        min(attempt.video.poster_time_s, max(0.0, last_s - 0.1)),
    )


def _rendition(written: Target, codec: str) -> "_Made":
    path = written.path.with_suffix(".mp4")
    segments = put_index_first(written.path, path)
    return _Made(replace(written, path=path), codec, "video/mp4", segments=segments)


def _picture(target: Target, sheet: Sheet | None = None) -> "_Made":
    return _Made(target, "mjpeg", "image/jpeg", sheet=sheet)


def can_be_copied(media: Media) -> bool:
    """Whether phones play the picture as it is, and may: H.264 or HEVC, 8-bit 4:2:0, limited range.

    Not where an edit list hides frames, or the container a part of the picture: a copy would
    carry what its maker cut off. Nor where H.264 has keyframes that only an SEI message
    announces: those go with the private ones.
    """
    plain = media.pixel_format in COPYABLE_PIXELS and media.color_range != "pc"
    return plain and not media.hidden_frames and not media.cropped and media.closed_gops


def copy_name(media: Media) -> str:
    """What the copied picture is called among the outputs; "720p" is the one that plays everywhere."""
    if media.codec == "hevc":
        return "720p-hevc"
    return "720p" if media.upright else "720p-turned"


@dataclass(frozen=True, slots=True)
class _Made:
    """A file to publish; the output is called as the file is."""

    target: Target
    codec: str
    content_type: str
    segments: Segments | None = None
    sheet: Sheet | None = None


class _Attempt:
    """One run at one video: the record as we last wrote it. LostRace from any write ends it."""

    def __init__(self, video: Video, service: Service) -> None:
        assert video.media
        self.video = video
        self.media = video.media
        self.service = service
        self.name = uuid4().hex[:12]
        self.folder = f"{video.outputs_prefix}{self.name}/"
        self.written_at = 0.0  # monotonic seconds
        self.encodes_from = 0.0  # monotonic seconds
        self.last_words = ""  # of the tool that gave the file up; for the log

    def begin(self) -> None:
        self._write(attempt=self.name, attempts=self.video.attempts + 1)

    def fetch(self, source: Path) -> None:
        """Bring the upload; if it was replaced since it was checked, what counts is what is there now.

        Raises:
            Refused: it was replaced by something that breaks the spec.
            SourceGone: it is not there any more.
        """
        storage, spec = self.service.storage, self.service.spec
        try:
            if problems := rules.check_size(storage.stat(self.video.source_key).size_bytes, spec):
                raise Refused(problems)
            fetched = storage.fetch(self.video.source_key, source)
        except FileNotFoundError:
            raise SourceGone from None
        if self.video.source and fetched.etag == self.video.source.etag:
            return
        self.media = probe(source, self.service.tools)
        if problems := rules.check(self.media, spec):
            raise Refused(problems)
        self._write(
            source=fetched,
            media=self.media,
            warnings=rules.warnings(self.media),
            outputs=(),
            playable_at=None,
        )

    def silence(self) -> None:
        """Go on without the sound: it alone does not refuse a good picture."""
        self.media = replace(self.media, audio=None)
        self._write(warnings=(*self.video.warnings, "Its sound cannot be read; the video is silent."))

    def undecodable(self) -> tuple[Problem, ...]:
        return rules.check(replace(self.media, faults=("Its frames cannot be decoded.",)), self.service.spec)

    def measure_loudness(self, source: Path) -> None:
        """Of the sound, if there is any; a fact for players, published with the next write."""
        if self.media.audio and self.media.audio.loudness_lufs is None:
            self.media = replace(
                self.media, audio=with_loudness(self.media.audio, source, self.service.tools)
            )

    def publish(self, made: Sequence[_Made], state: State = State.PROCESSING, **facts: object) -> None:
        """Store what was made, and let everybody see it."""
        outputs = {output.name: output for output in self.video.outputs}
        for file in made:
            path = file.target.path
            key = self.folder + path.name
            stored = self.service.storage.save(path, key, content_type=file.content_type)
            outputs[path.stem] = Output(
                name=path.stem,
                key=key,
                content_type=file.content_type,
                codec=file.codec,
                width_px=file.target.width_px,
                height_px=file.target.height_px,
                size_bytes=stored.size_bytes,
                segments=file.segments,
                sheet=file.sheet,
            )
        now = self.service.now()
        self._write(
            state,
            media=self.media,
            outputs=tuple(outputs.values()),
            playable_at=self.video.playable_at or now,
            completed_at=now if state is State.COMPLETED else None,
            progress=PROGRESS_PLAYABLE,
            **facts,
        )

    def on_progress(self, line: str) -> None:
        """One line of ffmpeg's ``-progress``: write it down, at most once a second."""
        name, _, value = line.partition("=")
        if name != "frame" or not value.isdecimal():  # out_time stays N/A until the sprite is there
            return
        share = min(int(value) / self.media.frame_count, 1.0)
        progress = PROGRESS_PLAYABLE + int(share * (99 - PROGRESS_PLAYABLE))
        now = time.monotonic()
        silent_s = now - self.written_at
        if silent_s >= HEARTBEAT_S or (silent_s >= PROGRESS_STEP_S and progress > self.video.progress):
            left_s = (now - self.encodes_from) * (1 - share) / share if share else None
            self._write(progress=progress, time_left_s=left_s)

    def sweep(self) -> None:
        """Remove what no record points to, except what another attempt is making."""
        steps.sweep(self.video.id, self.service, over=self.name)

    def _write(self, state: State = State.PROCESSING, **facts: object) -> None:
        now = self.service.now()
        recover_at = None if state is State.COMPLETED else now + self.service.look_again
        next_one = self.video.to(state, at=now, recover_at=recover_at, **facts)
        try:
            self.video = self.service.record(self.video, next_one)
        except LostRace:
            written = replace(next_one, version=next_one.version + 1)
            if self.service.videos.get(self.video.id) != written:
                raise
            self.video = written  # by ourselves: the answer was lost, and a client repeats what has none
        self.written_at = time.monotonic()
