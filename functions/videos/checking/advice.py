"""How to repair a rejected file: on an iPhone, on Android, or with one ffmpeg command."""

import shlex
from dataclasses import replace

from videos.model import ELSEWHERE, PROTECTED, Media
from videos.suggestions import SuggestionsFor

AUDIO_BIT_RATE = 96_000
HDR = {"arib-std-b67": "HLG", "smpte2084": "PQ"}  # transfers
# How ``suggestions`` names the reader of each text, in its order.
LABELS = {
    "ios": "iPhone: ",
    "android": "Android: ",
    "developer": "App developer: ",
    "computer": "On a computer: ",
}
_PROTECTED = "Protected videos (bought or rented) are not accepted."
_PLAY_IT = "Play the clip to its end. If it plays, send it again; if not, record it again."
# The names of iOS are those of iOS 17 to 26. Android's differ between makers, so none is quoted.
_ADVICE: dict[str, SuggestionsFor] = {
    "content": SuggestionsFor(
        ios=("Send the video itself, not a photo or a Live Photo.",),
        android=("Send the camera's video file, not its thumbnail or a link to it.",),
        computer=("Send an MP4 or MOV file with one video track.",),
        developer=("Let the picker offer videos only, and upload the file, not its thumbnail.",),
    ),
    "integrity": SuggestionsFor(
        ios=(_PLAY_IT, _PROTECTED),
        android=(_PLAY_IT, _PROTECTED),
        computer=("Copy the file from the phone again, and wait until the copy is complete.", _PROTECTED),
        developer=("Upload the complete file: wait until the picker has copied or downloaded all of it.",),
    ),
    "resolution": SuggestionsFor(
        ios=(
            "Record upright with Settings → Camera → Record Video → 720p HD at 30 fps.",
            "Or export the clip as 720p, 9:16, from an editor such as CapCut; iMovie on iPhone exports "
            "no vertical video.",
        ),
        android=(
            "Hold the phone upright and record in HD (720p), in the camera's settings for video size.",
            "If the camera has no 720p, export the clip as 720p, 9:16, from an editor such as CapCut.",
        ),
        developer=("Scale the clip before the upload, and judge its size by POST /preflight.",),
    ),
    "frame_rate": SuggestionsFor(
        ios=(
            "Settings → Camera → Record Video: choose 720p HD at 30 fps, and set Auto FPS to Off.",
            "Record in the mode Video, not Slo-mo or Time-lapse.",
        ),
        android=(
            "Choose 30 fps in the camera's video settings, and turn automatic frame rate (Auto FPS) off.",
            "Record no slow motion or time-lapse.",
        ),
        developer=("Export at a constant 30 fps, and judge the rate by POST /preflight.",),
    ),
    "codec": SuggestionsFor(
        ios=(
            "Settings → Camera → Formats: turn Apple ProRes off. High Efficiency (HEVC) and "
            "Most Compatible (H.264) are both accepted.",
        ),
        android=(
            "Record with the phone's camera app in its ordinary video mode: H.264 and HEVC are accepted.",
            "In an editor, export as MP4 with H.264.",
        ),
        developer=("Encode as H.264 or HEVC, and judge the codec by POST /preflight.",),
    ),
    "color": SuggestionsFor(
        ios=("Record with the Camera app, or export from the editor as SDR (Rec. 709).",),
        android=(
            "Record with the phone's camera app in HD (720p); some editors and messengers write BT.601.",
        ),
        developer=("Tag and convert exports as BT.709; POST /preflight judges the color_ fields.",),
    ),
    "hdr": SuggestionsFor(
        ios=(
            "Settings → Camera → Record Video: turn HDR Video off, then record again.",
            "In an editor, export as SDR (Rec. 709).",
        ),
        android=(
            "Turn HDR off in the camera's video settings; it may be called HDR10+, HLG or 10-bit HDR.",
            "In an editor, export as SDR (Rec. 709).",
        ),
        computer=(
            "Convert it to SDR, for example with ffmpeg 5.1 or newer: highlights are compressed and colours "
            "outside BT.709 clipped; dynamic metadata (Dolby Vision, HDR10+) is not used.",
        ),
        developer=("Export as SDR (BT.709); POST /preflight judges the color_ fields.",),
    ),
    "duration": SuggestionsFor(
        ios=("Photos → Edit: drag the ends of the clip inwards, then Done → Save Video as New Clip.",),
        android=("Google Photos → Edit: drag the ends of the clip inwards, then Save copy.",),
        developer=("Limit the length in the recorder or the picker, or judge it by POST /preflight.",),
    ),
    "size": SuggestionsFor(
        ios=(
            "Trim the clip: the camera fills 6 MB in about 9 s of 720p.",
            "Or export it at a lower bit rate from an editor such as CapCut (Code rate): 6 MB hold 60 s at "
            "0.8 Mbit/s, 15 s at 3.2.",
        ),
        android=(
            "Trim the clip, or export it at a lower bit rate from an editor such as CapCut (Code rate): 6 MB "
            "hold 60 s at 0.8 Mbit/s, 15 s at 3.2.",
        ),
        developer=("Compress the clip before the upload: fitting_bit_rate of POST /preflight says how far.",),
    ),
}
_THUMBNAIL = "This is an image: the app sent a thumbnail or a photo instead of the video."


def advice(rule: str, media: Media) -> SuggestionsFor:
    """How to fix a broken rule, for each reader; without the command of ``repair_command``."""
    if rule == "content" and media.content.startswith("image/"):
        content = _ADVICE["content"]
        return replace(content, developer=(_THUMBNAIL, *content.developer))
    if rule == "color" and (media.color_transfer in HDR or media.color_primaries == "bt2020"):
        return _ADVICE["hdr"]
    return _ADVICE[rule]


def labelled(suggestions: SuggestionsFor) -> tuple[str, ...]:
    """All suggestions in one list, each with its reader's label."""
    return tuple(
        f"{label}{text}" for reader, label in LABELS.items() for text in getattr(suggestions, reader)
    )


def fitting_bit_rate(duration_s: float, *, max_bytes: int, sound: bool = True) -> int:
    """The highest video bit rate, in bits per second, that keeps such a clip under ``max_bytes``.

    Uses 90 % of the limit and one extra second, as margin for the container and the rate
    control's buffer. At most 4 Mbit/s: 720x1280 needs no more.
    """
    available = int(max_bytes * 8 * 0.9 / (duration_s + 1)) - (AUDIO_BIT_RATE if sound else 0)
    return max(100_000, min(4_000_000, available))


def repair_command(media: Media, *, max_bytes: int, max_duration_s: float) -> str:
    """One ffmpeg command that repairs every violation of this file.

    "" if that is impossible: nothing to play, encrypted, media in another file, or truncated before
    its index. Needs ffmpeg 5.1 or newer, with filters that every build has.
    """
    if (
        not media.codec
        or not media.duration_s
        or not media.width_px
        or not {PROTECTED, ELSEWHERE}.isdisjoint(media.faults)
    ):
        return ""
    kept_s = min(media.duration_s, max_duration_s)
    video_rate = fitting_bit_rate(kept_s, max_bytes=max_bytes, sound=media.audio is not None)
    filters = [
        "fps=30",
        "scale=720:1280:force_original_aspect_ratio=decrease",
        *_to_bt709(media),
        "format=yuv420p",
        "pad=720:1280:-1:-1",
        "setsar=1",
    ]
    words = [
        "ffmpeg", "-i", "INPUT", "-map", f"0:{media.stream_index}", "-map", "0:a:0?",
        *(("-t", f"{kept_s:g}") if media.duration_s > kept_s else ()), "-vf", ",".join(filters),
        "-c:v", "libx264", "-crf", "23", "-maxrate", str(video_rate), "-bufsize", str(video_rate),
        "-color_primaries", "bt709", "-color_trc", "bt709", "-colorspace", "bt709", "-color_range", "tv",
        "-c:a", "aac", "-b:a", str(AUDIO_BIT_RATE), "-movflags", "+faststart", "OUTPUT.mp4",
    ]  # fmt: skip
    return shlex.join(words)


# Light on the screen as a fraction of SDR white (203 cd/m2), from a code value divided by its maximum in
# ld(0). Scene light to display light by the HLG system gamma of a 1000 cd/m2 screen, channel by channel.
_LIGHT = {
    "arib-std-b67": "1000/203*if(lte(ld(0),.5),ld(0)^2/3,(exp((ld(0)-.55991)/.17883)+.28467)/12)^1.2",
    "smpte2084": "1e4/203*(max(ld(0)^.0126833-.835938,0)/(18.8516-18.6875*ld(0)^.0126833))^6.27739",
}
_KNEE = "if(lte(ld(1),.6),ld(1),1-.16/(ld(1)-.2))"  # as it is up to 60 %, then compressed to below 100 %
_BT2020_TO_BT709 = "1.6605:-.5876:-.0728:0:-.1246:1.1329:-.0083:0:-.0182:-.1006:1.1187:0"


def _to_bt709(media: Media) -> list[str]:
    if light := _LIGHT.get(media.color_transfer):
        return [
            "format=gbrp16",
            _each_channel(f"0*st(0,val/maxval)+0*st(1,{light})+maxval*{_KNEE}"),
            f"colorchannelmixer={_BT2020_TO_BT709}",
            _each_channel("maxval*(val/maxval)^(1/2.4)"),
            "setparams=color_primaries=bt709:color_trc=bt709",
            "scale=out_color_matrix=bt709:out_range=tv",
        ]
    if media.color_primaries == "bt2020":
        return ["format=yuv420p10", "colorspace=all=bt709:iall=bt2020:format=yuv420p"]
    return ["scale=out_color_matrix=bt709:out_range=tv", "setparams=color_primaries=bt709:color_trc=bt709"]


def _each_channel(expression: str) -> str:
    escaped = expression.replace(",", r"\,")
    return "lutrgb=" + ":".join(f"{channel}={escaped}" for channel in "rgb")
