"""GET /s3/params: the ticket that Uppy asks its Companion for, with what pages set as metadata."""

from urllib.parse import urlencode

import httpx
import pytest

from dev.server import Server

OURS, OTHER = "http://localhost:5173", "https://evil.example"
PLAIN = {"filename": "cat.mp4", "type": "video/mp4"}


def params(call, **told):
    """As Uppy asks. ``metadata_x`` is sent as metadata[x]."""
    query = {
        name.replace("metadata_", "metadata[") + "]" * name.startswith("metadata_"): value
        for name, value in told.items()
    }
    return call("GET", f"/s3/params?{urlencode(query)}")


def metadata(call, answer: dict) -> dict:
    return call("GET", f"/videos/{answer['id']}")[1]


# ── The contract ─────────────────────────────────────────────────────────────────


def test_the_answer_is_companions(call):
    status, answer, _ = params(call, **PLAIN)

    assert status == 200
    assert {"method", "url", "fields", "expires"} <= answer.keys()
    assert (answer["method"], answer["expires"]) == ("POST", 3600)
    assert answer["url"] == "http://localhost:8000/storage/"  # old Uppys make the Location of it
    assert answer["fields"]["Content-Type"] == "video/mp4"


def test_the_video_is_registered_and_the_key_ends_in_its_id(call):
    """Of the whole answer, Uppy gives a page the key alone."""
    _, answer, _ = params(call, **PLAIN)

    assert answer["fields"]["key"] == f"uploads/{answer['id']}"
    assert answer["links"]["status"] == f"http://localhost:8000/videos/{answer['id']}/status"
    assert metadata(call, answer)["filename"] == "cat.mp4"
    assert metadata(call, answer)["state"] == "awaiting_upload"


@pytest.mark.parametrize("kind", ["", "undefined", "null", "application/octet-stream"])
def test_a_file_whose_type_nobody_knows_gets_a_ticket(call, kind):
    assert params(call, filename="IMG_0042", type=kind)[1]["fields"]["Content-Type"] == "video/mp4"


def test_each_request_registers_another_video(call):
    assert params(call, **PLAIN)[1]["id"] != params(call, **PLAIN)[1]["id"]


def test_head_registers_nothing(call):
    before = call("GET", "/videos")[1]["videos"]

    assert call("HEAD", f"/s3/params?{urlencode(PLAIN)}")[0] == 200
    assert call("GET", "/videos")[1]["videos"] == before == []


# ── What a page tells ────────────────────────────────────────────────────────────


def test_metadata_of_the_names_of_a_tickets_fields_are_those_fields(call):
    _, answer, _ = params(call, **PLAIN, metadata_external_id="draft-7", metadata_poster_time="1.5")

    told = metadata(call, answer)
    assert (told["external_id"], told["poster_time"], told.get("custom")) == ("draft-7", 1.5, None)


def test_other_metadata_is_custom_and_what_uppy_sends_by_itself_is_not(call):
    own = {"metadata_name": "cat.mp4", "metadata_type": "video/mp4", "metadata_relativePath": "null"}

    _, answer, _ = params(call, **PLAIN, **own, metadata_caption="Über uns", metadata_draft="undefined")

    assert metadata(call, answer)["custom"] == {"caption": "Über uns"}


def test_a_parameter_wins_over_metadata_of_its_name(call):
    _, answer, _ = params(call, **PLAIN, external_id="a", metadata_external_id="b")

    assert metadata(call, answer)["external_id"] == "a"


def test_a_size_is_judged_if_it_is_told(call):
    status, answer, _ = params(call, **PLAIN, size="9000000")
    by_metadata, _, _ = params(call, **PLAIN, metadata_size="9000000")

    assert (status, answer["code"], by_metadata) == (422, "video_refused", 422)
    assert answer["message"] == answer["error"]  # Uppy 5 shows that
    assert params(call, **PLAIN, size="5242880")[0] == params(call, **PLAIN, size="0")[0] == 200


def test_whatever_else_is_known_is_judged_too(call):
    _, answer, _ = params(call, **PLAIN, width="1920", height="1080", metadata_duration="75")

    assert [one["rule"] for one in answer["violations"]] == ["resolution", "duration"]


@pytest.mark.parametrize(
    ("told", "error"),
    [
        ({"type": "video/mp4"}, "The query has no filename."),
        ({"filename": "a.mp4"}, "The query has no type."),
        ({**PLAIN, "method": "PUT"}, "Unknown parameter: 'method'."),
        ({**PLAIN, "sise": "1"}, "Unknown parameter: 'sise'."),
        ({**PLAIN, "size": "many"}, "Invalid query: Expected `int | null`, got `str` - at `$.size`."),
        ({**PLAIN, "duration": "nan"}, "Invalid query: a number is not finite."),
        ({**PLAIN, "poster_time": "1000"}, "Invalid poster time: 1000"),
        ({**PLAIN, "metadata_caption": "x" * 1100}, "custom exceeds 1024 bytes."),
        (
            {**PLAIN, "metadata_external_id": "x" * 129},
            "Invalid query: Expected `str` of length <= 128 - at `$.external_id`.",
        ),
    ],
)
def test_a_query_that_makes_no_sense_is_a_400(call, told, error):
    status, answer, _ = params(call, **told)

    assert (status, answer["error"], answer["message"]) == (400, error, error)
    assert answer["suggestions"]


def test_a_type_that_is_none_of_ours_is_a_415(call):
    status, answer, _ = params(call, filename="cat.jpg", type="image/jpeg")

    assert (status, answer["code"]) == (415, "unsupported_media_type")
    assert answer["message"] == "Invalid content type: 'image/jpeg'"


def test_other_errors_have_no_message(call):
    assert "message" not in call("POST", "/upload", "{}", Content_Type="application/json")[1]


# ── Over HTTP ────────────────────────────────────────────────────────────────────


@pytest.mark.thorough
def test_a_page_that_is_allowed_reads_its_ticket_and_its_form_arrives_and_no_other_registers(
    tmp_path, monkeypatch, clip
):
    monkeypatch.delenv("ALLOWED_ORIGINS", raising=False)
    with Server(tmp_path / "data") as server:
        asked = f"{server.url}/s3/params?{urlencode(PLAIN)}"
        refused = httpx.get(asked, headers={"Origin": OTHER})
        answer = httpx.get(asked, headers={"Origin": OURS})
        ticket = answer.json()
        stored = httpx.post(
            ticket["url"],
            data=ticket["fields"],
            files={"file": ("blob", clip(seconds=1).read_bytes(), "video/mp4")},
            headers={"Origin": OURS},
        )
        videos = httpx.get(f"{server.url}/videos").json()["videos"]

    assert (refused.status_code, refused.json()["code"]) == (403, "origin_not_allowed")
    assert answer.headers["Access-Control-Allow-Origin"] == OURS
    assert (stored.status_code, stored.headers["Location"]) == (
        204,
        f"{server.url}/storage/{ticket['fields']['key']}",
    )
    assert [video["id"] for video in videos] == [ticket["id"]]
