"""Events and webhooks of a stack in an emulator: the bus, the queues, the function, a real receiver."""

import base64
import json
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from standardwebhooks import Webhook

from dev import emulator
from dev.client import App
from support.processes import eventually
from support.receiver import Receiver

SECRET = f"whsec_{base64.b64encode(b'n' * 24).decode()}"


@pytest.fixture(scope="module", autouse=True)
def deployed(request: pytest.FixtureRequest) -> emulator.Stack:
    if not request.config.getoption("emulator"):
        pytest.skip("needs Docker: make test-emulator")
    stack: emulator.Stack = request.getfixturevalue("stack")
    return stack


@pytest.fixture(scope="module")
def told_receiver(deployed: emulator.Stack) -> Iterator[Receiver]:
    with Receiver(host=emulator.docker_host()) as receiver:
        emulator.tell(deployed, f"http://host.docker.internal:{receiver.port}/hooks", SECRET)
        yield receiver
        emulator.tell(deployed, "", "")


@pytest.fixture
def receiver(told_receiver: Receiver) -> Receiver:
    told_receiver.calls.clear()
    told_receiver.behave = lambda *_: 204
    return told_receiver


@pytest.fixture
def app(deployed: emulator.Stack) -> App:
    return App(deployed.url)


def told(receiver: Receiver, video: str) -> list[str]:
    """The types of what arrived about a video, verified."""
    events = [Webhook(SECRET).verify(call.body, call.headers) for call in receiver.calls]
    return [event["type"] for event in events if event["data"]["id"] == video]


def test_a_backend_is_told_of_a_video_as_it_happens(app, clip, receiver):
    video = app.upload(clip(seconds=2))["id"]
    app.follow(video)
    app.http.delete(f"/videos/{video}")

    expected = ["video.playable", "video.completed", "video.deleted"]
    assert eventually(lambda: told(receiver, video) == expected, within_s=60), told(receiver, video)


def test_what_fails_is_tried_again_and_ends_with_a_410(app, clip, receiver):
    answers = {"video.playable": [500, 302, 204], "video.completed": [410]}

    def behave(call: Any, _: Any) -> int:
        left = answers[json.loads(call.body)["type"]]
        return left.pop(0)

    receiver.behave = behave
    video = app.upload(clip(seconds=2))["id"]
    app.follow(video)

    # The first pause is 5 s, the second a minute.
    assert eventually(lambda: told(receiver, video).count("video.playable") == 3, within_s=150), told(
        receiver, video
    )
    assert told(receiver, video).count("video.completed") == 1
    playable = [call.headers["webhook-id"] for call in receiver.calls if b"video.playable" in call.body]
    assert len(set(playable)) == 1


def test_a_rule_on_the_bus_gets_the_events_of_a_video(app, clip, deployed):
    bus, name = deployed.outputs["EventBusName"], f"test-{uuid4().hex[:8]}"
    events, sqs = emulator.client("events"), emulator.client("sqs")
    queue = sqs.create_queue(QueueName=name)["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    pattern = {"source": ["tiktoken"], "detail-type": ["video.completed"]}
    events.put_rule(Name=name, EventBusName=bus, EventPattern=json.dumps(pattern))
    events.put_targets(Rule=name, EventBusName=bus, Targets=[{"Id": "queue", "Arn": arn}])

    video = app.upload(clip(seconds=2))["id"]
    app.follow(video)

    found: list[dict[str, Any]] = []

    def arrived() -> bool:
        for message in sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=1).get("Messages", []):
            found.append(json.loads(message["Body"]))
        return any(event["detail"]["data"]["id"] == video for event in found)

    assert eventually(arrived, within_s=60), found
    assert {event["detail-type"] for event in found} == {"video.completed"}
