"""H.264 written bit by bit: flat pictures of any size, and parameter sets that say what a case needs.

Baseline, CAVLC, one slice a picture. After a keyframe of one grey come pictures that repeat it: ten
bytes each, whatever their size.

Source: ITU-T H.264, 7.3.2.1 (sequence), 7.3.2.2 (picture), 7.3.3 (slice header), E.1.1 (VUI).
"""

from typing import Self

SEQUENCE_SET, PICTURE_SET, KEYFRAME, PICTURE = 0x67, 0x68, 0x65, 0x61  # first bytes of units
SLICE_OF_INTRA, SLICE_OF_PREDICTED = 7, 5
INTRA_16X16_DC = "00100" + "111"  # predicted as a flat block, with nothing added to it
LEVEL_3_1, LEVEL_6_2 = 31, 62  # the highest there is
BT709 = (1, 1, 1)
HEVC_MESSAGE, ORIENTATION = bytes([39 << 1, 1]), 47  # a prefix SEI, and the type of its payload


class Bits:
    def __init__(self) -> None:
        self._bits: list[str] = []

    def fixed(self, width: int, *values: int) -> Self:
        self._bits += (f"{value:0{width}b}" for value in values)
        return self

    def flags(self, *values: int) -> Self:
        return self.fixed(1, *values)

    def golomb(self, *values: int) -> Self:
        """Unsigned Exp-Golomb codes, ue(v)."""
        for value in values:
            code = f"{value + 1:b}"
            self._bits.append("0" * (len(code) - 1) + code)
        return self

    def raw(self, bits: str) -> Self:
        self._bits.append(bits)
        return self

    def payload(self) -> bytes:
        """With the stop bit, filled up to a byte."""
        bits = "".join(self._bits) + "1"
        bits += "0" * (-len(bits) % 8)
        return int(bits, 2).to_bytes(len(bits) // 8)

    def unit(self, first_byte: int) -> bytes:
        return bytes([first_byte]) + escaped(self.payload())


def escaped(payload: bytes) -> bytes:
    """With emulation prevention: no start code appears inside a unit (7.4.1)."""
    out, zeros = bytearray(), 0
    for byte in payload:
        if zeros >= 2 and byte <= 3:
            out.append(3)
            zeros = 0
        out.append(byte)
        zeros = 0 if byte else zeros + 1
    return bytes(out)


def sequence_set(
    width_px: int,
    height_px: int,
    *,
    crop_right_px: int = 0,
    crop_bottom_px: int = 0,
    number: int = 0,
    colours: tuple[int, int, int] = BT709,
) -> bytes:
    """``width_px`` and ``height_px`` as coded, multiples of 16. 30 fps, limited range."""
    cropped = bool(crop_right_px or crop_bottom_px)
    level = LEVEL_3_1 if width_px * height_px <= 720 * 1280 else LEVEL_6_2
    bits = Bits().fixed(8, 66, 0xC0, level).golomb(number, 4, 2, 1).flags(0)
    bits.golomb(width_px // 16 - 1, height_px // 16 - 1).flags(1, 1).flags(cropped)
    if cropped:
        bits.golomb(0, crop_right_px // 2, 0, crop_bottom_px // 2)
    bits.flags(1, 0, 0, 1).fixed(3, 5).flags(0, 1).fixed(8, *colours).flags(0)
    bits.flags(1).fixed(32, 1, 60).flags(1, 0, 0, 0, 0)
    return bits.unit(SEQUENCE_SET)


def picture_set(number: int = 0, sequence: int = 0) -> bytes:
    bits = Bits().golomb(number, sequence).flags(0, 0).golomb(0, 0, 0).flags(0).fixed(2, 0)
    return bits.golomb(0, 0, 0).flags(1, 0, 0).unit(PICTURE_SET)


def keyframe(width_px: int, height_px: int, picture_parameters: int = 0) -> bytes:
    """One grey all over."""
    blocks = width_px // 16 * (height_px // 16)
    bits = Bits().golomb(0, SLICE_OF_INTRA, picture_parameters).fixed(8, 0).golomb(0).flags(0, 0)
    return bits.golomb(0, 1).raw(INTRA_16X16_DC * blocks).unit(KEYFRAME)


def repeated(width_px: int, height_px: int, number: int, picture_parameters: int = 0) -> bytes:
    """The picture before it once more; ``number`` counts them from the keyframe on."""
    blocks = width_px // 16 * (height_px // 16)
    bits = Bits().golomb(0, SLICE_OF_PREDICTED, picture_parameters).fixed(8, number % 256).flags(0, 0, 0)
    return bits.golomb(0, 1).golomb(blocks).unit(PICTURE)


def display_orientation(anticlockwise: int) -> bytes:
    """An HEVC message (SEI) that asks players to turn the picture, in 65536ths of a full turn.

    Source: ITU-T H.265, D.2.17.
    """
    payload = Bits().flags(0, 0, 0).fixed(16, anticlockwise).flags(1).payload()
    return HEVC_MESSAGE + escaped(bytes([ORIENTATION, len(payload)]) + payload + b"\x80")


def still(width_px: int, height_px: int, count: int) -> list[bytes]:
    """A keyframe, and the rest of ``count`` pictures."""
    return [keyframe(width_px, height_px), *(repeated(width_px, height_px, n) for n in range(1, count))]
