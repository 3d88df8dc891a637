"""How to mend a refused file: on an iPhone, on Android, and with one ffmpeg command."""

import shlex

from videos.boxes import ELSEWHERE, PROTECTED
from videos.model import Media

AUDIO_BIT_RATE = 96_000
HDR = {"arib-std-b67": "HLG", "smpte2084": "PQ"}  # transfers
_RESOLUTION = (
    "iPhone: export from an editor such as CapCut or iMovie as a vertical 720p video, 9:16.",
    "Android: hold the phone upright, Camera → Settings → Video size → HD 720p; or export as 720p, 9:16.",
)
_ADVICE: dict[str, tuple[str, ...]] = {
    "content": (
        "iPhone: send the video itself, not a photo or a Live Photo; in an app, pick with mediaType 'video'.",
        "Android: send the .mp4 of the camera, not its thumbnail or a link to it.",
    ),
    "integrity": (
        "iPhone and Android: play the clip to its end. If it plays, send it again; if not, record it again.",
        "If it is protected (bought or rented), it cannot be used.",
    ),
    "resolution": _RESOLUTION,
    "frame_rate": (
        "iPhone: Settings → Camera → Record Video → 30 fps, Auto FPS off; no slow motion or time-lapse.",
        "Android: Camera → Settings → Video → 30 fps, Auto frame rate off.",
    ),
    "codec": (
        "iPhone: Settings → Camera → Formats → Most Compatible, and Apple ProRes off.",
        "Android: Camera → Settings → Video → H.264 (compatible) instead of AV1 or VP9.",
    ),
    "color": (
        "iPhone: record with the Camera app, or export from the editor as SDR (Rec. 709).",
        "Android: record with the phone's camera app in HD; some editors and messengers write BT.601.",
    ),
    "hdr": (
        "iPhone: Settings → Camera → Record Video → HDR Video off.",
        "Android: Camera → Settings → Video → HDR10+ or HLG off.",
    ),
    "duration": (
        "iPhone: Photos → Edit → drag the ends of the clip inwards, then save it as a new clip.",
        "Android: Google Photos → Edit → Trim, then save a copy.",
    ),
    "size": (
        "iPhone: export at a lower bit rate or shorter; 60 s fits at about 0.8 Mbit/s, 15 s at 3.2.",
        "Android: export at a lower bit rate or shorter; 60 s fits at about 0.8 Mbit/s, 15 s at 3.2.",
    ),
}


def advice(rule: str, media: Media) -> tuple[str, ...]:
    """What to do on a phone about a broken rule, a sentence each."""
    if rule == "content" and media.content.startswith("image/"):
        return (
            "This is a picture: the app sent a thumbnail or a photo instead of the video.",
            *_ADVICE["content"],
        )
    if rule == "color" and (media.color_transfer in HDR or media.color_primaries == "bt2020"):
        return _ADVICE["hdr"]
    return _ADVICE[rule]


def fitting_bit_rate(duration_s: float, *, max_bytes: int, sound: bool = True) -> int:
    """The highest bits per second for the picture with which such a clip stays under ``max_bytes``.

    90 % of the ceiling, over one second more: room for the container and for the rate control's
    buffer. Never more than 4 Mbit/s, which 720x1280 does not need.
    """
    fitting = int(max_bytes * 8 * 0.9 / (duration_s + 1)) - (AUDIO_BIT_RATE if sound else 0)
    return max(100_000, min(4_000_000, fitting))


def mend_command(media: Media, *, max_bytes: int, max_duration_s: float) -> str:
    """An ffmpeg command that mends everything that is wrong with this file at once.

    "" where none can: nothing to play in it, protected, elsewhere, or cut off before its index.
    HDR needs ffmpeg 8 or newer, whose scale filter maps tones.
    """
    if (
        not media.codec
        or not media.duration_s
        or not media.width_px
        or not {PROTECTED, ELSEWHERE}.isdisjoint(media.faults)
    ):
        return ""
    lasting_s = min(media.duration_s, max_duration_s)
    video_rate = fitting_bit_rate(lasting_s, max_bytes=max_bytes, sound=media.audio is not None)
    filters = [
        "fps=30",
        "scale=720:1280:force_original_aspect_ratio=decrease",
        "pad=720:1280:-1:-1",
        *_to_bt709(media),
        "setsar=1",
        "format=yuv420p",
    ]
    words = [
        "ffmpeg", "-i", "INPUT", "-map", f"0:{media.stream_index}", "-map", "0:a:0?",
        *(("-t", f"{lasting_s:g}") if media.duration_s > lasting_s else ()), "-vf", ",".join(filters),
        "-c:v", "libx264", "-crf", "23", "-maxrate", str(video_rate), "-bufsize", str(video_rate),
        "-color_primaries", "bt709", "-color_trc", "bt709", "-colorspace", "bt709", "-color_range", "tv",
        "-c:a", "aac", "-b:a", str(AUDIO_BIT_RATE), "-movflags", "+faststart", "OUTPUT.mp4",
    ]  # fmt: skip
    return shlex.join(words)


def _to_bt709(media: Media) -> list[str]:
    if media.color_transfer in HDR:
        return [
            "scale=out_primaries=bt709:out_transfer=bt709:out_color_matrix=bt709:out_range=tv:intent=perceptual"
        ]
    return ["scale=out_color_matrix=bt709:out_range=tv", "setparams=color_primaries=bt709:color_trc=bt709"]
