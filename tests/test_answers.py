"""The types of videos/web/answers.py say what is on the wire: the same fields, of the same types."""

import json
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from support.api import NOBODY, ask, checked, completed, form
from videos import wiring
from videos.errors import QuotaExceeded
from videos.ports import Page
from videos.steps.check_health import Health
from videos.web import answers, api, views


def assert_is(kind: type, answer: Any) -> None:
    """An answer with a field more, a field less or a value of another type is not equal, or raises."""
    assert json.loads(msgspec.json.encode(msgspec.convert(answer, kind))) == answer


def test_upload_answers(call, clip):
    body, content_type = form(clip())

    assert_is(answers.Ticket, ask(call)[1])
    assert_is(answers.Ticket, ask(call, method="PUT", exact_size=True)[1])
    assert_is(answers.CheckedUpload, call("POST", "/upload", body, Content_Type=content_type)[1])


@pytest.mark.parametrize("facts", [{}, {"size": 1000, "duration": 12.5, "codec": "av1"}])
def test_a_verdict(call, facts):
    assert_is(
        answers.Verdict, call("POST", "/preflight", json.dumps(facts), Content_Type="application/json")[1]
    )


def test_status_metadata_and_list_of_a_video_in_every_state(call, event, clip):
    waiting = ask(call)[1]["id"]
    rejected = checked(call, event, clip(size="640x480"))
    done = completed(call, event, clip(sound=True))
    silent = completed(call, event, clip(sound=False))

    for video_id in (waiting, rejected, done, silent):
        assert_is(answers.Status, call("GET", f"/videos/{video_id}/status")[1])
        assert_is(answers.Metadata, call("GET", f"/videos/{video_id}/metadata")[1])
    videos = [wiring.service().videos.get(video_id) for video_id in (done, rejected)]
    page = views.page(Page(videos=videos, after=done), "https://api.example", datetime.now(UTC))
    assert_is(answers.VideoPage, json.loads(msgspec.json.encode(page)))


def test_errors(call, clip):
    body, content_type = form(clip(size="640x480"))
    waiting = ask(call)[1]["id"]
    quota = {"uploads": {"limit": 1, "used": 1}, "bytes": {"limit": 0, "used": 9}}
    exceeded = QuotaExceeded(quota, resets_at=datetime(2026, 11, 24, tzinfo=UTC), retry_after_s=60)

    for answer in (
        call("POST", "/upload", body, Content_Type=content_type)[1],
        call("GET", f"/videos/{NOBODY}/status")[1],
        call("GET", f"/videos/{waiting}/video.mp4")[1],
        api.answer(exceeded)[1],
        api.internal_error(),
    ):
        assert_is(answers.ErrorAnswer, answer)


def test_health(call, monkeypatch):
    assert_is(Health, call("GET", "/health")[1])

    monkeypatch.setenv("FFMPEG", "/no/such/ffmpeg")
    wiring.service.cache_clear()
    degraded = call("GET", "/health")[1]
    assert degraded["status"] == "degraded"
    assert_is(Health, degraded)
