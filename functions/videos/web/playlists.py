"""HLS playlists, and the WebVTT index of the sprite sheet.

Source: RFC 8216; Apple's HLS authoring specification for the choice of attributes; WebVTT and
Media Fragments (``#xywh``) as video players use them for previews.
"""

from itertools import accumulate
from math import ceil

from videos.model import LADDER_PX, Output, Segments, Sheet, Video

PEAK_SPANS = (0.5, 1.5)  # times the target duration: the window of a peak bit rate, by RFC 8216
LADDER = tuple(LADDER_PX)  # the renditions that every player plays


def variants(video: Video) -> list[Output]:
    """The renditions that HLS offers, best first."""
    outputs = (video.output(name) for name in LADDER)
    return [output for output in outputs if output and output.segments]


def master(video: Video, query: str = "") -> str:
    """The master playlist. Media playlists are relative URLs: rendition name, ``.m3u8``, ``query``."""
    lines = ["#EXTM3U", "#EXT-X-VERSION:7", "#EXT-X-INDEPENDENT-SEGMENTS"]
    frame_rate = video.media.frame_rate if video.media else 0.0
    for output in variants(video):
        assert output.segments
        attributes = {
            "BANDWIDTH": peak_bit_rate(output.segments),
            "AVERAGE-BANDWIDTH": _average(output.segments),
            "RESOLUTION": f"{output.width_px}x{output.height_px}",
            "FRAME-RATE": f"{frame_rate:.3f}",
            "CODECS": f'"{output.segments.codecs}"',
            "VIDEO-RANGE": "SDR",
        }
        lines.append("#EXT-X-STREAM-INF:" + ",".join(f"{name}={value}" for name, value in attributes.items()))
        lines.append(f"{output.name}.m3u8{query}")
    return "\n".join([*lines, ""])


def media(segments: Segments, url: str) -> str:
    """The media playlist of one rendition, whose file is at ``url``."""
    first = segments.init_at + segments.init_bytes
    starts = accumulate(segments.sizes_bytes, initial=first)
    lines = [
        "#EXTM3U",
        "#EXT-X-VERSION:7",
        f"#EXT-X-TARGETDURATION:{_target_duration_s(segments)}",
        "#EXT-X-PLAYLIST-TYPE:VOD",
        "#EXT-X-INDEPENDENT-SEGMENTS",
        f'#EXT-X-MAP:URI="{url}",BYTERANGE="{segments.init_bytes}@{segments.init_at}"',
    ]
    for duration_s, size_bytes, start in zip(
        segments.durations_s, segments.sizes_bytes, starts, strict=False
    ):
        lines += [f"#EXTINF:{duration_s:.6f},", f"#EXT-X-BYTERANGE:{size_bytes}@{start}", url]
    return "\n".join([*lines, "#EXT-X-ENDLIST", ""])


def previews(sheet: Sheet, duration_s: float, url: str) -> str:
    """WebVTT that maps each part of the video to its tile of the sprite sheet at ``url``."""
    lines = ["WEBVTT", ""]
    for tile in range(sheet.tiles):
        row, column = divmod(tile, sheet.columns)
        x, y = column * sheet.tile_width_px, row * sheet.tile_height_px
        begin_s, end_s = tile * sheet.every_s, min((tile + 1) * sheet.every_s, duration_s)
        lines += [
            f"{_timestamp(begin_s)} --> {_timestamp(end_s)}",
            f"{url}#xywh={x},{y},{sheet.tile_width_px},{sheet.tile_height_px}",
            "",
        ]
    return "\n".join(lines)


def peak_bit_rate(segments: Segments) -> int:
    """Bits per second of the largest run of segments within ``PEAK_SPANS``; at least the average."""
    min_s, max_s = (span * _target_duration_s(segments) for span in PEAK_SPANS)
    sizes, durations = segments.sizes_bytes, segments.durations_s
    runs = (
        (sum(sizes[start:end]), durations[start:end])
        for start in range(len(sizes))
        for end in range(start + 1, len(sizes) + 1)
        if min_s <= sum(durations[start:end]) <= max_s
    )
    return max([_average(segments), *(_bit_rate(*run) for run in runs)])


def _average(segments: Segments) -> int:
    return _bit_rate(sum(segments.sizes_bytes), segments.durations_s)


def _target_duration_s(segments: Segments) -> int:
    return max(1, ceil(max(segments.durations_s)))


def _bit_rate(size_bytes: int, durations_s: tuple[float, ...]) -> int:
    return round(size_bytes * 8 / sum(durations_s))


def _timestamp(seconds: float) -> str:
    minutes, milliseconds = divmod(round(seconds * 1000), 60_000)
    return f"00:{minutes:02}:{milliseconds // 1000:02}.{milliseconds % 1000:03}"
