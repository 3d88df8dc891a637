"""Every sequence parameter set of a track is read, of either codec, wherever it is."""

from pathlib import Path

import pytest

from dev.clips import BT709, HLG, rewrap
from support.media_tools import TOOLS
from videos.checking.parameter_sets import ParameterSet, read_parameter_sets
from videos.errors import BadMedia

SDR = {"color_primaries": "bt709", "color_transfer": "bt709", "color_space": "bt709"}
SHORT = {"seconds": 0.5, "sound": False, "size": "720x1280"}


def sets(path: Path, codec: str = "h264", *, in_samples: bool = True) -> tuple[ParameterSet, ...]:
    return read_parameter_sets(path, 0, codec, TOOLS, in_samples=in_samples)


def test_h264_in_the_sample_description(clip):
    assert sets(clip(**SHORT)) == (
        ParameterSet(
            coded_width_px=720,
            coded_height_px=1280,
            shape=(0, 0, 0, 0, 1, 0, 0),
            progressive=True,
            bit_depth=8,
            chroma_format=1,
            color_range="tv",
            **SDR,
        ),
    )


def test_hevc_in_the_sample_description(clip):
    [found] = sets(clip(**SHORT | {"codec": "libx265", "colour": HLG}), "hevc")

    assert (found.coded_width_px, found.coded_height_px) == (720, 1280)
    assert (found.bit_depth, found.chroma_format, found.color_range) == (8, 1, "tv")
    assert (found.color_primaries, found.color_transfer) == ("bt2020", "arib-std-b67")
    assert found.color_space == "bt2020nc"


@pytest.mark.parametrize(("codec", "name"), [("libx264", "h264"), ("libx265", "hevc")])
def test_a_set_in_the_samples_is_found_beside_that_of_the_description(clip, tmp_path, codec, name):
    plain = clip(**SHORT, codec=codec)
    full = rewrap(plain, tmp_path / "full.mp4", "-bsf:v", f"{name}_metadata=video_full_range_flag=1")
    first, second = (path.with_suffix(f".{name}") for path in (tmp_path / "first", tmp_path / "second"))
    for source, to in ((plain, first), (full, second)):
        rewrap(source, to, "-bsf:v", f"{name}_mp4toannexb")
    joined = tmp_path / f"joined.{name}"
    joined.write_bytes(first.read_bytes() + second.read_bytes())
    both = rewrap(joined, tmp_path / "both.mp4", before=("-r", "30"))

    assert [found.color_range for found in sets(both, name)] == ["tv", "pc"]


@pytest.mark.parametrize(("codec", "name"), [("libx264", "h264"), ("libx265", "hevc")])
def test_where_samples_have_none_that_of_the_description_is_read_without_them(clip, codec, name):
    plain = clip(**SHORT, codec=codec)

    [found] = sets(plain, name, in_samples=False)

    assert [found] == list(sets(plain, name))


@pytest.mark.parametrize(("pixels", "depth_and_chroma"), [("yuv420p10le", (10, 1)), ("yuv444p", (8, 3))])
def test_depth_and_chroma_are_read(clip, pixels, depth_and_chroma):
    [found] = sets(clip(**SHORT, pixels=pixels))

    assert (found.bit_depth, found.chroma_format) == depth_and_chroma


def test_a_set_of_fields_is_not_progressive(clip):
    interlaced = clip(**SHORT, options=("-x264-params", "interlaced=1"))

    assert [found.progressive for found in sets(interlaced)] == [False]


def test_what_a_set_does_not_say_is_empty(clip, tmp_path):
    untold = "h264_metadata=colour_primaries=2:transfer_characteristics=2:matrix_coefficients=2"
    [found] = sets(rewrap(clip(**SHORT, colour=BT709), tmp_path / "untold.mp4", "-bsf:v", untold))

    assert (found.color_primaries, found.color_transfer, found.color_space) == ("", "", "")


def test_a_file_that_is_none_is_bad_media(tmp_path):
    path = tmp_path / "noise.mp4"
    path.write_bytes(bytes(range(256)) * 10)

    with pytest.raises(BadMedia):
        sets(path)


@pytest.mark.parametrize(
    ("colour", "is_tagged"), [("bt709", True), ("unknown", False), ("bt470bg", False)], ids=str
)
def test_a_set_is_tagged_if_it_says_bt709_itself(clip, tmp_path, colour, is_tagged):
    number = {"bt709": 1, "unknown": 2, "bt470bg": 5}[colour]
    retagged = rewrap(
        clip(**SHORT), tmp_path / "t.mp4", "-bsf:v", f"h264_metadata=matrix_coefficients={number}"
    )

    assert [found.tagged for found in sets(retagged)] == [is_tagged]
