"""The events that changes of records are: what happened to a video, for whoever wants to know.

Each is a type of its own, as an app gets it: ``msgspec.json.encode`` writes them as they are declared, and
openapi.json is made of them. The envelope is that of Standard Webhooks, with the id in it.
"""

import hashlib
import json
from collections.abc import Iterator
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from videos.errors import Violation
from videos.fix import Fix
from videos.model import State, Video
from videos.ports import Change, Event

Timestamp = Annotated[str, Meta(description="ISO 8601, in UTC", extra_json_schema={"format": "date-time"})]
Url = Annotated[str, Meta(description="Absolute", extra_json_schema={"format": "uri"})]


class PreviousValues(Struct, frozen=True, kw_only=True):
    """What the change replaced: either field is there only if it has another value now."""

    state: State | UnsetType = UNSET
    playable: bool | UnsetType = UNSET


class EventLinks(Struct, frozen=True, kw_only=True):
    """Where to read more of a video."""

    status: Url
    metadata: Url


class AboutVideo(Struct, frozen=True, kw_only=True):
    """What every event says of its video."""

    id: Annotated[str, Meta(description="The video's id")]
    version: Annotated[
        int, Meta(description="Grows with every change of a video; drop an event with a lower one than known")
    ]
    previous: Annotated[PreviousValues, Meta(description="What has changed, as it was before")]
    external_id: Annotated[
        str | UnsetType, Meta(description="As the request for the ticket gave it, if it did")
    ] = UNSET
    custom: Annotated[dict[str, Any] | UnsetType, Meta(description="The same")] = UNSET
    owner: Annotated[str | UnsetType, Meta(description="A hash of issuer and subject, with tokens only")] = (
        UNSET
    )


class EventData(AboutVideo, frozen=True, kw_only=True):
    """A video after the change."""

    state: State
    playable: bool
    url: Annotated[Url, Meta(description="The stable playback URL; with tokens, without a pass")]
    links: EventLinks
    fixes: Annotated[
        list[Fix] | UnsetType, Meta(description="What was changed, if the file broke the spec")
    ] = UNSET


class RejectedEventData(EventData, frozen=True, kw_only=True):
    """A rejected video, and why."""

    violations: list[Violation]


class DeletedEventData(AboutVideo, frozen=True, kw_only=True):
    """A video that is gone, and its links with it."""

    state: None
    playable: bool


class Envelope(Struct, frozen=True, kw_only=True, tag_field="type"):
    """What every event has."""

    id: Annotated[str, Meta(description="The same when the event is sent again: drop a repeat by it")]
    timestamp: Annotated[Timestamp, Meta(description="When it happened")]
    data: AboutVideo


class VideoPlayable(Envelope, frozen=True, kw_only=True, tag="video.playable"):
    """A video can be played. Its other renditions follow, or video.rejected if decoding proves it broken."""

    data: EventData


class VideoCompleted(Envelope, frozen=True, kw_only=True, tag="video.completed"):
    """Every output of a video is published."""

    data: EventData


class VideoRejected(Envelope, frozen=True, kw_only=True, tag="video.rejected"):
    """A file violates the spec. It may have been playable until then."""

    data: RejectedEventData


class VideoFailed(Envelope, frozen=True, kw_only=True, tag="video.failed"):
    """Processing failed after every retry. What plays still plays; an operator may start it again."""

    data: EventData


class VideoExpired(Envelope, frozen=True, kw_only=True, tag="video.expired"):
    """Nothing was uploaded before the ticket expired."""

    data: EventData


class VideoDeleted(Envelope, frozen=True, kw_only=True, tag="video.deleted"):
    """A video was deleted on request, or erased 30 days after it failed."""

    data: DeletedEventData


OF_STATE: dict[State, type[Envelope]] = {
    State.COMPLETED: VideoCompleted,
    State.REJECTED: VideoRejected,
    State.FAILED: VideoFailed,
    State.EXPIRED: VideoExpired,
}
# SQS rejects a message that holds these two, and they may be in what an app or a file says. Escaped, they are
# the same JSON.
NO_CHARACTERS = str.maketrans({"\ufffe": "\\ufffe", "\uffff": "\\uffff"})
TYPES: tuple[type[Envelope], ...] = (VideoPlayable, *OF_STATE.values(), VideoDeleted)


def events_of(change: Change, base_url: str) -> tuple[Event, ...]:
    """What a change is told as; nothing for most. One write may make a video playable and complete it.

    Args:
        base_url: of the links.
    """
    return tuple(_event(kind, change, base_url) for kind in _kinds(change.before, change.after))


def _kinds(before: Video | None, after: Video | None) -> Iterator[type[Envelope]]:
    if after is None:
        yield VideoDeleted
        return
    if after.playable and not (before and before.playable):
        yield VideoPlayable
    if after.state in OF_STATE and not (before and before.state is after.state):
        yield OF_STATE[after.state]


def _event(kind: type[Envelope], change: Change, base_url: str) -> Event:
    name = str(kind.__struct_config__.tag)
    video, deleted = change.video, change.after is None
    version = video.version + deleted  # as if the deletion were one more write
    event_id = "evt_" + hashlib.sha256(f"{video.id} {version} {name}".encode()).hexdigest()[:32]
    at = change.at if deleted else video.updated_at
    body = kind(id=event_id, timestamp=at.isoformat(), data=_data(kind, change, version, base_url))
    return Event(
        id=event_id,
        type=name,
        video_id=video.id,
        version=version,
        owner=video.owner,
        at=at,
        body=msgspec.json.encode(body).decode().translate(NO_CHARACTERS),
    )


def _data(kind: type[Envelope], change: Change, version: int, base_url: str) -> AboutVideo:
    video = change.video
    about: dict[str, Any] = {
        "id": video.id,
        "version": version,
        "previous": _previous(change.before, change.after),
        "external_id": video.external_id or UNSET,
        "custom": json.loads(video.custom) if video.custom else UNSET,
        "owner": video.owner or UNSET,
    }
    if change.after is None:
        return DeletedEventData(**about, state=None, playable=False)
    base = f"{base_url}/videos/{video.id}"
    now: dict[str, Any] = {
        **about,
        "state": video.state,
        "playable": video.playable,
        "url": f"{base}/video.mp4",
        "links": EventLinks(status=f"{base}/status", metadata=f"{base}/metadata"),
        "fixes": list(video.fixes) or UNSET,
    }
    return (
        RejectedEventData(**now, violations=list(video.problems))
        if kind is VideoRejected
        else EventData(**now)
    )


def _previous(before: Video | None, after: Video | None) -> PreviousValues:
    if before is None:
        return PreviousValues()
    state, playable = (after.state, after.playable) if after else (None, False)
    return PreviousValues(
        state=UNSET if before.state is state else before.state,
        playable=UNSET if before.playable is playable else before.playable,
    )
