"""Sample records, files, charges and tickets."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

from videos.errors import Violation
from videos.model import Audio, Media, Output, State, StoredObject, Video
from videos.ports import Event, Ticket
from videos.quota import Charge, Quota
from videos.suggestions import SuggestionsFor

NOON = datetime(2026, 11, 23, 12, 0, 0, 123456, tzinfo=UTC)
MP4 = "video/mp4"


def a_video(video_id: str = "v1", **facts) -> Video:
    made = {"filename": "cat.mp4", "content_type": MP4, "created_at": NOON, "updated_at": NOON}
    return Video(**{"id": video_id, **made, "upload_expires_at": NOON + timedelta(hours=1), **facts})


def a_full_video() -> Video:
    """One with every field set, and the values that stores like to bend."""
    return a_video(
        filename="Ünïcode 猫 👩‍👩‍👧 \"quoted\" 'cat'; DROP TABLE.mp4",
        created_at=NOON.replace(microsecond=0),
        updated_at=NOON.replace(microsecond=1),
        owner="ab12",
        pass_secret="cd34",
        state=State.PROCESSING,
        progress=42,
        playable_at=NOON,
        recover_at=NOON,
        source=StoredObject(key="uploads/v1", size_bytes=6_291_456, etag="9dd4e461", stored_at=NOON),
        media=Media(
            content=MP4,
            size_bytes=6_291_456,
            width_px=720,
            height_px=1280,
            rotation=270,
            mirrored=True,
            frame_rate=29.97,
            odd_gap_share=1e-07,
            duration_s=60.0,
            other_sizes=("1280x720",),
            audio=Audio(stream_index=1, codec="aac", sample_rate_hz=48_000, duration_s=0.1 + 0.2),
            faults=("The file ends too soon.",),
        ),
        problems=(
            Violation(
                rule="resolution",
                found="1920x1080",
                expected="720x1280",
                message="Invalid resolution: 1920x1080",
                suggestions=("Hold the phone upright.", "ffmpeg -i in.mp4 -vf scale=720:1280 out.mp4"),
                suggestions_for=SuggestionsFor(ios=("Hold the phone upright.",), developer=("", "猫")),
            ),
        ),
        warnings=("The colours are not tagged.", ""),
        attempt="a1",
        attempts=3,
        outputs=(
            Output(
                name="720p",
                key="outputs/v1/a1/720p.mp4",
                content_type=MP4,
                codec="h264",
                width_px=720,
                height_px=1280,
                size_bytes=5,
            ),
        ),
        failure="ffmpeg was killed by signal 9.",
    )


def an_event(video_id: str, version: int, *, owner: str = "", says: str = "") -> Event:
    """One whose id is ``<video>-<version>``."""
    name = f"{video_id}-{version}"
    body = json.dumps({"type": "video.playable", "id": name, "data": {"says": says}}, ensure_ascii=False)
    return Event(
        id=name, type="video.playable", video_id=video_id, version=version, owner=owner, at=NOON, body=body
    )


def in_a_file(tmp_path: Path, content: bytes) -> Path:
    path = tmp_path / "file"
    path.write_bytes(content)
    return path


def ticket_for(rig, method="POST", **wishes) -> Ticket:
    terms = {"content_type": MP4, "max_bytes": 10, "exact_bytes": None, "expires_at": in_an_hour()}
    return rig.storage.upload_ticket("uploads/v1", method=method, **{**terms, **wishes})


def in_an_hour() -> datetime:
    return datetime.now(UTC).replace(microsecond=999_000) + timedelta(hours=1)


def charge(owner: str = "me", takes: int = 10, at: datetime = NOON, **quota: int) -> Charge:
    return Charge(owner=owner, at=at, size_bytes=takes, quota=Quota(**quota))
