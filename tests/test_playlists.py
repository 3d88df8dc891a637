"""HLS playlists and the index of the sprite sheet: as a parser sees them that nobody here wrote."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import pairwise

import httpx
import m3u8
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dev.client import App
from dev.clips import probe_lines, rewrap
from dev.server import Server
from support.media_tools import TOOLS
from videos.making import stills
from videos.model import Media, Output, Segments, Video
from videos.web import playlists

pytestmark = pytest.mark.thorough

URL = "https://storage.example/outputs/a/b/720p.mp4?X-Amz-Expires=3600&X-Amz-Signature=0f,2"
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
SEGMENTS = Segments(
    codecs="avc1.640020,mp4a.40.2",
    init_at=3000,
    init_bytes=1300,
    sizes_bytes=(100_000, 300_000, 100_000, 20_000),
    durations_s=(2.0, 2.002, 1.998, 0.4),
)


def parsed(playlist: str) -> m3u8.M3U8:
    """Raises if it uses what its version does not have, or a tag that is malformed."""
    return m3u8.M3U8(playlist, base_uri="https://api.example/videos/a/", strict=True)


def rendition(name: str, width_px: int, height_px: int, segments: Segments | None = SEGMENTS) -> Output:
    return Output(
        name=name,
        key=f"outputs/a/b/{name}.mp4",
        content_type="video/mp4",
        codec="h264",
        width_px=width_px,
        height_px=height_px,
        size_bytes=600_000,
        segments=segments,
    )


def video(*outputs: Output) -> Video:
    times = dict.fromkeys(("created_at", "updated_at", "upload_expires_at"), NOON)
    media = Media(content="video/mp4", size_bytes=1, frame_rate=29.97, duration_s=6.4)
    return Video(id="a", filename="cat.mp4", content_type="video/mp4", media=media, outputs=outputs, **times)


LIGHTER = replace(SEGMENTS, sizes_bytes=(10_000, 30_000, 10_000, 2_000))
WHOLE = video(
    rendition("360p", 360, 640, LIGHTER),
    rendition("720p-hevc", 720, 1280),
    rendition("poster", 720, 1280, None),
    rendition("720p", 720, 1280),
    rendition("540p", 540, 960, LIGHTER),
)


# ── The playlist of playlists ────────────────────────────────────────────────────


def test_the_master_offers_what_every_player_plays_best_first():
    master = parsed(playlists.master(WHOLE))

    assert master.is_variant
    assert [variant.uri for variant in master.playlists] == ["720p.m3u8", "540p.m3u8", "360p.m3u8"]
    assert master.playlists[0].absolute_uri == "https://api.example/videos/a/720p.m3u8"


def test_each_variant_says_what_a_player_chooses_by():
    info = parsed(playlists.master(WHOLE)).playlists[0].stream_info

    assert (info.codecs, info.resolution, info.frame_rate) == ("avc1.640020,mp4a.40.2", (720, 1280), 29.97)
    assert info.average_bandwidth == 650_000  # 520,000 bytes in 6.4 s
    assert info.bandwidth == 1_198_801  # the second segment
    assert info.video_range == "SDR"


def test_the_master_names_what_there_is_so_far():
    early = parsed(playlists.master(video(rendition("720p", 720, 1280))))

    assert [variant.uri for variant in early.playlists] == ["720p.m3u8"]


# ── The playlist of one rendition ────────────────────────────────────────────────


def test_segments_lie_one_after_the_other_behind_the_init_section():
    media = parsed(playlists.media(SEGMENTS, URL))

    assert {segment.init_section.uri for segment in media.segments} == {URL}
    assert {segment.init_section.byterange for segment in media.segments} == {"1300@3000"}
    assert [segment.byterange for segment in media.segments] == [
        "100000@4300", "300000@104300", "100000@404300", "20000@504300",
    ]  # fmt: skip


def test_every_segment_names_the_signed_url_as_it_is():
    media = parsed(playlists.media(SEGMENTS, URL))

    assert [segment.absolute_uri for segment in media.segments] == [URL] * 4


def test_a_playlist_is_whole_and_may_be_entered_at_each_segment():
    media = parsed(playlists.media(SEGMENTS, URL))

    assert (media.playlist_type, media.is_endlist, media.is_independent_segments) == ("vod", True, True)
    assert int(media.version) >= 6  # RFC 8216, section 7: an init section in a playlist of whole pictures
    assert (media.target_duration, sum(segment.duration for segment in media.segments)) == (3, 6.4)


SOME_SEGMENTS = st.lists(
    st.tuples(st.integers(1, 6_000_000), st.floats(0.001, 60.1)), min_size=1, max_size=30
).map(
    lambda drawn: replace(
        SEGMENTS,
        sizes_bytes=tuple(size for size, _ in drawn),
        durations_s=tuple(round(duration_s, 6) for _, duration_s in drawn),
    )
)


@given(SOME_SEGMENTS)
def test_no_segment_is_longer_than_the_playlist_says(segments):
    media = parsed(playlists.media(segments, URL))

    assert all(segment.duration <= media.target_duration for segment in media.segments)
    assert [segment.duration for segment in media.segments] == list(segments.durations_s)


@given(SOME_SEGMENTS)
@example(replace(SEGMENTS, sizes_bytes=(100_000, 1000, 1, 100_000), durations_s=(1.819, 5.656, 0.027, 1.644)))
def test_the_peak_is_never_below_the_average(segments):
    info = parsed(playlists.master(video(rendition("720p", 720, 1280, segments)))).playlists[0].stream_info

    assert info.bandwidth >= info.average_bandwidth


@pytest.mark.parametrize(
    ("segments", "bits_per_second"),
    [
        # Of segments that last two seconds, each is a stretch, and two are too many.
        ([(100_000, 2.0), (300_000, 2.0), (100_000, 2.0)], 1_200_000),
        # Half a second is too short to count alone: with the second before it, 200,000 bytes in 1.5 s.
        ([(50_000, 2.0), (50_000, 1.0), (150_000, 0.5)], 1_066_667),
        # The heaviest second, not the heaviest three.
        ([(10_000, 1.0), (90_000, 1.0), (10_000, 1.0), (25_000, 2.0)], 720_000),
        # One segment is the whole of it, however short.
        ([(30_000, 0.3)], 800_000),
    ],
)
def test_the_peak_is_that_of_the_heaviest_stretch_as_long_as_a_segment(segments, bits_per_second):
    sizes_bytes, durations_s = zip(*segments, strict=True)

    assert playlists.peak_bit_rate(
        replace(SEGMENTS, sizes_bytes=sizes_bytes, durations_s=durations_s)
    ) == pytest.approx(bits_per_second, abs=1)


# ── The index of the sprite sheet ────────────────────────────────────────────────


@dataclass(frozen=True)
class Cue:
    """In milliseconds and pixels."""

    begin: int
    end: int
    url: str
    x: int
    y: int
    width: int
    height: int


CUE = re.compile(
    r"(\d\d):([0-5]\d):([0-5]\d)\.(\d{3}) --> (\d\d):([0-5]\d):([0-5]\d)\.(\d{3})\n"
    r"(\S+)#xywh=(\d+),(\d+),(\d+),(\d+)"
)


def cues(webvtt: str) -> list[Cue]:
    """As strictly as the format can be read: the header, then cues of two lines, an empty line between."""
    header, *blocks = webvtt.rstrip("\n").split("\n\n")
    assert header == "WEBVTT"
    found = [CUE.fullmatch(block) for block in blocks]
    assert all(found), webvtt
    return [
        Cue(_ms(*match.groups()[:4]), _ms(*match.groups()[4:8]), match[9], *map(int, match.groups()[9:]))
        for match in found
    ]


def _ms(hours: str, minutes: str, seconds: str, milliseconds: str) -> int:
    return ((int(hours) * 60 + int(minutes)) * 60 + int(seconds)) * 1000 + int(milliseconds)


def test_a_preview_shows_its_two_seconds():
    found = cues(playlists.previews(stills.sheet(61.5), 61.5, URL))

    assert len(found) == 31
    assert found[0] == Cue(0, 2000, URL, x=0, y=0, width=90, height=160)
    assert found[9] == Cue(18_000, 20_000, URL, x=90, y=160, width=90, height=160)
    assert found[30] == Cue(60_000, 61_500, URL, x=540, y=480, width=90, height=160)


@given(st.floats(0.03, 180))
@example(2.0004)
def test_previews_cover_the_whole_video_and_lie_on_the_sheet(duration_s):
    sheet = stills.sheet(duration_s)
    width_px, height_px = stills.sheet_size_px(sheet)

    found = cues(playlists.previews(sheet, duration_s, URL))

    assert (found[0].begin, found[-1].end) == (0, pytest.approx(duration_s * 1000, abs=1))
    assert all(cue.begin < cue.end for cue in found)
    assert all(before.end == after.begin for before, after in pairwise(found))
    assert all(cue.x + cue.width <= width_px and cue.y + cue.height <= height_px for cue in found)
    assert len({(cue.x, cue.y) for cue in found}) == len(found)


# ── Over HTTP ────────────────────────────────────────────────────────────────────

NAMES = ("720p", "540p", "360p")
FILES = ("master.m3u8", *(f"{name}.m3u8" for name in NAMES), "sprite.vtt")
Answers = dict[str, httpx.Response]


@dataclass(frozen=True)
class PlaylistAnswers:
    """What was answered for each of FILES on a video's way."""

    id: str
    unsent: Answers
    playable: Answers  # when nothing is encoded yet
    completed: Answers


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[Server]:
    """One whose ffmpeg encodes only once there is a file that says so."""
    folder = tmp_path_factory.mktemp("playlists")
    ffmpeg = folder / "ffmpeg"
    wait = f'until [ -e "{folder}/go-on" ]; do sleep 0.05; done'
    ffmpeg.write_text(f'#!/bin/sh\ncase "$*" in *libx264*) {wait};; esac\nexec "{TOOLS.ffmpeg}" "$@"\n')
    ffmpeg.chmod(0o755)
    with pytest.MonkeyPatch.context() as env:
        env.setenv("FFMPEG", str(ffmpeg))
        with Server(folder, options=("--transcodes", "3")) as server:
            yield server


@pytest.fixture(scope="module")
def app(server) -> App:
    return App(server.url)


@pytest.fixture(scope="module")
def playlist_answers(server, app, clip) -> dict[str, PlaylistAnswers]:
    clips = {
        "upright": clip(seconds=3),
        "hevc": clip(codec="libx265"),
        "turned": rewrap(
            clip(size="1280x720"), server.data / "turned.mp4", before=("-display_rotation", "90")
        ),
    }
    tickets = {kind: app.ticket(path) for kind, path in clips.items()}
    ids = {kind: ticket["id"] for kind, ticket in tickets.items()}
    unsent = {kind: answers(app, video_id) for kind, video_id in ids.items()}
    for kind, path in clips.items():
        app.send(tickets[kind], path)
    for video_id in ids.values():
        app.follow(video_id, until=lambda status: status["playable"])
    playable = {kind: answers(app, video_id) for kind, video_id in ids.items()}
    (server.data / "go-on").touch()
    for video_id in ids.values():
        app.follow(video_id)
    return {
        kind: PlaylistAnswers(video_id, unsent[kind], playable[kind], answers(app, video_id))
        for kind, video_id in ids.items()
    }


def answers(app: App, video_id: str) -> Answers:
    return {file: app.http.get(f"/videos/{video_id}/{file}") for file in FILES}


def statuses(answers: Answers) -> set[int]:
    return {answer.status_code for answer in answers.values()}


def variants(answers: Answers) -> list[tuple[str, tuple[int, int]]]:
    master = parsed(answers["master.m3u8"].raise_for_status().text)
    return [(variant.uri, variant.stream_info.resolution) for variant in master.playlists]


LADDER = [("720p.m3u8", (720, 1280)), ("540p.m3u8", (540, 960)), ("360p.m3u8", (360, 640))]
KINDS = ("upright", "hevc", "turned")


@pytest.mark.parametrize("kind", KINDS)
def test_there_are_no_playlists_before_there_is_a_video(playlist_answers, kind):
    assert statuses(playlist_answers[kind].unsent) == {409}


def test_upright_h264_streams_as_soon_as_it_plays(playlist_answers):
    early = playlist_answers["upright"].playable

    assert variants(early) == LADDER[:1]
    assert early["720p.m3u8"].status_code == 200
    assert early["540p.m3u8"].status_code == 409


@pytest.mark.parametrize("kind", ["hevc", "turned"])
def test_what_not_every_player_plays_does_not_stream_before_it_is_encoded(playlist_answers, kind):
    assert statuses(playlist_answers[kind].playable) == {409}
    assert "completed" in playlist_answers[kind].playable["master.m3u8"].json()["suggestions"][0]


@pytest.mark.parametrize("kind", KINDS)
def test_everything_streams_upright_in_three_sizes_in_the_end(playlist_answers, kind):
    assert variants(playlist_answers[kind].completed) == LADDER
    assert statuses(playlist_answers[kind].completed) == {200}


def test_playlists_say_what_they_are_and_are_kept_by_nobody(playlist_answers):
    for file, answer in playlist_answers["upright"].completed.items():
        kind = "text/vtt" if file.endswith(".vtt") else "application/vnd.apple.mpegurl"
        assert (answer.headers["Content-Type"], answer.headers["Cache-Control"]) == (kind, "no-store")


def test_only_what_every_player_plays_has_a_playlist(app, playlist_answers):
    answer = app.http.get(f"/videos/{playlist_answers['hevc'].id}/720p-hevc.m3u8")

    assert (answer.status_code, answer.json()["code"]) == (404, "unknown_route")


@pytest.mark.parametrize("name", NAMES)
def test_the_parts_of_a_rendition_are_where_its_playlist_says(playlist_answers, name):
    media = parsed(playlist_answers["upright"].completed[f"{name}.m3u8"].text)

    init = media.segments[0].init_section
    parts = [(init.uri, init.byterange)]
    parts += [(segment.uri, segment.byterange) for segment in media.segments]
    got = [part(url, byterange) for url, byterange in parts]

    assert [body[4:8] for body, _, _ in got] == [b"ftyp", b"moof", b"moof"]
    assert all(end == begin for (_, _, end), (_, begin, _) in pairwise(got))
    assert got[-1][2] == len(httpx.get(init.uri).content)


def part(url: str, byterange: str) -> tuple[bytes, int, int]:
    """These bytes of a file, and where in it they begin and end."""
    length, begin = map(int, byterange.split("@"))
    answer = httpx.get(url, headers={"Range": f"bytes={begin}-{begin + length - 1}"})
    assert (answer.status_code, len(answer.content)) == (206, length)
    return answer.content, begin, begin + length


@pytest.mark.parametrize("kind", KINDS)
def test_the_segments_of_each_rendition_last_as_long_as_the_video_does(app, playlist_answers, kind):
    duration_s = app.metadata(playlist_answers[kind].id)["specs"]["duration"]

    for name in NAMES:
        media = parsed(playlist_answers[kind].completed[f"{name}.m3u8"].text)
        lasting_s = sum(segment.duration for segment in media.segments)
        assert lasting_s == pytest.approx(duration_s, abs=0.05)  # sound may go on for a packet or two


def test_renditions_may_be_changed_at_every_segment(playlist_answers):
    media = [parsed(playlist_answers["upright"].completed[f"{name}.m3u8"].text) for name in NAMES]

    assert [[segment.duration for segment in playlist.segments] for playlist in media] == [[2, 1]] * 3


def test_previews_lie_on_the_sheet_that_is_there(app, playlist_answers, tmp_path):
    found = cues(playlist_answers["upright"].completed["sprite.vtt"].text)

    sheet = tmp_path / "sheet.jpg"
    sheet.write_bytes(httpx.get(found[0].url).raise_for_status().content)
    [line] = probe_lines(sheet, "-show_entries", "stream=width,height")
    assert line == f"width={found[-1].x + found[-1].width}|height=160"
    assert [cue.begin for cue in found] == [0, 2000]
    assert found[-1].end == pytest.approx(
        app.metadata(playlist_answers["upright"].id)["specs"]["duration"] * 1000, abs=1
    )


@pytest.mark.usefixtures("playlist_answers")
def test_a_deleted_video_has_no_playlists(app, clip):
    ticket = app.upload(clip())
    app.follow(ticket["id"])
    segment = parsed(app.http.get(f"/videos/{ticket['id']}/360p.m3u8").text).segments[0].uri

    app.http.delete(f"/videos/{ticket['id']}")

    assert statuses(answers(app, ticket["id"])) == {404}
    assert httpx.get(segment).status_code == 404
