"""The settings of the receiver of webhooks on AWS, where functions share what they can."""

import base64

import pytest

from videos import wiring
from videos.service import Receiver

SECRET = f"whsec_{base64.b64encode(b'n' * 32).decode()}"
OLD_SECRET = f"whsec_{base64.b64encode(b'o' * 32).decode()}"
AWS = {"MEDIA_BUCKET": "b", "VIDEO_TABLE": "t", "JOB_QUEUE_URL": "q", "DELIVERY_QUEUE_URL": "d"}
URL = "https://app.example/hooks"


@pytest.fixture(autouse=True)
def _no_account(fake_aws):
    """Clients are made at the start."""


def receiver(**settings: str) -> Receiver | None:
    return wiring.make_service(AWS | settings).receiver


def test_without_a_url_nobody_receives():
    assert receiver() is None
    assert receiver(WEBHOOK_URL="", WEBHOOK_SECRET=SECRET) is None


def test_a_receiver_on_aws_is_public():
    assert receiver(WEBHOOK_URL=URL, WEBHOOK_SECRET=f"{SECRET}, {OLD_SECRET}") == Receiver(
        url=URL, secrets=(SECRET, OLD_SECRET), allows_private=False
    )


@pytest.mark.parametrize("url", ["http://app.example/", "app.example", "https://me@app.example/"])
def test_a_url_that_would_not_be_called_is_a_mistake(url):
    with pytest.raises(SystemExit, match="WEBHOOK_URL is invalid"):
        receiver(WEBHOOK_URL=url, WEBHOOK_SECRET=SECRET)


def test_a_function_that_only_queues_starts_whatever_the_url_is():
    """It counts, too; a mistake in the receiver must not stop that."""
    assert receiver(WEBHOOK_URL="nonsense") == Receiver(url="nonsense")


def test_private_addresses_are_refused_on_aws_but_not_in_an_emulator():
    private = {"WEBHOOK_URL": "http://10.0.0.1/", "WEBHOOK_SECRET": SECRET, "WEBHOOK_ALLOW_PRIVATE": "yes"}

    with pytest.raises(SystemExit, match="WEBHOOK_ALLOW_PRIVATE is not for AWS"):
        receiver(**private)
    found = receiver(AWS_ENDPOINT_URL="http://host.docker.internal:4566", **private)
    assert found
    assert found.allows_private
