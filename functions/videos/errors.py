"""Every way the service says no.

    VideoError
    ├── BadRequest          the request is wrong: change it, then send it again
    │   ├── UnreadableBody  its body is not of a type this route reads
    │   ├── BodyTooLarge    its body is more than the route takes
    │   └── SlowRequest     it did not come in time: send it again
    ├── NoToken             nobody says who is asking: sign in
    ├── BadToken            the token is not one for us: another of its kind will not help
    │   └── ExpiredToken    it was: get a new one
    ├── ExpiredLink         the pass in a playback link is over: read the metadata again
    ├── QuotaExceeded       the owner's day is used up: wait for the next
    ├── TooManyRequests     more came at once than are let in: slow down
    ├── UnknownRoute        nothing answers at this path
    ├── WrongMethod         this path answers other methods
    ├── UnknownVideo        no video has this id, or none of the asker's
    ├── NotPlayable         there is nothing to play yet, or never will be
    ├── Refused             the file breaks the spec; carries every violation
    ├── WrongMove           no arrow leads from this state to that one: a bug, or news come late
    ├── LostRace            somebody else changed the video first: read it again
    ├── BadMedia            a tool read the file and gave it up: trying again will not help
    ├── ToolFailed          a tool is missing, hung or was killed: trying again may help
    └── Unavailable         storage, table or queue did not answer: try again later
        └── StorageFull     there is no room: try again once somebody has made some

A class exists where a caller acts differently. ``api.STATUS_OF`` turns them into
status codes; nothing here knows HTTP.
"""

import errno
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One broken rule of the spec, for programs (``rule``) and for people (the rest)."""

    rule: str
    found: str
    expected: str
    message: str
    suggestions: tuple[str, ...] = ()


class VideoError(Exception):
    """A refusal: a sentence and suggestions for people, a stable ``code`` for programs.

    ``details`` are further fields of the answer, such as ``violations``. ``retry_after_s`` is when
    the same request may succeed; None if it will not by itself.
    """

    code = "video_error"
    retry_after_s: int | None = None

    def __init__(self, message: str, *, suggestions: Sequence[str] = (), **details: Any) -> None:
        super().__init__(message)
        self.suggestions = tuple(suggestions)
        self.details = details


class BadRequest(VideoError):
    code = "bad_request"


class UnreadableBody(BadRequest):
    code = "unsupported_media_type"


class BodyTooLarge(BadRequest):
    code = "body_too_large"


class SlowRequest(BadRequest):
    code = "request_timeout"


class NoToken(VideoError):
    code = "token_missing"


class BadToken(VideoError):
    code = "token_refused"


class ExpiredToken(BadToken):
    code = "token_expired"


class ExpiredLink(VideoError):
    code = "link_expired"


class QuotaExceeded(VideoError):
    code = "quota_exceeded"

    def __init__(self, quota: dict[str, dict[str, int]], *, resets_at: datetime, retry_after_s: int) -> None:
        super().__init__(
            "Today's uploads are used up.",
            suggestions=[f"Try again after {resets_at.isoformat()}: the quota is for a day, in UTC."],
            quota={**quota, "resets_at": resets_at.isoformat()},
        )
        self.retry_after_s = retry_after_s


class TooManyRequests(VideoError):
    code = "too_many_requests"
    retry_after_s = 1

    def __init__(self) -> None:
        super().__init__(
            "Too many requests.",
            suggestions=["Wait a second, then go on; poll no more often than retry_after_ms says."],
        )


class UnknownRoute(VideoError):
    code = "unknown_route"


class WrongMethod(VideoError):
    code = "method_not_allowed"


class UnknownVideo(VideoError):
    code = "unknown_video"

    def __init__(self, video_id: str) -> None:
        super().__init__(
            f"No video has the id {video_id[:64]!r}.",
            suggestions=[
                "Use the id that POST /upload answered.",
                "The video may have been deleted; ask for a new upload ticket.",
            ],
        )


class NotPlayable(VideoError):
    code = "not_playable"


class Refused(VideoError):
    code = "video_refused"

    def __init__(self, problems: Sequence[Problem]) -> None:
        every_suggestion = dict.fromkeys(text for problem in problems for text in problem.suggestions)
        super().__init__(
            problems[0].message,
            suggestions=tuple(every_suggestion),
            violations=[asdict(problem) for problem in problems],
        )
        self.problems = tuple(problems)


class WrongMove(VideoError):
    code = "wrong_move"


class LostRace(VideoError):
    code = "lost_race"


class BadMedia(VideoError):
    code = "bad_media"


class ToolFailed(VideoError):
    code = "tool_failed"
    retry_after_s = 2


class Unavailable(VideoError):
    code = "unavailable"
    retry_after_s = 2


class StorageFull(Unavailable):
    code = "storage_full"
    retry_after_s = 60

    def __init__(self) -> None:
        super().__init__(
            "There is no room left to store anything.",
            suggestions=[
                "Try again later; what was accepted before is kept.",
                "If you run the service, make room: on the disk of its folder, or in /tmp of its functions.",
            ],
        )

    @staticmethod
    def is_meant(error: OSError) -> bool:
        """Whether this is how the system says it."""
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
