"""What only AWS can do, or do wrong: signing, versions, throttling, and the shape of the table."""

import base64
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import boto3
import pytest
from botocore.exceptions import EndpointConnectionError

from support import stream
from support.samples import MP4, NOON, a_full_video, a_video, charge, in_a_file, in_an_hour, ticket_for
from videos.errors import Unavailable
from videos.model import State
from videos.ports import Change
from videos.stores.aws.dynamodb import DynamoVideos
from videos.stores.aws.s3 import S3Storage
from videos.stores.aws.sqs import SqsJobs


def bucket_of(fake_aws, **settings) -> str:
    fake_aws.make_bucket(name := f"media-{uuid4()}", **settings)
    return name


def table_item(moto_rig, fake_aws, video_id: str) -> dict:
    table = moto_rig.videos._table
    return fake_aws.dynamodb.get_item(TableName=table, Key={"id": {"S": video_id}})["Item"]


def test_deleting_from_a_versioned_bucket_leaves_no_version(fake_aws, tmp_path):
    bucket = bucket_of(fake_aws, versioned=True)
    storage = S3Storage(bucket)
    for key in ("a", "a", "a", "ab"):
        storage.save(in_a_file(tmp_path, os.urandom(5)), key, content_type=MP4)

    storage.delete("a")
    storage.delete("a")

    left = fake_aws.s3.list_object_versions(Bucket=bucket)
    assert [version["Key"] for version in left["Versions"]] == ["ab"]
    assert "DeleteMarkers" not in left


def test_what_was_hidden_before_is_deleted_for_good_too(fake_aws, tmp_path):
    bucket = bucket_of(fake_aws, versioned=True)
    storage = S3Storage(bucket)
    storage.save(in_a_file(tmp_path, b"12345"), "a", content_type=MP4)
    fake_aws.s3.delete_object(Bucket=bucket, Key="a")  # a marker: a crash in the middle leaves the same

    storage.delete("a")

    left = fake_aws.s3.list_object_versions(Bucket=bucket)
    assert "Versions" not in left
    assert "DeleteMarkers" not in left


def test_a_thousand_keys_are_deleted_in_one_request_and_no_more(fake_aws):
    storage = S3Storage(bucket_of(fake_aws))
    requests: list[dict] = []
    storage._s3.meta.events.register(
        "provide-client-params.s3.DeleteObjects", lambda params, **_: requests.append(params)
    )

    storage.delete(*map(str, range(2001)))

    assert [len(request["Delete"]["Objects"]) for request in requests] == [1000, 1000, 1]


@pytest.mark.parametrize("exact_bytes", [None, 5])
def test_a_put_url_signs_the_type_the_condition_and_the_length_only_if_asked_to(moto_rig, exact_bytes):
    ticket = ticket_for(moto_rig, "PUT", exact_bytes=exact_bytes)

    query = parse_qs(urlsplit(ticket.url).query)
    length = "content-length;" if exact_bytes else ""
    assert query["X-Amz-SignedHeaders"] == [f"{length}content-type;host;if-none-match"]
    assert query["X-Amz-Algorithm"] == ["AWS4-HMAC-SHA256"]
    assert not [name for name in query if "checksum" in name.lower()]


@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_a_ticket_for_the_past_is_signed_for_a_moment(moto_rig, method):
    ticket = ticket_for(moto_rig, method, expires_at=datetime.now(UTC) - timedelta(hours=1))

    if method == "PUT":
        assert parse_qs(urlsplit(ticket.url).query)["X-Amz-Expires"] == ["1"]
    else:
        policy = json.loads(base64.b64decode(ticket.fields["policy"]))
        assert datetime.fromisoformat(policy["expiration"]) <= datetime.now(UTC) + timedelta(seconds=1)


@pytest.mark.parametrize("region", ["eu-central-1", "us-east-1"])
def test_urls_name_the_regional_host_of_the_bucket(monkeypatch, region):
    monkeypatch.setenv("AWS_DEFAULT_REGION", region)
    storage = S3Storage("media")
    ticket = storage.upload_ticket(
        "a", method="POST", content_type=MP4, max_bytes=1, exact_bytes=None, expires_at=in_an_hour()
    )

    assert ticket.url == f"https://media.s3.{region}.amazonaws.com/"
    link = storage.download_url("a", content_type=MP4, expires_in_s=60)
    assert link.startswith(f"https://media.s3.{region}.amazonaws.com/a?")
    assert "X-Amz-Algorithm=AWS4-HMAC-SHA256" in link


def test_urls_for_an_emulator_name_the_bucket_in_the_path(monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://host.docker.internal:4566")

    link = S3Storage("media").download_url("a", content_type=MP4, expires_in_s=60)

    assert link.startswith("http://host.docker.internal:4566/media/a?")


def test_urls_name_the_host_that_clients_reach(monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://host.docker.internal:4566")
    storage = S3Storage("media", public_endpoint_url="http://localhost:4566")

    link = storage.download_url("a", content_type=MP4, expires_in_s=60)

    assert link.startswith("http://localhost:4566/media/a?")


def test_a_video_of_nobody_is_not_in_the_index_of_owners(moto_rig, fake_aws):
    moto_rig.videos.add(a_video())

    assert "owner" not in table_item(moto_rig, fake_aws, "v1")


def test_a_used_quota_is_dropped_when_its_day_is_over(moto_rig, fake_aws):
    moto_rig.videos.add(a_video(), charge=charge("me", uploads=1))

    item = table_item(moto_rig, fake_aws, "quota#me#2026-11-23")
    assert datetime.fromtimestamp(int(item["expires_at"]["N"]), UTC) == datetime(2026, 11, 25, tzinfo=UTC)
    assert (item["uploads"], item["size_bytes"]) == ({"N": "1"}, {"N": "10"})


@pytest.mark.parametrize(("conflicts", "outcome"), [(3, "added"), (99, "DynamoDB does not answer")])
@pytest.mark.parametrize("with_charge", [True, False], ids=["charge", "count"])
def test_a_write_that_another_was_in_the_way_of_is_tried_again(
    moto_rig, monkeypatch, conflicts, outcome, with_charge
):
    videos, tries = moto_rig.videos, []
    transact = videos._dynamodb.transact_write_items

    def conflicting(**request):
        tries.append(request)
        if len(tries) > conflicts:
            return transact(**request)
        reasons = [{"Code": "None"}, {"Code": "TransactionConflict"}]
        error = {"Error": {"Code": "TransactionCanceledException"}, "CancellationReasons": reasons}
        raise videos._dynamodb.exceptions.TransactionCanceledException(error, "TransactWriteItems")

    monkeypatch.setattr(videos._dynamodb, "transact_write_items", conflicting)
    monkeypatch.setattr(time, "sleep", lambda _: None)

    try:
        if with_charge:
            videos.add(a_video(), charge=charge("me", uploads=1))
        else:
            videos.count([(a_change("v1"), {"new": 1})])
        told = "added"
    except Unavailable as error:
        told = str(error)

    assert told.startswith(outcome)


def a_change(video_id: str) -> Change:
    return Change(before=None, after=a_video(video_id, version=1), at=datetime.now(UTC))


def test_changes_are_counted_once_if_the_second_half_of_them_failed(moto_rig, monkeypatch):
    videos, counted = moto_rig.videos, [(a_change(f"v{number}"), {"new": 1}) for number in range(80)]
    transact, tries = videos._dynamodb.transact_write_items, []

    def failing(**request):
        tries.append(request)
        if len(tries) == 2:
            raise EndpointConnectionError(endpoint_url="https://dynamodb")
        return transact(**request)

    monkeypatch.setattr(videos._dynamodb, "transact_write_items", failing)
    with pytest.raises(Unavailable):
        videos.count(counted)

    videos.count(counted)

    assert videos.counted(timedelta(hours=1)) == {"new": 80}
    assert all(len(request["TransactItems"]) <= 100 for request in tries)


def test_what_dynamodb_itself_drops_when_its_time_is_over_is_not_told(moto_rig):
    moto_rig.videos.add(a_video(state=State.EXPIRED))
    moto_rig.videos.delete("v1")
    _, removed = stream.records(moto_rig.videos)
    by_itself = {"type": "Service", "principalId": "dynamodb.amazonaws.com"}

    assert moto_rig.videos.change_of(removed)
    assert moto_rig.videos.change_of(removed | {"userIdentity": by_itself}) is None


def test_what_is_kept_to_count_is_dropped_after_two_days(moto_rig, fake_aws):
    moto_rig.videos.count([(a_change("v1"), {"new": 1})])

    items = fake_aws.dynamodb.scan(TableName=moto_rig.videos._table)["Items"]

    in_two_days = (datetime.now(UTC) + timedelta(days=2)).timestamp()
    assert len(items) == 2
    assert all(abs(int(item["expires_at"]["N"]) - in_two_days) < 60 for item in items)


def test_a_write_of_a_video_is_one_plain_write_unless_a_quota_is_charged(moto_rig):
    requests: list[str] = []
    moto_rig.videos._dynamodb.meta.events.register(
        "before-call.dynamodb", lambda model, **_: requests.append(model.name)
    )

    video = moto_rig.videos.add(a_video())
    moto_rig.videos.update(replace(video, state=State.QUEUED))
    moto_rig.videos.delete("v1")
    moto_rig.videos.add(a_video("v2"), charge=charge("me", uploads=1))

    assert requests == ["PutItem", "PutItem", "DeleteItem", "TransactWriteItems"]


def test_a_plain_write_that_meets_a_transaction_is_tried_again(moto_rig, monkeypatch):
    videos = moto_rig.videos
    put, tries = videos._dynamodb.put_item, []

    def conflicting(**request):
        tries.append(request)
        if len(tries) > 3:
            return put(**request)
        error = {"Error": {"Code": "TransactionConflictException"}}
        raise videos._dynamodb.exceptions.TransactionConflictException(error, "PutItem")

    monkeypatch.setattr(videos._dynamodb, "put_item", conflicting)
    monkeypatch.setattr(time, "sleep", lambda _: None)

    videos.add(a_video())

    assert videos.get("v1")


def test_what_dynamodb_leaves_of_a_page_is_asked_for_again(moto_rig, monkeypatch):
    for name in ("v1", "v2", "v3"):
        moto_rig.videos.add(a_video(name, owner="me"))
    client = moto_rig.videos._dynamodb
    read = client.batch_get_item

    def one_at_a_time(RequestItems):  # noqa: N803  boto3's
        [(table, wanted)] = RequestItems.items()
        first, *left = wanted["Keys"]
        answer = read(RequestItems={table: wanted | {"Keys": [first]}})
        return answer | {"UnprocessedKeys": {table: wanted | {"Keys": left}} if left else {}}

    monkeypatch.setattr(client, "batch_get_item", one_at_a_time)

    page = moto_rig.videos.of_owner("me", limit=3)

    assert [video.id for video in page.videos] == ["v3", "v2", "v1"]


def test_a_record_is_made_of_native_attributes(moto_rig, fake_aws):
    moto_rig.videos.add(a_full_video())

    item = table_item(moto_rig, fake_aws, "v1")
    assert item["state"] == {"S": "processing"}
    assert item["media"]["M"]["frame_rate"] == {"N": "29.97"}
    assert item["problems"]["L"][0]["M"]["rule"] == {"S": "resolution"}


def test_only_unfinished_videos_are_in_the_index(moto_rig, fake_aws):
    moto_rig.videos.add(a_video("finished", state=State.COMPLETED))
    moto_rig.videos.add(a_video("unfinished", recover_at=NOON))
    done = moto_rig.videos.add(a_video("done", recover_at=NOON))
    moto_rig.videos.update(replace(done, state=State.COMPLETED, recover_at=None))

    index = fake_aws.dynamodb.scan(TableName=moto_rig.videos._table, IndexName="in_flight")

    assert [item["id"]["S"] for item in index["Items"]] == ["unfinished"]


def test_index_keys_have_one_width_so_that_they_sort(moto_rig, fake_aws):
    in_new_york = NOON.replace(microsecond=0).astimezone(timezone(timedelta(hours=-5)))
    moto_rig.videos.add(a_video(recover_at=in_new_york))

    item = table_item(moto_rig, fake_aws, "v1")
    assert item["recover_at"] == {"S": "2026-11-23T12:00:00.000000+00:00"}
    assert item["shard"]["S"] in set("01234567")


def test_the_index_is_spread_over_all_its_shards(moto_rig, fake_aws):
    for number in range(100):
        moto_rig.videos.add(a_video(f"v{number}", recover_at=NOON))

    items = fake_aws.dynamodb.scan(TableName=moto_rig.videos._table)["Items"]

    assert {item["shard"]["S"] for item in items} == set("01234567")


def test_a_video_is_read_as_last_written_not_from_a_replica(moto_rig):
    reads: list[dict] = []
    moto_rig.videos._dynamodb.meta.events.register(
        "provide-client-params.dynamodb.GetItem", lambda params, **_: reads.append(params)
    )
    moto_rig.videos.add(a_video())

    moto_rig.videos.get("v1")

    assert [read["ConsistentRead"] for read in reads] == [True]


@pytest.mark.parametrize("end", ["finished", "deleted"])
def test_an_index_that_lags_behind_brings_no_finished_video(moto_rig, end):
    videos = moto_rig.videos
    video = videos.add(a_video(recover_at=NOON))

    def end_it(parsed, **_: object) -> None:
        if not parsed["Items"]:
            return
        if end == "deleted":
            videos.delete("v1")
        else:
            videos.update(replace(video, state=State.COMPLETED, recover_at=None))

    videos._dynamodb.meta.events.register("after-call.dynamodb.Query", end_it)

    assert videos.overdue(NOON, limit=10) == []


def test_keys_that_the_index_should_have_dropped_hide_no_overdue_video_behind_them(moto_rig):
    videos = moto_rig.videos
    for minutes in (3, 2, 1):
        videos.add(a_video(f"v{minutes}", recover_at=NOON - timedelta(minutes=minutes)))
    handled = {"v3", "v2"}  # by another process, whose writes the index does not know yet

    def handle(parsed, **_: object) -> None:
        for video_id in handled & {item["id"]["S"] for item in parsed["Items"]}:
            handled.remove(video_id)
            videos.update(videos.get(video_id).postponed(NOON + timedelta(hours=1)))

    videos._dynamodb.meta.events.register("after-call.dynamodb.Query", handle)

    assert [video.id for video in videos.overdue(NOON, limit=2)] == ["v1"]


@pytest.mark.parametrize("state", State)
def test_only_records_without_files_expire_after_30_days(moto_rig, fake_aws, state):
    moto_rig.videos.add(a_video(state=state))

    expires_at = table_item(moto_rig, fake_aws, "v1").get("expires_at")

    if state in (State.REJECTED, State.EXPIRED):
        assert int(expires_at["N"]) == int((NOON + timedelta(days=30)).timestamp())
    else:
        assert expires_at is None


@pytest.mark.parametrize(
    ("use", "code"),
    [
        (lambda: S3Storage("nowhere").ping(), "NoSuchBucket"),
        (lambda: list(S3Storage("nowhere").keys("")), "NoSuchBucket"),
        (lambda: DynamoVideos("nowhere").ping(), "ResourceNotFoundException"),
        (lambda: SqsJobs("http://sqs.eu-central-1.amazonaws.com/1/none").put("v1"), "NonExistentQueue"),
    ],
)
@pytest.mark.usefixtures("fake_aws")
def test_our_own_mistakes_are_named_and_called_ours(use, code):
    with pytest.raises(Unavailable, match=code) as refusal:
        use()

    assert "template.yaml" in refusal.value.suggestions[-1]


@pytest.fixture
def saying(monkeypatch) -> Iterator[Callable[..., None]]:
    """An AWS that says always the same: ``saying(status, body)``."""
    monkeypatch.setattr("botocore.endpoint.time.sleep", lambda _: None)
    script: dict[str, object] = {}

    class Parrot(BaseHTTPRequestHandler):
        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(script["status"])
            self.send_header("Content-Length", str(script["length"]))
            self.send_header("ETag", '"e"')
            self.send_header("Last-Modified", "Mon, 23 Nov 2026 12:00:00 GMT")
            self.end_headers()
            self.wfile.write(script["body"])

        do_GET = do_PUT = do_POST = answer  # noqa: N815 - http.server's names

        def log_message(self, *_: object) -> None:
            pass

    def say(status: int, body: str, length: int | None = None) -> None:
        script.update(status=status, body=body.encode(), length=length or len(body))

    with ThreadingHTTPServer(("127.0.0.1", 0), Parrot) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
        yield say
        server.shutdown()


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (503, "<Error><Code>SlowDown</Code></Error>", "SlowDown"),
        (500, "<Error><Code>InternalError</Code></Error>", "InternalError"),
        (502, "<html>Bad Gateway</html>", "502"),
    ],
)
def test_an_s3_that_is_too_busy_may_be_asked_again(saying, status, body, code):
    saying(status, body)

    with pytest.raises(Unavailable, match=code) as refusal:
        S3Storage("media").ping()

    assert "Try again in a few seconds." in refusal.value.suggestions


@pytest.mark.parametrize("code", ["ThrottlingException", "ProvisionedThroughputExceededException"])
def test_a_table_that_is_too_busy_may_be_asked_again(saying, code):
    saying(400, json.dumps({"__type": f"com.amazonaws.dynamodb.v20120810#{code}"}))

    with pytest.raises(Unavailable, match=code) as refusal:
        DynamoVideos("table").get("v1")

    assert "Try again in a few seconds." in refusal.value.suggestions


def test_a_forbidden_object_is_not_a_missing_one(saying, tmp_path):
    saying(403, "<Error><Code>AccessDenied</Code></Error>")

    with pytest.raises(Unavailable, match="AccessDenied"):
        S3Storage("media").fetch("a", tmp_path / "fetched")


def test_a_body_that_breaks_off_leaves_no_half_file(saying, tmp_path):
    saying(200, "12345", length=10)

    with pytest.raises(Unavailable):
        S3Storage("media").fetch("a", tmp_path / "fetched")
    assert list(tmp_path.iterdir()) == []


def test_a_key_that_cannot_be_deleted_is_not_passed_over(saying):
    error = "<Error><Key>a</Key><Code>AccessDenied</Code></Error>"
    saying(200, f"<DeleteResult><Deleted><Key>b</Key></Deleted>{error}</DeleteResult>")

    with pytest.raises(Unavailable, match="AccessDenied"):
        S3Storage("media").delete("a", "b")


def test_without_credentials_aws_is_unavailable(monkeypatch):
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)  # it remembers them
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)

    with pytest.raises(Unavailable, match="NoCredentialsError"):
        S3Storage("media").download_url("a", content_type=MP4, expires_in_s=60)
