"""Signs webhooks as Standard Webhooks has it: id, time and body, by HMAC-SHA256."""

import binascii
import hmac
from base64 import b64decode, b64encode
from collections.abc import Sequence
from datetime import datetime

from standardwebhooks import Webhook

PREFIX = "whsec_"
MIN_KEY_BYTES, MAX_KEY_BYTES = 24, 64  # by the specification
MAX_SECRETS = 2  # the old and the new one, while receivers change over


def read_secrets(setting: str) -> tuple[str, ...]:
    """The secrets of a comma-separated setting.

    Raises:
        ValueError: there are none or too many, or one is malformed; what is said of it does not show it.
    """
    secrets = tuple(filter(None, map(str.strip, setting.split(","))))
    if not 1 <= len(secrets) <= MAX_SECRETS:
        raise ValueError(f"there are {len(secrets)} of them")
    for number, secret in enumerate(secrets, 1):
        if not _is_valid(secret):
            raise ValueError(f"number {number} is not one")
    return secrets


def _is_valid(secret: str) -> bool:
    try:
        key = b64decode(secret.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        return False
    return secret.startswith(PREFIX) and MIN_KEY_BYTES <= len(key) <= MAX_KEY_BYTES


def secret_of(key: bytes) -> str:
    """A secret derived from a key that signs other things, too; always the same."""
    return PREFIX + b64encode(hmac.digest(key, b"webhooks", "sha256")).decode()


def signed(event_id: str, body: str, secrets: Sequence[str], at: datetime) -> dict[str, str]:
    """The headers of one attempt, with a signature by each secret.

    Args:
        at: when the attempt is made, in UTC; receivers reject what is older than five minutes.
    """
    signatures = [Webhook(secret).sign(event_id, at, body) for secret in secrets]
    return {
        "webhook-id": event_id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": " ".join(signatures),
    }
