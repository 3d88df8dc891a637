"""What the tests share: the adapters to run on, and a world without a real AWS account."""

import base64
import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path
from threading import Lock
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit
from uuid import uuid4
from xml.etree import ElementTree

import boto3
import hypothesis
import pytest
import requests
from moto import mock_aws
from moto.core.botocore_stubber import BotocoreStubber

import check_health
import read_video
import request_upload
from dev import emulator
from dev.clips import make_clip
from dev.localstack import localstack
from support import activity as activities
from support import wire
from support.api import Context
from support.clock import Clock
from support.polled import PolledSqsJobs
from support.video_table import TABLE
from videos import wiring
from videos.policy import DELIVERY_VISIBILITY_S
from videos.ports import Announcements, Deliveries, Jobs, Storage, Ticket, Videos
from videos.service import Service
from videos.stores.aws.deliveries import SqsDeliveries
from videos.stores.aws.dynamodb import DynamoVideos
from videos.stores.aws.eventbridge import EventBridgeAnnouncements
from videos.stores.aws.s3 import S3Storage
from videos.stores.local.announcements import SqliteAnnouncements
from videos.stores.local.deliveries import SqliteDeliveries
from videos.stores.local.folder import FolderStorage
from videos.stores.local.jobs import SqliteJobs
from videos.stores.local.records import SqliteVideos
from videos.stores.local.tickets import Denied

hypothesis.settings.register_profile("any machine", deadline=None)  # speed belongs to make bench
hypothesis.settings.load_profile("any machine")

# ── The adapters ─────────────────────────────────────────────────────────────────
#
# A rig is one set of them. A test that takes ``rig`` runs on each. A new kind of storage
# is one fixture here and its name among the params of ``rig``.

REGION = "eu-central-1"  # not us-east-1, where boto3 and S3 forgive what they refuse elsewhere


@dataclass(frozen=True)
class Answer:
    """What storage says to a phone. ``refusal`` is S3's code, "" if there is none."""

    refusal: str = ""
    content_type: str = ""
    body: bytes = b""


@dataclass(frozen=True)
class Rig:
    """The ports, and what a test must know of what lies behind them.

    Attributes:
        new_jobs: a queue of its own: ``new_jobs(visibility_s=…, max_receives=…)``.
        send: does with a ticket what a phone does.
        load: GETs a signed URL.
        told: the events that were announced since it was last asked; waits for ``number`` of them.
    """

    storage: Storage
    videos: Videos
    jobs: Jobs
    deliveries: Deliveries
    new_deliveries: Callable[..., Deliveries]
    new_jobs: Callable[..., Jobs]
    send: Callable[[Ticket, bytes], Answer]
    load: Callable[[str], Answer]
    announcements: Announcements
    told: Callable[[int], list[dict[str, Any]]]


@pytest.fixture(autouse=True, scope="session")
def no_real_account(request: pytest.FixtureRequest) -> Iterator[None]:
    """Credentials that open nothing, and none of the places where boto3 finds better ones."""
    with pytest.MonkeyPatch.context() as env:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            env.delenv(name)
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            env.setenv(name, "test")
        for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
            env.setenv(name, os.devnull)
        env.setenv("AWS_EC2_METADATA_DISABLED", "true")
        env.setenv("AWS_DEFAULT_REGION", REGION)
        if request.config.getoption("emulator") or request.config.getoption("sam_local"):
            env.setenv("AWS_ENDPOINT_URL", emulator.endpoint())
        yield


def pytest_addoption(parser: pytest.Parser) -> None:
    where = (
        "run on a deployed stack in an emulator of AWS, and with 'auth' enforce its policies; "
        "'localstack' runs the adapters alone, on LocalStack and DynamoDB Local"
    )
    parser.addoption(
        "--emulator", nargs="?", const="open", choices=["open", "auth", "localstack"], help=where
    )
    parser.addoption("--sam-local", action="store_true", help="run the functions in sam local; needs Docker")
    parser.addoption("--timed", action="store_true", help="hold the service to the clock; on a quiet machine")
    parser.addoption("--playback", action="store_true", help="play what was made; needs Chromium and hls.js")
    parser.addoption("--clients", action="store_true", help="run the page in Chromium, the client in node")
    parser.addoption("--expo", action="store_true", help="run the Expo app in jest and Chromium; needs npm")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    rigs = {
        "rig": ["local", "moto"],
        "strict_rig": ["local"],
    }  # moto lets every signature, size and date pass
    for name, kinds in rigs.items():
        if name in metafunc.fixturenames:
            deployed = metafunc.config.getoption("emulator")
            metafunc.parametrize(name, ["emulator"] if deployed else kinds, indirect=True)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    skipped = {
        "here_only": config.getoption("emulator") and "about the local server alone",
        "signatures": config.getoption("emulator") == "open" and "signatures count with --emulator=auth",
        "policies": config.getoption("emulator") != "auth" and "needs Docker: make test-emulator",
        "sam_local": not config.getoption("sam_local") and "needs Docker: make test-sam-local",
        "timed": not config.getoption("timed") and "needs a quiet machine: --timed, or make load",
        "playback": not config.getoption("playback") and "needs Chromium: make test-playback",
        "clients": not config.getoption("clients") and "needs Chromium and node: make test-clients",
        "expo": not config.getoption("expo") and "needs Chromium and npm: make test-expo",
    }
    for item in items:
        if "activity" in item.fixturenames:  # a whole life of the service, once for each process of pytest
            item.add_marker(pytest.mark.thorough)
        for marker, reason in skipped.items():
            if reason and item.get_closest_marker(marker):
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session")
def running_emulator(
    request: pytest.FixtureRequest,
    no_real_account: None,  # noqa: ARG001  not before this
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[str]:
    """The emulator that is there, or one that is started."""
    if request.config.getoption("emulator") == "localstack":
        with (
            localstack(tmp_path_factory.mktemp("localstack")) as dynamodb_url,
            pytest.MonkeyPatch.context() as env,
        ):
            env.setenv("AWS_ENDPOINT_URL_DYNAMODB", dynamodb_url)
            env.setenv("AWS_ENDPOINT_URL_DYNAMODB_STREAMS", dynamodb_url)
            yield emulator.endpoint()
        return
    log = tmp_path_factory.mktemp("emulator") / "ministack.log"
    with emulator.emulator(log, auth=request.config.getoption("emulator") == "auth") as url:
        yield url


@pytest.fixture(scope="session")
def stack(running_emulator: str) -> emulator.Stack:  # noqa: ARG001  it is running then
    """The whole stack, deployed by sam."""
    return emulator.deploy()


@pytest.fixture
def rig(request: pytest.FixtureRequest) -> Rig:
    made: Rig = request.getfixturevalue(f"{request.param}_rig")
    return made


@pytest.fixture
def strict_rig(request: pytest.FixtureRequest) -> Rig:
    """One whose storage holds tickets and links to their terms."""
    made: Rig = request.getfixturevalue(f"{request.param}_rig")
    return made


@pytest.fixture
def local_rig(tmp_path: Path) -> Rig:
    folder = tmp_path / "local"
    storage = FolderStorage(folder, "http://localhost:8000", b"secret")
    numbers = count()
    announcements = SqliteAnnouncements(folder / "videos.db")

    def new_jobs(*, visibility_s: int = 900, max_receives: int = 20) -> Jobs:
        queue = f"transcode-{next(numbers)}"
        return SqliteJobs(
            folder / "videos.db", queue=queue, visibility_s=visibility_s, max_receives=max_receives
        )

    return Rig(
        storage=storage,
        videos=SqliteVideos(folder / "videos.db"),
        jobs=new_jobs(),
        deliveries=SqliteDeliveries(folder / "videos.db"),
        new_deliveries=lambda **_: SqliteDeliveries(folder / "videos.db"),
        new_jobs=new_jobs,
        send=lambda ticket, body: send_to_folder(storage, ticket, body),
        load=lambda url: load_from_folder(storage, url),
        announcements=announcements,
        told=told_in(announcements),
    )


@pytest.fixture
def emulator_rig(running_emulator: str) -> Rig:  # noqa: ARG001  it is running then
    return aws_rig(FakeAws())


@pytest.fixture
def moto_rig(fake_aws: "FakeAws") -> Rig:
    return aws_rig(fake_aws)


def aws_rig(fake_aws: "FakeAws") -> Rig:
    """A bucket, a table and queues of its own."""
    name = f"videos-{uuid4()}"
    fake_aws.make_bucket(name)
    fake_aws.dynamodb.create_table(TableName=name, **TABLE)
    told = fake_aws.make_bus(name)
    return Rig(
        storage=S3Storage(name),
        videos=DynamoVideos(name),
        jobs=fake_aws.new_jobs(),
        deliveries=fake_aws.new_deliveries(),
        new_deliveries=fake_aws.new_deliveries,
        new_jobs=fake_aws.new_jobs,
        send=send_over_http,
        load=load_over_http,
        announcements=EventBridgeAnnouncements(name),
        told=told,
    )


class FakeAws:
    """What lies behind the adapters, for tests to set up and look into."""

    def __init__(self) -> None:
        self.s3, self.dynamodb, self.sqs, self.events = (
            boto3.client(name) for name in ("s3", "dynamodb", "sqs", "events")
        )

    def make_bucket(self, name: str, *, versioned: bool = False) -> None:
        self.s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})
        if versioned:
            self.s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})

    def new_jobs(self, *, visibility_s: int = 900, max_receives: int = 20) -> Jobs:
        dead = self.sqs.create_queue(QueueName=f"dead-{uuid4()}")["QueueUrl"]
        named = self.sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])["Attributes"]
        policy = json.dumps({"deadLetterTargetArn": named["QueueArn"], "maxReceiveCount": max_receives})
        attributes = {"VisibilityTimeout": str(visibility_s), "RedrivePolicy": policy}
        queue = self.sqs.create_queue(QueueName=f"jobs-{uuid4()}", Attributes=attributes)["QueueUrl"]
        return PolledSqsJobs(queue, dead, wait_s=0)  # nothing to wait for: it has one server only

    def new_deliveries(self, *, visibility_s: int = DELIVERY_VISIBILITY_S) -> Deliveries:
        """The queues of webhooks, as the template has them."""
        name = uuid4()
        hidden = {"VisibilityTimeout": str(visibility_s)}
        first, retries, dead = (
            self.sqs.create_queue(QueueName=queue, Attributes=hidden | settings)["QueueUrl"]
            for queue, settings in (
                (f"first-{name}.fifo", {"FifoQueue": "true"}),
                (f"retries-{name}", {}),
                (f"dead-{name}", {}),
            )
        )
        return SqsDeliveries(first, retries, dead, wait_s=0)

    def make_bus(self, name: str) -> Callable[[int], list[dict[str, Any]]]:
        """A bus with a rule that takes every event of ours to a queue; returns ``Rig.told`` of it."""
        self.events.create_event_bus(Name=name)
        queue = self.sqs.create_queue(QueueName=f"told-{uuid4()}")["QueueUrl"]
        arn = self.sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]
        allowed = {"Effect": "Allow", "Principal": {"Service": "events.amazonaws.com"}}
        statement = {**allowed, "Action": "sqs:SendMessage", "Resource": arn["QueueArn"]}
        policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        self.sqs.set_queue_attributes(QueueUrl=queue, Attributes={"Policy": policy})
        pattern = json.dumps({"source": ["tiktoken"]})
        self.events.put_rule(Name="everything", EventBusName=name, EventPattern=pattern)
        target = {"Id": "queue", "Arn": arn["QueueArn"]}
        self.events.put_targets(Rule="everything", EventBusName=name, Targets=[target])
        return partial(self._told, queue)

    def _told(self, queue: str, number: int) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        deadline = time.monotonic() + 10
        while len(found) < number and time.monotonic() < deadline:
            answer = self.sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10)
            for message in answer.get("Messages", []):
                found.append(json.loads(message["Body"])["detail"])
                self.sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
        return found


def told_in(announcements: SqliteAnnouncements) -> Callable[[int], list[dict[str, Any]]]:
    position = 0

    def told(_: int) -> list[dict[str, Any]]:
        nonlocal position
        found = announcements.after(position, owner="", limit=1_000_000)
        position = max([position, *(one.position for one in found)])
        return [json.loads(one.body) for one in found]

    return told


@pytest.fixture(scope="session")
def fake_aws(no_real_account: None) -> Iterator[FakeAws]:  # noqa: ARG001 - not before this
    with mock_aws(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(BotocoreStubber, "__call__", one_at_a_time(BotocoreStubber.__call__))
        yield FakeAws()


def one_at_a_time(answer: Callable[..., Any]) -> Callable[..., Any]:
    """AWS decides a condition and writes in one step; in moto, another thread can come between."""
    lock = Lock()

    def locked(*request: Any, **context: Any) -> Any:
        with lock:
            return answer(*request, **context)

    return locked


def send_to_folder(storage: FolderStorage, ticket: Ticket, body: bytes) -> Answer:
    """What ``local_server`` does, without HTTP."""
    try:
        if ticket.method == "POST":
            permit = storage.tickets.verify_post(ticket.fields)
        else:
            headers = {"Content-Length": str(len(body)), **ticket.headers}
            lower = {name.lower(): value for name, value in headers.items()}
            permit = storage.tickets.verify_put(*key_and_query(ticket.url), lower)
        with storage.upload(permit) as upload:
            upload.write(body)
            upload.commit()
    except Denied as denied:
        return Answer(refusal=denied.code)
    return Answer()


def load_from_folder(storage: FolderStorage, url: str) -> Answer:
    key, query = key_and_query(url)
    try:
        content_type = storage.tickets.verify_get(key, query)
    except Denied as denied:
        return Answer(refusal=denied.code)
    return Answer(content_type=content_type, body=storage.path(key).read_bytes())


def key_and_query(url: str) -> tuple[str, dict[str, str]]:
    parts = urlsplit(url)
    return unquote(parts.path.removeprefix("/storage/")), dict(parse_qsl(parts.query))


def send_over_http(ticket: Ticket, body: bytes) -> Answer:
    if ticket.method == "POST":
        return answer_of(requests.post(ticket.url, data=ticket.fields, files={"file": body}, timeout=10))
    return answer_of(requests.put(ticket.url, data=body, headers=ticket.headers, timeout=10))


def load_over_http(url: str) -> Answer:
    return answer_of(requests.get(url, timeout=10))


def answer_of(response: requests.Response) -> Answer:
    if not response.ok:
        code = ElementTree.fromstring(response.content).findtext("Code")  # noqa: S314 - our own S3's
        return Answer(refusal=code or str(response.status_code))
    return Answer(content_type=response.headers.get("Content-Type", ""), body=response.content)


# ── The service ──────────────────────────────────────────────────────────────────


@pytest.fixture
def service(rig: Rig, tmp_path: Path, clock: "Clock") -> Service:
    """The whole service on one rig, with the real media tools and a clock that tests set."""
    return service_on(rig, tmp_path, clock)


@pytest.fixture
def local_service(local_rig: Rig, tmp_path: Path, clock: "Clock") -> Service:
    """The same on the local adapters only: for what is about files, not about where they lie."""
    return service_on(local_rig, tmp_path, clock)


def service_on(rig: Rig, tmp_path: Path, clock: "Clock") -> Service:
    workspace = tmp_path / "work"
    workspace.mkdir()
    return Service(
        storage=rig.storage,
        videos=rig.videos,
        jobs=rig.jobs,
        announcements=rig.announcements,
        deliveries=rig.deliveries,
        public_url="https://api.example/v1",
        tools=wiring.media_tools({}),
        now=clock,
        workspace=workspace,
    )


@pytest.fixture
def clock() -> Clock:
    return Clock()


# ── Clips ────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """``clip(seconds=2, codec="libx265", …)``: see ``clips.make_clip``; each kind is made once."""
    folder = tmp_path_factory.mktemp("clips")
    made: dict[str, Path] = {}

    def make(**wanted: Any) -> Path:
        kind = repr(sorted(wanted.items()))
        if kind not in made:
            suffix = wanted.pop("suffix", ".mp4")
            made[kind] = make_clip(folder / f"{len(made)}{suffix}", **wanted)
        return made[kind]

    return make


@pytest.fixture(scope="session")
def case_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where ``support.cases`` are made, and share their parts: the same for all processes of a run."""
    own = tmp_path_factory.getbasetemp()
    return (own.parent if own.name.startswith("popen-") else own) / "cases"


@pytest.fixture(scope="session")
def activity(request: pytest.FixtureRequest, clip: Callable[..., Path]) -> activities.Activity:
    """What every function logs and asks of AWS on every path it can take, on moto."""
    if request.config.getoption("emulator"):
        pytest.skip("on moto")
    fake_aws = request.getfixturevalue("fake_aws")
    return activities.record(fake_aws, clip().read_bytes(), clip(size="360x640").read_bytes(), TABLE)


@pytest.fixture(scope="session")
def event() -> Callable[[str], dict[str, Any]]:
    """``event("check_upload")``: the sample of that handler in events/."""
    return lambda name: json.loads((Path(__file__).parent.parent / "events" / f"{name}.json").read_text())


# ── The API ──────────────────────────────────────────────────────────────────────


@pytest.fixture
def call(tmp_path, monkeypatch, event) -> Callable[..., tuple[int, Any, dict]]:
    """Call the API in local mode: ``call("GET", "/health") -> (status, JSON, text or None, headers)``.

    What it answers is held against openapi.json.
    """
    monkeypatch.setenv("STORAGE_MODE", "local")
    monkeypatch.setenv("LOCAL_FOLDER", str(tmp_path / "data"))
    monkeypatch.setenv("PUBLIC_URL", "http://localhost:8000")
    wiring.service.cache_clear()
    wiring.http_settings.cache_clear()

    def call(method: str, path: str, body: str | bytes | None = None, **headers: str):
        path, _, query = path.partition("?")
        request = event("read_video") | {
            "httpMethod": method,
            "path": path,
            "resource": path,
            "pathParameters": None,
            "queryStringParameters": dict(parse_qsl(query, keep_blank_values=True)) or None,
        }
        request["headers"] = {name.replace("_", "-"): value for name, value in headers.items()}
        request["multiValueHeaders"] = {name: [value] for name, value in request["headers"].items()}
        if isinstance(body, bytes):
            request |= {"body": base64.b64encode(body).decode(), "isBase64Encoded": True}
        else:
            request |= {"body": body}
        module = (
            request_upload
            if path in ("/upload", "/preflight", "/s3/params")
            else check_health
            if path == "/health"
            else read_video
        )
        answer = module.handler(request, Context())
        told = {name: values[0] for name, values in answer["multiValueHeaders"].items()}
        kind, text = told.get("Content-Type", ""), answer.get("body") or ""
        wire.hold(method, path, answer["statusCode"], kind, text)
        read = json.loads if kind == "application/json" else str
        return answer["statusCode"], read(text) if text else None, told

    yield call
    wiring.service.cache_clear()
    wiring.http_settings.cache_clear()
