"""Passes in the playback links of owned videos: players and <img> cannot send a token.

A pass lets anyone read the files of one video for one to two hours. It is signed with a secret in the
video's record, so deleting the video revokes all its passes.
"""

import hmac
import re
import time

from videos.errors import ExpiredLink, UnknownVideo
from videos.model import Video

MIN_LIFETIME_S = 3600  # all passes of one hour expire together, so that players and caches see one URL
_PASS = re.compile(r"([0-9]{10,12})\.([0-9a-f]{32})")


def query(video: Video) -> str:
    """The query string for the URLs of its files; "" for a video without an owner."""
    if not video.pass_secret:
        return ""
    expires_at = (int(time.time()) // MIN_LIFETIME_S + 2) * MIN_LIFETIME_S
    return f"?pass={expires_at}.{_signature(video, str(expires_at))}"


def check(video: Video, link_pass: str) -> None:
    """Check the pass of a request for a file of ``video``.

    Raises:
        UnknownVideo: it is not a pass for this video.
        ExpiredLink: it has expired.
    """
    match = _PASS.fullmatch(link_pass)
    if not (match and video.pass_secret and hmac.compare_digest(match[2], _signature(video, match[1]))):
        raise UnknownVideo(video.id)
    if time.time() >= int(match[1]):
        raise ExpiredLink(
            "This link has expired.",
            suggestions=[f"Request GET /videos/{video.id}/metadata again for new links."],
        )


def _signature(video: Video, expires_at: str) -> str:
    signed = f"{video.id} {expires_at}".encode()
    return hmac.new(video.pass_secret.encode(), signed, "sha256").hexdigest()[:32]
