"""Playback links of owned videos: they carry a pass, since players and <img> send no token.

A pass opens the files of one video, for reading, for one to two hours, and nothing else. It is
signed with a secret that only the video's record holds: with the video, all its passes go.
"""

import hmac
import re
import time
from secrets import token_hex

from videos.errors import ExpiredLink, UnknownVideo
from videos.model import Video

LASTS_S = 3600  # at least. All passes of an hour end together, so players and caches see one URL
_PASS = re.compile(r"([0-9]{10,12})\.([0-9a-f]{32})")


def new_secret() -> str:
    return token_hex(16)


def query(video: Video) -> str:
    """What to put behind the URLs of its files: "" for a video that anybody may see."""
    if not video.pass_secret:
        return ""
    ends_at = (int(time.time()) // LASTS_S + 2) * LASTS_S
    return f"?pass={ends_at}.{_signature(video, str(ends_at))}"


def check(video: Video, shown: str) -> None:
    """Raises UnknownVideo if ``shown`` never was a pass to this video, ExpiredLink if it no longer is."""
    told = _PASS.fullmatch(shown)
    if not (told and video.pass_secret and hmac.compare_digest(told[2], _signature(video, told[1]))):
        raise UnknownVideo(video.id)
    if time.time() >= int(told[1]):
        raise ExpiredLink(
            "This link has expired.",
            suggestions=[f"Read GET /videos/{video.id}/metadata again: it has new ones."],
        )


def _signature(video: Video, ends_at: str) -> str:
    return hmac.new(video.pass_secret.encode(), f"{video.id} {ends_at}".encode(), "sha256").hexdigest()[:32]
