"""Who may do what, when tokens are wanted: against a real issuer in miniature, on loopback."""

import base64
import hashlib
import hmac
import io
import json
import logging
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

import request_upload
from local_aws import gateway
from support.api import NOBODY, ask, form
from support.issuer import AUDIENCE, KEYS, Issuer
from videos import wiring
from videos.errors import BadToken, Unavailable
from videos.model import Output, Segments, Video
from videos.telemetry.logs import logger
from videos.web import passes, tokens
from videos.web.tokens import Access, Keys

FUNCTIONS = Path(__file__).parent.parent / "functions"
PUBLIC = ("/health", "/openapi.json", "/docs")
VIDEO_ROUTES = [(method, path) for method, path in gateway.ROUTES if "{video_id}" in path]


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with Issuer() as running:
        yield running


@pytest.fixture
def api(call, issuer, monkeypatch) -> Callable[..., tuple[int, Any, dict]]:
    """The API, wanting tokens of ``issuer``: ``api("GET", "/videos", sub="alice")``."""
    monkeypatch.setenv("JWT_ISSUER", issuer.url)
    monkeypatch.setenv("JWT_AUDIENCE", AUDIENCE)
    wiring.http_settings.cache_clear()

    def api(method: str, path: str, body: str | bytes | None = None, *, sub: str = "", **headers: str):
        if sub:
            headers["Authorization"] = f"Bearer {issuer.token(sub=sub)}"
        return call(method, path, body, **headers)

    return api


def ask_as(api, sub: str, **wanted: Any):
    return ask(lambda *request, **headers: api(*request, sub=sub, **headers), **wanted)


def path_of(route: str, video_id: str) -> str:
    return route.replace("{video_id}", video_id).replace("{file}", "video.mp4")


def playable(video_id: str) -> Video:
    """Give a video what it has when it plays, without making it."""
    videos = wiring.service().videos
    segments = Segments(codecs="avc1", init_at=0, init_bytes=1, sizes_bytes=(1,), durations_s=(1.0,))
    sizes = {"codec": "h264", "width_px": 720, "height_px": 1280, "size_bytes": 2, "segments": segments}
    made = [
        Output(name=name, key=f"outputs/{video_id}/a/{name}", content_type=kind, **sizes)
        for name, kind in (("720p", "video/mp4"), ("poster", "image/jpeg"))
    ]
    return videos.update(replace(videos.get(video_id), outputs=tuple(made), playable_at=datetime.now(UTC)))


# ── Who is asking ────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("key", ["rsa", "ec"])
def test_a_valid_token_is_accepted(api, issuer, key):
    status, answer, _ = api("GET", "/videos", Authorization=f"bearer {issuer.token(key)}")

    assert (status, answer) == (200, {"videos": [], "after": None})


def forged_with_the_public_key(issuer: Issuer) -> str:
    """What a library accepts that lets the token choose: HMAC, with the public key as the secret."""
    head, body, _ = issuer.token().split(".")
    head = encoded(json.dumps({"alg": "HS256", "kid": "rsa"}).encode())
    secret = KEYS["rsa"].public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return f"{head}.{body}.{encoded(hmac.new(secret, f'{head}.{body}'.encode(), hashlib.sha256).digest())}"


def encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def with_header(token: str, **header: Any) -> str:
    return ".".join([encoded(json.dumps(header).encode()), *token.split(".")[1:]])


REFUSED = {
    "no header": (lambda _: None, "token_missing", "Sign in"),
    "another scheme": (lambda _: "Basic YWxpY2U6cHc=", "token_missing", "Bearer"),
    "no scheme": (lambda issuer: issuer.token(), "token_missing", "Bearer"),
    "no token": (lambda _: "Bearer ", "token_refused", "as it was issued"),
    "no JWT": (lambda _: "Bearer a.b\r\nX: y.c", "token_refused", "as it was issued"),
    "odd letters": (lambda _: "Bearer \ud800.ü.\0", "token_refused", "as it was issued"),
    "rubbish": (lambda _: "Bearer YQ.YQ.YQ", "token_refused", "as it was issued"),
    "huge": (lambda issuer: f"Bearer {issuer.token(name='x' * 9000)}", "token_refused", "8192"),
    "expired": (lambda issuer: f"Bearer {issuer.token(exp=1)}", "token_expired", "new one"),
    "not yet": (lambda issuer: f"Bearer {issuer.token(nbf=2**32)}", "token_refused", "clock"),
    "from the future": (lambda issuer: f"Bearer {issuer.token(iat=2**32)}", "token_refused", "clock"),
    "another issuer": (lambda issuer: f"Bearer {issuer.token(iss='https://evil')}", "token_refused", "127.0"),
    "another audience": (lambda issuer: f"Bearer {issuer.token(aud='else')}", "token_refused", "aud is app"),
    "no audience": (lambda issuer: f"Bearer {issuer.token(aud=None)}", "token_refused", "ID token"),
    "no end": (lambda issuer: f"Bearer {issuer.token(exp=None)}", "token_refused", "exp"),
    "no subject": (lambda issuer: f"Bearer {issuer.token(sub=None)}", "token_refused", "sub"),
    "empty subject": (lambda issuer: f"Bearer {issuer.token(sub='')}", "token_refused", "docs/api.md"),
    "endless subject": (
        lambda issuer: f"Bearer {issuer.token(sub='x' * 256)}",
        "token_refused",
        "docs/api.md",
    ),
    "none": (
        lambda issuer: f"Bearer {with_header(issuer.token(), alg='none', kid='rsa')}",
        "token_refused",
        "RS256",
    ),
    "none, unsigned": (
        lambda issuer: f"Bearer {with_header(issuer.token(), alg='none', kid='rsa').rpartition('.')[0]}.",
        "token_refused",
        "RS256",
    ),
    "a public key as a secret": (
        lambda issuer: f"Bearer {forged_with_the_public_key(issuer)}",
        "token_refused",
        "RS256",
    ),
    "the algorithm of another key": (
        lambda issuer: f"Bearer {with_header(issuer.token(), alg='ES256', kid='rsa')}",
        "token_refused",
        "RS256",
    ),
    "signed by somebody else": (
        lambda issuer: f"Bearer {issuer.token('new', key_id='ec')}",
        "token_refused",
        "as it was issued",
    ),
    "an unknown key": (lambda issuer: f"Bearer {issuer.token('new')}", "token_refused", "changed its keys"),
    "no key id": (
        lambda issuer: f"Bearer {with_header(issuer.token(), alg='RS256')}",
        "token_refused",
        "changed its keys",
    ),
    "a list for a key id": (
        lambda issuer: f"Bearer {with_header(issuer.token(), alg='RS256', kid=['rsa'])}",
        "token_refused",
        "as it was issued",
    ),
    "terms we do not know": (
        lambda issuer: f"Bearer {with_header(issuer.token(), alg='RS256', kid='rsa', crit=['x'], x=1)}",
        "token_refused",
        "as it was issued",
    ),
}


@pytest.mark.parametrize(("header", "code", "word"), REFUSED.values(), ids=REFUSED)
def test_an_invalid_token_is_a_401_with_a_suggestion(api, issuer, header, code, word, lines):
    shown = header(issuer)

    status, answer, headers = api("GET", "/videos", **({"Authorization": shown} if shown else {}))

    assert (status, answer["code"]) == (401, code)
    assert word in " ".join(answer["suggestions"])
    assert headers["WWW-Authenticate"].startswith(
        "Bearer" if code == "token_missing" else 'Bearer error="invalid_token", error_description="The token'
    )
    assert headers["Cache-Control"] == "no-store"
    for part in (shown or "").removeprefix("Bearer ").split("."):
        assert len(part) < 9 or part not in json.dumps([answer, headers]) + lines()


@pytest.fixture
def lines() -> Iterator[Callable[[], str]]:
    """Everything that the functions log."""
    handler = logging.StreamHandler(io.StringIO())
    handler.setFormatter(logger.registered_handler.formatter)
    logger.addHandler(handler)
    yield handler.stream.getvalue
    logger.removeHandler(handler)


@pytest.mark.parametrize(("expired_s", "status"), [(3, 200), (60, 401)])
def test_the_clocks_of_issuer_and_service_may_differ_by_a_few_seconds_only(api, issuer, expired_s, status):
    token = issuer.token(exp=int(time.time()) - expired_s)

    assert api("GET", "/videos", Authorization=f"Bearer {token}")[0] == status


@pytest.mark.filterwarnings("ignore:The RSA key")  # says PyJWT when it signs
@pytest.mark.parametrize("bits", [1024, 2040])
def test_an_rsa_key_of_fewer_than_2048_bits_is_refused(api, issuer, monkeypatch, bits):
    monkeypatch.setitem(KEYS, "short", rsa.generate_private_key(65537, bits))
    issuer.published = ["short"]

    status, answer, _ = api("GET", "/videos", Authorization=f"Bearer {issuer.token('short')}")

    assert (status, answer["code"]) == (401, "token_refused")


@pytest.mark.parametrize(("method", "route"), [route for route in gateway.ROUTES if route[1] not in PUBLIC])
def test_every_route_requires_a_token(api, method, route):
    status, answer, _ = api(method, path_of(route, NOBODY), "{}")

    assert (status, answer["code"]) == (401, "token_missing")


@pytest.mark.parametrize("path", PUBLIC)
def test_health_and_the_documents_require_no_token(api, path):
    assert api("GET", path)[0] == 200


@pytest.mark.parametrize("path", ["/upload", "/s3/params", "/videos", f"/videos/{NOBODY}/status"])
def test_cors_preflight_allows_the_authorization_header(api, path):
    status, _, headers = api("OPTIONS", path, Origin="https://app.example")

    assert status == 204
    assert "Authorization" in headers["Access-Control-Allow-Headers"]


def test_a_missing_token_is_a_401_before_the_body_is_read(api):
    assert api("POST", "/upload", "{" * 1000)[0] == 401


def test_an_open_service_does_not_import_pyjwt(event, tmp_path):
    code = (
        "import json, sys, read_video; from support.api import Context; "
        "answer = read_video.handler(json.load(sys.stdin), Context()); "
        "print(answer['statusCode'], 'jwt' in sys.modules, 'cryptography' in sys.modules)"
    )
    env = {
        "STORAGE_MODE": "local",
        "LOCAL_FOLDER": str(tmp_path),
        "PYTHONPATH": f"{FUNCTIONS}:{FUNCTIONS}/../tests",
    }

    said = subprocess.run(
        [sys.executable, "-c", code],
        input=json.dumps(event("read_video")),
        env=env,
        capture_output=True,
        text=True,
        check=True,
    )

    assert said.stdout.splitlines()[-1] == "404 False False"


# ── The issuer's keys ────────────────────────────────────────────────────────────


@pytest.fixture
def keys(issuer, clock) -> Keys:
    return Keys(issuer.url, now=lambda: clock().timestamp())


def test_keys_are_fetched_once_and_cached(keys, issuer, clock):
    for _ in range(50):
        keys.find("rsa")
    clock.advance(seconds=tokens.FRESH_FOR_S - 1)
    keys.find("ec")

    assert issuer.fetches == 1


def test_unknown_key_ids_do_not_flood_the_issuer(keys, issuer, clock):
    for second in range(60):
        for number in range(20):
            with pytest.raises(BadToken):
                keys.find(f"made-up-{second}-{number}")
        clock.advance(seconds=1)

    assert issuer.fetches == 2  # a minute, in half of which we do not ask again


def test_a_new_key_is_fetched_on_first_use(keys, issuer, clock):
    keys.find("rsa")
    issuer.published = ["rsa", "new"]
    clock.advance(seconds=tokens.PAUSE_S)

    assert keys.find("new").key_id == "new"


def test_a_withdrawn_key_stops_working(keys, issuer, clock):
    keys.find("rsa")
    issuer.published = ["ec"]
    clock.advance(seconds=tokens.FRESH_FOR_S + 1)

    with pytest.raises(BadToken):
        keys.find("rsa")


def test_cached_keys_outlive_an_outage_of_the_issuer_for_a_day(keys, issuer, clock):
    keys.find("rsa")
    issuer.answers["/keys"] = (500, {}, b"")
    for _ in range(23):
        clock.advance(hours=1)
        assert keys.find("rsa").key_id == "rsa"
    clock.advance(hours=2)

    with pytest.raises(Unavailable):
        keys.find("rsa")


def test_without_any_key_requests_are_a_503(api, issuer):
    token = issuer.token()
    issuer.__exit__()

    status, answer, headers = api("GET", "/videos", Authorization=f"Bearer {token}")

    assert (status, answer["code"], headers["Retry-After"]) == (503, "unavailable", "2")
    assert "your token may be fine" in answer["suggestions"][0]


def test_an_issuer_that_recovers_is_soon_asked_again(keys, issuer, clock):
    issuer.answers["/keys"] = (500, {}, b"")
    for _ in range(10):
        with pytest.raises(Unavailable):
            keys.find("rsa")
    assert issuer.fetches == 1

    issuer.answers.clear()
    clock.advance(seconds=tokens.PAUSE_WITHOUT_KEYS_S)

    assert keys.find("rsa").key_id == "rsa"


DISCOVERY = "/.well-known/openid-configuration"
NONSENSE = {
    "another's document": (DISCOVERY, 200, {}, b'{"issuer": "https://x.io", "jwks_uri": "URL/keys"}'),
    "keys from anybody": (DISCOVERY, 200, {}, b'{"issuer": "URL", "jwks_uri": "http://0.0.0.0:PORT/keys"}'),
    "keys from a file": (DISCOVERY, 200, {}, b'{"issuer": "URL", "jwks_uri": "file:///etc/passwd"}'),
    "a redirect": ("/keys", 302, {"Location": "http://127.0.0.1:1/"}, b""),
    "an error": ("/keys", 404, {}, b"KEYS"),
    "a page": ("/keys", 200, {}, b"<html>"),
    "a list": ("/keys", 200, {}, b"[]"),
    "no keys": ("/keys", 200, {}, b'{"keys": []}'),
    "keys that are none": ("/keys", 200, {}, b'{"keys": [7, {"kty": "RSA", "kid": "rsa"}]}'),
    "a shared secret": ("/keys", 200, {}, b'{"keys": [{"kty": "oct", "k": "c2VjcmV0", "kid": "rsa"}]}'),
    "depth": ("/keys", 200, {}, b"[" * 200_000),
    "more than anybody needs": ("/keys", 200, {}, b"KEYS" + b" " * tokens.MAX_DOCUMENT_BYTES),
}  # fmt: skip


@pytest.mark.parametrize(("path", "status", "headers", "body"), NONSENSE.values(), ids=NONSENSE)
def test_an_invalid_answer_of_the_issuer_admits_nobody(keys, issuer, path, status, headers, body):
    real = {
        "URL": issuer.url,
        "PORT": issuer.url.rpartition(":")[2],
        "KEYS": issuer.document("/keys").decode(),
    }
    for name, value in real.items():
        body = body.replace(name.encode(), value.encode())
    issuer.answers[path] = (status, headers, body)

    with pytest.raises((Unavailable, BadToken)):
        keys.find("rsa")


def test_fetching_keys_has_a_timeout(keys, issuer, monkeypatch):
    monkeypatch.setattr(tokens, "TIMEOUT_S", 0.1)
    given_up = threading.Event()
    issuer.server.process_request = lambda *_: given_up.wait(5)

    with pytest.raises(Unavailable):
        keys.find("rsa")

    given_up.set()  # or the server would have, later


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"JWT_ISSUER": "http://issuer.example", "JWT_AUDIENCE": "app"}, "JWT_ISSUER"),
        ({"JWT_ISSUER": "issuer.example", "JWT_AUDIENCE": "app"}, "JWT_ISSUER"),
        ({"JWT_ISSUER": "https://issuer.example"}, "JWT_AUDIENCE"),
        ({"JWT_AUDIENCE": "app"}, "JWT_ISSUER"),
    ],
)
@pytest.mark.usefixtures("call")
def test_insecure_settings_stop_the_start(monkeypatch, settings, word):
    for name, value in settings.items():
        monkeypatch.setenv(name, value)

    with pytest.raises(SystemExit, match=word):
        wiring.http_settings()


def test_an_issuer_may_end_in_a_slash_or_not(issuer):
    slashed = issuer.token(iss=f"{issuer.url}/")

    owners = {
        Access(AUDIENCE, Keys(url)).owner(f"Bearer {token}")
        for url in (issuer.url, f"{issuer.url}/")
        for token in (slashed, issuer.token())
    }

    assert len(owners) == 1


# ── Whose it is ──────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("method", "route"), VIDEO_ROUTES)
def test_the_video_of_another_owner_is_a_404(api, method, route):
    _, ticket, _ = ask_as(api, "alice")
    playable(ticket["id"])

    theirs = api(method, path_of(route, ticket["id"]), sub="bob")
    nobodys = api(method, path_of(route, NOBODY), sub="bob")

    assert theirs[0] == 404
    assert theirs[1]["code"] == "unknown_video"
    assert json.dumps(theirs[1]).replace(ticket["id"], NOBODY) == json.dumps(nobodys[1])
    assert api("GET", f"/videos/{ticket['id']}/status", sub="alice")[0] == 200


def test_the_owner_reads_plays_and_deletes(api):
    _, ticket, _ = ask_as(api, "alice")
    playable(ticket["id"])

    for path in ("status", "metadata"):
        assert api("GET", f"/videos/{ticket['id']}/{path}", sub="alice")[0] == 200
    assert api("GET", f"/videos/{ticket['id']}/video.mp4", sub="alice")[0] == 302
    assert api("DELETE", f"/videos/{ticket['id']}", sub="alice")[0] == 204
    assert api("GET", f"/videos/{ticket['id']}/status", sub="alice")[0] == 404


def test_the_same_subject_at_another_issuer_is_another_owner(issuer):
    with Issuer() as other:
        owners = {
            Access(AUDIENCE, Keys(each.url)).owner(f"Bearer {each.token(sub='alice')}")
            for each in (issuer, other)
        }

    assert len(owners) == 2


def test_an_owned_video_stays_private_when_access_is_opened(api, monkeypatch):
    _, ticket, _ = ask_as(api, "alice")
    monkeypatch.delenv("JWT_ISSUER")
    monkeypatch.delenv("JWT_AUDIENCE")
    wiring.http_settings.cache_clear()

    assert api("GET", f"/videos/{ticket['id']}/status")[0] == 404
    assert api("DELETE", f"/videos/{ticket['id']}")[0] == 404


# ── GET /videos ──────────────────────────────────────────────────────────────────


def test_an_owners_videos_are_listed_newest_first_in_pages(api):
    made = [ask_as(api, "alice", filename=f"{number}.mp4")[1]["id"] for number in range(5)]
    ask_as(api, "bob")
    playable(made[-1])

    listed, after = [], ""
    for size in (2, 2, 1):
        _, page, _ = api("GET", f"/videos?limit=2{after}", sub="alice")
        assert len(page["videos"]) == size
        listed += page["videos"]
        after = f"&after={page['after']}"

    assert page["after"] is None
    assert [video["id"] for video in listed] == made[::-1]
    assert listed[0]["filename"] == "4.mp4"
    assert listed[0]["playable"]
    assert urlsplit(listed[0]["poster"]).path == f"/videos/{made[-1]}/poster.jpg"
    assert listed[1]["poster"] is None
    assert {"state", "progress", "created_at", "url", "blurhash", "links"} <= set(listed[1])


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=101", "limit=-1", "limit=x", "limit=1e2", "after=x", "after=zzzz"]
)
def test_an_invalid_limit_or_cursor_is_a_400(api, query):
    status, answer, _ = api("GET", f"/videos?{query}", sub="alice")

    assert (status, answer["code"]) == (400, "bad_request")
    assert answer["suggestions"]


def test_listing_without_authentication_is_a_404_on_aws_that_names_the_settings(call, monkeypatch):
    settings = replace(wiring.http_settings(), lists_everybodys=False)
    monkeypatch.setattr("read_video.http_settings", lambda: settings)

    status, answer, _ = call("GET", "/videos")

    assert (status, answer["code"]) == (404, "unknown_route")
    assert "JwtIssuer" in answer["suggestions"][0]


@pytest.mark.parametrize(("mode", "lists"), [("aws", False), ("local", True)])
def test_only_the_local_server_lists_what_has_no_owner(monkeypatch, mode, lists):
    monkeypatch.setenv("STORAGE_MODE", mode)
    wiring.http_settings.cache_clear()

    assert wiring.http_settings().lists_everybodys is lists
    wiring.http_settings.cache_clear()


def test_an_open_local_server_lists_what_it_has_and_nothing_of_an_owner(call):
    videos = [ask(call)[1]["id"] for _ in range(3)]
    owned = wiring.service().videos.get(videos[1])
    wiring.service().videos.update(replace(owned, owner="alice"))

    _, first, _ = call("GET", "/videos?limit=1")
    _, second, _ = call("GET", f"/videos?limit=1&after={first['after']}")

    assert [video["id"] for video in (*first["videos"], *second["videos"])] == [videos[2], videos[0]]
    assert second["after"] is None


def test_the_list_of_the_local_service_reads_an_index(local_rig):
    seen = []
    with local_rig.videos._database._connection() as connection:
        connection.set_trace_callback(seen.append)
    local_rig.videos.of_owner("me", limit=5, after="b")
    [(*_, plan)] = local_rig.videos._run(f"EXPLAIN QUERY PLAN {seen[-1]}")

    assert "USING INDEX by_owner" in plan
    assert "SCAN" not in plan


def test_what_belongs_to_an_owner_is_stored_by_no_cache(api):
    _, ticket, asked = ask_as(api, "alice")
    status = f"/videos/{ticket['id']}/status"
    _, _, first = api("GET", status, sub="alice")
    code, _, unchanged = api("GET", status, sub="alice", If_None_Match=first["ETag"])
    listed = api("GET", "/videos", sub="alice")[2]

    assert code == 304
    for headers in (asked, first, unchanged, listed):
        assert (headers["Cache-Control"], headers["X-Content-Type-Options"]) == ("no-store", "nosniff")


# ── Playback links ───────────────────────────────────────────────────────────────


@pytest.fixture
def links(api) -> dict[str, str]:
    """What the metadata of alice's video says: where its files are, for a player without a token."""
    _, ticket, _ = ask_as(api, "alice")
    playable(ticket["id"])
    _, metadata, _ = api("GET", f"/videos/{ticket['id']}/metadata", sub="alice")
    found = {name: metadata[name].removeprefix("http://localhost:8000") for name in ("url", "hls", "poster")}
    return found | {"rendition": metadata["renditions"][0]["url"].removeprefix("http://localhost:8000")}


def test_the_links_of_the_metadata_need_no_token(api, links):
    for name in ("url", "poster", "rendition"):
        status, _, headers = api("GET", links[name])
        assert (status, headers["Referrer-Policy"], headers["Cache-Control"]) == (
            302,
            "no-referrer",
            "no-store",
        )


def test_a_playlist_passes_its_pass_on(api, links):
    status, playlist, _ = api("GET", links["hls"])

    assert status == 200
    [rendition] = [line for line in playlist.splitlines() if ".m3u8" in line]
    assert api("GET", links["hls"].replace(links["hls"].rpartition("/")[2], rendition))[0] == 200


def test_a_pass_is_valid_for_one_to_two_hours(api, links, monkeypatch):
    ends_at = int(links["url"].rpartition("pass=")[2].partition(".")[0])
    assert 3600 <= ends_at - time.time() <= 7200

    monkeypatch.setattr(passes.time, "time", lambda: ends_at)
    status, answer, _ = api("GET", links["url"])

    assert (status, answer["code"]) == (403, "link_expired")
    assert "metadata" in answer["suggestions"][0]


def test_a_pass_is_valid_for_the_files_of_one_video_only(api, links):
    query = links["url"].partition("?")[2]
    video_id = links["url"].split("/")[2]
    _, other, _ = ask_as(api, "alice")
    playable(other["id"])

    assert api("GET", f"/videos/{other['id']}/video.mp4?{query}")[0] == 404
    for method, path in (("GET", "status"), ("GET", "metadata"), ("DELETE", "")):
        assert api(method, f"/videos/{video_id}/{path}".rstrip("/") + f"?{query}")[0] == 401
    assert api("GET", f"/videos?{query}")[0] == 401


def changed(letter: str) -> str:
    return "1" if letter == "0" else "0"


@pytest.mark.parametrize(
    "forge",
    [
        lambda shown: shown[:-1] + changed(shown[-1]),
        lambda shown: "9" + shown[1:],
        lambda shown: shown.partition(".")[0],
        lambda shown: shown.upper().replace("A", "a") + "0",
        lambda _: "1" * 5000,
        lambda _: "ü.\0",
    ],
)
def test_a_forged_pass_is_a_404(api, links, forge):
    path, _, shown = links["url"].partition("?pass=")

    forged = api("GET", f"{path}?pass={forge(shown)}")
    unknown = api("GET", f"/videos/{NOBODY}/video.mp4?pass={shown}")

    assert (forged[0], forged[1]["code"]) == (404, "unknown_video")
    assert forged[1] == json.loads(json.dumps(unknown[1]).replace(NOBODY, path.split("/")[2]))


def test_no_secret_is_answered_or_logged(api, links, lines):
    video_id = links["url"].split("/")[2]
    secret = wiring.service().videos.get(video_id).pass_secret

    told = [
        api("GET", path, sub="alice")
        for path in (f"/videos/{video_id}/metadata", f"/videos/{video_id}/status", "/videos")
    ]
    api("GET", f"{links['url']}0")

    assert len(secret) == 32
    assert secret not in json.dumps(told) + lines() + repr(wiring.service().videos.get(video_id))
    assert links["url"].rpartition("=")[2] not in lines()


def test_an_open_service_has_links_without_a_pass(call):
    _, ticket, _ = ask(call)

    assert ticket["url"].endswith("/video.mp4")


# ── Quotas ───────────────────────────────────────────────────────────────────────


@pytest.fixture
def limited(api, clock, monkeypatch) -> Callable[..., None]:  # noqa: ARG001  its settings come first
    """``limited(uploads=2)``: the API with such a quota, at ten to midnight."""

    def limit(**quota: int) -> None:
        for name, value in quota.items():
            monkeypatch.setenv(f"QUOTA_{name.upper()}_PER_DAY", str(value))
        wiring.service.cache_clear()
        clock.time = datetime(2026, 11, 23, 23, 50, tzinfo=UTC)
        service = replace(wiring.service(), now=clock)
        monkeypatch.setattr(request_upload, "service", lambda: service)

    return limit


def test_an_exceeded_quota_is_a_429_with_its_reset_time(api, limited):
    limited(uploads=2)
    assert [ask_as(api, "alice")[0] for _ in range(2)] == [201, 201]

    status, answer, headers = ask_as(api, "alice")

    assert (status, answer["code"], headers["Retry-After"]) == (429, "quota_exceeded", "600")
    assert answer["quota"] == {
        "uploads": {"limit": 2, "used": 2},
        "bytes": {"limit": 0, "used": 2 * 6_291_456},
        "resets_at": "2026-11-24T00:00:00+00:00",
    }
    assert "2026-11-24T00:00:00+00:00" in answer["suggestions"][0]
    assert ask_as(api, "bob")[0] == 201
    assert len(api("GET", "/videos", sub="alice")[1]["videos"]) == 2


def test_a_ticket_for_uppy_has_an_owner_and_is_charged_as_any_other(api, limited):
    limited(uploads=1)
    asked = "/s3/params?filename=a.mp4&type=video/mp4"

    assert api("HEAD", asked, sub="alice")[0] == 200  # which registers nothing
    status, ticket, _ = api("GET", asked, sub="alice")
    over, answer, _ = api("GET", asked, sub="alice")

    assert (status, over, answer["code"]) == (200, 429, "quota_exceeded")
    assert answer["message"] == answer["error"]
    assert api("GET", f"/videos/{ticket['id']}/status", sub="alice")[0] == 200
    assert api("GET", f"/videos/{ticket['id']}/status", sub="bob")[0] == 404


def test_a_quota_resets_at_midnight(api, limited, clock):
    limited(uploads=1)
    ask_as(api, "alice")
    clock.advance(minutes=9, seconds=59)
    assert ask_as(api, "alice")[0] == 429

    clock.advance(seconds=1)

    assert ask_as(api, "alice")[0] == 201


def test_a_ticket_is_charged_its_maximum_whatever_was_declared(api, limited):
    limited(bytes=2 * 6_291_456)

    assert [ask_as(api, "alice", size=1)[0] for _ in range(3)] == [201, 201, 429]


def test_an_exact_size_ticket_is_charged_its_size(api, limited):
    limited(bytes=1000)

    assert [ask_as(api, "alice", method="PUT", exact_size=True, size=500)[0] for _ in range(3)] == [
        201,
        201,
        429,
    ]


def test_a_form_upload_is_charged_its_size(api, limited, tmp_path):
    limited(bytes=1500)
    file = tmp_path / "cat.mp4"
    file.write_bytes(b"x" * 700)
    body, kind = form(file)

    answers = [api("POST", "/upload", body, sub="alice", Content_Type=kind)[0] for _ in range(3)]

    assert answers == [422, 422, 429]  # refused files count too: they had to be looked at


def test_deleting_a_video_refunds_no_quota(api, limited):
    limited(uploads=1)
    _, ticket, _ = ask_as(api, "alice")

    api("DELETE", f"/videos/{ticket['id']}", sub="alice")

    assert ask_as(api, "alice")[0] == 429


def test_an_open_service_has_no_quota(call, monkeypatch):
    monkeypatch.setenv("QUOTA_UPLOADS_PER_DAY", "1")
    wiring.service.cache_clear()

    assert [ask(call)[0] for _ in range(3)] == [201] * 3


def test_an_invalid_quota_stops_the_start():
    with pytest.raises(SystemExit, match="QUOTA_UPLOADS_PER_DAY"):
        wiring._quota({"QUOTA_UPLOADS_PER_DAY": "many"})
