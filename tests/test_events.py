"""Which events a change is told as, and what they say."""

import json
import re
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from support import wire
from support.samples import NOON, a_full_video, a_video
from videos.checking.rules import check
from videos.fix import Fix
from videos.model import ELSEWHERE, PROTECTED, Media, State, Video
from videos.ports import Change, Event, Letter
from videos.telling.events import events_of

BASE_URL = "https://api.example/v1"
LATER = NOON + timedelta(minutes=1)


def told(before: Video | None, after: Video | None) -> list[Event]:
    return list(events_of(Change(before=before, after=after, at=LATER), BASE_URL))


def types(before: Video | None, after: Video | None) -> list[str]:
    return [event.type for event in told(before, after)]


def body(event: Event) -> dict:
    return json.loads(event.body)


WAITING = a_video(version=1)
CHECKED = a_video(version=3, state=State.QUEUED, playable_at=NOON)
UNPLAYABLE = a_video(version=3, state=State.QUEUED)
AT_WORK = a_video(version=4, state=State.PROCESSING, playable_at=NOON)
DONE = a_video(version=9, state=State.COMPLETED, playable_at=NOON, progress=100)
FAILED = a_video(version=9, state=State.FAILED, playable_at=NOON)


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (None, WAITING, []),
        (WAITING, replace(WAITING, version=2, attempt="a1"), []),
        (WAITING, CHECKED, ["video.playable"]),
        (WAITING, UNPLAYABLE, []),
        (CHECKED, AT_WORK, []),
        (AT_WORK, replace(AT_WORK, version=5, progress=41), []),
        (AT_WORK, DONE, ["video.completed"]),
        (replace(AT_WORK, playable_at=None), DONE, ["video.playable", "video.completed"]),
        (WAITING, a_video(version=2, state=State.REJECTED), ["video.rejected"]),
        (AT_WORK, a_video(version=5, state=State.REJECTED), ["video.rejected"]),
        (AT_WORK, FAILED, ["video.failed"]),
        (WAITING, a_video(version=2, state=State.EXPIRED), ["video.expired"]),
        (DONE, None, ["video.deleted"]),
        (WAITING, None, ["video.deleted"]),
        (FAILED, replace(FAILED, version=10, recover_at=LATER), []),
        (FAILED, replace(CHECKED, version=10), []),
        (replace(AT_WORK, version=14), replace(DONE, version=15), ["video.completed"]),
    ],
    ids=[
        "a ticket was given",
        "a check has begun",
        "the check published its copy",
        "the check could not copy it",
        "a worker has begun",
        "progress",
        "every output is published",
        "all of them at once",
        "the check rejected the file",
        "decoding proved it broken",
        "processing failed",
        "nothing was uploaded",
        "a completed video was deleted",
        "an unused ticket was deleted",
        "it is time to erase a failed one",
        "an operator redrove it",
        "it was completed after that",
    ],
)
def test_a_change_is_told_as(before, after, expected):
    assert types(before, after) == expected


def test_an_event_says_what_has_changed_and_where_to_read_more():
    custom = {"post": 7, "tags": ["猫"]}
    facts = {"external_id": "draft-7", "custom": json.dumps(custom)}
    [event] = told(replace(WAITING, **facts), replace(CHECKED, **facts))

    assert body(event) == {
        "type": "video.playable",
        "id": event.id,
        "timestamp": "2026-11-23T12:00:00.123456+00:00",
        "data": {
            "id": "v1",
            "version": 3,
            "previous": {"state": "awaiting_upload", "playable": False},
            "external_id": "draft-7",
            "custom": custom,
            "state": "queued",
            "playable": True,
            "url": "https://api.example/v1/videos/v1/video.mp4",
            "links": {
                "status": "https://api.example/v1/videos/v1/status",
                "metadata": "https://api.example/v1/videos/v1/metadata",
            },
        },
    }
    assert (event.video_id, event.version, event.owner, event.at) == ("v1", 3, "", NOON)


def test_a_rejection_has_every_violation_and_says_that_the_video_played():
    rejected = replace(a_full_video(), version=5, state=State.REJECTED, playable_at=None)

    [event] = told(AT_WORK, rejected)

    data = body(event)["data"]
    assert data["previous"] == {"state": "processing", "playable": True}
    assert data["playable"] is False
    [violation] = data["violations"]
    assert (violation["rule"], violation["found"]) == ("resolution", "1920x1080")
    assert violation["suggestions_for"]["ios"] == ["Hold the phone upright."]


def test_an_event_of_a_fixed_video_says_what_was_changed():
    fixed = Fix(rule="resolution", found="1080x1920", made="720x1280")

    [event] = told(replace(WAITING, fixes=(fixed,)), replace(CHECKED, fixes=(fixed,)))

    fixes = body(event)["data"]["fixes"]
    assert fixes == [{"rule": "resolution", "found": "1080x1920", "made": "720x1280"}]


def test_a_deleted_video_has_no_state_and_no_links_and_the_highest_version():
    [event] = told(DONE, None)

    data = body(event)["data"]
    assert data == {
        "id": "v1",
        "version": 10,
        "previous": {"state": "completed", "playable": True},
        "state": None,
        "playable": False,
    }
    assert event.at == LATER


def test_an_event_has_the_same_id_whenever_it_is_made_and_no_other_has_it():
    changes = [(WAITING, CHECKED), (replace(AT_WORK, playable_at=None), DONE), (DONE, None), (FAILED, None)]
    changes += [(replace(before, id="v2"), after and replace(after, id="v2")) for before, after in changes]

    ids = [event.id for change in changes for event in told(*change)]

    assert ids == [event.id for change in changes for event in told(*change)]
    assert len(set(ids)) == len(ids) - 2  # a video is deleted once
    assert all(len(one) == 36 and one.startswith("evt_") and one[4:].isalnum() for one in ids)


def test_no_event_has_a_secret_a_storage_key_or_what_a_tool_printed():
    video = replace(a_full_video(), failure="/tmp/work/source: broken", version=5)  # noqa: S108
    ends = [State.COMPLETED, State.REJECTED, State.FAILED, State.EXPIRED]

    bodies = [event.body for state in ends for event in told(AT_WORK, replace(video, state=state))] + [
        event.body for event in told(video, None)
    ]

    assert len(bodies) == 5
    for text in bodies:
        assert '"owner":"ab12"' in text
        for secret in ("cd34", "pass", "outputs/", "uploads/", "/tmp"):  # noqa: S108
            assert secret not in text, text


def test_the_largest_event_is_a_tenth_of_what_a_bus_takes():
    worst = Media(
        content="x" * 100,
        size_bytes=10**9,
        video_streams=9,
        codec="vp9" * 20,
        width_px=1,
        height_px=1,
        other_sizes=("8192x8192",) * 1000,
        frame_rate=1e9,
        duration_s=1e9,
        color_primaries="bt2020",
        color_transfer="smpte2084",
        color_space="bt2020nc",
        faults=(PROTECTED, ELSEWHERE),
    )
    problems = check(worst)
    custom = json.dumps({"x": "猫" * 339})
    rejected = a_video(
        version=2,
        state=State.REJECTED,
        problems=problems,
        external_id="😀" * 128,
        custom=custom,
        owner="a" * 64,
    )

    [event] = told(a_video(version=1), rejected)

    assert len(problems) >= 5
    assert len(event.body.encode()) < 256 * 1024 / 10


# By the documentation of SendMessage, which answers InvalidMessageContents to any other; emulators do not.
TAKEN_BY_SQS = re.compile("[\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]*")


def test_sqs_takes_whatever_characters_an_app_sends():
    says = "".join(map(chr, (*range(0xD800), *range(0xE000, 0x10000), 0x1FFFF, 0x10FFFF)))
    facts = {"external_id": "\ufffe\uffff", "custom": json.dumps({says: says})}

    [event] = told(replace(WAITING, **facts), replace(CHECKED, **facts))

    assert TAKEN_BY_SQS.fullmatch(event.body)
    assert TAKEN_BY_SQS.fullmatch(msgspec.json.encode(Letter(event=event)).decode())
    assert body(event)["data"]["custom"] == {says: says}
    assert body(event)["data"]["external_id"] == "\ufffe\uffff"


def test_the_event_in_the_documentation_is_one():
    page = (Path(__file__).parent.parent / "docs" / "api.md").read_text()
    _, _, section = page.partition("\n## Events\n")
    [example] = re.findall(r"```json\n(.*?)```", section.partition("\n## ")[0], re.DOTALL)

    assert wire.objections({"$ref": "#/components/schemas/Event"}, json.loads(example)) == []


def test_the_documentation_names_every_type():
    page = (Path(__file__).parent.parent / "docs" / "api.md").read_text()

    named = set(re.findall(r"^\| `(video\.[a-z]+)` \|", page, re.MULTILINE))
    assert named == set(wire.DOCUMENT["webhooks"])
