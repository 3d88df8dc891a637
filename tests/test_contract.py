"""The contract of ``videos.ports``, on every adapter."""

import base64
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import parse_qs, urlsplit

import pytest

from support import stream
from support.polled import PolledSqsJobs
from support.samples import (
    MP4,
    NOON,
    a_full_video,
    a_video,
    an_event,
    charge,
    in_a_file,
    in_an_hour,
    ticket_for,
)
from videos.errors import LostRace, QuotaExceeded, Unavailable, UnknownVideo
from videos.model import State, StoredObject, Video
from videos.ports import Change, Job, KeyedAnswer, Page, Ticket
from videos.stores.aws.dynamodb import DynamoVideos
from videos.stores.aws.eventbridge import EventBridgeAnnouncements
from videos.stores.aws.s3 import S3Storage
from videos.stores.local.announcements import SqliteAnnouncements
from videos.stores.local.folder import FolderStorage
from videos.stores.local.jobs import SqliteJobs
from videos.stores.local.records import SqliteVideos


def eventually(look: Callable[[], object], within_s: float = 5) -> object:
    """The first truthy result of ``look``."""
    deadline = time.monotonic() + within_s
    while not (result := look()):
        assert time.monotonic() < deadline, "nothing came"
        time.sleep(0.02)
    return result


def at_once(work: Callable[[int], object], threads: int = 16) -> list[object]:
    """The result or exception of ``work`` in each thread; all start together."""
    start = threading.Barrier(threads)

    def run(number: int) -> object:
        start.wait()
        try:
            return work(number)
        except Exception as error:  # the test checks each one
            return error

    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(run, range(threads)))


# ── Storage ────────────────────────────────────────────────────────────────────


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


def test_the_folder_of_an_object_is_not_an_object(rig, tmp_path):
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


def test_changing_the_file_after_saving_does_not_change_the_object(rig, tmp_path):
    file = in_a_file(tmp_path, b"12345")
    rig.storage.save(file, "a", content_type=MP4)

    with file.open("r+b") as again:
        again.write(b"xxxxx")

    rig.storage.fetch("a", tmp_path / "fetched")
    assert (tmp_path / "fetched").read_bytes() == b"12345"


def test_readers_see_either_the_old_object_or_the_new_one(rig, tmp_path):
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


def test_a_copy_has_the_same_bytes_and_stays_when_its_source_goes(rig, tmp_path):
    source = rig.storage.save(in_a_file(tmp_path, b"12345"), "uploads/v1", content_type=MP4)

    copied = rig.storage.copy(source, "sources/v1/a/über uns +1", content_type=MP4)
    rig.storage.save(in_a_file(tmp_path, b"another"), "uploads/v1", content_type=MP4)
    rig.storage.delete("uploads/v1")

    assert (copied.key, copied.size_bytes) == ("sources/v1/a/über uns +1", 5)
    assert rig.storage.fetch(copied.key, tmp_path / "fetched").etag == copied.etag
    assert (tmp_path / "fetched").read_bytes() == b"12345"


def test_an_object_that_was_replaced_is_not_copied(strict_rig, tmp_path):
    source = strict_rig.storage.save(in_a_file(tmp_path, b"the first"), "uploads/v1", content_type=MP4)
    strict_rig.storage.save(in_a_file(tmp_path, b"the other"), "uploads/v1", content_type=MP4)

    with pytest.raises(FileNotFoundError):
        strict_rig.storage.copy(source, "sources/v1/a/source", content_type=MP4)

    assert list(strict_rig.storage.keys("sources/")) == []


def test_an_object_that_was_deleted_is_not_copied(rig, tmp_path):
    source = rig.storage.save(in_a_file(tmp_path, b"12345"), "uploads/v1", content_type=MP4)
    rig.storage.delete("uploads/v1")

    with pytest.raises(FileNotFoundError):
        rig.storage.copy(source, "sources/v1/a/source", content_type=MP4)

    assert list(rig.storage.keys("sources/")) == []


def test_a_copy_replaces_what_was_there(rig, tmp_path):
    source = rig.storage.save(in_a_file(tmp_path, b"12345"), "uploads/v1", content_type=MP4)
    rig.storage.save(in_a_file(tmp_path, b"of before"), "sources/v1/a/source", content_type=MP4)

    for _ in range(2):
        rig.storage.copy(source, "sources/v1/a/source", content_type=MP4)

    rig.storage.fetch("sources/v1/a/source", tmp_path / "fetched")
    assert (tmp_path / "fetched").read_bytes() == b"12345"


def test_keys_are_listed_by_prefix(rig, tmp_path):
    names = ["outputs/v1/a/720p.mp4", "outputs/v1/b/poster.jpg", "outputs/v10/a/720p.mp4", "uploads/v1"]
    for name in names:
        rig.storage.save(in_a_file(tmp_path, b"12345"), name, content_type=MP4)

    assert sorted(rig.storage.keys("outputs/v1/")) == names[:2]
    assert sorted(rig.storage.keys("outputs/v1")) == names[:3]
    assert list(rig.storage.keys("uploads/v1")) == ["uploads/v1"]
    assert list(rig.storage.keys("outputs/v2/")) == []


def test_deleting_removes_only_the_given_objects(rig, tmp_path):
    for name in ("outputs/v1/a", "outputs/v1/b", "outputs/v1/ab"):
        rig.storage.save(in_a_file(tmp_path, b"12345"), name, content_type=MP4)

    rig.storage.delete("outputs/v1/a", "outputs/v1/b", "outputs/v1/never-was")

    assert list(rig.storage.keys("outputs/")) == ["outputs/v1/ab"]
    with pytest.raises(FileNotFoundError):
        rig.storage.stat("outputs/v1/a")


def test_deleting_a_missing_object_is_not_an_error(rig):
    rig.storage.delete()
    rig.storage.delete("never-was")


@pytest.mark.thorough
def test_more_than_a_thousand_objects_are_listed_and_deleted(rig, tmp_path):
    file = in_a_file(tmp_path, b"1")
    for number in range(1001):
        rig.storage.save(file, f"outputs/v1/{number}", content_type=MP4)

    keys = list(rig.storage.keys("outputs/v1/"))
    rig.storage.delete(*keys)

    assert len(keys) == 1001
    assert list(rig.storage.keys("outputs/v1/")) == []


def test_pinging_working_storage_succeeds(rig):
    rig.storage.ping()
    rig.storage.ping()


# ── Tickets and links ──────────────────────────────────────────────────────────


def with_field(ticket: Ticket, **fields: str) -> Ticket:
    return replace(ticket, fields={**ticket.fields, **fields})


@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_a_ticket_uploads_one_file_to_its_key(rig, method):
    answer = rig.send(ticket_for(rig, method), b"12345")

    assert answer.refusal == ""
    assert rig.storage.stat("uploads/v1").size_bytes == 5


@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_a_ticket_repeats_its_terms(rig, method):
    expires_at = in_an_hour()

    ticket = ticket_for(rig, method, expires_at=expires_at)

    assert (ticket.method, ticket.expires_at, ticket.max_bytes) == (method, expires_at, 10)


def test_a_post_ticket_signs_key_type_size_and_expiry(rig):
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


def test_a_put_ticket_lists_exactly_the_headers_to_send(rig):
    always = {"Content-Type": MP4, "If-None-Match": "*"}
    assert ticket_for(rig, "PUT").headers == always
    assert (
        ticket_for(rig, "PUT", exact_bytes=5).headers == always
    )  # clients send Content-Length by themselves
    assert ticket_for(rig, "PUT").fields == {}


@pytest.mark.parametrize("size", [1, 10])
def test_a_post_accepts_sizes_up_to_its_limit(rig, size):
    assert rig.send(ticket_for(rig, "POST"), b"x" * size).refusal == ""


@pytest.mark.parametrize(("size", "refusal"), [(0, "EntityTooSmall"), (11, "EntityTooLarge")])
def test_a_post_of_a_wrong_size_is_rejected_and_nothing_stored(strict_rig, size, refusal):
    assert strict_rig.send(ticket_for(strict_rig, "POST"), b"x" * size).refusal == refusal
    assert list(strict_rig.storage.keys("uploads/")) == []


@pytest.mark.parametrize("changed", [{"key": "uploads/v2"}, {"Content-Type": "text/html"}])
def test_a_post_of_another_key_or_type_is_rejected(strict_rig, changed):
    ticket = with_field(ticket_for(strict_rig, "POST"), **changed)

    assert strict_rig.send(ticket, b"12345").refusal == "AccessDenied"
    assert list(strict_rig.storage.keys("")) == []


@pytest.mark.signatures
def test_a_post_with_a_changed_policy_is_rejected(strict_rig, request):
    if request.config.getoption("emulator") == "localstack":
        pytest.skip("LocalStack verifies the signatures of URLs, not those of forms")
    ticket = ticket_for(strict_rig, "POST")
    looser = base64.b64decode(ticket.fields["policy"]).replace(b"1, 10]", b"1, 99]")

    ticket = with_field(ticket, policy=base64.b64encode(looser).decode())

    assert strict_rig.send(ticket, b"12345").refusal == "SignatureDoesNotMatch"


def test_a_put_of_another_type_is_rejected(strict_rig):
    ticket = ticket_for(strict_rig, "PUT")
    ticket = replace(ticket, headers={**ticket.headers, "Content-Type": "text/html"})

    assert strict_rig.send(ticket, b"12345").refusal == "SignatureDoesNotMatch"


def test_a_put_without_its_condition_is_rejected(strict_rig):
    ticket = replace(ticket_for(strict_rig, "PUT"), headers={"Content-Type": MP4})

    assert strict_rig.send(ticket, b"12345").refusal == "SignatureDoesNotMatch"


def test_a_put_never_replaces_an_object(strict_rig):
    ticket = ticket_for(strict_rig, "PUT")

    assert strict_rig.send(ticket, b"first").refusal == ""
    assert strict_rig.send(ticket, b"longer").refusal == "PreconditionFailed"
    assert strict_rig.storage.stat("uploads/v1").size_bytes == 5


def test_a_put_to_another_key_is_rejected(strict_rig):
    ticket = ticket_for(strict_rig, "PUT")

    ticket = replace(ticket, url=ticket.url.replace("uploads/v1", "uploads/v2"))

    assert strict_rig.send(ticket, b"12345").refusal == "SignatureDoesNotMatch"


def test_a_put_binds_its_size_only_with_exact_bytes(strict_rig):
    exact = ticket_for(strict_rig, "PUT", exact_bytes=5)
    longer = replace(exact, headers={**exact.headers, "Content-Length": "6"})

    assert strict_rig.send(longer, b"123456").refusal == "SignatureDoesNotMatch"
    assert strict_rig.send(exact, b"12345").refusal == ""
    strict_rig.storage.delete("uploads/v1")
    assert strict_rig.send(ticket_for(strict_rig, "PUT"), b"x" * 11).refusal == ""


@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_an_expired_ticket_is_rejected(strict_rig, method):
    ticket = ticket_for(strict_rig, method, expires_at=datetime.now(UTC) - timedelta(hours=1))

    assert eventually(lambda: strict_rig.send(ticket, b"12345").refusal == "AccessDenied")


def test_a_link_serves_the_object_as_the_requested_type(rig, tmp_path):
    rig.storage.save(in_a_file(tmp_path, b"12345"), "outputs/v1/über uns +1.mp4", content_type=MP4)

    url = rig.storage.download_url("outputs/v1/über uns +1.mp4", content_type="video/iso", expires_in_s=60)

    answer = rig.load(url)
    assert (answer.refusal, answer.content_type, answer.body) == ("", "video/iso", b"12345")


def test_a_link_is_valid_for_one_key_only(strict_rig, tmp_path):
    for key in ("mine", "yours"):
        strict_rig.storage.save(in_a_file(tmp_path, b"12345"), key, content_type=MP4)

    url = strict_rig.storage.download_url("mine", content_type=MP4, expires_in_s=60)

    assert strict_rig.load(url.replace("/mine", "/yours")).refusal == "SignatureDoesNotMatch"


@pytest.mark.signatures
def test_a_link_to_load_a_file_is_no_ticket_to_replace_it(strict_rig, tmp_path):
    strict_rig.storage.save(in_a_file(tmp_path, b"12345"), "uploads/v1", content_type=MP4)
    link = strict_rig.storage.download_url("uploads/v1", content_type=MP4, expires_in_s=3600)

    ticket = replace(ticket_for(strict_rig, "PUT"), url=link)

    assert strict_rig.send(ticket, b"another").refusal == "SignatureDoesNotMatch"
    assert strict_rig.storage.stat("uploads/v1").size_bytes == 5


@pytest.mark.signatures
def test_a_ticket_to_put_a_file_is_no_link_to_load_it(strict_rig):
    ticket = ticket_for(strict_rig, "PUT")
    assert strict_rig.send(ticket, b"12345").refusal == ""

    assert strict_rig.load(ticket.url).refusal == "SignatureDoesNotMatch"


@pytest.mark.here_only
@pytest.mark.parametrize("key", ["uploads/v1", "the policy"])
def test_the_signature_of_a_form_signs_no_url(local_rig, key):
    form, ticket = ticket_for(local_rig, "POST").fields, ticket_for(local_rig, "PUT")
    signature = parse_qs(urlsplit(ticket.url).query)["signature"][0]
    url = ticket.url.replace(signature, form["x-amz-signature"])

    ticket = replace(ticket, url=url.replace("uploads/v1", form["policy"] if key == "the policy" else key))

    assert local_rig.send(ticket, b"12345").refusal == "SignatureDoesNotMatch"


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


def test_adding_an_existing_id_loses_the_race(rig):
    rig.videos.add(a_video(filename="first.mp4"))

    with pytest.raises(LostRace):
        rig.videos.add(a_video(filename="second.mp4"))

    assert rig.videos.get("v1").filename == "first.mp4"


@pytest.mark.parametrize("video_id", ["none", "", "x" * 5000, "../v1", "ü\n\0", "'; --"])
def test_an_id_that_does_not_exist_is_an_unknown_video(rig, video_id):
    with pytest.raises(UnknownVideo):
        rig.videos.get(video_id)


def test_an_update_is_seen_by_the_next_read(rig):
    added = rig.videos.add(a_video())

    updated = rig.videos.update(replace(added, progress=50))

    assert rig.videos.get("v1") == updated
    assert (updated.progress, updated.version) == (50, added.version + 1)


def test_a_step_delivered_twice_is_written_once(rig):
    video = rig.videos.add(a_video())
    rig.videos.update(replace(video, progress=10))

    with pytest.raises(LostRace):
        rig.videos.update(replace(video, progress=20))

    assert rig.videos.get("v1").progress == 10


def test_exactly_one_of_many_concurrent_updates_wins(rig):
    video = rig.videos.add(a_video())

    ends = at_once(lambda number: rig.videos.update(replace(video, progress=number)))

    [winner] = [end for end in ends if isinstance(end, Video)]
    assert [type(end) for end in ends if end is not winner] == [LostRace] * 15
    assert rig.videos.get("v1") == winner


def test_exactly_one_of_many_concurrent_adds_of_an_id_wins(rig):
    ends = at_once(lambda number: rig.videos.add(a_video(progress=number)))

    [winner] = [end for end in ends if isinstance(end, Video)]
    assert rig.videos.get("v1") == winner


def test_concurrent_updates_that_retry_after_a_lost_race_all_succeed(rig):
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


def test_deleting_an_unknown_video_raises(rig):
    with pytest.raises(UnknownVideo):
        rig.videos.delete("none")


def test_every_write_of_a_record_is_told_as_a_change(rig):
    first = rig.videos.add(a_full_video())
    second = rig.videos.update(replace(first, progress=50))
    rig.videos.delete("v1")

    told = [(change.before, change.after) for change in stream.changes(rig.videos)]

    assert told == [(None, first), (first, second), (second, None)]


def test_the_changes_of_each_video_come_in_their_order(rig):
    def write(number: int) -> None:
        video = rig.videos.add(a_video(f"v{number}"))
        for progress in range(1, 5):
            video = rig.videos.update(replace(video, progress=progress))

    at_once(write, threads=8)

    progress: dict[str, list[int]] = {f"v{number}": [] for number in range(8)}
    for change in stream.changes(rig.videos):
        progress[change.video.id].append(change.video.progress)
    assert progress == {f"v{number}": [0, 1, 2, 3, 4] for number in range(8)}


def test_a_change_has_the_time_of_its_write(rig):
    rig.videos.add(a_video(updated_at=NOON))

    [change] = stream.changes(rig.videos)

    assert abs(change.at - datetime.now(UTC)) < timedelta(minutes=1)


def test_a_write_that_did_not_happen_is_not_told(rig):
    video = rig.videos.add(a_video(), charge("me", uploads=1))
    rig.videos.update(video)
    stream.changes(rig.videos)

    with pytest.raises(LostRace):
        rig.videos.add(a_video())
    with pytest.raises(LostRace):
        rig.videos.update(video)
    with pytest.raises(QuotaExceeded):
        rig.videos.add(a_video("v2"), charge("me", uploads=1))
    with pytest.raises(UnknownVideo):
        rig.videos.delete("none")

    assert stream.changes(rig.videos) == []


def test_what_is_not_a_video_is_not_told(rig):
    rig.videos.add(a_video(), charge("me", uploads=1))  # its charge is a record of its own
    told = stream.changes(rig.videos)

    rig.videos.count([(told[0], {"uploads_requested": 1})])

    assert [change.video.id for change in told] == ["v1"]
    assert stream.changes(rig.videos) == []


def test_changes_have_names_of_their_own_that_stay(rig):
    rig.videos.add(a_video("v2"))
    video = rig.videos.add(a_video())
    rig.videos.update(video)
    rig.videos.delete("v1")
    delivered = stream.records(rig.videos)

    names = [rig.videos.change_of(record).name for record in delivered]

    assert len(set(names)) == 4
    assert [rig.videos.change_of(record).name for record in stream.records(rig.videos)] == names


HOUR = timedelta(hours=1)


def a_change(video_id: str = "v1", version: int = 1, at: datetime | None = None) -> Change:
    return Change(before=None, after=a_video(video_id, version=version), at=at or datetime.now(UTC))


def test_the_counts_of_changes_add_up(rig):
    rig.videos.count([(a_change(version=1), {"uploads_requested": 1})])
    rig.videos.count(
        [
            (a_change(version=2), {"rejected": 1, "rejected:frame rate": 2}),
            (a_change("v2"), {"uploads_requested": 1}),
        ]
    )

    assert rig.videos.counted(HOUR) == {"uploads_requested": 2, "rejected": 1, "rejected:frame rate": 2}


def test_a_change_that_is_delivered_again_is_not_counted_again(rig):
    first, second, third = (a_change(version=version) for version in (1, 2, 3))
    rig.videos.count([(first, {"accepted": 1}), (third, {"accepted": 1})])

    now = rig.videos.count([(change, {"accepted": 1}) for change in (first, second, third)])

    assert now == [second]
    assert rig.videos.count([(second, {"accepted": 1})]) == []
    assert rig.videos.counted(HOUR) == {"accepted": 3}


def test_a_change_counts_in_the_hour_of_its_write_however_late_it_is_counted(rig):
    now = datetime.now(UTC)

    rig.videos.count(
        [
            (a_change("long ago", at=now - timedelta(hours=3)), {"accepted": 1}),
            (a_change("before", at=now - timedelta(minutes=50)), {"accepted": 1}),
            (a_change("now", at=now), {"accepted": 1}),
        ]
    )

    assert rig.videos.counted(HOUR) == {"accepted": 2}
    assert rig.videos.counted(timedelta(hours=4)) == {"accepted": 3}


def test_many_changes_are_counted_at_once(rig):
    changes = [a_change(f"v{number}") for number in range(201)]

    assert rig.videos.count([(change, {"accepted": 1}) for change in changes]) == changes
    assert rig.videos.counted(HOUR) == {"accepted": 201}
    assert rig.videos.count([]) == []


@pytest.mark.thorough
def test_changes_of_many_hours_are_counted_at_once(rig):
    now = datetime.now(UTC)
    changes = [a_change(f"v{number}", at=now - number * timedelta(minutes=10)) for number in range(120)]

    rig.videos.count([(change, {"accepted": 1}) for change in changes])

    assert rig.videos.counted(timedelta(hours=30)) == {"accepted": 120}


@pytest.mark.thorough
def test_changes_that_are_counted_by_many_at_once_are_all_counted_once(rig):
    def count(worker: int) -> None:
        for number in range(5):
            changes = [a_change(f"v{worker // 2}-{number}"), a_change(f"w{worker}-{number}")]
            while True:
                try:
                    rig.videos.count([(change, {"uploads_requested": 1}) for change in changes])
                    break
                except Unavailable:  # too many transactions were in each other's way
                    continue

    at_once(count)

    assert rig.videos.counted(HOUR) == {"uploads_requested": 40 + 80}


def test_the_longest_queued_video_is_found(rig):
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


def test_a_video_is_overdue_from_its_exact_time(rig):
    whole_second = NOON.replace(microsecond=0)
    rig.videos.add(a_video(recover_at=whole_second))

    assert ids(rig.videos.overdue(whole_second - timedelta(microseconds=1), limit=10)) == []
    assert ids(rig.videos.overdue(whole_second, limit=10)) == ["v1"]
    assert ids(rig.videos.overdue(whole_second + timedelta(microseconds=1), limit=10)) == ["v1"]


def test_a_limited_query_returns_the_longest_overdue(rig):
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
    """The ids on each page."""
    page = rig.videos.of_owner(owner, limit=limit)
    found = [ids(page.videos)]
    while page.after:
        page = rig.videos.of_owner(owner, limit=limit, after=page.after)
        found.append(ids(page.videos))
    return found


def keyed(video_id: str = "v1", *, key: str = "k", at: datetime = NOON) -> KeyedAnswer:
    ticket = Ticket(method="PUT", url="http://a/", headers={"A": "b"}, expires_at=at, max_bytes=1)
    return KeyedAnswer(key=key, request="r", video_id=video_id, ticket=ticket, answered_at=at)


def test_what_was_answered_is_kept_under_its_key_for_a_day(rig):
    rig.videos.add(a_video(), keyed=keyed())

    assert rig.videos.answered("k", NOON) == keyed()
    assert rig.videos.answered("k", NOON + timedelta(hours=23, minutes=59)) == keyed()
    assert rig.videos.answered("k", NOON + timedelta(hours=24)) is None
    assert rig.videos.answered("another", NOON) is None


def test_a_key_is_good_for_one_video_and_the_second_is_not_added(rig):
    rig.videos.add(a_video("v1"), keyed=keyed("v1"))

    with pytest.raises(LostRace):
        rig.videos.add(a_video("v2"), charge(uploads=5), keyed=keyed("v2"))

    assert rig.videos.answered("k", NOON) == keyed("v1")
    with pytest.raises(UnknownVideo):
        rig.videos.get("v2")
    rig.videos.add(a_video("v3"), charge(uploads=1))  # the second was not charged


def test_a_key_that_has_expired_is_used_again(rig):
    tomorrow = NOON + timedelta(hours=24)
    rig.videos.add(a_video("v1"), keyed=keyed("v1"))
    rig.videos.add(a_video("v2"), keyed=keyed("v2", at=tomorrow))

    assert rig.videos.answered("k", tomorrow) == keyed("v2", at=tomorrow)


def test_an_answer_whose_quota_is_used_up_is_not_kept(rig):
    rig.videos.add(a_video("v1"), charge(uploads=1))

    with pytest.raises(QuotaExceeded):
        rig.videos.add(a_video("v2"), charge(uploads=1), keyed=keyed("v2"))

    assert rig.videos.answered("k", NOON) is None


def test_of_concurrent_requests_with_one_key_one_is_registered(rig):
    def add(number: int) -> bool:
        with suppress(LostRace):
            return bool(rig.videos.add(a_video(f"v{number}"), keyed=keyed(f"v{number}")))
        return False

    with ThreadPoolExecutor(8) as pool:
        added = list(pool.map(add, range(8)))

    assert added.count(True) == 1
    assert rig.videos.answered("k", NOON) == keyed(f"v{added.index(True)}")


def test_the_videos_of_an_owner_come_newest_first_in_pages(rig):
    for number in (3, 1, 5, 2, 4):
        rig.videos.add(a_video(f"v{number}", owner="me"))

    assert pages(rig, "me", limit=2) == [["v5", "v4"], ["v3", "v2"], ["v1"]]
    assert pages(rig, "me", limit=5) == [["v5", "v4", "v3", "v2", "v1"]]


def test_the_videos_on_a_page_are_as_last_written(rig):
    video = rig.videos.add(a_video(owner="me"))
    video = rig.videos.update(replace(video, progress=50))

    assert rig.videos.of_owner("me", limit=1) == Page(videos=[video], after=None)


def test_a_page_can_hold_a_hundred_videos(rig):
    names = [f"v{number:03}" for number in range(101)]
    for name in names:
        rig.videos.add(a_video(name, owner="me"))

    assert pages(rig, "me", limit=100) == [names[:0:-1], names[:1]]


def test_an_owner_sees_only_their_own_videos(rig):
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


def test_an_upload_quota_can_be_used_up_but_not_exceeded(rig):
    for number in range(3):
        rig.videos.add(a_video(f"v{number}"), charge=charge(uploads=3))

    with pytest.raises(QuotaExceeded) as error:
        rig.videos.add(a_video("one-more"), charge=charge(uploads=3))

    assert error.value.details["quota"] == {
        "uploads": {"limit": 3, "used": 3},
        "bytes": {"limit": 0, "used": 30},
        "resets_at": "2026-11-24T00:00:00+00:00",
    }
    with pytest.raises(UnknownVideo):
        rig.videos.get("one-more")


def test_a_byte_quota_can_be_used_up_but_not_exceeded(rig):
    rig.videos.add(a_video("v1"), charge=charge(takes=60, size_bytes=100))
    with pytest.raises(QuotaExceeded):
        rig.videos.add(a_video("too-much"), charge=charge(takes=41, size_bytes=100))

    rig.videos.add(a_video("v2"), charge=charge(takes=40, size_bytes=100))

    with pytest.raises(QuotaExceeded):
        rig.videos.add(a_video("one-more"), charge=charge(takes=1, size_bytes=100))


def test_a_charge_above_the_daily_quota_is_rejected(rig):
    with pytest.raises(QuotaExceeded) as error:
        rig.videos.add(a_video(), charge=charge(takes=101, uploads=9, size_bytes=100))

    assert error.value.details["quota"]["bytes"] == {"limit": 100, "used": 0}


def test_quotas_are_per_owner_and_day(rig):
    rig.videos.add(a_video("v1"), charge=charge("me", uploads=1))

    rig.videos.add(a_video("v2"), charge=charge("you", uploads=1))
    rig.videos.add(a_video("v3"), charge=charge("me", at=NOON + timedelta(hours=12), uploads=1))

    with pytest.raises(QuotaExceeded):
        rig.videos.add(a_video("v4"), charge=charge("me", at=NOON + timedelta(hours=35), uploads=1))


def test_adding_an_existing_id_charges_nothing(rig):
    rig.videos.add(a_video("v1"))
    with pytest.raises(LostRace):
        rig.videos.add(a_video("v1"), charge=charge(uploads=1))

    rig.videos.add(a_video("v2"), charge=charge(uploads=1))


def test_a_rejected_add_charges_nothing(rig):
    rig.videos.add(a_video("v1"), charge(uploads=1))
    with pytest.raises(QuotaExceeded):
        rig.videos.add(a_video("v2"), charge(uploads=1))
    with pytest.raises(LostRace):
        rig.videos.add(a_video("v1"), charge("you", uploads=1))

    rig.videos.add(a_video("v3"), charge("you", uploads=1))


def test_concurrent_adds_never_exceed_the_quota(rig):
    ends = at_once(lambda number: rig.videos.add(a_video(f"v{number}"), charge=charge(uploads=7)), threads=20)

    assert sorted(type(end).__name__ for end in ends) == ["QuotaExceeded"] * 13 + ["Video"] * 7


def test_pinging_working_records_succeeds(rig):
    rig.videos.ping()


# ── Jobs ───────────────────────────────────────────────────────────────────────


def exhaust(jobs, *video_ids: str) -> None:
    """Put these jobs and deliver each until it is a dead letter (after one delivery)."""
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


def test_a_done_job_is_not_redelivered(rig):
    jobs = rig.new_jobs(visibility_s=0)
    jobs.put("v1")

    jobs.done(jobs.receive())

    assert jobs.receive() is None
    assert jobs.stats().waiting == 0


def test_a_job_neither_done_nor_given_back_is_redelivered(rig):
    jobs = rig.new_jobs(visibility_s=1)
    jobs.put("v1")
    jobs.receive()

    assert jobs.receive() is None
    again = eventually(jobs.receive)
    assert (again.video_id, again.receives) == ("v1", 2)


def test_a_job_given_back_is_redelivered_immediately(rig):
    rig.jobs.put("v1")

    rig.jobs.give_back(rig.jobs.receive())

    again = rig.jobs.receive()
    assert (again.video_id, again.receives) == ("v1", 2)


def test_a_job_given_back_with_a_delay_is_redelivered_later(rig):
    rig.jobs.put("v1")

    rig.jobs.give_back(rig.jobs.receive(), delay_s=1)

    assert rig.jobs.receive() is None
    assert eventually(rig.jobs.receive).receives == 2


def test_a_delayed_job_is_delivered_later(rig):
    rig.jobs.put("v1", delay_s=1)

    assert rig.jobs.receive() is None
    assert rig.jobs.stats().waiting == 1
    assert eventually(rig.jobs.receive).receives == 1


def test_finishing_a_job_twice_is_not_an_error(rig):
    rig.jobs.put("v1")
    job = rig.jobs.receive()
    rig.jobs.done(job)

    rig.jobs.give_back(job)
    rig.jobs.done(job)

    assert rig.jobs.receive() is None


def test_a_job_delivered_too_often_becomes_a_dead_letter(rig):
    jobs = rig.new_jobs(max_receives=3)
    jobs.put("v1")
    for receives in (1, 2, 3):
        job = jobs.receive()
        assert job.receives == receives
        assert jobs.dead() == []
        jobs.give_back(job)

    assert jobs.receive() is None
    assert jobs.dead() == ["v1"]


def test_listing_dead_letters_does_not_remove_them(rig):
    jobs = rig.new_jobs(max_receives=1)
    exhaust(jobs, "v1", "v2", "v3")

    assert set(jobs.dead()) == {"v1", "v2", "v3"}
    assert len(jobs.dead(limit=2)) == 2
    assert jobs.stats().dead == 3


def test_a_redrive_requeues_every_dead_letter(rig):
    jobs = rig.new_jobs(max_receives=1)
    names = [f"v{number}" for number in range(12)]
    exhaust(jobs, *names)

    assert jobs.redrive() == 12

    assert jobs.dead() == []
    assert {jobs.receive().video_id for _ in names} == set(names)


def test_a_redriven_job_has_a_fresh_receive_count(rig):
    jobs = rig.new_jobs(max_receives=2)
    exhaust(jobs, "v1")

    jobs.redrive()

    assert jobs.receive().receives == 1


def test_a_job_can_be_buried_directly(rig):
    rig.jobs.bury("video-1")

    assert rig.jobs.receive() is None
    assert rig.jobs.dead() == ["video-1"]


def test_a_redrive_calls_prepare_before_requeueing(rig):
    rig.jobs.bury("video-1")
    seen = []

    assert rig.jobs.redrive(lambda video_id: seen.append((video_id, rig.jobs.receive()))) == 1
    assert seen == [("video-1", None)]
    assert rig.jobs.receive().video_id == "video-1"


def test_a_dead_letter_whose_prepare_fails_stays(rig):
    rig.jobs.bury("video-1")

    with pytest.raises(KeyError):
        rig.jobs.redrive({}.__getitem__)
    assert rig.jobs.stats().dead == 1


def test_a_redrive_without_dead_letters_requeues_nothing(rig):
    assert rig.jobs.redrive() == 0


def test_stats_count_jobs_by_state(rig):
    jobs = rig.new_jobs(max_receives=1)
    exhaust(jobs, "dead")
    jobs.put("in-flight")
    jobs.receive()
    jobs.put("ready")
    jobs.put("delayed", delay_s=900)

    stats = jobs.stats()

    assert (stats.waiting, stats.in_flight, stats.dead) == (2, 1, 1)


# ── Announcements ──────────────────────────────────────────────────────────────


def ids_of(told: Iterable[dict]) -> list[str]:
    return [event["id"] for event in told]


def test_an_event_is_told_as_it_is(rig):
    event = an_event("v1", 1, says='Ünïcode 猫 "quoted" \\u0000 </script>')

    rig.announcements.announce([event])

    assert rig.told(1) == [json.loads(event.body)]


def test_the_events_of_a_video_are_told_in_their_order(request, rig):
    rig.announcements.announce([an_event("v1", 1), an_event("v2", 1), an_event("v1", 2), an_event("v1", 3)])
    rig.announcements.announce([an_event("v1", 4)])

    told = ids_of(rig.told(5))
    if request.config.getoption("emulator"):
        told = sorted(told)  # EventBridge takes them in order, and promises its targets none
    assert [one for one in told if one.startswith("v1")] == ["v1-1", "v1-2", "v1-3", "v1-4"]
    assert "v2-1" in told


def test_more_events_than_one_call_takes_are_all_told(rig):
    events = [an_event(f"v{number}", 1, says="x" * 60_000) for number in range(25)]

    rig.announcements.announce(events)

    assert sorted(ids_of(rig.told(25))) == sorted(event.id for event in events)


def test_an_event_that_is_announced_again_is_told_with_the_same_id(rig):
    for _ in range(2):
        rig.announcements.announce([an_event("v1", 1)])

    assert set(ids_of(rig.told(2))) == {"v1-1"}


def test_no_event_is_nothing_to_announce(rig):
    rig.announcements.announce([])

    assert rig.told(0) == []


# ── An unavailable backend ─────────────────────────────────────────────────────


@pytest.fixture
def unreachable_aws(monkeypatch) -> Iterator[None]:
    """An AWS endpoint that refuses connections, and no delay between boto3's retries."""
    monkeypatch.setattr("botocore.endpoint.time.sleep", lambda _: None)
    with socket.socket() as bound:  # bound but not listening: the port stays ours and refuses connections
        bound.bind(("127.0.0.1", 0))
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{bound.getsockname()[1]}")
        yield


@pytest.fixture(params=["local", "aws"])
def dead_backend(request, tmp_path) -> SimpleNamespace:
    """Creates the adapters of an unavailable backend."""
    if request.param == "aws":
        request.getfixturevalue("unreachable_aws")
        return SimpleNamespace(
            storage=lambda: S3Storage("bucket"),
            announcements=lambda: EventBridgeAnnouncements("bus"),
            videos=lambda: DynamoVideos("table"),
            jobs=lambda: PolledSqsJobs(
                os.environ["AWS_ENDPOINT_URL"] + "/1/jobs", "http://127.0.0.1:1/1/dead"
            ),
        )
    no_folder = in_a_file(tmp_path, b"a file where a folder should be")
    return SimpleNamespace(
        storage=lambda: FolderStorage(no_folder, "http://localhost", b"secret"),
        videos=lambda: SqliteVideos(tmp_path),  # a folder where a file should be
        jobs=lambda: SqliteJobs(tmp_path),
        announcements=lambda: SqliteAnnouncements(tmp_path),
    )


AN_OBJECT = StoredObject(key="uploads/v1", size_bytes=5, etag="e", stored_at=NOON)
STORAGE_USES = {
    "save": lambda storage: storage.save(Path(__file__), "key", content_type=MP4),
    "copy": lambda storage: storage.copy(AN_OBJECT, "key", content_type=MP4),
    "ping": lambda storage: storage.ping(),
}
VIDEOS_USES = {
    "add": lambda videos: videos.add(a_video()),
    "add with a charge": lambda videos: videos.add(a_video(), charge=charge(uploads=1)),
    "add with a key": lambda videos: videos.add(a_video(), keyed=keyed()),
    "answered": lambda videos: videos.answered("k", NOON),
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
    with pytest.raises(Unavailable) as error:
        use(dead_backend.storage())
    assert error.value.suggestions


@pytest.mark.parametrize("use", VIDEOS_USES.values(), ids=VIDEOS_USES)
def test_records_that_do_not_answer_are_unavailable(dead_backend, use):
    with pytest.raises(Unavailable) as error:
        use(dead_backend.videos())
    assert error.value.suggestions


@pytest.mark.parametrize("use", JOBS_USES.values(), ids=JOBS_USES)
def test_a_queue_that_does_not_answer_is_unavailable(dead_backend, use):
    with pytest.raises(Unavailable) as error:
        use(dead_backend.jobs())
    assert error.value.suggestions


def test_a_bus_that_does_not_answer_is_unavailable(dead_backend):
    with pytest.raises(Unavailable) as error:
        dead_backend.announcements().announce([an_event("v1", 1)])
    assert error.value.suggestions
