"""Computes the displayed size of coded frames: cropped, with square pixels, rotated."""

from videos.checking.ffprobe import Picture, Stream

UNKNOWN = ("unknown", "reserved", "N/A", "0:1")
MAX_CODED_PX = 4096 * 2304  # width times height: any 4K. No fix takes a larger picture


def known(value: str) -> str:
    """``value``, or "" if it is one of ffprobe's words for unknown."""
    return "" if value in UNKNOWN else value


def turn(stream: Stream) -> tuple[int, bool]:
    """How a player turns the picture: (degrees clockwise, whether it also mirrors it).

    Only the container's matrix counts: browsers ignore the display orientation SEI of H.264.
    Any angle is returned; the rules reject all but quarter turns.

    Source: ffprobe's display matrix side data, whose ``rotation`` counts counter-clockwise.
    """
    for side_data in stream.side_data_list:
        if side_data.displaymatrix:
            a, b, _, c, d, *_ = (
                int(number) for line in side_data.displaymatrix.split("\n") for number in line.split()[1:]
            )
            return -side_data.rotation % 360, a * d - b * c < 0
    return 0, False


def lacks_base_layer(stream: Stream) -> bool:
    """Whether it is Dolby Vision that only its own decoders show in its colours (profile 5).

    Source: Dolby Vision Streams Within the ISO Base Media File Format 2.4, 3.2.
    """
    return any(
        side_data.dv_profile and not side_data.dv_bl_signal_compatibility_id
        for side_data in stream.side_data_list
    )


def cropping(stream: Stream) -> tuple[int, int]:
    """How many px of the width and of the height the container cuts off (its clap box).

    What the bitstream crops is in ``Picture.crop_…``.
    """
    for side_data in stream.side_data_list:
        if side_data.side_data_type == "Frame Cropping":
            return side_data.crop_left + side_data.crop_right, side_data.crop_top + side_data.crop_bottom
    return 0, 0


def cropped_size(picture: Picture, crop: tuple[int, int] = (0, 0)) -> tuple[int, int]:
    """Width and height in px, less what bitstream and container crop."""
    width_px = picture.width - picture.crop_left - picture.crop_right - crop[0]
    height_px = picture.height - picture.crop_top - picture.crop_bottom - crop[1]
    return width_px, height_px


def displayed_size(picture: Picture, rotation: int, crop: tuple[int, int] = (0, 0)) -> tuple[int, int]:
    """Width and height in px as shown: cropped, pixels made square, then turned."""
    width, height = cropped_size(picture, crop)
    numerator, _, denominator = (known(picture.sample_aspect_ratio) or "1:1").partition(":")
    if int(numerator) and int(denominator or 0):
        width = round(width * int(numerator) / int(denominator))
    return (height, width) if rotation in (90, 270) else (width, height)
