"""Nothing private leaves: what is planted in an upload is looked for in all that is stored of it."""

import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from uuid import uuid4

import pytest

import read_video
from dev.clips import PQ, ffmpeg, probe_lines
from support.api import Context
from support.fixed import fix
from support.pipeline import checked, stored_keys
from support.planted import CARRIERS
from support.published import Published, publish
from videos import wiring
from videos.errors import UnknownVideo
from videos.fix import OnViolation
from videos.model import State
from videos.service import Service
from videos.steps.read_video import delete_video
from videos.steps.transcode_video import transcode_video
from videos.stores.aws.s3 import S3Storage

pytestmark = pytest.mark.thorough

NOT_YET = {
    ("H.264", "behind a slice in its unit"): "a slice ends where its decoder says",
    ("sound", "data element"): "AAC is copied as it is",
    ("sound", "fill element"): "AAC is copied as it is",
    ("sound", "behind the last element"): "AAC is copied as it is",
    ("sound", "behind the configuration"): "AAC is copied as it is",
    ("sound", "name of the encoder"): "AAC is copied as it is",
}


@pytest.fixture(scope="session")
def published_from(clip, tmp_path_factory) -> Callable[[str], Published]:
    """``published_from("HEVC")``: what was published of a clip with all that is planted in it; made once."""
    return publisher(clip, tmp_path_factory)


@pytest.fixture(scope="session")
def fixed_from(clip, tmp_path_factory) -> Callable[[str], Published]:
    """The same of a clip that breaks the spec, and was fixed."""
    return publisher(clip, tmp_path_factory, size="360x640")


def publisher(clip, tmp_path_factory, **kind: str) -> Callable[[str], Published]:
    @cache
    def publish_once(name: str) -> Published:
        carrier = CARRIERS[name]
        plain = clip(seconds=0.3, codec=carrier.codec, options=("-crf", "45"), **kind)
        folder = tmp_path_factory.mktemp("published_from")
        upload = folder / "upload.mp4"
        upload.write_bytes(carrier.load(plain.read_bytes()))
        return publish(upload, folder / "data", OnViolation.FIX if kind else None)

    return publish_once


def says(data: bytes, *secrets: bytes) -> bool:
    """Whether bytes hold one of these at any bit, in any case."""
    number = int.from_bytes(data)
    shifted = ((number >> bits).to_bytes(len(data)).lower() for bits in range(8))
    return any(secret.lower() in bytes_ for bytes_ in shifted for secret in secrets)


# ── In any file ──────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", CARRIERS)
def test_a_file_that_is_full_of_secrets_passes_and_is_copied(published_from, name):
    published = published_from(name)

    upload = published.upload.read_bytes()
    assert [plant.kind for plant in CARRIERS[name].plants if not says(upload, plant.secret)] == []
    assert published.video.state is State.COMPLETED
    if not name.endswith("not copied"):
        assert published.copy.name in published.films


def every_plant() -> Iterator[pytest.ParameterSet]:
    for name, carrier in CARRIERS.items():
        for plant in carrier.plants:
            reason = NOT_YET.get((name, plant.kind))
            marks = [pytest.mark.xfail(strict=True, raises=AssertionError, reason=reason)] if reason else []
            yield pytest.param(name, plant, id=f"{name}: {plant.kind}", marks=marks)


@pytest.mark.parametrize(("name", "plant"), list(every_plant()))
def test_nothing_private_leaves(published_from, name, plant):
    published = published_from(name)

    stored = {name: path.read_bytes() for name, path in published.files.items()}
    stored["the record"] = repr(published.video).encode()
    assert [name for name, data in stored.items() if says(data, *plant.forms)] == []


@pytest.mark.parametrize("name", CARRIERS)
def test_nothing_private_leaves_of_what_is_fixed(fixed_from, name):
    published = fixed_from(name)

    assert published.video.fixes
    stored = {name: path.read_bytes() for name, path in published.files.items()}
    stored["the record"] = repr(published.video).encode()
    upload = published.upload.read_bytes()
    planted = [plant for plant in CARRIERS[name].plants if says(upload, plant.secret)]
    assert len(planted) == len(CARRIERS[name].plants)
    assert [
        (plant.kind, file) for plant in planted for file, data in stored.items() if says(data, *plant.forms)
    ] == []


def test_a_fixed_file_does_not_say_how_bright_its_screen_was(clip, tmp_path):
    """What is said of HDR is untrue of what is made of it."""
    screen = "G(8500,39850)B(6550,2300)R(35400,14600)WP(15635,16450)L(10000000,1)"
    light = f"mastering-display={screen}:cll=1000,400"
    source = clip(seconds=0.3, size="1080x1920", colour=PQ, options=("-x264-params", light))

    fixed = fix(source, tmp_path)

    assert "Mastering display" in " ".join(probe_lines(source, "-select_streams", "v", "-show_frames"))
    data = fixed.path.read_bytes()
    assert [box for box in (b"mdcv", b"clli", b"dvcC", b"dvvC") if box in data] == []


def test_no_output_says_when_it_was_made(published_from):
    for name, path in published_from("tags").films.items():
        data = path.read_bytes()
        headers = [at for kind in (b"mvhd", b"tkhd", b"mdhd") for at in places(data, kind)]
        assert len(headers) >= 5, name
        for at in headers:
            version = data[at + 4]
            assert not any(data[at + 8 : at + (24 if version else 16)]), name


def places(data: bytes, kind: bytes) -> list[int]:
    return [match.start() for match in re.finditer(kind, data)]


def test_no_output_has_other_tracks_than_a_picture_and_its_sound(published_from):
    for name, path in published_from("tracks").films.items():
        assert probe_lines(path, "-show_entries", "stream=codec_type:stream_disposition=:stream_tags=") == [
            "codec_type=video",
            "codec_type=audio",
        ], name
        assert not probe_lines(path, "-show_chapters"), name


# ── In the picture ───────────────────────────────────────────────────────────────

SLICES_AND_SETS = {"h264": {1, 2, 3, 4, 5, 7, 8}, "hevc": {*range(10), *range(16, 22), 32, 33, 34}}


def units(path: Path, codec: str) -> set[int]:
    """The types of all NAL units of a film, those of its header among them."""
    as_stream = ("-map", "0:v", "-c", "copy", "-bsf:v", f"{codec}_mp4toannexb", "-f", codec)
    stream = path.with_suffix(f".{codec}")
    ffmpeg("-i", str(path), *as_stream, str(stream))
    heads = [unit[0] for unit in stream.read_bytes().split(b"\0\0\1")[1:]]
    return {head & 31 if codec == "h264" else head >> 1 & 63 for head in heads}


@pytest.mark.parametrize("name", ["H.264", "HEVC"])
def test_what_is_encoded_holds_slices_and_their_parameters_only(published_from, name):
    for film, path in published_from(name).encoded.items():
        assert units(path, "h264") == {1, 5, 7, 8}, film


@pytest.mark.parametrize(("name", "codec"), [("H.264", "h264"), ("HEVC", "hevc")])
def test_what_is_copied_holds_slices_and_their_parameters_only(published_from, name, codec):
    assert units(published_from(name).copy, codec) <= SLICES_AND_SETS[codec]


# SOI, JFIF, quantisation tables, frame, Huffman tables, restart interval: what a decoder needs.
PICTURE_SEGMENTS = {0xD8, 0xE0, 0xDB, 0xC0, 0xC4, 0xDD}


def segments(jpeg: bytes) -> list[int]:
    """The kinds of all segments before the first scan, where the picture itself begins."""
    kinds, at = [jpeg[1]], 2
    while jpeg[at + 1] != 0xDA:
        assert jpeg[at] == 0xFF
        kinds.append(jpeg[at + 1])
        at += 2 + int.from_bytes(jpeg[at + 2 : at + 4])
    return kinds


@pytest.mark.parametrize("name", CARRIERS)
def test_a_still_is_a_picture_without_notes(published_from, name):
    stills = published_from(name).stills
    assert "poster.jpg" in stills
    for still, path in stills.items():
        assert set(segments(path.read_bytes())) <= PICTURE_SEGMENTS, still


# ── In the sound ─────────────────────────────────────────────────────────────────


def test_what_is_encoded_does_not_name_its_encoder(clip, tmp_path):
    recorded = clip(seconds=0.3, suffix=".mov", options=("-c:a", "pcm_s16le", "-crf", "45"))

    published = publish(recorded, tmp_path)

    for name, path in published.files.items():
        assert not says(path.read_bytes(), b"Lavc", b"Lavf", b"x264"), name


# ── After a delete ───────────────────────────────────────────────────────────────


def completed(service, clip):
    return transcode_video(checked(service, clip(seconds=0.3, options=("-crf", "45"))).id, service)


def test_nothing_of_a_deleted_video_is_stored(service, clip):
    video = completed(service, clip)
    assert stored_keys(service, video)

    delete_video(video.id, service)

    assert list(service.storage.keys("")) == []
    with pytest.raises(UnknownVideo):
        service.videos.get(video.id)


@pytest.fixture
def versioned(moto_rig, fake_aws, tmp_path) -> Service:
    """A service whose bucket keeps every version of an object, unless it is told to forget it."""
    bucket = f"versioned-{uuid4()}"
    fake_aws.make_bucket(bucket, versioned=True)
    return Service(
        storage=S3Storage(bucket),
        videos=moto_rig.videos,
        jobs=moto_rig.jobs,
        tools=wiring.media_tools({}),
        workspace=tmp_path,
    )


def versions(service, fake_aws) -> list[str]:
    """The key of every version and of every delete marker."""
    listed = fake_aws.s3.list_object_versions(Bucket=service.storage._bucket)
    return [version["Key"] for kind in ("Versions", "DeleteMarkers") for version in listed.get(kind, ())]


def test_no_version_of_a_deleted_video_is_stored(versioned, fake_aws, clip):
    video = completed(versioned, clip)
    for key in (video.source_key, video.outputs[0].key):
        versioned.storage.save(clip(), key, content_type="video/mp4")  # one more version
    assert len(versions(versioned, fake_aws)) == len(video.files) + 2

    delete_video(video.id, versioned)

    assert versions(versioned, fake_aws) == []


@pytest.mark.xfail(
    strict=True, raises=AssertionError, reason="what is hidden is not listed, and so not swept"
)
def test_a_repeat_deletes_every_version_that_a_crash_left(versioned, fake_aws, clip):
    video = completed(versioned, clip)
    versioned.videos.delete(video.id)
    for key in video.files:  # hidden, as the first request of a delete leaves them
        fake_aws.s3.delete_object(Bucket=versioned.storage._bucket, Key=key)

    with pytest.raises(UnknownVideo):
        delete_video(video.id, versioned)

    assert versions(versioned, fake_aws) == []


def test_every_read_of_a_deleted_video_is_404(service, clip, event, monkeypatch):
    monkeypatch.setattr(read_video, "service", lambda: service)
    video = completed(service, clip)

    def answered(method: str, what: str) -> int:
        path = f"/videos/{video.id}{what}"
        request = event("read_video") | {"httpMethod": method, "path": path}
        return read_video.handler(request, Context())["statusCode"]

    reads = [f"/{name}" for name in ("status", "metadata", *read_video.FILES)]
    there = [read for read in reads if answered("GET", read) in (200, 302)]
    assert len(there) >= 7

    assert answered("DELETE", "") == 204

    assert {read: answered("GET", read) for read in reads} == dict.fromkeys(reads, 404)
