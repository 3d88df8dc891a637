"""Still images for a player: the sprite sheet, and a placeholder for the poster."""

from math import ceil
from pathlib import Path

import blurhash

from videos.model import Sheet

POSTER_PX = (720, 1280)
TINY_PX = (18, 32)  # enough pixels for a blur
SPRITE_EVERY_S = 2.0
TILE_PX = (90, 160)
COLUMNS = 8


def sheet(duration_s: float) -> Sheet:
    """The sprite sheet layout of a video of this duration."""
    tiles = max(1, ceil(round(duration_s, 3) / SPRITE_EVERY_S))  # the WebVTT index has ms precision
    width_px, height_px = TILE_PX
    return Sheet(
        every_s=SPRITE_EVERY_S,
        tiles=tiles,
        columns=min(tiles, COLUMNS),
        tile_width_px=width_px,
        tile_height_px=height_px,
    )


def sheet_size_px(sheet: Sheet) -> tuple[int, int]:
    rows = ceil(sheet.tiles / sheet.columns)
    return sheet.columns * sheet.tile_width_px, rows * sheet.tile_height_px


def placeholder(rgb: Path) -> str:
    """The BlurHash, about 30 characters, of a raw RGB picture of TINY_PX."""
    data, width_px = rgb.read_bytes(), TINY_PX[0]
    pixels = [list(data[at : at + 3]) for at in range(0, len(data), 3)]
    rows = [pixels[at : at + width_px] for at in range(0, len(pixels), width_px)]
    return str(blurhash.encode(rows, components_x=3, components_y=5))
