"""Maps colours to BT.709: a table for ffmpeg's ``lut3d``, computed from the formulas of the standards.

The table goes from R'G'B' to R'G'B', both from 0 to 1. ffmpeg has done the matrix and the range before.
"""

from collections.abc import Callable
from math import exp
from pathlib import Path

from videos.checking.fixes import HDR
from videos.model import Colors

Rgb = tuple[float, float, float]
Matrix = tuple[Rgb, Rgb, Rgb]

POINTS = 33  # along each side of the table
SCREEN_GAMMA = 2.4  # ITU-R BT.1886, what BT.709 is meant for
WHITE = 203.0  # cd/m2 of diffuse white in HDR (ITU-R BT.2408)
PEAK = 1000.0  # cd/m2 of the screen that HLG is meant for (ITU-R BT.2100); phones record PQ for the same
HLG_GAMMA = 1.2  # of that screen
# Light is compressed from the knee on, so that the peak becomes 1; as fractions of diffuse white.
KNEE, BRIGHTEST = 0.3, PEAK / WHITE

# Linear light from one set of primaries to BT.709, all with the white of D65.
TO_BT709: dict[str, Matrix] = {
    "bt709": ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)),
    "bt2020": ((1.6605, -0.5876, -0.0728), (-0.1246, 1.1329, -0.0083), (-0.0182, -0.1006, 1.1187)),
    "smpte432": ((1.2249, -0.2249, 0.0), (-0.0420, 1.0420, 0.0), (-0.0197, -0.0786, 1.0983)),
    "smpte170m": ((0.9395, 0.0502, 0.0103), (0.0178, 0.9658, 0.0164), (-0.0016, -0.0044, 1.0060)),
    "smpte240m": ((0.9395, 0.0502, 0.0103), (0.0178, 0.9658, 0.0164), (-0.0016, -0.0044, 1.0060)),
    "bt470bg": ((1.0440, -0.0440, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0118, 0.9882)),
}


def needs_table(colors: Colors) -> bool:
    """Whether more than matrix and range must change."""
    return colors.primaries != "bt709" or colors.transfer in HDR


def write_table(colors: Colors, path: Path) -> Path:
    """Write the table as a ``.cube`` file.

    Source: Adobe Cube LUT specification 1.0: red changes fastest.
    """
    mapped = _mapping(colors)
    steps = range(POINTS)
    rows = (mapped(red, green, blue) for blue in steps for green in steps for red in steps)
    with path.open("w") as file:
        file.write(f"LUT_3D_SIZE {POINTS}\n")
        file.writelines(f"{red:.5f} {green:.5f} {blue:.5f}\n" for red, green, blue in rows)
    return path


def _mapping(colors: Colors) -> Callable[[int, int, int], Rgb]:
    """From a point of the table to BT.709."""
    (rr, rg, rb), (gr, gg, gb), (br, bg, bb) = TO_BT709[colors.primaries]
    codes = [step / (POINTS - 1) for step in range(POINTS)]
    light = [_light(code, colors.transfer) for code in codes]
    is_hlg, is_hdr = colors.transfer == "arib-std-b67", colors.transfer in HDR

    def mapped(red_at: int, green_at: int, blue_at: int) -> Rgb:
        red, green, blue = light[red_at], light[green_at], light[blue_at]
        if is_hlg:  # from the light of the scene to that of the screen
            scene = 0.2627 * red + 0.6780 * green + 0.0593 * blue
            gain = BRIGHTEST * scene ** (HLG_GAMMA - 1)
            red, green, blue = red * gain, green * gain, blue * gain
        if is_hdr and (brightest := max(red, green, blue)) > KNEE:
            gain = _compressed(brightest) / brightest
            red, green, blue = red * gain, green * gain, blue * gain
        return (
            _code(rr * red + rg * green + rb * blue),
            _code(gr * red + gg * green + gb * blue),
            _code(br * red + bg * green + bb * blue),
        )

    return mapped


def _light(code: float, transfer: str) -> float:
    """The light of a code value: of the scene for HLG (0 to 1), else as a fraction of SDR white."""
    if transfer == "arib-std-b67":
        return code**2 / 3 if code <= 0.5 else (exp((code - 0.55991073) / 0.17883277) + 0.28466892) / 12
    if transfer == "smpte2084":
        power = code ** (1 / 78.84375)
        share = max(power - 0.8359375, 0.0) / (18.8515625 - 18.6875 * power)
        return float(10_000 / WHITE * share ** (1 / 0.1593017578125))
    return float(code**SCREEN_GAMMA)


def _compressed(light: float) -> float:
    """A curve that leaves the knee with the slope of what is below it, and is 1 at the brightest.

    It is the one that ffmpeg's ``tonemap`` calls Möbius.
    """
    light = min(light, BRIGHTEST)
    a = -KNEE * KNEE * (BRIGHTEST - 1) / (KNEE * KNEE - 2 * KNEE + BRIGHTEST)
    b = (KNEE * KNEE - 2 * KNEE * BRIGHTEST + BRIGHTEST) / (BRIGHTEST - 1)
    return (b * b + 2 * b * KNEE + KNEE * KNEE) / (b - a) * (light + a) / (light + b)


def _code(light: float) -> float:
    return float(min(max(light, 0.0), 1.0) ** (1 / SCREEN_GAMMA))
