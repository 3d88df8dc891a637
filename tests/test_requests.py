"""What an app may send along with a request, and what every answer tells: ids, keys, fields of its own."""

import io
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

import check_upload
from support.api import Context, about, ask, checked, completed, form
from videos import wiring
from videos.telemetry.logs import logger

JSON = {"Content_Type": "application/json"}


def post(call, body: dict, **headers: str):
    return call("POST", "/upload", json.dumps(body), **JSON, **headers)


def preflight(call, **known):
    return call("POST", "/preflight", json.dumps(known), **JSON)


def a_request(**wanted) -> dict:
    return {"filename": "cat.mp4", "content_type": "video/mp4", "size": 1_000_000, **wanted}


# ── Where a video is, and which request was it ───────────────────────────────────


def test_a_video_at_its_location_is_its_metadata(call, event, clip):
    status, ticket, headers = ask(call)
    location = headers["Location"]

    assert (status, location) == (201, f"http://localhost:8000/videos/{ticket['id']}")
    path = location.removeprefix("http://localhost:8000")
    assert call("GET", path)[1] == call("GET", f"{path}/metadata")[1]
    assert call("HEAD", path)[:2] == (200, None)
    video_id = completed(call, event, clip())
    assert call("GET", f"/videos/{video_id}")[1]["state"] == "completed"


def test_a_form_tells_the_location_of_its_video(call, clip):
    body, kind = form(clip())

    _, answer, headers = call("POST", "/upload", body, Content_Type=kind)

    assert headers["Location"] == f"http://localhost:8000/videos/{answer['id']}"


@pytest.mark.parametrize("path", ["/health", "/videos/none/status", "/nowhere", "/preflight"])
def test_every_answer_has_the_gateways_id_of_its_request_and_pages_may_read_it(call, event, path):
    _, _, headers = call("GET", path, Origin="https://app.example")

    assert headers["X-Request-Id"] == event("read_video")["requestContext"]["requestId"]
    assert "X-Request-Id" in headers["Access-Control-Expose-Headers"]


def test_a_bug_is_answered_with_the_id_of_its_request_too(call, event, monkeypatch):
    monkeypatch.setattr("check_health.health", lambda _: 1 / 0)

    status, _, headers = call("GET", "/health")

    assert (status, headers["X-Request-Id"]) == (500, event("read_video")["requestContext"]["requestId"])


def test_the_log_has_the_id_of_the_request(call):
    handler = logger.registered_handler
    before = handler.setStream(written := io.StringIO())
    try:
        _, _, headers = call("GET", "/videos/none/status")
    finally:
        handler.setStream(before)

    lines = [json.loads(line) for line in written.getvalue().splitlines()]
    assert {line["correlation_id"] for line in lines} == {headers["X-Request-Id"]}


# ── Fields of the app's own ──────────────────────────────────────────────────────

OWN = {"external_id": "draft-7", "custom": {"feed": "cats", "n": 1.5, "deep": {"list": [None, True, "猫"]}}}


def given(answer: dict) -> dict:
    return {name: answer[name] for name in OWN if name in answer}


def test_what_a_ticket_was_asked_with_is_given_back(call):
    _, ticket, _ = post(call, a_request(**OWN))

    for path in ("status", "metadata"):
        assert given(call("GET", f"/videos/{ticket['id']}/{path}")[1]) == OWN
    assert given(call("GET", "/videos")[1]["videos"][0]) == OWN


def test_what_a_form_was_sent_with_is_given_back(call, clip):
    body, kind = form(clip())
    fields = {"external_id": OWN["external_id"], "custom": json.dumps(OWN["custom"])}
    for name, value in fields.items():
        head = f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        body = head.encode() + body

    status, answer, _ = call("POST", "/upload", body, Content_Type=kind)

    assert status == 201
    assert given(call("GET", f"/videos/{answer['id']}/status")[1]) == OWN


def test_what_was_not_sent_is_not_answered(call, event, clip):
    video_id = checked(call, event, clip())

    assert given(call("GET", f"/videos/{video_id}/metadata")[1]) == {}


def test_an_object_of_1024_bytes_is_the_largest(call):
    fits = {"a": "é" * 508}  # two bytes each, and eight around them

    assert len(json.dumps(fits, ensure_ascii=False, separators=(",", ":")).encode()) == 1024
    assert post(call, a_request(custom=fits))[0] == 201
    status, answer, _ = post(call, a_request(custom={"a": "é" * 508 + "e"}))
    assert (status, answer["code"]) == (400, "bad_request")
    assert "1024 bytes" in answer["error"]


def test_integers_of_64_bits_are_the_largest(call):
    """By the documentation of PutEvents; one that it rejects would hold up the events of other videos."""
    fits = {"least": -9223372036854775808, "most": [{"a": 9223372036854775807}], "float": 1e300}

    status, answer, _ = post(call, a_request(custom=fits))

    assert status == 201
    assert call("GET", f"/videos/{answer['id']}/status")[1]["custom"] == fits
    for wrong in (-9223372036854775809, 9223372036854775808, 10**1000):
        status, answer, _ = post(call, a_request(custom={"deep": [[wrong]]}))
        assert (status, answer["code"]) == (400, "bad_request")
        assert "an integer of more than 64 bits" in answer["error"]


def test_an_external_id_of_128_characters_is_the_longest(call):
    assert post(call, a_request(external_id="猫" * 128))[0] == 201
    status, answer, _ = post(call, a_request(external_id="x" * 129))
    assert status == 400
    assert "external_id" in answer["error"]


@pytest.mark.parametrize("wrong", [{"custom": [1]}, {"custom": "text"}, {"external_id": 7}])
def test_fields_of_another_type_are_a_400_that_names_them(call, wrong):
    status, answer, _ = post(call, a_request(**wrong))

    assert status == 400
    assert f"$.{next(iter(wrong))}" in answer["error"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("custom", "[1]"),
        ("custom", "{"),
        ("custom", "x" * 2000),
        ("custom", '{"n": 9223372036854775808}'),
        ("external_id", "x" * 129),
    ],
)
def test_wrong_fields_of_a_form_are_a_400_that_names_them(call, clip, name, value):
    body, kind = form(clip())
    head = f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'

    status, answer, _ = call("POST", "/upload", head.encode() + body, Content_Type=kind)

    assert (status, answer["code"]) == (400, "bad_request")
    assert name in answer["error"]


# ── Asking twice ─────────────────────────────────────────────────────────────────


def test_a_repeat_with_the_same_key_gets_the_same_answer(call):
    first = post(call, a_request(**OWN), Idempotency_Key="a")
    wiring.service.cache_clear()  # as another environment of the function would
    second = post(call, {**dict(reversed(a_request(**OWN).items())), "method": "POST"}, Idempotency_Key="a")

    assert (first[0], second[:2]) == (201, first[:2])
    assert second[2]["Location"] == first[2]["Location"]
    assert len(call("GET", "/videos")[1]["videos"]) == 1


def test_a_repeat_after_the_upload_is_answered_as_before(call, event, clip):
    first = post(call, a_request(), Idempotency_Key="a")[1]
    wiring.service().storage.save(clip(), f"uploads/{first['id']}", content_type="video/mp4")
    check_upload.handler(about(event("check_upload"), first["id"]), Context())

    assert call("GET", f"/videos/{first['id']}/status")[1]["state"] == "queued"
    assert post(call, a_request(), Idempotency_Key="a")[1] == first


def test_another_body_under_the_same_key_is_a_409(call):
    post(call, a_request(), Idempotency_Key="a")

    status, answer, _ = post(call, a_request(size=2_000_000), Idempotency_Key="a")

    assert (status, answer["code"]) == (409, "idempotency_key_reused")
    assert "new key" in answer["suggestions"][0]


def test_another_key_and_no_key_are_other_requests(call):
    ids = {post(call, a_request(), Idempotency_Key=key)[1]["id"] for key in ("a", "b")}
    ids |= {post(call, a_request())[1]["id"] for _ in range(2)}

    assert len(ids) == 4


def test_a_rejected_request_may_be_corrected_under_its_key(call):
    assert post(call, a_request(size=9_000_000), Idempotency_Key="a")[0] == 422
    assert post(call, a_request(), Idempotency_Key="a")[0] == 201


def test_a_key_is_forgotten_after_a_day(call, monkeypatch):
    first = post(call, a_request(), Idempotency_Key="a")[1]
    later = replace(wiring.service(), now=lambda: datetime.now(UTC) + timedelta(hours=24, minutes=1))
    monkeypatch.setattr("request_upload.service", lambda: later)

    assert post(call, a_request(), Idempotency_Key="a")[1]["id"] != first["id"]


def test_a_repeat_for_a_video_that_was_deleted_is_a_404(call):
    first = post(call, a_request(), Idempotency_Key="a")[1]
    call("DELETE", f"/videos/{first['id']}")

    status, answer, _ = post(call, a_request(), Idempotency_Key="a")

    assert (status, answer["code"]) == (404, "unknown_video")


@pytest.mark.parametrize("key", ["", "x" * 256, "tab\there", "ключ"])
def test_an_invalid_key_is_a_400(call, key):
    status, answer, _ = post(call, a_request(), Idempotency_Key=key)

    assert (status, answer["code"]) == (400, "bad_request")
    assert "Idempotency-Key" in answer["error"]


def test_a_form_takes_no_key(call, clip):
    body, kind = form(clip())

    status, answer, _ = call("POST", "/upload", body, Content_Type=kind, Idempotency_Key="a")

    assert (status, answer["code"]) == (400, "bad_request")
    assert "ticket" in answer["suggestions"][0]


def test_a_page_may_send_a_key(call):
    headers = call("OPTIONS", "/upload", Origin="https://app.example")[2]

    assert "Idempotency-Key" in headers["Access-Control-Allow-Headers"]


# ── What the picker knows ────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "name", ["avc1.640028", "AVC1.4d401f", "avc3.640028", "hvc1.1.6.L93.B0", "hev1.1.6.L93.B0"]
)
def test_codecs_as_rfc_6381_names_them(call, name):
    assert preflight(call, codec=name)[1]["accepted"]


def test_another_codec_is_rejected_by_its_name(call):
    _, answer, _ = preflight(call, codec="vp09.00.10.08")

    assert answer["violations"][0]["found"] == "VP9"


def test_zeros_nulls_and_unknown_are_not_told(call):
    nothing = preflight(call)[1]

    numbers = dict.fromkeys(
        ("size", "fileSize", "duration", "duration_ms", "width", "height", "rotation", "fps")
    )
    texts = ("codec", "color_primaries", "color_transfer", "color_space")
    assert preflight(call, **numbers)[1] == nothing
    assert preflight(call, **dict.fromkeys(numbers, 0))[1] == nothing
    assert preflight(call, **dict.fromkeys(texts, "unknown"))[1] == nothing
    assert preflight(call, **dict.fromkeys(texts, "Unspecified"))[1] == nothing
    assert preflight(call, **dict.fromkeys(texts, ""))[1] == nothing


@pytest.mark.parametrize(
    "told", [{"duration": 75}, {"duration_ms": 75_000}, {"duration": 0, "duration_ms": 75_000}]
)
def test_a_duration_is_in_seconds_or_milliseconds(call, told):
    assert preflight(call, **told)[1]["violations"][0]["found"] == "75 s"


@pytest.mark.parametrize(
    "told", [{"size": 7_000_000}, {"fileSize": 7_000_000}, {"size": None, "fileSize": 7_000_000}]
)
def test_a_size_has_either_name(call, told):
    assert preflight(call, **told)[1]["violations"][0]["rule"] == "size"
    request = {"filename": "a.mp4", "content_type": "video/mp4", **told}
    assert post(call, request)[1]["violations"][0]["rule"] == "size"


def test_preflight_names_the_fields_that_no_rule_knows(call):
    picked = {
        "uri": "file:///a.mov",
        "exif": {"Make": "Apple"},
        "assetId": None,
        "width": 720,
        "height": 1280,
    }

    _, answer, _ = preflight(call, **picked)

    assert answer["accepted"]
    assert answer["ignored"] == ["uri", "exif", "assetId"]
    assert "ignored" not in preflight(call, width=720)[1]


def test_a_ticket_with_an_unknown_field_is_a_400_that_names_it(call):
    status, answer, _ = post(call, a_request(uri="file:///a.mov"))

    assert (status, answer["code"]) == (400, "bad_request")
    assert "`uri`" in answer["error"]


@pytest.mark.parametrize("kind", ["application/octet-stream", "", None, "Application/Octet-Stream; x=y"])
def test_a_ticket_for_a_file_of_unknown_name_size_and_type_takes_an_mp4(call, kind):
    status, ticket, _ = post(call, {"filename": None, "content_type": kind, "size": None})

    assert status == 201
    assert ticket["upload"]["fields"]["Content-Type"] == "video/mp4"
    assert call("GET", f"/videos/{ticket['id']}")[1]["filename"] == "video"
    assert post(call, {"filename": "", "content_type": kind, "size": 0})[0] == 201


def test_a_ticket_is_refused_by_what_is_known_of_the_clip(call):
    assert post(call, a_request(duration_ms=9_000, width=720, height=1280, codec="avc1.640028"))[0] == 201
    status, answer, _ = post(call, a_request(duration=75, codec="vp9"))

    assert (status, answer["code"]) == (422, "video_refused")
    assert [violation["rule"] for violation in answer["violations"]] == ["codec", "duration"]


def test_an_exact_size_must_be_known(call):
    status, answer, _ = post(call, a_request(size=None, method="PUT", exact_size=True))

    assert (status, answer["code"]) == (400, "bad_request")


def test_the_length_that_a_browser_sends_by_itself_is_not_among_the_headers(call):
    _, ticket, _ = post(call, a_request(method="PUT", exact_size=True))

    assert set(ticket["upload"]["headers"]) == {"Content-Type", "If-None-Match"}
