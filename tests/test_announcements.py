"""What each adapter of ``Announcements`` does beyond the contract."""

import json
from dataclasses import replace

import boto3
import pytest

from support.samples import an_event
from videos.errors import Unavailable
from videos.stores.local.announcements import SqliteAnnouncements


def positions(log: SqliteAnnouncements, after: int = 0, *, limit: int = 1000) -> list[int]:
    return [one.position for one in log.after(after, owner="", limit=limit)]


def ids(log: SqliteAnnouncements, owner: str = "") -> list[str]:
    return [json.loads(one.body)["id"] for one in log.after(0, owner=owner, limit=1000)]


# ── EventBridge ──────────────────────────────────────────────────────────────────


@pytest.fixture
def calls():
    """The entries of each call, as they are sent."""
    sent: list[list[dict]] = []

    def note(params, **_):
        sent.append(params["Entries"])

    events = boto3._get_default_session()._session
    events.register("before-parameter-build.events.PutEvents", note)
    yield sent
    events.unregister("before-parameter-build.events.PutEvents", note)


def test_an_entry_that_fails_is_told_again_with_all_that_follow_of_its_video(moto_rig):
    first, second, other = an_event("v1", 1), an_event("v1", 2), an_event("v2", 1)
    malformed = replace(first, body="no JSON")

    with pytest.raises(Unavailable) as error:
        moto_rig.announcements.announce([malformed, other, second])

    assert "MalformedDetail" in str(error.value)
    told_first = [event["id"] for event in moto_rig.told(1)]
    assert told_first == [other.id], "the second of v1 must not overtake the first"
    moto_rig.announcements.announce([first, other, second])
    assert [event["id"] for event in moto_rig.told(3)] == [first.id, other.id, second.id]


def test_a_call_has_no_more_than_eventbridge_takes(moto_rig, calls):
    small = [an_event(f"small-{number}", 1) for number in range(21)]
    large = [an_event(f"large-{number}", 1, says="猫" * 30_000) for number in range(6)]

    moto_rig.announcements.announce([*small, *large])

    assert [len(entries) for entries in calls] == [10, 10, 3, 2, 2]
    assert all(sum(len(entry["Detail"].encode()) for entry in entries) <= 256 * 1024 for entries in calls)


def test_a_rule_can_match_source_and_type(moto_rig, calls):
    moto_rig.announcements.announce([an_event("v1", 1)])

    [[entry]] = calls
    assert (entry["Source"], entry["DetailType"]) == ("tiktoken", "video.playable")
    assert json.loads(entry["Detail"])["type"] == "video.playable"


# ── The log ──────────────────────────────────────────────────────────────────────


def test_an_event_that_is_announced_again_is_in_the_log_once(tmp_path):
    log = SqliteAnnouncements(tmp_path / "videos.db")

    log.announce([an_event("v1", 1), an_event("v1", 2)])
    log.announce([an_event("v1", 1), an_event("v1", 2), an_event("v1", 3)])

    assert ids(log) == ["v1-1", "v1-2", "v1-3"]


def test_the_log_goes_on_from_a_position(tmp_path):
    log = SqliteAnnouncements(tmp_path / "videos.db")
    log.announce([an_event("v1", version) for version in range(1, 6)])
    first, second, *rest = positions(log)

    assert positions(log, second) == rest
    assert positions(log, limit=2) == [first, second]


def test_the_log_keeps_the_last_events_and_knows_which(tmp_path):
    log = SqliteAnnouncements(tmp_path / "videos.db", kept_events=3)
    assert list(log.kept()) == [0]

    for version in range(1, 8):
        log.announce([an_event("v1", version)])

    kept = positions(log)
    assert ids(log) == ["v1-5", "v1-6", "v1-7"]
    assert list(log.kept()) == [kept[0] - 1, *kept]
    assert positions(log, kept[0] - 1) == kept


def test_positions_are_never_given_again(tmp_path):
    log = SqliteAnnouncements(tmp_path / "videos.db", kept_events=1)
    seen = []
    for version in range(1, 5):
        log.announce([an_event("v1", version)])
        seen += positions(SqliteAnnouncements(tmp_path / "videos.db"))

    assert seen == sorted(set(seen))


def test_an_owner_reads_their_own_events_alone(tmp_path):
    log = SqliteAnnouncements(tmp_path / "videos.db")
    log.announce([an_event("v1", 1, owner="me"), an_event("v2", 1, owner="you"), an_event("v3", 1)])

    assert [ids(log, owner) for owner in ("me", "you", "", "them")] == [["v1-1"], ["v2-1"], ["v3-1"], []]
