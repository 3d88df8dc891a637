"""The real media tools, one that fails on demand, and the stills that are asked of them."""

from pathlib import Path

from videos import tools, wiring
from videos.making import commands, stills
from videos.making.commands import Poster, Sprite, Target
from videos.model import Media
from videos.tools import MediaTools

TOOLS: MediaTools = wiring.media_tools({})


def stills_in(folder: Path, media: Media) -> tuple[Poster, Sprite]:
    sheet = stills.sheet(media.duration_s)
    return (
        Poster(Target(folder / "poster.jpg", 720, 1280), Target(folder / "tiny.rgb", *stills.TINY_PX)),
        Sprite(Target(folder / "sprite.jpg", *stills.sheet_size_px(sheet)), sheet),
    )


def sound_beside(source: Path, media: Media) -> None:
    """Encode the sound of a clip, as is done before the pictures, unless it is copied."""
    if media.audio and not commands.can_copy_sound(media.audio):
        tools.run(commands.sound_command(TOOLS, source, media), timeout_s=30)


def fake_tool(folder: Path, ffmpeg: str, *, asked_for: str = "libx264", does: str = "kill -9 $$") -> Path:
    """An ffmpeg that is killed as soon as it is asked to encode, or does something else then."""
    path = folder / "fake-ffmpeg"
    path.write_text(f'#!/bin/sh\ncase "$*" in *"{asked_for}"*) {does};; esac\nexec "{ffmpeg}" "$@"\n')
    path.chmod(0o755)
    return path
