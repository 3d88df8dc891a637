"""Every promise of ``videos.ports``, on every adapter."""

import base64
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest

from videos import aws, local
from videos.errors import LostRace, Problem, QuotaExceeded, Unavailable, UnknownVideo
from videos.model import Audio, Charge, Media, Output, Quota, State, StoredObject, Video
from videos.ports import Job, Page, Ticket

NOON = datetime(2026, 11, 23, 12, 0, 0, 123456, tzinfo=UTC)
MP4 = "video/mp4"


def a_video(video_id: str = "v1", **facts) -> Video:
    made = {"filename": "cat.mp4", "content_type": MP4, "created_at": NOON, "updated_at": NOON}
    return Video(**{"id": video_id, **made, "upload_expires_at": NOON + timedelta(hours=1), **facts})


def a_full_video() -> Video:
    """One with every field set, and the values that stores like to bend."""
    return a_video(
        filename="Ünïcode 猫 👩‍👩‍👧 \"quoted\" 'cat'; DROP TABLE.mp4",
        created_at=NOON.replace(microsecond=0),
        updated_at=NOON.replace(microsecond=1),
        owner="ab12",
        pass_secret="cd34",
        state=State.PROCESSING,
        progress=42,
        playable_at=NOON,
        recover_at=NOON,
        source=StoredObject(key="uploads/v1", size_bytes=6_291_456, etag="9dd4e461", stored_at=NOON),
        media=Media(
            content=MP4,
            size_bytes=6_291_456,
            width_px=720,
            height_px=1280,
            rotation=270,
            mirrored=True,
            frame_rate=29.97,
            odd_gap_share=1e-07,
            duration_s=60.0,
            other_sizes=("1280x720",),
            audio=Audio(stream_index=1, codec="aac", sample_rate_hz=48_000, duration_s=0.1 + 0.2),
            faults=("The file ends too soon.",),
        ),
        problems=(
            Problem(
                rule="resolution",
                found="1920x1080",
                expected="720x1280",
                message="Invalid resolution: 1920x1080",
                suggestions=("Hold the phone upright.", "ffmpeg -i in.mp4 -vf scale=720:1280 out.mp4"),
            ),
        ),
        warnings=("The colours are not tagged.", ""),
        attempt="a1",
        attempts=3,
        outputs=(
            Output(
                name="720p",
                key="outputs/v1/a1/720p.mp4",
                content_type=MP4,
                codec="h264",
                width_px=720,
                height_px=1280,
                size_bytes=5,
            ),
        ),
        failure="ffmpeg was killed by signal 9.",
    )


def in_a_file(tmp_path: Path, content: bytes) -> Path:
    path = tmp_path / "file"
    path.write_bytes(content)
    return path


def eventually(look: Callable[[], object], within_s: float = 5) -> object:
    """What ``look`` finds, as soon as it finds something."""
    deadline = time.monotonic() + within_s
    while not (found := look()):
        assert time.monotonic() < deadline, "nothing came"
        time.sleep(0.02)
    return found


def at_once(work: Callable[[int], object], threads: int = 16) -> list[object]:
    """What each thread's ``work`` returned, or raised; all begin together."""
    start = threading.Barrier(threads)

    def run(number: int) -> object:
        start.wait()
        try:
            return work(number)
        except Exception as error:  # each is looked at by the test
            return error

    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(run, range(threads)))


# ── Storage ──────────────────────────────────────────────────────────────────────


def test_a_saved_file_is_found_again(rig, tmp_path):
    saved = rig.storage.save(in_a_file(tmp_path, b"12345"), "outputs/v1/a.mp4", content_type=MP4)

    found = rig.storage.stat("outputs/v1/a.mp4")
    assert (found.key, found.size_bytes, found.etag) == ("outputs/v1/a.mp4", 5, saved.etag)
    assert abs(found.stored_at - datetime.now(UTC)) < timedelta(minutes=1)


def test_a_saved_file_is_fetched_whole(rig, tmp_path):
    content = os.urandom(3_000_000)
    rig.storage.save(in_a_file(tmp_path, content), "a", content_type=MP4)

    fetched = rig.storage.fetch("a", tmp_path / "fetched")

    assert (tmp_path / "fetched").read_bytes() == content
    assert fetched == rig.storage.stat("a")


def test_saving_leaves_the_file_where_it_was(rig, tmp_path):
    file = in_a_file(tmp_path, b"12345")

    rig.storage.save(file, "a", content_type=MP4)

    assert file.read_bytes() == b"12345"


def test_a_missing_object_is_a_missing_file(rig, tmp_path):
    with pytest.raises(FileNotFoundError):
        rig.storage.stat("uploads/none")
    with pytest.raises(FileNotFoundError):
        rig.storage.fetch("uploads/none", tmp_path / "fetched")
    assert not list(tmp_path.glob("fetched*"))


def test_the_folder_of_an_object_is_no_object(rig, tmp_path):
    rig.storage.save(in_a_file(tmp_path, b"12345"), "outputs/v1/a.mp4", content_type=MP4)

    with pytest.raises(FileNotFoundError):
        rig.storage.stat("outputs/v1")


def test_new_bytes_have_a_new_etag(rig, tmp_path):
    first = rig.storage.save(in_a_file(tmp_path, b"12345"), "a", content_type=MP4)
    second = rig.storage.save(in_a_file(tmp_path, b"54321"), "a", content_type=MP4)

    assert first.etag != second.etag
    assert rig.storage.stat("a").etag == second.etag


def test_a_fetched_file_stays_whole_when_its_object_is_replaced(rig, tmp_path):
    rig.storage.save(in_a_file(tmp_path, b"the first"), "a", content_type=MP4)
    rig.storage.fetch("a", tmp_path / "fetched")

    rig.storage.save(in_a_file(tmp_path, b"the second, which is longer"), "a", content_type=MP4)
    rig.storage.delete("a")

    assert (tmp_path / "fetched").read_bytes() == b"the first"


def test_changing_the_saved_file_afterwards_changes_no_object(rig, tmp_path):
    file = in_a_file(tmp_path, b"12345")
    rig.storage.save(file, "a", content_type=MP4)

    with file.open("r+b") as again:
        again.write(b"xxxxx")

    rig.storage.fetch("a", tmp_path / "fetched")
    assert (tmp_path / "fetched").read_bytes() == b"12345"


def test_readers_see_the_old_object_or_the_new_one_never_half(rig, tmp_path):
    files = [tmp_path / name for name in "ab"]
    for file, size in zip(files, (300_000, 700_000), strict=True):
        file.write_bytes(file.name.encode() * size)
    rig.storage.save(files[0], "key", content_type=MP4)

    def work(number: int) -> object:
        for turn in range(10):
            if number == 0:
                rig.storage.save(files[turn % 2], "key", content_type=MP4)
            else:
                fetched = rig.storage.fetch("key", tmp_path / f"fetched-{number}")
                content = (tmp_path / f"fetched-{number}").read_bytes()
                assert content in (b"a" * 300_000, b"b" * 700_000)
                assert fetched.size_bytes == len(content)
        return "whole"

    assert at_once(work, threads=4) == ["whole"] * 4


def test_keys_are_found_by_their_beginning(rig, tmp_path):
    names = ["outputs/v1/a/720p.mp4", "outputs/v1/b/poster.jpg", "outputs/v10/a/720p.mp4", "uploads/v1"]
    for name in names:
        rig.storage.save(in_a_file(tmp_path, b"12345"), name, content_type=MP4)

    assert sorted(rig.storage.keys("outputs/v1/")) == names[:2]
    assert sorted(rig.storage.keys("outputs/v1")) == names[:3]
    assert list(rig.storage.keys("uploads/v1")) == ["uploads/v1"]
    assert list(rig.storage.keys("outputs/v2/")) == []


def test_what_is_deleted_is_gone_and_the_rest_stays(rig, tmp_path):
    for name in ("outputs/v1/a", "outputs/v1/b", "outputs/v1/ab"):
        rig.storage.save(in_a_file(tmp_path, b"12345"), name, content_type=MP4)

    rig.storage.delete("outputs/v1/a", "outputs/v1/b", "outputs/v1/never-was")

    assert list(rig.storage.keys("outputs/")) == ["outputs/v1/ab"]
    with pytest.raises(FileNotFoundError):
        rig.storage.stat("outputs/v1/a")


def test_deleting_nothing_is_no_error(rig):
    rig.storage.delete()
    rig.storage.delete("never-was")


def test_more_than_a_thousand_objects_are_listed_and_deleted(rig, tmp_path):
    file = in_a_file(tmp_path, b"1")
    for number in range(1001):
        rig.storage.save(file, f"outputs/v1/{number}", content_type=MP4)

    keys = list(rig.storage.keys("outputs/v1/"))
    rig.storage.delete(*keys)

    assert len(keys) == 1001
    assert list(rig.storage.keys("outputs/v1/")) == []


def test_storage_that_works_says_nothing(rig):
    rig.storage.ping()
    rig.storage.ping()


# ── Tickets and links ────────────────────────────────────────────────────────────


def ticket_for(rig, method="POST", **wishes) -> Ticket:
    terms = {"content_type": MP4, "max_bytes": 10, "exact_bytes": None, "expires_at": in_an_hour()}
    return rig.storage.upload_ticket("uploads/v1", method=method, **{**terms, **wishes})


def in_an_hour() -> datetime:
    return datetime.now(UTC).replace(microsecond=999_000) + timedelta(hours=1)


def with_field(ticket: Ticket, **fields: str) -> Ticket:
    return replace(ticket, fields={**ticket.fields, **fields})


@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_a_ticket_brings_one_file_to_its_key(rig, method):
    answer = rig.send(ticket_for(rig, method), b"12345")

    assert answer.refusal == ""
    assert rig.storage.stat("uploads/v1").size_bytes == 5


@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_a_ticket_repeats_its_terms(rig, method):
    expires_at = in_an_hour()

    ticket = ticket_for(rig, method, expires_at=expires_at)

    assert (ticket.method, ticket.expires_at, ticket.max_bytes) == (method, expires_at, 10)


def test_a_post_ticket_signs_key_type_size_and_end(rig):
    expires_at = in_an_hour()

    ticket = ticket_for(rig, "POST", expires_at=expires_at)

    policy = json.loads(base64.b64decode(ticket.fields["policy"]))
    assert {"key": "uploads/v1"} in policy["conditions"]
    assert {"Content-Type": MP4} in policy["conditions"]
    assert ["content-length-range", 1, 10] in policy["conditions"]
    longer_than_said = datetime.fromisoformat(policy["expiration"]) - expires_at
    assert timedelta(0) <= longer_than_said < timedelta(seconds=5)


def test_a_post_ticket_is_a_form_without_headers(rig):
    ticket = ticket_for(rig, "POST")

    assert (ticket.fields["key"], ticket.fields["Content-Type"]) == ("uploads/v1", MP4)
    assert ticket.headers == {}


def test_a_put_ticket_says_exactly_which_headers_to_send(rig):
    assert ticket_for(rig, "PUT").headers == {"Content-Type": MP4}
    assert ticket_for(rig, "PUT", exact_bytes=5).headers == {"Content-Type": MP4, "Content-Length": "5"}
    assert ticket_for(rig, "PUT").fields == {}


@pytest.mark.parametrize("size", [1, 10])
def test_the_ceiling_of_a_post_is_still_accepted(rig, size):
    assert rig.send(ticket_for(rig, "POST"), b"x" * size).refusal == ""


@pytest.mark.parametrize(("size", "refusal"), [(0, "EntityTooSmall"), (11, "EntityTooLarge")])
def test_a_post_of_another_size_is_refused_and_nothing_stored(strict_rig, size, refusal):
    assert strict_rig.send(ticket_for(strict_rig, "POST"), b"x" * size).refusal == refusal
    assert list(strict_rig.storage.keys("uploads/")) == []


@pytest.mark.parametrize("changed", [{"key": "uploads/v2"}, {"Content-Type": "text/html"}])
def test_a_post_of_another_key_or_type_is_refused(strict_rig, changed):
    ticket = with_field(ticket_for(strict_rig, "POST"), **changed)

    assert strict_rig.send(ticket, b"12345").refusal == "AccessDenied"
    assert list(strict_rig.storage.keys("")) == []


@pytest.mark.signatures
def test_a_post_whose_policy_was_changed_is_refused(strict_rig):
    ticket = ticket_for(strict_rig, "POST")
    looser = base64.b64decode(ticket.fields["policy"]).replace(b"1, 10]", b"1, 99]")

    ticket = with_field(ticket, policy=base64.b64encode(looser).decode())

    assert strict_rig.send(ticket, b"12345").refusal == "SignatureDoesNotMatch"


def test_a_put_of_another_type_is_refused(strict_rig):
    ticket = replace(ticket_for(strict_rig, "PUT"), headers={"Content-Type": "text/html"})

    assert strict_rig.send(ticket, b"12345").refusal == "SignatureDoesNotMatch"


def test_a_put_to_another_key_is_refused(strict_rig):
    ticket = ticket_for(strict_rig, "PUT")

    ticket = replace(ticket, url=ticket.url.replace("uploads/v1", "uploads/v2"))

    assert strict_rig.send(ticket, b"12345").refusal == "SignatureDoesNotMatch"


def test_a_put_binds_its_size_only_if_asked_to(strict_rig):
    exact = ticket_for(strict_rig, "PUT", exact_bytes=5)
    longer = replace(exact, headers={**exact.headers, "Content-Length": "6"})

    assert strict_rig.send(longer, b"123456").refusal == "SignatureDoesNotMatch"
    assert strict_rig.send(exact, b"12345").refusal == ""
    assert strict_rig.send(ticket_for(strict_rig, "PUT"), b"x" * 11).refusal == ""


@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_a_ticket_that_is_over_is_refused(strict_rig, method):
    ticket = ticket_for(strict_rig, method, expires_at=datetime.now(UTC) - timedelta(hours=1))

    assert eventually(lambda: strict_rig.send(ticket, b"12345").refusal) == "AccessDenied"


def test_a_link_answers_the_object_as_the_type_asked_for(rig, tmp_path):
    rig.storage.save(in_a_file(tmp_path, b"12345"), "outputs/v1/über uns +1.mp4", content_type=MP4)

    url = rig.storage.download_url("outputs/v1/über uns +1.mp4", content_type="video/iso", expires_in_s=60)

    answer = rig.load(url)
    assert (answer.refusal, answer.content_type, answer.body) == ("", "video/iso", b"12345")


def test_a_link_is_good_for_one_key_only(strict_rig, tmp_path):
    for key in ("mine", "yours"):
        strict_rig.storage.save(in_a_file(tmp_path, b"12345"), key, content_type=MP4)

    url = strict_rig.storage.download_url("mine", content_type=MP4, expires_in_s=60)

    assert strict_rig.load(url.replace("/mine", "/yours")).refusal == "SignatureDoesNotMatch"


# ── Videos ───────────────────────────────────────────────────────────────────────


def test_a_video_with_everything_set_comes_back_equal(rig):
    added = rig.videos.add(a_full_video())

    assert rig.videos.get("v1") == added
    assert replace(added, version=0) == a_full_video()


def test_a_video_with_nothing_set_comes_back_equal(rig):
    added = rig.videos.add(a_video())

    assert rig.videos.get("v1") == added
    assert replace(added, version=0) == a_video()


def test_numbers_keep_their_value_and_type(rig):
    rig.videos.add(a_full_video())

    media = rig.videos.get("v1").media
    assert repr((media.frame_rate, media.duration_s, media.odd_gap_share)) == "(29.97, 60.0, 1e-07)"
    assert repr((media.width_px, media.audio.duration_s)) == "(720, 0.30000000000000004)"


def test_times_keep_their_microseconds_and_stay_in_utc(rig):
    rig.videos.add(a_full_video())

    video = rig.videos.get("v1")
    assert (video.created_at.microsecond, video.updated_at.microsecond) == (0, 1)
    assert video.recover_at == NOON
    assert video.recover_at.utcoffset() == timedelta(0)


def test_an_id_is_given_once(rig):
    rig.videos.add(a_video(filename="first.mp4"))

    with pytest.raises(LostRace):
        rig.videos.add(a_video(filename="second.mp4"))

    assert rig.videos.get("v1").filename == "first.mp4"


@pytest.mark.parametrize("video_id", ["none", "", "x" * 5000, "../v1", "ü\n\0", "'; --"])
def test_an_id_that_was_never_given_is_an_unknown_video(rig, video_id):
    with pytest.raises(UnknownVideo):
        rig.videos.get(video_id)


def test_an_update_is_seen_by_the_next_read(rig):
    added = rig.videos.add(a_video())

    updated = rig.videos.update(replace(added, progress=50))

    assert rig.videos.get("v1") == updated
    assert (updated.progress, updated.version) == (50, added.version + 1)


def test_a_step_delivered_twice_is_taken_once(rig):
    video = rig.videos.add(a_video())
    rig.videos.update(replace(video, progress=10))

    with pytest.raises(LostRace):
        rig.videos.update(replace(video, progress=20))

    assert rig.videos.get("v1").progress == 10


def test_of_many_that_update_at_once_exactly_one_wins(rig):
    video = rig.videos.add(a_video())

    ends = at_once(lambda number: rig.videos.update(replace(video, progress=number)))

    [winner] = [end for end in ends if isinstance(end, Video)]
    assert [type(end) for end in ends if end is not winner] == [LostRace] * 15
    assert rig.videos.get("v1") == winner


def test_of_many_that_add_one_id_at_once_exactly_one_wins(rig):
    ends = at_once(lambda number: rig.videos.add(a_video(progress=number)))

    [winner] = [end for end in ends if isinstance(end, Video)]
    assert rig.videos.get("v1") == winner


def test_updates_that_read_again_when_they_lose_all_count(rig):
    rig.videos.add(a_video())

    def count_up(_: int) -> object:
        while True:
            video = rig.videos.get("v1")
            try:
                return rig.videos.update(replace(video, attempts=video.attempts + 1))
            except LostRace:
                continue

    at_once(count_up)

    assert rig.videos.get("v1").attempts == 16


def test_a_deleted_video_is_unknown_and_cannot_be_updated_back(rig):
    video = rig.videos.add(a_video())

    rig.videos.delete("v1")

    with pytest.raises(UnknownVideo):
        rig.videos.get("v1")
    with pytest.raises(LostRace):
        rig.videos.update(video)


def test_deleting_a_video_that_is_not_there_says_so_and_counts_nothing(rig):
    with pytest.raises(UnknownVideo):
        rig.videos.delete("none", {"deleted": 1})

    assert rig.videos.counted(HOUR) == {}


HOUR = timedelta(hours=1)


def test_what_comes_with_a_write_is_counted_with_it(rig):
    video = rig.videos.add(a_video(), {"uploads_requested": 1})
    video = rig.videos.update(video, {"refused": 1, "refused:frame rate": 2})
    rig.videos.update(video)
    rig.videos.delete("v1", {"deleted": 1})

    assert rig.videos.counted(HOUR) == {
        "uploads_requested": 1, "refused": 1, "refused:frame rate": 2, "deleted": 1,
    }  # fmt: skip


def test_a_write_that_lost_its_race_counts_nothing(rig):
    video = rig.videos.add(a_video(), {"uploads_requested": 1})
    with pytest.raises(LostRace):
        rig.videos.add(a_video(), {"uploads_requested": 1})
    rig.videos.update(video, {"accepted": 1})

    with pytest.raises(LostRace):
        rig.videos.update(video, {"accepted": 1})

    assert rig.videos.counted(HOUR) == {"uploads_requested": 1, "accepted": 1}


def test_many_count_at_once_and_none_is_forgotten(rig):
    def register(worker: int) -> None:
        for number in range(5):
            while True:
                try:
                    rig.videos.add(a_video(f"v{worker}-{number}"), {"uploads_requested": 1})
                    break
                except Unavailable:  # DynamoDB lets two transactions at one item collide
                    continue

    at_once(register)

    assert rig.videos.counted(HOUR) == {"uploads_requested": 80}


def test_the_video_that_has_been_queued_for_longest_is_known(rig):
    assert rig.videos.oldest_queued() is None

    for minutes, state in ((5, State.QUEUED), (9, State.QUEUED), (20, State.PROCESSING)):
        rig.videos.add(
            replace(a_video(f"v{minutes}"), state=state, updated_at=NOON - timedelta(minutes=minutes))
        )

    assert rig.videos.oldest_queued() == NOON - timedelta(minutes=9)
    rig.videos.update(rig.videos.get("v9").to(State.PROCESSING, at=NOON, recover_at=NOON))
    assert rig.videos.oldest_queued() == NOON - timedelta(minutes=5)


def ids(videos: list[Video]) -> list[str]:
    return [video.id for video in videos]


def test_overdue_videos_come_longest_overdue_first(rig):
    for minutes in (3, 1, 20, 2):
        rig.videos.add(a_video(f"late-by-{minutes}", recover_at=NOON - timedelta(minutes=minutes)))
    rig.videos.add(a_video("not-yet", recover_at=NOON + timedelta(microseconds=1)))
    rig.videos.add(a_video("never"))

    overdue = rig.videos.overdue(NOON, limit=10)

    assert ids(overdue) == ["late-by-20", "late-by-3", "late-by-2", "late-by-1"]
    assert overdue[0] == rig.videos.get("late-by-20")


def test_a_video_is_overdue_from_the_very_moment(rig):
    whole_second = NOON.replace(microsecond=0)
    rig.videos.add(a_video(recover_at=whole_second))

    assert ids(rig.videos.overdue(whole_second - timedelta(microseconds=1), limit=10)) == []
    assert ids(rig.videos.overdue(whole_second, limit=10)) == ["v1"]
    assert ids(rig.videos.overdue(whole_second + timedelta(microseconds=1), limit=10)) == ["v1"]


def test_at_most_the_limit_is_overdue_and_those_are_the_longest(rig):
    for minutes in range(30):
        rig.videos.add(a_video(f"v{minutes:02}", recover_at=NOON - timedelta(minutes=minutes)))

    assert ids(rig.videos.overdue(NOON, limit=3)) == ["v29", "v28", "v27"]
    assert len(rig.videos.overdue(NOON, limit=100)) == 30


@pytest.mark.parametrize("state", [State.COMPLETED, State.REJECTED, State.FAILED, State.EXPIRED])
def test_a_finished_video_is_never_overdue(rig, state):
    video = rig.videos.add(a_video(recover_at=NOON - timedelta(hours=1)))

    rig.videos.update(replace(video, state=state, recover_at=None))

    assert rig.videos.overdue(NOON, limit=10) == []


def test_a_postponed_video_is_overdue_later(rig):
    video = rig.videos.add(a_video(recover_at=NOON - timedelta(hours=1)))

    rig.videos.update(video.postponed(NOON + timedelta(hours=1)))

    assert rig.videos.overdue(NOON, limit=10) == []
    assert ids(rig.videos.overdue(NOON + timedelta(hours=2), limit=10)) == ["v1"]


def test_a_deleted_video_is_never_overdue(rig):
    rig.videos.add(a_video(recover_at=NOON - timedelta(hours=1)))

    rig.videos.delete("v1")

    assert rig.videos.overdue(NOON, limit=10) == []


def pages(rig, owner: str, limit: int) -> list[list[str]]:
    """The ids on every page there is."""
    page = rig.videos.of_owner(owner, limit=limit)
    found = [ids(page.videos)]
    while page.after:
        page = rig.videos.of_owner(owner, limit=limit, after=page.after)
        found.append(ids(page.videos))
    return found


def test_the_videos_of_an_owner_come_newest_first_in_pages(rig):
    for number in (3, 1, 5, 2, 4):
        rig.videos.add(a_video(f"v{number}", owner="me"))

    assert pages(rig, "me", limit=2) == [["v5", "v4"], ["v3", "v2"], ["v1"]]
    assert pages(rig, "me", limit=5) == [["v5", "v4", "v3", "v2", "v1"]]


def test_the_videos_on_a_page_are_as_last_written(rig):
    video = rig.videos.add(a_video(owner="me"))
    video = rig.videos.update(replace(video, progress=50))

    assert rig.videos.of_owner("me", limit=1) == Page(videos=[video], after=None)


def test_a_page_may_be_of_a_hundred(rig):
    names = [f"v{number:03}" for number in range(101)]
    for name in names:
        rig.videos.add(a_video(name, owner="me"))

    assert pages(rig, "me", limit=100) == [names[:0:-1], names[:1]]


def test_nobody_sees_the_videos_of_another_or_of_nobody(rig):
    rig.videos.add(a_video("mine", owner="me"))
    rig.videos.add(a_video("yours", owner="you"))
    rig.videos.add(a_video("of-nobody"))

    assert pages(rig, "me", limit=10) == [["mine"]]
    assert pages(rig, "m", limit=10) == [[]]
    assert pages(rig, "' OR 1 --", limit=10) == [[]]


def test_a_deleted_video_is_on_no_page(rig):
    rig.videos.add(a_video("v1", owner="me"))
    rig.videos.add(a_video("v2", owner="me"))

    rig.videos.delete("v2")

    assert pages(rig, "me", limit=1) == [["v1"]]


def charge(owner: str = "me", takes: int = 10, at: datetime = NOON, **quota: int) -> Charge:
    return Charge(owner=owner, at=at, size_bytes=takes, quota=Quota(**quota))


def test_a_quota_of_uploads_is_granted_to_the_last_and_no_further(rig):
    for number in range(3):
        rig.videos.add(a_video(f"v{number}"), charge=charge(uploads=3))

    with pytest.raises(QuotaExceeded) as refusal:
        rig.videos.add(a_video("one-more"), charge=charge(uploads=3))

    assert refusal.value.details["quota"] == {
        "uploads": {"limit": 3, "used": 3},
        "bytes": {"limit": 0, "used": 30},
        "resets_at": "2026-11-24T00:00:00+00:00",
    }
    with pytest.raises(UnknownVideo):
        rig.videos.get("one-more")


def test_a_quota_of_bytes_is_granted_to_the_last_and_no_further(rig):
    rig.videos.add(a_video("v1"), charge=charge(takes=60, size_bytes=100))
    with pytest.raises(QuotaExceeded):
        rig.videos.add(a_video("too-much"), charge=charge(takes=41, size_bytes=100))

    rig.videos.add(a_video("v2"), charge=charge(takes=40, size_bytes=100))

    with pytest.raises(QuotaExceeded):
        rig.videos.add(a_video("one-more"), charge=charge(takes=1, size_bytes=100))


def test_what_is_more_than_a_whole_day_is_never_granted(rig):
    with pytest.raises(QuotaExceeded) as refusal:
        rig.videos.add(a_video(), charge=charge(takes=101, uploads=9, size_bytes=100))

    assert refusal.value.details["quota"]["bytes"] == {"limit": 100, "used": 0}


def test_each_owner_has_a_quota_of_their_own_every_day(rig):
    rig.videos.add(a_video("v1"), charge=charge("me", uploads=1))

    rig.videos.add(a_video("v2"), charge=charge("you", uploads=1))
    rig.videos.add(a_video("v3"), charge=charge("me", at=NOON + timedelta(hours=12), uploads=1))

    with pytest.raises(QuotaExceeded):
        rig.videos.add(a_video("v4"), charge=charge("me", at=NOON + timedelta(hours=35), uploads=1))


def test_an_id_that_is_taken_takes_nothing_from_the_quota(rig):
    rig.videos.add(a_video("v1"))
    with pytest.raises(LostRace):
        rig.videos.add(a_video("v1"), charge=charge(uploads=1))

    rig.videos.add(a_video("v2"), charge=charge(uploads=1))


def test_what_is_refused_is_not_counted(rig):
    rig.videos.add(a_video("v1"), {"new": 1}, charge(uploads=1))
    with pytest.raises(QuotaExceeded):
        rig.videos.add(a_video("v2"), {"new": 1}, charge(uploads=1))
    with pytest.raises(LostRace):
        rig.videos.add(a_video("v1"), {"new": 1}, charge("you", uploads=1))

    assert rig.videos.counted(timedelta(hours=1)) == {"new": 1}
    rig.videos.add(a_video("v3"), {"new": 1}, charge("you", uploads=1))


def test_a_quota_holds_however_many_ask_at_once(rig):
    ends = at_once(lambda number: rig.videos.add(a_video(f"v{number}"), charge=charge(uploads=7)), threads=20)

    assert sorted(type(end).__name__ for end in ends) == ["QuotaExceeded"] * 13 + ["Video"] * 7


def test_records_that_work_say_nothing(rig):
    rig.videos.ping()


# ── Jobs ─────────────────────────────────────────────────────────────────────────


def give_up(jobs, *video_ids: str) -> None:
    """Put these jobs, and deliver them until the queue has had enough (after one delivery)."""
    for video_id in video_ids:
        jobs.put(video_id)
    while job := jobs.receive():
        jobs.give_back(job)


def test_a_job_put_is_received(rig):
    rig.jobs.put("v1")

    job = rig.jobs.receive()

    assert (job.video_id, job.receives) == ("v1", 1)


def test_an_empty_queue_has_no_job(rig):
    assert rig.jobs.receive() is None


def test_a_received_job_is_hidden_from_others(rig):
    rig.jobs.put("v1")
    rig.jobs.receive()

    assert rig.jobs.receive() is None


def test_each_job_is_received_by_one_of_many(rig):
    for number in range(16):
        rig.jobs.put(f"v{number}")

    received = at_once(lambda _: rig.jobs.receive())

    assert {job.video_id for job in received} == {f"v{number}" for number in range(16)}


def test_a_job_that_is_done_never_comes_again(rig):
    jobs = rig.new_jobs(visibility_s=0)
    jobs.put("v1")

    jobs.done(jobs.receive())

    assert jobs.receive() is None
    assert jobs.stats().waiting == 0


def test_a_job_neither_done_nor_given_back_comes_again(rig):
    jobs = rig.new_jobs(visibility_s=1)
    jobs.put("v1")
    jobs.receive()

    assert jobs.receive() is None
    again = eventually(jobs.receive)
    assert (again.video_id, again.receives) == ("v1", 2)


def test_a_job_given_back_comes_again_at_once(rig):
    rig.jobs.put("v1")

    rig.jobs.give_back(rig.jobs.receive())

    again = rig.jobs.receive()
    assert (again.video_id, again.receives) == ("v1", 2)


def test_a_job_given_back_for_later_comes_later(rig):
    rig.jobs.put("v1")

    rig.jobs.give_back(rig.jobs.receive(), delay_s=1)

    assert rig.jobs.receive() is None
    assert eventually(rig.jobs.receive).receives == 2


def test_a_job_put_for_later_comes_later(rig):
    rig.jobs.put("v1", delay_s=1)

    assert rig.jobs.receive() is None
    assert rig.jobs.stats().waiting == 1
    assert eventually(rig.jobs.receive).receives == 1


def test_a_job_done_or_given_back_too_late_is_no_error(rig):
    rig.jobs.put("v1")
    job = rig.jobs.receive()
    rig.jobs.done(job)

    rig.jobs.give_back(job)
    rig.jobs.done(job)

    assert rig.jobs.receive() is None


def test_a_job_delivered_too_often_is_given_up(rig):
    jobs = rig.new_jobs(max_receives=3)
    jobs.put("v1")
    for receives in (1, 2, 3):
        job = jobs.receive()
        assert job.receives == receives
        assert jobs.dead() == []
        jobs.give_back(job)

    assert jobs.receive() is None
    assert jobs.dead() == ["v1"]


def test_looking_at_the_dead_takes_nothing_away(rig):
    jobs = rig.new_jobs(max_receives=1)
    give_up(jobs, "v1", "v2", "v3")

    assert set(jobs.dead()) == {"v1", "v2", "v3"}
    assert len(jobs.dead(limit=2)) == 2
    assert jobs.stats().dead == 3


def test_the_dead_come_back_to_work(rig):
    jobs = rig.new_jobs(max_receives=1)
    names = [f"v{number}" for number in range(12)]
    give_up(jobs, *names)

    assert jobs.redrive() == 12

    assert jobs.dead() == []
    assert {jobs.receive().video_id for _ in names} == set(names)


def test_a_job_brought_back_has_all_its_deliveries_again(rig):
    jobs = rig.new_jobs(max_receives=2)
    give_up(jobs, "v1")

    jobs.redrive()

    assert jobs.receive().receives == 1


def test_a_job_can_be_put_straight_among_the_dead(rig):
    rig.jobs.bury("video-1")

    assert rig.jobs.receive() is None
    assert rig.jobs.dead() == ["video-1"]


def test_who_sends_the_dead_back_sees_each_of_them_first(rig):
    rig.jobs.bury("video-1")
    seen = []

    assert rig.jobs.redrive(lambda video_id: seen.append((video_id, rig.jobs.receive()))) == 1
    assert seen == [("video-1", None)]
    assert rig.jobs.receive().video_id == "video-1"


def test_a_letter_that_could_not_be_prepared_stays_where_it_is(rig):
    rig.jobs.bury("video-1")

    with pytest.raises(KeyError):
        rig.jobs.redrive({}.__getitem__)
    assert rig.jobs.stats().dead == 1


def test_with_none_dead_none_come_back(rig):
    assert rig.jobs.redrive() == 0


def test_every_job_is_counted_where_it_is(rig):
    jobs = rig.new_jobs(max_receives=1)
    give_up(jobs, "dead")
    jobs.put("in-flight")
    jobs.receive()
    jobs.put("ready")
    jobs.put("delayed", delay_s=900)

    stats = jobs.stats()

    assert (stats.waiting, stats.in_flight, stats.dead) == (2, 1, 1)


# ── A backend that does not answer ───────────────────────────────────────────────


@pytest.fixture
def nobody_listens(monkeypatch) -> Iterator[None]:
    """A closed port for an AWS, and no waiting between boto3's retries."""
    monkeypatch.setattr("botocore.endpoint.time.sleep", lambda _: None)
    with socket.socket() as bound:  # but not listening: nobody else can have the port meanwhile
        bound.bind(("127.0.0.1", 0))
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{bound.getsockname()[1]}")
        yield


@pytest.fixture(params=["local", "aws"])
def dead_backend(request, tmp_path) -> SimpleNamespace:
    """How to make the adapters of a backend that cannot be used."""
    if request.param == "aws":
        request.getfixturevalue("nobody_listens")
        return SimpleNamespace(
            storage=lambda: aws.S3Storage("bucket"),
            videos=lambda: aws.DynamoVideos("table"),
            jobs=lambda: aws.SqsJobs(os.environ["AWS_ENDPOINT_URL"] + "/1/jobs", "http://127.0.0.1:1/1/dead"),
        )
    no_folder = in_a_file(tmp_path, b"a file where a folder should be")
    return SimpleNamespace(
        storage=lambda: local.FolderStorage(no_folder, "http://localhost", b"secret"),
        videos=lambda: local.SqliteVideos(tmp_path),  # a folder where a file should be
        jobs=lambda: local.SqliteJobs(tmp_path),
    )


STORAGE_USES = {
    "save": lambda storage: storage.save(Path(__file__), "key", content_type=MP4),
    "ping": lambda storage: storage.ping(),
}
VIDEOS_USES = {
    "add": lambda videos: videos.add(a_video()),
    "add with a charge": lambda videos: videos.add(a_video(), charge=charge(uploads=1)),
    "of_owner": lambda videos: videos.of_owner("me", limit=1),
    "get": lambda videos: videos.get("v1"),
    "update": lambda videos: videos.update(a_video()),
    "delete": lambda videos: videos.delete("v1"),
    "overdue": lambda videos: videos.overdue(NOON, limit=1),
    "ping": lambda videos: videos.ping(),
}
A_JOB = Job(video_id="v1", receipt="r1", receives=1)
JOBS_USES = {
    "put": lambda jobs: jobs.put("v1"),
    "receive": lambda jobs: jobs.receive(),
    "done": lambda jobs: jobs.done(A_JOB),
    "give_back": lambda jobs: jobs.give_back(A_JOB),
    "dead": lambda jobs: jobs.dead(),
    "redrive": lambda jobs: jobs.redrive(),
    "stats": lambda jobs: jobs.stats(),
}


@pytest.mark.parametrize("use", STORAGE_USES.values(), ids=STORAGE_USES)
def test_storage_that_does_not_answer_is_unavailable(dead_backend, use):
    with pytest.raises(Unavailable) as refusal:
        use(dead_backend.storage())
    assert refusal.value.suggestions


@pytest.mark.parametrize("use", VIDEOS_USES.values(), ids=VIDEOS_USES)
def test_records_that_do_not_answer_are_unavailable(dead_backend, use):
    with pytest.raises(Unavailable) as refusal:
        use(dead_backend.videos())
    assert refusal.value.suggestions


@pytest.mark.parametrize("use", JOBS_USES.values(), ids=JOBS_USES)
def test_a_queue_that_does_not_answer_is_unavailable(dead_backend, use):
    with pytest.raises(Unavailable) as refusal:
        use(dead_backend.jobs())
    assert refusal.value.suggestions
