"""When an app asks for the status again: as often as it is told to, which is less often as a video ages."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from dev import client
from dev.client import App
from support.api import NOBODY, ask, checked, completed
from support.clock import Clock
from videos import wiring
from videos.model import State, StoredObject, Video
from videos.web import views

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
ASKED = NOON - timedelta(minutes=3)  # for the ticket: uploads take a while
SOURCE = StoredObject(key=f"uploads/{NOBODY}", size_bytes=1, etag="e", stored_at=NOON)
UNFINISHED = (State.AWAITING_UPLOAD, State.QUEUED, State.PROCESSING)


def video(state: State, **facts: Any) -> Video:
    times = dict.fromkeys(("created_at", "updated_at", "upload_expires_at"), ASKED)
    return Video(id=NOBODY, filename="cat.mp4", content_type="video/mp4", state=state, **times, **facts)


def hints_ms(video: Video, since: datetime, ages_s: tuple[float, ...]) -> list[int | None]:
    return [views.status(video, since + timedelta(seconds=age_s)).retry_after_ms for age_s in ages_s]


# ── What an app is told ──────────────────────────────────────────────────────────


@pytest.mark.parametrize("state", [State.QUEUED, State.PROCESSING])
def test_a_stored_video_may_turn_playable_at_any_moment(state):
    ages_s = (0, 0.9, 1, 3.9, 4, 9.9, 10, 3600)

    hints = hints_ms(video(state, source=SOURCE), NOON, ages_s)

    assert hints == [250, 250, 1000, 1000, 3000, 3000, 10_000, 10_000]


@pytest.mark.parametrize("state", [State.QUEUED, State.PROCESSING])
def test_of_a_video_that_plays_only_the_progress_changes(state):
    ages_s = (0, 4.9, 5, 19.9, 20, 3600)

    hints = hints_ms(video(state, source=SOURCE, playable_at=NOON), NOON, ages_s)

    assert hints == [1000, 1000, 3000, 3000, 10_000, 10_000]


def test_until_the_upload_is_checked_its_age_counts_from_the_ticket():
    ages_s = (0, 29, 30, 119, 120, 3600)

    hints = hints_ms(video(State.AWAITING_UPLOAD), ASKED, ages_s)

    assert hints == [1000, 1000, 3000, 3000, 10_000, 10_000]


def test_a_clock_that_is_behind_storage_makes_the_video_young():
    assert hints_ms(video(State.QUEUED, source=SOURCE), NOON, (-5,)) == [250]


@pytest.mark.parametrize("state", State)
def test_retry_after_ms_is_null_in_final_states_only(state):
    assert (hints_ms(video(state, source=SOURCE), NOON, (0,)) == [None]) is (state not in UNFINISHED)


# ── How it is told ───────────────────────────────────────────────────────────────


@pytest.fixture
def aging(call, clock: Clock, monkeypatch) -> Clock:  # noqa: ARG001 - it chooses the local adapters
    """The clock of the service behind ``call``."""
    make_service = wiring.make_service
    monkeypatch.setattr(wiring, "make_service", lambda env: replace(make_service(env), now=clock))
    return clock


def test_the_hint_grows_without_a_write_and_the_etag_stays(call, event, clip, aging):
    video_id = checked(call, event, clip())
    _, young, first = call("GET", f"/videos/{video_id}/status")

    aging.advance(seconds=60)
    _, old, second = call("GET", f"/videos/{video_id}/status")

    assert old["retry_after_ms"] == 10_000 > young["retry_after_ms"]
    assert second["ETag"] == first["ETag"]


@pytest.mark.parametrize(
    ("age_s", "hint_ms", "header"), [(0, 1000, "1"), (60, 3000, "3"), (300, 10_000, "10")]
)
def test_every_answer_about_an_unfinished_video_has_retry_after(call, aging, age_s, hint_ms, header):
    path = f"/videos/{ask(call)[1]['id']}/status"
    aging.advance(seconds=age_s)

    status, answer, headers = call("GET", path)
    unchanged, _, later = call("GET", path, If_None_Match=headers["ETag"])

    assert (status, answer["retry_after_ms"], headers["Retry-After"]) == (200, hint_ms, header)
    assert (unchanged, later["Retry-After"]) == (304, header)


def test_retry_after_is_rounded_up_to_whole_seconds(call, event, clip, aging):
    video_id = checked(call, event, clip())
    stored_at = wiring.service().videos.get(video_id).source.stored_at
    aging.time = stored_at

    _, answer, headers = call("GET", f"/videos/{video_id}/status")

    assert (answer["retry_after_ms"], answer["playable"]) in [(250, False), (1000, True)]
    assert headers["Retry-After"] == "1"


def test_a_finished_video_has_no_retry_after(call, event, clip):
    path = f"/videos/{completed(call, event, clip())}/status"

    _, answer, headers = call("GET", path)
    unchanged, _, later = call("GET", path, If_None_Match=headers["ETag"])

    assert answer["retry_after_ms"] is None
    assert unchanged == 304
    assert "Retry-After" not in headers.keys() | later.keys()


def test_a_web_page_may_read_retry_after_of_every_status(call):
    path = f"/videos/{ask(call)[1]['id']}/status"
    page = {"Origin": "https://app.example"}

    _, _, headers = call("GET", path, **page)
    _, _, later = call("GET", path, If_None_Match=headers["ETag"], **page)

    for answer in (headers, later):
        assert {"ETag", "Retry-After"} <= set(answer["Access-Control-Expose-Headers"].split(","))


def test_a_304_costs_one_read_of_the_table(call, event, clip, monkeypatch):
    path = f"/videos/{completed(call, event, clip())}/status"
    _, _, headers = call("GET", path)
    service = wiring.service()
    asked = []

    class Noted:
        def __init__(self, port):
            self._port = port

        def __getattr__(self, name):
            asked.append(name)
            return getattr(self._port, name)

    noted = {name: Noted(getattr(service, name)) for name in ("storage", "videos", "jobs")}
    monkeypatch.setattr("read_video.service", lambda: replace(service, **noted))
    monkeypatch.setattr(views, "status", None)  # no body is built

    assert call("GET", path, If_None_Match=headers["ETag"])[0] == 304
    assert asked == ["get"]


# ── What it costs ────────────────────────────────────────────────────────────────


@pytest.fixture
def app(call, aging, monkeypatch) -> App:
    """An app that waits by the clock of the service; ``asked`` has the status of each answer."""
    waiting = SimpleNamespace(sleep=lambda s: aging.advance(seconds=s), monotonic=lambda: aging().timestamp())
    monkeypatch.setattr(client, "time", waiting)

    def answer(request: httpx.Request) -> httpx.Response:
        sent = {name: request.headers[name] for name in ("If-None-Match",) if name in request.headers}
        status, body, headers = call(request.method, request.url.path, **sent)
        app.asked.append(status)
        return httpx.Response(status, json=body, headers=headers)

    app = App("http://localhost:8000")
    app.http = httpx.Client(base_url="http://localhost:8000", transport=httpx.MockTransport(answer))
    app.asked = []
    return app


def written(state: State, clock: Callable[[], datetime], **facts: Any) -> str:
    """The id of a video that is stored just now."""
    now = clock()
    times = dict.fromkeys(("created_at", "updated_at", "upload_expires_at"), now)
    stored = replace(video(state, source=replace(SOURCE, stored_at=now), **facts), **times)
    return wiring.service().videos.add(stored).id


@pytest.mark.parametrize("start_s", [0, 0.1, 0.3, 0.6, 0.9, 2, 5])
@pytest.mark.parametrize("playable_at", [None, NOON])
def test_a_queued_minute_costs_at_most_15_calls(app, aging, playable_at, start_s):
    video_id = written(State.QUEUED, aging, playable_at=playable_at)
    aging.advance(seconds=start_s)
    end = aging() + timedelta(minutes=1)

    app.follow(video_id, until=lambda _: aging() >= end)

    *asked, _ = app.asked  # the last came after the minute
    assert asked == [200] + [304] * (len(asked) - 1)
    assert 5 <= len(asked) <= 15


@pytest.mark.parametrize("start_s", [0, 0.1, 0.3, 0.6, 0.9, 2, 5])
def test_a_queued_minute_costs_no_more_without_etags(app, aging, start_s):
    video_id = written(State.QUEUED, aging)
    aging.advance(seconds=start_s)
    end = aging() + timedelta(minutes=1)

    while aging() < end:
        answer = app.http.get(f"/videos/{video_id}/status").json()
        aging.advance(seconds=answer["retry_after_ms"] / 1000)

    assert 5 <= len(app.asked) <= 15


def test_after_a_304_an_app_takes_the_hint_of_the_header(app, aging):
    video_id = written(State.QUEUED, aging)

    first = app.status(video_id)
    aging.advance(seconds=5)
    second = app.status(video_id)

    assert app.asked == [200, 304]
    assert (first["retry_after_ms"], second["retry_after_ms"]) == (250, 3000)
    assert second == first | {"retry_after_ms": 3000}


def test_an_app_sees_a_change_after_a_304(app, aging):
    video_id = written(State.QUEUED, aging)
    for _ in range(2):
        app.status(video_id)
    videos = wiring.service().videos
    before = videos.get(video_id)
    videos.update(before.to(State.FAILED, at=aging()))

    changed = app.status(video_id)
    again = app.status(video_id)

    assert app.asked == [200, 304, 200, 304]
    assert (changed["state"], changed["retry_after_ms"]) == ("failed", None)
    assert again == changed
