"""What every function logs and asks of AWS on every path it can take, recorded on moto."""

import io
import json
from base64 import b64encode
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import uuid4

import boto3
import pytest

from local_aws.events import api_event, invoke, s3_event, scheduled_event, sqs_event, stream_event
from support import letters, stream
from support.issuer import AUDIENCE, Issuer
from support.media_tools import TOOLS, fake_tool
from support.polled import PolledSqsJobs
from support.receiver import Receiver
from support.samples import an_event
from videos import wiring
from videos.errors import ToolFailed
from videos.model import State, Video
from videos.ports import Job, Letter
from videos.quota import Quota
from videos.service import Receiver as ReceiverSettings
from videos.service import Service
from videos.steps.attempts import begin
from videos.stores.aws.deliveries import SqsDeliveries
from videos.stores.aws.dynamodb import DynamoVideos
from videos.stores.aws.eventbridge import EventBridgeAnnouncements
from videos.stores.aws.s3 import S3Storage
from videos.telemetry.logs import logger

SECRET = f"whsec_{b64encode(b'n' * 32).decode()}"
TRACE = "1-5e1b4151-5ac6c58f5b5dbd1f3c7a1e02"


@dataclass(frozen=True)
class Asked:
    """One request to AWS, or one that a client was signed for."""

    function: str
    service: str
    operation: str
    parameters: dict[str, Any]


@dataclass
class Activity:
    """What was recorded. ``first`` holds the requests of one plain video, before every other path."""

    lines: list[dict[str, Any]] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    first: list[Asked] = field(default_factory=list)
    names: dict[str, str] = field(default_factory=dict)  # of bucket, table and queues, by what is called so


class Driver:
    """Plays app, S3, SQS and EventBridge for the functions."""

    def __init__(self, fake_aws: Any, activity: Activity) -> None:
        self.activity = activity
        self.fake = fake_aws
        self.later = timedelta()
        self.function = ""
        self.token = ""
        bucket, table = f"activity-{uuid4()}", f"activity-{uuid4()}"
        jobs = fake_aws.new_jobs()
        activity.names |= {"bucket": bucket, "table": table}
        activity.names |= {"queue": jobs._queue_url, "dead": jobs._dead_letter_url}
        deliveries = fake_aws.new_deliveries()
        activity.names |= {"bus": bucket, "deliveries": deliveries._queue_url}
        activity.names |= {"retries": deliveries._retry_url, "dead deliveries": deliveries._dead_letter_url}
        self.service = Service(
            storage=S3Storage(bucket),
            videos=DynamoVideos(table),
            jobs=PolledSqsJobs(jobs._queue_url, jobs._dead_letter_url),
            announcements=EventBridgeAnnouncements(bucket),
            deliveries=deliveries,
            receiver=_settings("http://localhost:9/"),
            tools=wiring.media_tools({}),
            now=lambda: datetime.now(UTC) + self.later,
        )

    def note(self, params: dict[str, Any], event_name: str, **_: Any) -> None:
        _, service, operation = event_name.split(".")
        if service == "dynamodb-streams" or operation in ("ReceiveMessage", "DeleteMessage"):
            return  # by what calls the function
        service = {"eventbridge": "events"}.get(service, service)  # as policies call it
        self.activity.asked.append(Asked(self.function, service, operation, dict(params)))

    def call(self, function: str, event: dict[str, Any]) -> Any:
        self.function = function
        return invoke(function, event, 60)

    def api(self, function: str, method: str, path: str, body: bytes = b"", kind: str = "") -> Any:
        video_id = path.split("/")[2] if path.startswith("/videos/") else ""
        parameters = {"video_id": video_id} if video_id else {}
        headers = [("host", "localhost"), ("content-type", kind)] if kind else [("host", "localhost")]
        if self.token:
            headers.append(("authorization", f"Bearer {self.token}"))
        answer = self.call(function, api_event(method, path, path, parameters, body, headers=headers))
        return json.loads(answer["body"]) if answer.get("body") else None

    def ticket(self, **wanted: Any) -> str:
        request = {"filename": "cat.mp4", "content_type": "video/mp4", "size": 1000, **wanted}
        body = json.dumps(request).encode()
        return str(self.api("request_upload", "POST", "/upload", body, "application/json")["id"])

    def form(self, file: bytes) -> Any:
        head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.mp4"\r\n'
        body = head + b"Content-Type: video/mp4\r\n\r\n" + file + b"\r\n--b--\r\n"
        return self.api("request_upload", "POST", "/upload", body, "multipart/form-data; boundary=b")

    def send(self, video_id: str, file: bytes) -> None:
        self.fake.s3.put_object(Bucket=self.activity.names["bucket"], Key=f"uploads/{video_id}", Body=file)

    def check(self, video_id: str) -> None:
        self.call("check_upload", s3_event(f"uploads/{video_id}", size_bytes=1, etag="e"))

    def publish(self) -> None:
        """Deliver every change to the table."""
        while batch := stream.records(self.service.videos, limit=50):
            self.call("publish_changes", stream_event(batch))
            stream.delivered(self.service.videos, batch)

    def tell(self, status: int, *, attempts: int = 0) -> None:
        """Deliver the next webhook, after so many attempts, to a receiver that answers so."""
        deliveries = self.service.deliveries
        assert isinstance(deliveries, SqsDeliveries)
        self.function = ""
        if attempts:
            event = an_event(f"v-{status}", 1)
            deliveries._send(deliveries._retry_url, Letter(event=event, attempts=attempts))
        message = letters.receive(deliveries, retries_only=bool(attempts))
        assert message
        with Receiver(lambda *_: status) as receiver, self.changed(receiver=_settings(receiver.url)):
            answer = self.call("deliver_webhook", message.event)
        if not answer["batchItemFailures"]:
            letters.done(deliveries, message)

    def transcode(self, video_id: str, *, receives: int = 1) -> None:
        self.call("transcode_video", sqs_event(Job(video_id=video_id, receipt="r", receives=receives)))

    def sent(self, file: bytes, **wanted: Any) -> str:
        """A video whose file is in storage, with no event fired yet."""
        video_id = self.ticket(**wanted)
        self.send(video_id, file)
        return video_id

    def checked(self, file: bytes, **wanted: Any) -> str:
        video_id = self.sent(file, **wanted)
        self.check(video_id)
        return video_id

    def begun(self, video_id: str) -> None:
        """Another worker transcodes it."""
        begin(self.service.videos.get(video_id), State.PROCESSING, self.service)

    @contextmanager
    def changed(self, **parts: Any) -> Iterator[None]:
        whole = self.service
        self.service = replace(whole, **parts)
        wiring.service.cache_clear()
        yield
        self.service = whole
        wiring.service.cache_clear()

    @contextmanager
    def signed_in(self) -> Iterator[None]:
        """Access is not open, and what an owner may upload has an end."""
        with Issuer() as issuer, pytest.MonkeyPatch.context() as patch, self.changed(quota=Quota(uploads=9)):
            patch.setenv("JWT_ISSUER", issuer.url)
            patch.setenv("JWT_AUDIENCE", AUDIENCE)
            wiring.http_settings.cache_clear()
            self.token = issuer.token()
            yield
        self.token = ""
        wiring.http_settings.cache_clear()

    def broken(self, **tools: str) -> AbstractContextManager[None]:
        return self.changed(tools=replace(self.service.tools, **tools))

    def deleted_meanwhile(self) -> AbstractContextManager[None]:
        """Whoever publishes something finds that the video was deleted."""
        app, table = self, self.activity.names["table"]

        class Videos(DynamoVideos):
            def update(self, video: Video) -> Video:
                if video.state in (State.QUEUED, State.COMPLETED):
                    app.fake.dynamodb.delete_item(TableName=table, Key={"id": {"S": video.id}})
                return super().update(video)

        return self.changed(videos=Videos(table))


def record(fake_aws: Any, good: bytes, refused: bytes, table: dict[str, Any]) -> Activity:
    activity = Activity()
    written = io.StringIO()
    session = boto3._get_default_session()._session  # clients made from now on tell what they are asked

    def note(**asked: Any) -> None:
        app.note(**asked)

    session.register("before-parameter-build", note)
    app = Driver(fake_aws, activity)
    fake_aws.make_bucket(activity.names["bucket"])
    fake_aws.make_bus(activity.names["bus"])
    fake_aws.dynamodb.create_table(TableName=activity.names["table"], **table)
    handler = logger.registered_handler
    before = handler.setStream(written)  # type: ignore[attr-defined]
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("_X_AMZN_TRACE_ID", f"Root={TRACE};Parent=53995c3f42cd8ad8;Sampled=1")
            patch.setattr(wiring, "make_service", lambda _: app.service)
            wiring.service.cache_clear()
            _take_every_path(app, good, refused)
    finally:
        handler.setStream(before)  # type: ignore[attr-defined]
        session.unregister("before-parameter-build", note)
        wiring.service.cache_clear()
    activity.lines = [json.loads(line) for line in written.getvalue().splitlines()]
    return activity


def _settings(url: str) -> ReceiverSettings:
    return ReceiverSettings(url=url, secrets=(SECRET,), allows_private=True)


def _take_every_path(app: Driver, good: bytes, refused: bytes) -> None:
    # What most videos do.
    plain = app.checked(good)
    app.transcode(plain)
    app.publish()
    app.activity.first = list(app.activity.asked)

    # What becomes of webhooks.
    app.tell(204)
    for status in (500, 410, 204):
        app.tell(status, attempts=1)
    app.tell(500)
    app.tell(500, attempts=9)

    # What apps ask.
    app.api("read_video", "GET", f"/videos/{plain}/status")
    app.api("read_video", "GET", f"/videos/{plain}/metadata")
    app.api("read_video", "GET", f"/videos/{plain}/video.mp4")
    app.api("check_health", "GET", "/health")
    app.ticket(method="PUT")
    app.form(good)
    app.form(refused)

    # What owners ask.
    with app.signed_in():
        app.ticket()
        app.form(refused)
        app.api("read_video", "GET", "/videos")

    # A clip that is fixed, by a second attempt from what the first has published.
    to_fix = app.checked(refused, on_violation="fix")
    with TemporaryDirectory() as folder:
        killed = fake_tool(Path(folder), TOOLS.ffmpeg, asked_for="360p")
        with app.broken(ffmpeg=str(killed)):
            app.transcode(to_fix)
    app.transcode(to_fix, receives=2)

    # What goes wrong with files.
    left = f"outputs/{plain}/0123456789ab/720p.mp4"  # by an attempt that was killed
    app.fake.s3.put_object(Bucket=app.activity.names["bucket"], Key=left, Body=b"half")
    app.transcode(plain)
    late = app.checked(refused)
    app.api("read_video", "GET", f"/videos/{late}/video.mp4")
    app.transcode(app.ticket())  # nothing was uploaded yet
    app.transcode(app.sent(good))  # its event was lost
    replaced = app.checked(good)
    app.send(replaced, b"no video any more")
    app.check(replaced)

    # What goes wrong with us.
    deleted = app.checked(good)
    with app.deleted_meanwhile():
        app.transcode(deleted)
        app.check(app.sent(good))
        app.form(good)
    struck = app.checked(good)
    app.begun(struck)
    app.transcode(struck)  # a spare job: somebody is at it
    with app.broken(ffmpeg="/nowhere"):
        for receives in range(2, 2 + app.service.max_failures):
            app.transcode(struck, receives=receives)
    unlucky = app.sent(good)
    with app.broken(ffprobe="/nowhere"):
        for _ in range(app.service.max_failures - 1):
            with pytest.raises(ToolFailed):
                app.check(unlucky)
        app.check(unlucky)

    # What goes silent: uploads whose event was lost, jobs, tickets nobody used.
    unused = app.ticket()
    app.sent(refused)
    app.checked(good)
    app.later = timedelta(minutes=31)
    with app.broken(ffprobe="/nowhere"):
        app.call("recover_videos", scheduled_event())
    app.later = timedelta(minutes=90)
    app.transcode(unused)  # it expires
    with app.changed():  # while some are overdue; a service is looked at once a second, so another one
        app.api("check_health", "GET", "/health")
    app.call("recover_videos", scheduled_event())
    app.later += timedelta(days=31)  # what failed is erased
    app.call("recover_videos", scheduled_event())
    app.transcode(struck)
    app.ticket()
    app.later += timedelta(minutes=90)
    with app.changed(jobs=PolledSqsJobs("https://sqs.eu-central-1.amazonaws.com/1/gone", "")):
        app.call("recover_videos", scheduled_event())

    app.api("read_video", "DELETE", f"/videos/{plain}")
    app.publish()
    app.send(plain, good)
    app.check(plain)  # an upload to a video that is deleted
