"""Every error that the service raises.

    VideoError
    ├── BadRequest: UnreadableBody, BodyTooLarge, SlowRequest
    ├── BadToken: ExpiredToken
    ├── ToolFailed: ToolExhausted
    ├── Unavailable: StorageFull
    └── NoToken, ExpiredLink, ForbiddenHost, ForbiddenOrigin, QuotaExceeded, TooManyRequests, UnknownRoute,
        WrongMethod, UnknownVideo, NotPlayable, Rejected, KeyReused, WrongMove, LostRace, BadMedia

A class exists where a caller acts differently. The first sentence of its docstring says when it is
raised, the second paragraph what an app does about it: ``make docs`` makes the table of error codes of both.
``api.STATUS_OF`` turns errors into status codes; nothing here knows HTTP.
"""

import errno
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from videos.suggestions import SuggestionsFor, merged, unique


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """One violation of the spec: ``rule`` is for programs, the rest is for people.

    ``suggestions`` has what is expected, then all of ``suggestions_for``, labelled; old records lack those.
    """

    rule: str
    found: str
    expected: str
    message: str
    suggestions: tuple[str, ...] = ()
    suggestions_for: SuggestionsFor = field(default_factory=SuggestionsFor)


class VideoError(Exception):
    """An error with a sentence and suggestions for people, and a stable ``code`` for programs.

    Attributes:
        suggestions_for: the suggestions by reader; unless given, all are for the developer.
        public: what clients are told instead, if the message may hold what a tool printed, or a path of ours.
        details: further fields of the answer, such as ``violations``.
        retry_after_s: when the same request may succeed; None if waiting does not help.
    """

    code = "video_error"
    public = ""
    retry_after_s: int | None = None

    def __init__(
        self,
        message: str,
        *,
        suggestions: Sequence[str] = (),
        suggestions_for: SuggestionsFor | None = None,
        **details: Any,
    ) -> None:
        super().__init__(message)
        self.suggestions = tuple(suggestions)
        self.suggestions_for = suggestions_for or SuggestionsFor(developer=self.suggestions)
        self.details = details


class BadRequest(VideoError):
    """The request is malformed, or contradicts itself.

    Correct it as ``error`` says, then resend it.
    """

    code = "bad_request"


class UnreadableBody(BadRequest):
    """The body or clip is of an unsupported type.

    Send a type that ``suggestions`` names.
    """

    code = "unsupported_media_type"


class BodyTooLarge(BadRequest):
    """The body exceeds what the route takes.

    Ask for a ticket, then send the file to storage.
    """

    code = "body_too_large"


class SlowRequest(BadRequest):
    """The request did not arrive in time.

    Send it again, on a better network.
    """

    code = "request_timeout"


class NoToken(VideoError):
    """The request has no bearer token.

    Sign the user in, then send a bearer token.
    """

    code = "token_missing"


class BadToken(VideoError):
    """The token is not valid for this service.

    Do not retry: ``error`` says what is wrong.
    """

    code = "token_refused"


class ExpiredToken(BadToken):
    """The token has expired.

    Get a new token, then repeat the request.
    """

    code = "token_expired"


class ExpiredLink(VideoError):
    """The pass in a playback link has expired.

    Read the metadata again: it has new links.
    """

    code = "link_expired"


class ForbiddenHost(VideoError):
    """The request names a host that is not the server's.

    Use `localhost` or an IP address.
    """

    code = "host_not_allowed"


class ForbiddenOrigin(VideoError):
    """A web page of this origin may not change anything.

    Ask the operator to allow it.
    """

    code = "origin_not_allowed"


class QuotaExceeded(VideoError):
    """The owner's daily upload quota is used up.

    Wait until ``quota.resets_at``.
    """

    code = "quota_exceeded"

    def __init__(self, quota: dict[str, dict[str, int]], *, resets_at: datetime, retry_after_s: int) -> None:
        suggestion = f"Try again after {resets_at.isoformat()}; quotas reset daily at 00:00 UTC."
        super().__init__(
            "Daily upload quota exceeded.",
            suggestions=[suggestion],
            suggestions_for=SuggestionsFor.everyone(suggestion),
            quota={**quota, "resets_at": resets_at.isoformat()},
        )
        self.retry_after_s = retry_after_s


class TooManyRequests(VideoError):
    """More requests arrived than are let in.

    Wait as ``Retry-After`` says; poll less often.
    """

    code = "too_many_requests"
    retry_after_s = 1

    def __init__(self) -> None:
        super().__init__(
            "Too many requests.",
            suggestions=["Wait one second, then retry. When polling, wait retry_after_ms between requests."],
        )


class UnknownRoute(VideoError):
    """No such route, or no such file of this video.

    Correct the path; metadata lists the files.
    """

    code = "unknown_route"


class WrongMethod(VideoError):
    """The path does not answer this method.

    Use a method that ``suggestions`` names.
    """

    code = "method_not_allowed"


class UnknownVideo(VideoError):
    """No video of this owner has this id.

    Forget the id; ask for a new ticket.
    """

    code = "unknown_video"

    def __init__(self, video_id: str) -> None:
        super().__init__(
            f"No video has the id {video_id[:64]!r}.",
            suggestions=["Use the id returned by POST /upload.", "If it was deleted, ask for a new ticket."],
        )


class NotPlayable(VideoError):
    """The file is not there yet, or never will be.

    Poll the status; stop at a final ``state``.
    """

    code = "not_playable"


class Rejected(VideoError):
    """The file violates the spec.

    Show ``violations``: each says how to fix the file.
    """

    code = "video_refused"

    def __init__(self, violations: Sequence[Violation]) -> None:
        super().__init__(
            violations[0].message,
            suggestions=unique(violation.suggestions for violation in violations),
            suggestions_for=merged([violation.suggestions_for for violation in violations]),
            violations=[asdict(violation) for violation in violations],
        )
        self.violations = tuple(violations)


class KeyReused(VideoError):
    """The ``Idempotency-Key`` is of another body.

    Send a new key with a new request.
    """

    code = "idempotency_key_reused"


class WrongMove(VideoError):
    """The video's state does not allow this step.

    Read the status again.
    """

    code = "wrong_move"


class LostRace(VideoError):
    """Somebody else changed the video first.

    Read the status again; it may be done.
    """

    code = "lost_race"


class BadMedia(VideoError):
    """A media tool cannot read the file.

    Send another file; retrying does not help.
    """

    code = "bad_media"
    public = "The file cannot be processed."


class ToolFailed(VideoError):
    """A media tool is missing or was killed.

    Retry as ``Retry-After`` says.
    """

    code = "tool_failed"
    public = "Files cannot be processed at the moment."
    retry_after_s = 2


class ToolExhausted(ToolFailed):
    """A media tool reached its limits, or crashed.

    Retry once; then the file is rejected.
    """

    code = "tool_exhausted"


class Unavailable(VideoError):
    """Storage, table, queue or token issuer is down.

    Retry as ``Retry-After`` says.
    """

    code = "unavailable"
    retry_after_s = 2


class StorageFull(Unavailable):
    """No space is left to store anything.

    Retry as ``Retry-After`` says.
    """

    code = "storage_full"
    retry_after_s = 60

    def __init__(self) -> None:
        wait = ("Try again later. Accepted videos are kept.",)
        all_of_it = (*wait, "Operator: free space on the disk of the data folder, or in the functions' /tmp.")
        super().__init__(
            "Storage is full.",
            suggestions=all_of_it,
            suggestions_for=SuggestionsFor(ios=wait, android=wait, computer=wait, developer=all_of_it),
        )

    @staticmethod
    def matches(error: OSError) -> bool:
        """Whether ``error`` means that the disk or the disk quota is full."""
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
