"""A record that was stored in the past is read today: one file in ``records/`` per shape, by both adapters.

Each file was written by the code of its day and has a video in every state, as SQLite and as DynamoDB
stored it, and what is to be read of it. The last file has the shape that is stored today.
"""

import json
import logging
import os
from collections.abc import Iterator
from dataclasses import MISSING, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from dev.clips import make_clip
from support.faults import after, die
from support.world import World, in_our_hands
from videos import wiring
from videos.errors import ToolFailed, Violation
from videos.fix import Fit, Fix, OnViolation
from videos.model import Audio, Media, Output, Segments, Sheet, State, StoredObject, Video
from videos.ports import Videos
from videos.service import Service
from videos.steps.request_upload import request_upload
from videos.stores.local.records import SqliteVideos
from videos.suggestions import SuggestionsFor
from videos.web import views

RECORDS = Path(__file__).parent / "records"
SHAPES = {path.stem: json.loads(path.read_text()) for path in sorted(RECORDS.glob("*.json"))}
OWNER = "5f2b8d1c" * 8
UNFINISHED = ("awaiting_upload", "queued", "processing")


def facts(video: Video) -> dict[str, Any]:
    """What must be read of a record, whenever it was stored. More may be added; the older files lack it."""
    media = video.media
    renditions = [output for output in video.outputs if output.codec == "h264"]
    sprite = video.output("sprite")
    return {
        "state": str(video.state),
        "filename": video.filename,
        "owner": video.owner,
        "updated_at": video.updated_at.isoformat(),
        "progress": video.progress,
        "playable": video.playable,
        "attempts": video.attempts,
        "failure": video.failure,
        "broken_rules": [problem.rule for problem in video.problems],
        "suggestions_for_ios": [len(problem.suggestions_for.ios) for problem in video.problems],
        "size_bytes": video.source and video.source.size_bytes,
        "frames": media and [media.width_px, media.height_px, media.frame_count, media.frame_rate],
        "sound": media and media.audio and [media.audio.codec, media.audio.channels],
        "loudness_lufs": media and media.audio and media.audio.loudness_lufs,
        "outputs": [output.name for output in video.outputs],
        "segments": [len(output.segments.sizes_bytes) for output in renditions if output.segments],
        "tiles": sprite and sprite.sheet and sprite.sheet.tiles,
        "blurhash": video.blurhash,
        "poster_time_s": video.poster_time_s,
        "external_id": video.external_id,
        "custom": video.custom,
        "on_violation": str(video.on_violation),
        "fit": str(video.fit),
        "fixed_rules": [fix.rule for fix in video.fixes],
    }


# ── Read what was stored ─────────────────────────────────────────────────────────


@pytest.fixture(params=SHAPES)
def stored(request, rig) -> dict[str, Any]:
    """Every video of one shape by name, put where it is kept as it was stored then."""
    for record in SHAPES[request.param].values():
        put_raw(rig.videos, record)
    return SHAPES[request.param]


def put_raw(videos: Videos, record: dict[str, Any]) -> None:
    if isinstance(videos, SqliteVideos):
        row = record["sqlite"]
        document = json.dumps(row["document"]).encode()
        videos._run(
            "INSERT INTO videos (id, version, recover_at, document) VALUES (?, ?, ?, ?)",
            row["document"]["id"], row["version"], row["recover_at"], document,
        )  # fmt: skip
    else:
        videos._dynamodb.put_item(TableName=videos._table, Item=record["dynamodb"])


def raw(videos: Videos, video_id: str) -> dict[str, Any]:
    """What ``put_raw`` puts back."""
    if isinstance(videos, SqliteVideos):
        [(version, recover_at, document)] = videos._run(
            "SELECT version, recover_at, document FROM videos WHERE id = ?", video_id
        )
        row = {"version": version, "recover_at": recover_at, "document": json.loads(document)}
        return {"sqlite": row}
    item = videos._dynamodb.get_item(TableName=videos._table, Key={"id": {"S": video_id}})["Item"]
    return {"dynamodb": item}


def id_of(record: dict[str, Any]) -> str:
    return record["sqlite"]["document"]["id"]


def test_every_state_was_stored_in_every_shape():
    for name, records in SHAPES.items():
        assert {record["facts"]["state"] for record in records.values()} == set(State), name
    assert {record["facts"]["owner"] for record in SHAPES[max(SHAPES)].values()} == {"", OWNER}


def test_a_record_stored_in_the_past_is_read_today(rig, stored):
    read = {name: facts(rig.videos.get(id_of(record))) for name, record in stored.items()}

    for name, record in stored.items():
        assert {fact: read[name][fact] for fact in record["facts"]} == record["facts"], name


def test_an_unfinished_video_stored_in_the_past_is_recovered(rig, stored):
    overdue = rig.videos.overdue(datetime(2099, 1, 1, tzinfo=UTC), limit=100)

    assert {video.id for video in overdue} == {
        id_of(record)
        for record in stored.values()
        if record["facts"]["state"] in UNFINISHED or is_to_be_erased(record)
    }


def is_to_be_erased(record: dict[str, Any]) -> bool:
    """A failed video is, since the thirteenth shape; those stored before wait for an operator for ever."""
    return record["facts"]["state"] == "failed" and record["sqlite"]["recover_at"] is not None


def test_a_record_stored_in_the_past_is_answered_and_written_on(rig, stored):
    for record in stored.values():
        video = rig.videos.get(id_of(record))

        metadata = msgspec.to_builtins(views.metadata(video, "http://localhost"))
        assert (metadata["state"], metadata["playable"]) == (video.state, record["facts"]["playable"])
        written = rig.videos.update(replace(video, filename="new.mp4"))
        assert (
            rig.videos.get(video.id)
            == written
            == replace(video, filename="new.mp4", version=video.version + 1)
        )


# ── Keep what is stored ──────────────────────────────────────────────────────────

REQUIRED = {
    Video: {"id", "filename", "content_type", "created_at", "updated_at", "upload_expires_at"},
    StoredObject: {"key", "size_bytes", "etag", "stored_at"},
    Media: {"content", "size_bytes"},
    Audio: {"stream_index", "codec"},
    Output: {"name", "key", "content_type", "codec", "width_px", "height_px", "size_bytes"},
    Segments: {"codecs", "init_at", "init_bytes", "sizes_bytes", "durations_s"},
    Sheet: {"every_s", "tiles", "columns", "tile_width_px", "tile_height_px"},
    Violation: {"rule", "found", "expected", "message"},
    SuggestionsFor: set(),
    Fix: {"rule", "found", "made"},
}


@pytest.mark.parametrize("kind", REQUIRED, ids=lambda kind: kind.__name__)
def test_every_field_that_was_added_to_a_record_has_a_default(kind):
    required = {
        field.name for field in fields(kind) if field.default is MISSING and field.default_factory is MISSING
    }

    assert required <= REQUIRED[kind], "Records stored before have no such field: give it a default."


@pytest.fixture
def today(local_rig, clock, tmp_path) -> Iterator[dict[str, Video]]:
    """A video in every state, of nobody and of an owner, as the service makes them today."""
    logging.disable()
    with in_our_hands(clock):

        def world() -> World:
            service = Service(
                storage=local_rig.storage,
                videos=local_rig.videos,
                jobs=local_rig.new_jobs(),
                announcements=local_rig.announcements,
                tools=wiring.media_tools({}),
                now=clock,
                workspace=tmp_path / "work",
            )
            return World(service, clock)

        good = make_clip(tmp_path / "good.mp4", seconds=1)
        bad = make_clip(tmp_path / "bad.mp4", seconds=1, size="640x480", rate="15")
        yield {
            f"{state}{' of an owner' * bool(owner)}": in_state(world(), state, owner, good, bad)
            for owner in ("", OWNER)
            for state in State
        }
    logging.disable(logging.NOTSET)


def in_state(world: World, state: State, owner: str, good: Path, bad: Path) -> Video:
    def gives_up(call: str, work: Any) -> Any:
        if call == "ffmpeg encoding":
            raise ToolFailed("ffmpeg was killed by signal 9.")
        return work()

    video, _ = request_upload(
        world.service,
        filename="cat 猫.mp4",
        content_type="video/mp4",
        facts={"size_bytes": 1000},
        poster_time_s=0.25,
        external_id="draft-7",
        custom='{"feed":"cats","猫":1.5}',
        on_violation=OnViolation.FIX if state is State.QUEUED else None,
        fit=Fit.COVER,
        owner=owner,
    )
    if state is State.EXPIRED:
        world.clock.advance(hours=1, minutes=3)
        world.recover()
        world.work_off()
    elif state is not State.AWAITING_UPLOAD:
        world.send(video, bad if state in (State.REJECTED, State.QUEUED) else good)
        world.deliver_event(video)
    if state is State.PROCESSING:
        world.deliver_job(after("write processing 67%", die))
    elif state is State.COMPLETED:
        world.deliver_job()
    elif state is State.FAILED:
        while not world.ended(video):
            world.deliver_job(gives_up)
            world.clock.advance(minutes=1)
    made = world.now(video)
    assert made
    assert made.state is state
    return made


def shape(value: Any, path: str) -> Iterator[str]:
    """Every field there is, by its path, and what it holds; a list holds what its items do."""
    kind = "number" if type(value) in (int, float) else type(value).__name__
    yield path
    if value is not None:
        yield f"{path}: {kind}"
    if isinstance(value, dict):
        for name, item in value.items():
            yield from shape(item, f"{path}.{name}")
    elif isinstance(value, list):
        for item in value:
            yield from shape(item, path)


def shapes(records: dict[str, Any]) -> set[str]:
    return {
        field
        for record in records.values()
        for store in ("sqlite", "dynamodb")
        for field in shape(record[store], store)
    }


def test_what_is_stored_today_has_the_newest_shape_that_is_kept(today, tmp_path, moto_rig):
    stores = (SqliteVideos(tmp_path / "records.db"), moto_rig.videos)
    records: dict[str, Any] = {}
    for name, video in today.items():
        records[name] = {"facts": facts(video)}
        for store in stores:
            store.add(replace(video, version=video.version - 1))
            records[name] |= raw(store, video.id)
    if new := os.environ.get("NEW_RECORDS"):
        SHAPES[new] = records
        (RECORDS / f"{new}.json").write_text(in_lines(records))

    newest = max(SHAPES)
    now, kept = shapes(records), shapes(SHAPES[newest])

    assert now == kept, (
        f"Records are stored in another shape than tests/records/{newest}.json.\n"
        f"New: {sorted(now - kept)}\nGone: {sorted(kept - now)}\n"
        "Give a new field a default. Then keep the new shape beside the older ones, and commit its file:\n"
        f"    NEW_RECORDS={int(newest[:2]) + 1:02}-DATE-WHAT-IS-NEW .venv/bin/pytest tests/test_records.py"
    )


def in_lines(records: dict[str, Any]) -> str:
    """JSON with a line for each way in which a record is stored."""
    return (
        "{\n"
        + ",\n".join(
            f"{json.dumps(name)}: {{\n"
            + ",\n".join(f"  {json.dumps(part)}: {json.dumps(value)}" for part, value in record.items())
            + "\n}"
            for name, record in records.items()
        )
        + "\n}\n"
    )
