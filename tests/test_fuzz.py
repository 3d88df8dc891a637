"""Real clips with a few bytes changed: whatever comes out, there is a verdict and nothing is left behind.

One in four is a case of ``support.cases``, changed in the same ways.

``FUZZ_COUNT`` says how many; a failure names its seed, which makes the same file again.
For two minutes on two cores: ``FUZZ_COUNT=6000 pytest -n 2 tests/test_fuzz.py``.
"""

import os
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from dev.clips import rewrap
from support.cases import CASES
from support.corpus import within
from videos import wiring
from videos.checking.probe import probe
from videos.checking.rules import check
from videos.errors import Rejected
from videos.model import State
from videos.service import Service
from videos.steps.request_upload import receive_file
from videos.steps.transcode_video import transcode_video

pytestmark = pytest.mark.thorough

COUNT = int(os.environ.get("FUZZ_COUNT", "50"))
BATCHES = 8  # so that processes can share them
EVERY_NTH = 6  # accepted file is transcoded as well
EVERY_NTH_CASE = 30  # the same, of cases, which last twenty times as long
SEED = 20_240_229
MOST_SECONDS = 30
KINDS = ("h264", "hevc", "fragmented", "silent", "index first")
NAMES = sorted(CASES)
TOOLS = wiring.media_tools({})


@pytest.fixture
def sources(clip, tmp_path_factory) -> dict[str, bytes]:
    small = ("-crf", "48")
    plain = clip(seconds=0.3, options=small)
    folder = tmp_path_factory.mktemp("sources")
    fragments = "+frag_every_frame+empty_moov+default_base_moof"
    paths = {
        "h264": plain,
        "hevc": clip(seconds=0.3, codec="libx265", options=small),
        "fragmented": rewrap(plain, folder / "fragmented.mp4", "-movflags", fragments),
        "silent": clip(seconds=0.3, sound=False, options=(*small, "-bf", "2")),
        "index first": rewrap(plain, folder / "first.mov", "-movflags", "+faststart"),
    }
    return {name: path.read_bytes() for name, path in paths.items()}


def flipped(data: bytes, chance: Random) -> bytes:
    changed = bytearray(data)
    for _ in range(chance.choice((1, 1, 4, 32))):
        changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
    return bytes(changed)


def flipped_in_index(data: bytes, chance: Random) -> bytes:
    """Where the tables are, which is a small part of a file and most of what can go wrong."""
    start = data.index(b"moov")
    end = start + int.from_bytes(data[start - 4 : start])
    return data[:start] + flipped(data[start:end], chance) + data[end:]


def cut(data: bytes, chance: Random) -> bytes:
    return data[: chance.randrange(len(data))]


def resized(data: bytes, chance: Random) -> bytes:
    """A box that claims another size."""
    kind = chance.choice(
        (b"ftyp", b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd", b"stsz", b"stco", b"mdat")
    )
    at = data.find(kind) - 4
    if at < 0:
        return flipped(data, chance)
    size = chance.choice(
        (0, 1, 8, 0x7FFFFFFF, 0xFFFFFFFF, chance.randrange(2**32), chance.randrange(len(data)))
    )
    return data[:at] + size.to_bytes(4) + data[at + 4 :]


def retabled(data: bytes, chance: Random) -> bytes:
    """Another number somewhere in a table of samples."""
    at = data.find(
        chance.choice((b"stts", b"stsz", b"stsc", b"stco", b"ctts", b"stss", b"elst", b"trun", b"tfhd"))
    )
    if at < 0:
        return flipped_in_index(data, chance)
    at += 8 + 4 * chance.randrange(6)
    number = chance.choice((0, 1, 2**31 - 1, 2**32 - 1, chance.randrange(2**32), chance.randrange(100)))
    return data[:at] + number.to_bytes(4) + data[at + 4 :]


def spliced(data: bytes, chance: Random) -> bytes:
    """A piece of it somewhere else."""
    start, to = chance.randrange(len(data)), chance.randrange(len(data))
    piece = data[start : start + chance.choice((4, 64, 4096))]
    over = chance.choice((0, len(piece)))
    return data[:to] + piece + data[to + over :]


CHANGES: tuple[Callable[[bytes, Random], bytes], ...] = (
    flipped, flipped_in_index, cut, resized, retabled, spliced,
)  # fmt: skip


def mutant(sources: dict[str, bytes], case_folder: Path, number: int) -> tuple[str, bytes]:
    """The same file for the same number, always."""
    chance = Random(SEED + number)  # noqa: S311  must be the same tomorrow
    if is_case(number):
        kind = NAMES[chance.randrange(len(NAMES))]
        if kind not in sources:
            sources[kind] = CASES[kind].make(case_folder).read_bytes()
    else:
        kind = KINDS[number % len(KINDS)]
    change = chance.choice(CHANGES)
    return f"{number}: {kind}, {change.__name__}", change(sources[kind], chance)


def is_case(number: int) -> bool:
    """One in four of a batch: a case lasts twenty times as long."""
    return number // BATCHES % 4 == 1


@pytest.fixture
def service(local_rig, tmp_path: Path) -> Service:
    folder = tmp_path / "work"
    return Service(
        storage=local_rig.storage, videos=local_rig.videos, jobs=local_rig.jobs, tools=TOOLS, workspace=folder
    )


@pytest.mark.parametrize("batch", range(BATCHES))
def test_a_changed_clip_gets_a_verdict_and_a_good_end(sources, case_folder, service, tmp_path, batch):
    path = tmp_path / "alone" / "mutant.mp4"
    path.parent.mkdir()
    accepted = 0
    for number in range(batch, COUNT, BATCHES):
        name, data = mutant(sources, case_folder, number)
        path.write_bytes(data)
        try:
            with within(MOST_SECONDS):
                problems = check(probe(path, TOOLS))
                assert all(problem.message.isprintable() for problem in problems)
                accepted += not problems
                if not problems and accepted % (EVERY_NTH_CASE if is_case(number) else EVERY_NTH) == 1:
                    assert ended(path, service) in (State.COMPLETED, State.REJECTED)
        except Exception as error:
            error.add_note(f"mutant {name}")
            raise
        assert list(path.parent.iterdir()) == [path]
        assert not service.workspace.exists() or not list(service.workspace.iterdir())


def ended(path: Path, service: Service) -> State:
    try:
        video = receive_file("clip.mp4", "video/mp4", path, service)
    except Rejected:
        return State.REJECTED
    return transcode_video(video.id, service).state
