"""Signatures of webhooks, by the specification's example and by its library."""

from base64 import b64encode
from datetime import UTC, datetime

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from videos.telling.signing import read_secrets, signed

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # the specification's example
OTHER = f"whsec_{b64encode(b'o' * 32).decode()}"
BODY = '{"test": 2432232314}'


def now() -> datetime:
    return datetime.now(UTC)


def test_the_example_of_the_specification_is_signed_as_it_says():
    at = datetime.fromtimestamp(1614265330.9, UTC)

    assert signed("msg_p5jXN8AQM9LWM0D4loKWxJek", BODY, [SECRET], at) == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_while_a_secret_is_replaced_either_verifies():
    headers = signed("evt_1", BODY, read_secrets(f"{OTHER}, {SECRET}"), now())

    assert (
        Webhook(SECRET).verify(BODY, headers) == Webhook(OTHER).verify(BODY, headers) == {"test": 2432232314}
    )


@pytest.mark.parametrize(
    "change", [{"webhook-id": "evt_2"}, {"webhook-timestamp": str(int(now().timestamp()) + 9)}]
)
def test_a_header_that_was_changed_does_not_verify(change):
    headers = signed("evt_1", BODY, [SECRET], now()) | change

    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(BODY, headers)


def test_neither_another_body_nor_another_secret_verifies():
    headers = signed("evt_1", BODY, [SECRET], now())

    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(BODY + " ", headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(OTHER).verify(BODY, headers)


@pytest.mark.parametrize(
    "setting",
    [
        "",
        ",",
        "secret",
        "whsec_",
        SECRET.removeprefix("whsec_"),
        f"whsec_{b64encode(b'k' * 23).decode()}",
        f"whsec_{b64encode(b'k' * 65).decode()}",
        f"{SECRET}!",
        f"whsec_é{SECRET}",
        f"{SECRET},{SECRET},{SECRET}",
        f"{SECRET},new",
    ],
)
def test_a_setting_that_holds_no_secret_is_refused_without_showing_it(setting):
    with pytest.raises(ValueError) as refused:  # noqa: PT011 - what it says is below
        read_secrets(setting)

    assert not setting.strip(",") or setting not in str(refused.value)


@pytest.mark.parametrize("size_bytes", [24, 64])
def test_secrets_of_the_least_and_the_most_bytes_are_taken(size_bytes):
    secret = f"whsec_{b64encode(b'k' * size_bytes).decode()}"

    assert read_secrets(secret) == (secret,)
