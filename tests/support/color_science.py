"""What colours are, from the formulas of the standards: to know what a fix should make of them.

Nothing here is shared with ``videos.making.color``: matrices follow from the chromaticities.
"""

from math import atan2, cos, degrees, exp, hypot, log, radians, sin, sqrt

Vector = tuple[float, float, float]
Matrix = tuple[Vector, Vector, Vector]

D65 = (0.3127, 0.3290)
# x and y of red, green and blue (ITU-T H.273, table 2).
CHROMATICITIES = {
    "bt709": ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060)),
    "bt470bg": ((0.640, 0.330), (0.290, 0.600), (0.150, 0.060)),
    "smpte170m": ((0.630, 0.340), (0.310, 0.595), (0.155, 0.070)),
    "smpte240m": ((0.630, 0.340), (0.310, 0.595), (0.155, 0.070)),
    "bt2020": ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046)),
    "smpte432": ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),
}
# Kr and Kb of the matrices (table 4).
WEIGHTS = {
    "bt709": (0.2126, 0.0722),
    "bt470bg": (0.299, 0.114),
    "smpte170m": (0.299, 0.114),
    "smpte240m": (0.212, 0.087),
    "bt2020nc": (0.2627, 0.0593),
}


def to_xyz(primaries: str) -> Matrix:
    """From linear RGB to XYZ (SMPTE RP 177)."""
    columns = [(x / y, 1.0, (1 - x - y) / y) for x, y in CHROMATICITIES[primaries]]
    unscaled = tuple(zip(*columns, strict=True))
    x, y = D65
    scale = times(inverse(unscaled), (x / y, 1.0, (1 - x - y) / y))
    return tuple(tuple(value * by for value, by in zip(row, scale, strict=True)) for row in unscaled)


def converted(light: Vector, primaries: str, to: str) -> Vector:
    """The same linear light by other primaries."""
    return times(inverse(to_xyz(to)), times(to_xyz(primaries), light))


def times(matrix: Matrix, vector: Vector) -> Vector:
    return tuple(sum(a * b for a, b in zip(row, vector, strict=True)) for row in matrix)


def inverse(matrix: Matrix) -> Matrix:
    (a, b, c), (d, e, f), (g, h, i) = matrix
    cofactors = (
        (e * i - f * h, c * h - b * i, b * f - c * e),
        (f * g - d * i, a * i - c * g, c * d - a * f),
        (d * h - e * g, b * g - a * h, a * e - b * d),
    )
    determinant = a * cofactors[0][0] + b * cofactors[1][0] + c * cofactors[2][0]
    return tuple(tuple(value / determinant for value in row) for row in cofactors)


def ycbcr(rgb: Vector, matrix: str, *, full: bool = False, bits: int = 10) -> tuple[int, int, int]:
    """The code values of R'G'B' from 0 to 1 (H.273, 8.3)."""
    red_weight, blue_weight = WEIGHTS[matrix]
    red, green, blue = rgb
    luma = red_weight * red + (1 - red_weight - blue_weight) * green + blue_weight * blue
    chroma = (blue - luma) / (2 - 2 * blue_weight), (red - luma) / (2 - 2 * red_weight)
    step = 1 << (bits - 8)
    luma_range, chroma_range, black = (256 - 1 / step, 256 - 1 / step, 0) if full else (219, 224, 16)
    codes = (
        step * (luma_range * luma + black),
        *(step * (chroma_range * value + 128) for value in chroma),
    )
    return tuple(min(max(round(code), 0), 256 * step - 1) for code in codes)


def hlg(light: float) -> float:
    """The code value of scene light from 0 to 1 (ITU-R BT.2100, table 5)."""
    if light <= 1 / 12:
        return sqrt(3 * light)
    return 0.17883277 * log(12 * light - 0.28466892) + 0.55991073


def hlg_scene(display: Vector) -> Vector:
    """The scene light of what a screen of 1000 cd/m2 shows, both from 0 to 1."""
    luminance = 0.2627 * display[0] + 0.6780 * display[1] + 0.0593 * display[2]
    if luminance <= 0:
        return 0.0, 0.0, 0.0
    return tuple(value * luminance ** (1 / 1.2 - 1) for value in display)


def pq(cd_m2: float) -> float:
    """The code value of light (ITU-R BT.2100, table 4)."""
    power = (max(cd_m2, 0.0) / 10_000) ** (2610 / 16384)
    return ((3424 / 4096 + 2413 / 128 * power) / (1 + 2392 / 128 * power)) ** (2523 / 32)


def lab(rgb: Vector) -> Vector:
    """CIELAB of BT.709 R'G'B' from 0 to 1, as a screen of BT.1886 shows it."""
    x, y, z = times(to_xyz("bt709"), tuple(max(value, 0.0) ** 2.4 for value in rgb))
    white_x, white_y = D65
    white = (white_x / white_y, 1.0, (1 - white_x - white_y) / white_y)
    fx, fy, fz = (_f(value / of) for value, of in zip((x, y, z), white, strict=True))
    return 116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)


def _f(value: float) -> float:
    return value ** (1 / 3) if value > (6 / 29) ** 3 else value / (3 * (6 / 29) ** 2) + 4 / 29


def delta_e(one: Vector, other: Vector) -> float:
    """CIEDE2000 of two colours in CIELAB; 1 is about the least that one sees.

    Source: Sharma, Wu, Dalal: The CIEDE2000 color-difference formula (2005).
    """
    (l1, a1, b1), (l2, a2, b2) = one, other
    mean_c = (hypot(a1, b1) + hypot(a2, b2)) / 2
    g = (1 - sqrt(mean_c**7 / (mean_c**7 + 25**7))) / 2
    a1, a2 = a1 * (1 + g), a2 * (1 + g)
    c1, c2 = hypot(a1, b1), hypot(a2, b2)
    h1, h2 = degrees(atan2(b1, a1)) % 360, degrees(atan2(b2, a2)) % 360
    turn = 0.0 if not c1 * c2 else (h2 - h1 + 180) % 360 - 180
    mean_h = h1 + h2 if not c1 * c2 else (h1 + turn / 2) % 360
    mean_l, mean_c = (l1 + l2) / 2, (c1 + c2) / 2
    t = (
        1
        - 0.17 * cos(radians(mean_h - 30))
        + 0.24 * cos(radians(2 * mean_h))
        + 0.32 * cos(radians(3 * mean_h + 6))
        - 0.20 * cos(radians(4 * mean_h - 63))
    )
    s_l = 1 + 0.015 * (mean_l - 50) ** 2 / sqrt(20 + (mean_l - 50) ** 2)
    s_c, s_h = 1 + 0.045 * mean_c, 1 + 0.015 * mean_c * t
    rotation = -sin(radians(60 * exp(-(((mean_h - 275) / 25) ** 2)))) * 2
    rotation *= sqrt(mean_c**7 / (mean_c**7 + 25**7))
    by_l, by_c = (l2 - l1) / s_l, (c2 - c1) / s_c
    by_h = 2 * sqrt(c1 * c2) * sin(radians(turn / 2)) / s_h
    return sqrt(by_l**2 + by_c**2 + by_h**2 + rotation * by_c * by_h)
