"""Secrets hidden in real clips, byte by byte, wherever a file has room for them.

Every carrier is one kind of clip, and every plant one secret in it. A clip is written by
ffmpeg with its index (moov) behind its media, so the index may grow and nothing moves.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate, islice, pairwise

from support.corpus import box, track, u16, u32

Change = Callable[[bytes, bytes], bytes]  # (file, secret) -> file


@dataclass(frozen=True)
class Plant:
    """One secret. ``fixed`` where it cannot be any text."""

    kind: str
    into: Change
    fixed: bytes = b""

    @property
    def secret(self) -> bytes:
        return self.forms[0]

    @property
    def forms(self) -> tuple[bytes, ...]:
        """All that it may look like: it itself, and text in UTF-16."""
        if self.fixed:
            return (self.fixed,)
        text = f"SecretPhone 9, {self.kind}"
        return (text.encode(), text.encode("utf-16-le"), text.encode("utf-16-be"))


# ── Into boxes ───────────────────────────────────────────────────────────────────

HEADERS = {b"stsd": 8, b"avc1": 78, b"hvc1": 78, b"mp4a": 28}  # what comes before the boxes within

VIDEO, SOUND = "moov/trak", "moov/trak2"
TABLES = "mdia/minf/stbl"
H264_ENTRY = f"{VIDEO}/{TABLES}/stsd/avc1"
HEVC_ENTRY = f"{VIDEO}/{TABLES}/stsd/hvc1"


def edited(boxes: bytes, way: str, change: Callable[[bytes], bytes]) -> bytes:
    """The same run of boxes with the body of one changed: ``"moov/trak2/udta"`` is in the second trak."""
    here, _, further = way.partition("/")
    kind, countdown, at = here[:4].encode(), int(here[4:] or 1), 0
    while at + 8 <= len(boxes):
        end = at + int.from_bytes(boxes[at : at + 4])
        countdown -= boxes[at + 4 : at + 8] == kind
        if countdown == 0:
            body, header = boxes[at + 8 : end], HEADERS.get(kind, 0)
            new = body[:header] + edited(body[header:], further, change) if further else change(body)
            return boxes[:at] + box(kind, new) + boxes[end:]
        at = end
    raise LookupError(f"no {here} in {way}")


def adding(way: str, what: Callable[[bytes], bytes]) -> Change:
    """One more box at the end of another, or of the file."""

    def add(file: bytes, secret: bytes) -> bytes:
        return edited(file, way, lambda body: body + what(secret)) if way else file + what(secret)

    return add


def writing(way: str, change: Callable[[bytes, bytes], bytes]) -> Change:
    """Another body for a box that is there."""
    return lambda file, secret: edited(file, way, lambda body: change(body, secret))


def there_already(file: bytes, _secret: bytes) -> bytes:
    return file


def tag(kind: bytes) -> Callable[[bytes], bytes]:
    """As QuickTime writes them into udta: length, language, text."""
    return lambda secret: box(b"udta", box(kind, u16(len(secret), 0x15C7), secret))


def handler(kind: bytes) -> bytes:
    return box(b"hdlr", u32(0, 0), kind, bytes(13))


def key(name: str) -> Callable[[bytes], bytes]:
    """As iPhones and Android write them: keys, and values in the same order."""
    keys = box(b"keys", u32(0, 1), box(b"mdta", name.encode()))
    return lambda secret: box(
        b"meta", u32(0), handler(b"mdta"), keys, box(b"ilst", box(u32(1), box(b"data", u32(1, 0), secret)))
    )


def itunes(item: bytes, data_type: int = 1, before: bytes = b"") -> Callable[[bytes], bytes]:
    """As iTunes and ffmpeg write them."""
    return lambda secret: box(
        b"udta",
        box(
            b"meta",
            u32(0),
            handler(b"mdir"),
            box(b"ilst", box(item, box(b"data", u32(data_type, 0), before, secret))),
        ),
    )


def xml(secret: bytes) -> bytes:
    return box(b"meta", u32(0), handler(b"nrtm"), box(b"xml ", u32(0), b"<Device>", secret, b"</Device>\0"))


def uuid(name: str) -> Callable[[bytes], bytes]:
    return lambda secret: box(b"uuid", bytes.fromhex(name), b"<rdf:RDF>", secret, b"</rdf:RDF>")


XMP = uuid("be7acfcb97a942e89c71999491e3afac")
SPHERICAL = uuid("ffcc8263f8554a938814587a02521fdd")

PLACE = b"+52.5163+013.3777+037.250/"  # ISO 6709
POINT = u32(int(13.3777 * 65536), int(52.5163 * 65536))  # longitude and latitude in 1/65536


def place(secret: bytes) -> bytes:
    """Where 3GPP files say it, as text and as numbers."""
    return box(
        b"udta",
        box(b"loci", u32(0), u16(0x15C7), secret, b"\0\0", POINT, u32(0), secret, b"\0", secret, b"\0"),
    )


def chapter(secret: bytes) -> bytes:
    return box(b"udta", box(b"chpl", u32(0x0100_0000, 0), b"\x01", bytes(8), bytes([len(secret)]), secret))


def spherical(secret: bytes) -> bytes:
    projection = box(b"proj", box(b"prhd", u32(0, 0, 0, 0)), box(b"equi", u32(0, 0, 0, 0, 0)))
    return box(b"sv3d", box(b"svhd", u32(0), secret, b"\0"), projection)


def colour_profile(secret: bytes) -> bytes:
    """An ICC profile in a colr box; such a one names the screen, its maker and the day it was measured."""
    description = b"desc" + u32(0, len(secret) + 1) + secret + bytes(79)
    length = 128 + 16 + len(description)
    header = u32(length, 0, 0x0240_0000) + b"mntrRGB XYZ " + bytes(12) + b"acsp" + bytes(88)
    return box(b"colr", b"prof", header, u32(1), b"desc", u32(144, len(description)), description)


EPOCH = u32(0xE1B2_C3D4)  # seconds since 1904, in 2024
TIMED = ("moov/mvhd", *(f"{track}/{header}" for track in (VIDEO, SOUND) for header in ("tkhd", "mdia/mdhd")))


def dated(file: bytes, epoch: bytes) -> bytes:
    """Made and changed at that time, it and its tracks."""
    for way in TIMED:
        file = edited(file, way, lambda body: body[:4] + epoch * 2 + body[12:])
    return file


def compressor(entry: bytes, secret: bytes) -> bytes:
    return entry[:42] + (bytes([len(secret)]) + secret).ljust(32, b"\0") + entry[74:]


def named(handler: bytes, secret: bytes) -> bytes:
    return handler[:24] + secret + b"\0"


TAGS = [
    Plant("place", adding("moov", tag(b"\xa9xyz")), PLACE),
    Plant("place in words", adding("moov", place)),
    Plant("place in numbers", there_already, POINT),  # planted with its words
    Plant("time of recording", dated, EPOCH),
    Plant("make", adding("moov", tag(b"\xa9mak"))),
    Plant("model", adding("moov", tag(b"\xa9mod"))),
    Plant("day", adding("moov", tag(b"\xa9day"))),
    Plant("author", adding("moov", tag(b"auth"))),
    Plant("serial number of a GoPro", adding("moov", tag(b"GPMF"))),
    Plant("model of a Samsung", adding("moov", tag(b"smta"))),
    Plant("title", adding("moov", itunes(b"\xa9nam"))),
    Plant("encoder", adding("moov", itunes(b"\xa9too"))),
    Plant("any other item", adding("moov", itunes(b"----"))),
    Plant("EXIF of the cover", adding("moov", itunes(b"covr", 13, b"\xff\xd8\xff\xe1\0\x28Exif\0\0"))),
    Plant("chapter", adding("moov", chapter)),
    Plant("place by key", adding("moov", key("com.apple.quicktime.location.ISO6709")), PLACE),
    Plant("model by key", adding("moov", key("com.apple.quicktime.model"))),
    Plant("day by key", adding("moov", key("com.apple.quicktime.creationdate"))),
    Plant("Live Photo", adding("moov", key("com.apple.quicktime.content.identifier"))),
    Plant("Android's model", adding("moov", key("com.android.model"))),
    Plant("model of a track", adding(VIDEO, tag(b"\xa9mod"))),
    Plant("name of a track", adding(VIDEO, tag(b"name"))),
    Plant("lens of a track", adding(VIDEO, key("com.apple.quicktime.camera.lens_model"))),
    Plant("name of the sound", adding(SOUND, tag(b"name"))),
    Plant("microphone by key", adding(SOUND, key("com.apple.quicktime.microphone"))),
    Plant("model of the media", adding(f"{VIDEO}/mdia", tag(b"\xa9mod"))),
    Plant("place at the top", adding("", tag(b"\xa9xyz")), PLACE),
    Plant("key at the top", adding("", key("com.apple.quicktime.location.ISO6709")), PLACE),
    Plant("XML at the top", adding("", xml)),
]
BOXES = [
    Plant("handler", writing(f"{VIDEO}/mdia/hdlr", named)),
    Plant("sound handler", writing(f"{SOUND}/mdia/hdlr", named)),
    Plant("codec", writing(H264_ENTRY, compressor)),
    Plant("brand", writing("ftyp", lambda body, secret: body[:-4] + secret), b"SP9\xa9"),
    Plant("colour profile", adding(H264_ENTRY, colour_profile)),
    Plant("panorama", adding(H264_ENTRY, spherical)),
    Plant("panorama in XML", adding(VIDEO, SPHERICAL)),
    Plant("XMP", adding("", XMP)),
    Plant("XMP in the index", adding("moov", XMP)),
    Plant("XMP in a track", adding(VIDEO, XMP)),
    Plant("XMP in a description", adding(H264_ENTRY, XMP)),
    Plant("unknown box in a description", adding(H264_ENTRY, lambda secret: box(b"priv", secret))),
    Plant("unknown box among the tables", adding(f"{VIDEO}/{TABLES}", lambda secret: box(b"priv", secret))),
    Plant("free space in the index", adding("moov", lambda secret: box(b"free", secret))),
    Plant("free space", adding("", lambda secret: box(b"free", secret))),
    Plant("skipped space", adding("", lambda secret: box(b"skip", secret))),
    Plant("bytes that no table names", adding("", lambda secret: box(b"mdat", secret))),
    Plant("bytes after the last box", adding("", lambda secret: secret)),
]


# ── As tracks of their own ───────────────────────────────────────────────────────


def beside(kind: bytes, entry: bytes, *about: bytes, named_by: str = "") -> Change:
    """One more track, of one sample; the secret is in its description too."""

    def add(file: bytes, secret: bytes) -> bytes:
        index = file.rindex(b"moov") - 4
        number = file.count(b"tkhd", index) + 1
        sample = u16(len(secret)) + secret
        described = box(b"stsd", u32(0, 1), box(entry, bytes(6), u16(1), *about, box(b"priv", secret)))
        trak = track(
            described, number=number, durations=[(1, 9000)], sizes=u32(len(sample), 1), chunks=[index + 8],
            samples_per_chunk=1, kind=kind,
        )  # fmt: skip
        moov = edited(file[index:], "moov", lambda body: body + trak)
        if named_by:
            reference = box(b"tref", box(named_by.encode(), u32(number)))
            moov = edited(moov, VIDEO, lambda body: body + reference)
        return file[:index] + box(b"mdat", sample) + moov

    return add


TRACKS = [
    Plant("telemetry of a GoPro", beside(b"meta", b"gpmd", u32(0))),
    Plant("telemetry of an iPhone", beside(b"meta", b"mebx", named_by="cdsc")),
    Plant("telemetry of an Android", beside(b"meta", b"camm")),
    Plant("text", beside(b"meta", b"mett", b"\0text/plain\0")),
    Plant("chapters", beside(b"text", b"text", bytes(43), named_by="chap")),
    Plant("subtitles", beside(b"sbtl", b"tx3g", bytes(30))),
    Plant("time code", beside(b"tmcd", b"tmcd", u32(0, 0, 30000, 1001), b"\x1e\0", named_by="tmcd")),
]


# ── Between the pictures ─────────────────────────────────────────────────────────


def found(boxes: bytes, way: str) -> bytes:
    """The body of a box."""
    bodies: list[bytes] = []
    edited(boxes, way, lambda body: bodies.append(body) or body)
    return bodies[0]


def samples(file: bytes, way: str) -> list[bytes]:
    """What a track holds, sample by sample, in the order they are decoded."""

    def numbers(table: str) -> list[int]:
        body = found(file, f"{way}/{TABLES}/{table}")
        return [int.from_bytes(body[at : at + 4]) for at in range(0, len(body), 4)]

    chunks, sizes, runs = numbers("stco")[2:], iter(numbers("stsz")[3:]), numbers("stsc")[2:]
    per_chunk: list[int] = []
    for first, count in zip(runs[::3], runs[1::3], strict=True):
        per_chunk[first - 1 :] = [count] * (len(chunks) - first + 1)
    held = []
    for at, count in zip(chunks, per_chunk, strict=True):
        bounds = accumulate(islice(sizes, count), initial=at)
        held += [file[start:end] for start, end in pairwise(bounds)]
    return held


def in_sample(way: str, nth: int, change: Change) -> Change:
    """Another nth sample for a track; the old ones stay where no table names them."""

    def write(file: bytes, secret: bytes) -> bytes:
        held, index = samples(file, way), file.rindex(b"moov") - 4
        held[nth] = change(held[nth], secret)
        tables = {
            "stsz": u32(0, 0, len(held), *map(len, held)),
            "stsc": u32(0, 1, 1, len(held), 1),
            "stco": u32(0, 1, index + 8),
        }
        moov = file[index:]
        for name, body in tables.items():
            moov = edited(moov, f"{way}/{TABLES}/{name}", lambda _, body=body: body)
        return file[:index] + box(b"mdat", *held) + moov

    return write


def sized(unit: bytes) -> bytes:
    return u32(len(unit)) + unit


def before(nth: int, head: bytes) -> Change:
    """One more NAL unit before a picture."""
    return in_sample(VIDEO, nth, lambda sample, secret: sized(head + secret + b"\x80") + sample)


def behind(nth: int, head: bytes) -> Change:
    """One more NAL unit behind a picture."""
    return in_sample(VIDEO, nth, lambda sample, secret: sample + sized(head + secret + b"\x80"))


def message(place: Callable[[int, bytes], Change], nth: int, unit: bytes, kind: int, about: bytes) -> Change:
    """An SEI message, which says how long it is."""

    def add(file: bytes, secret: bytes) -> bytes:
        return place(nth, unit + bytes([kind, len(about) + len(secret)]) + about)(file, secret)

    return add


def in_unit(nth: int) -> Change:
    """Behind the end of a slice, in its own NAL unit; the last of a picture."""

    def add(sample: bytes, secret: bytes) -> bytes:
        at, last = 0, 0
        while at < len(sample):
            last, at = at, at + 4 + int.from_bytes(sample[at : at + 4])
        return sample[:last] + sized(sample[last + 4 :] + b"\0\0\3" + secret)

    return in_sample(VIDEO, nth, add)


def among_h264_sets(unit: int) -> Change:
    """One more NAL unit among the picture parameter sets of avcC."""

    def add(body: bytes, secret: bytes) -> bytes:
        at = 6
        for _ in range(body[5] & 31):
            at += 2 + int.from_bytes(body[at : at + 2])
        new = bytes([unit]) + secret + b"\x80"
        return body[:at] + bytes([body[at] + 1]) + u16(len(new)) + new + body[at + 1 :]

    return writing(f"{H264_ENTRY}/avcC", add)


def among_hevc_sets(unit: int) -> Change:
    """One more array of NAL units in hvcC."""

    def add(body: bytes, secret: bytes) -> bytes:
        new = bytes([unit << 1, 1]) + secret + b"\x80"
        return body[:22] + bytes([body[22] + 1]) + body[23:] + bytes([unit]) + u16(1, len(new)) + new

    return writing(f"{HEVC_ENTRY}/hvcC", add)


def in_h264(unit: int) -> bytes:
    return bytes([unit])


def in_hevc(unit: int, layer: int = 0) -> bytes:
    return bytes([unit << 1 | layer >> 5, (layer & 31) << 3 | 1])


UUID = bytes(range(1, 17))
GPS = b"\xb5\x00\x31"  # a country and a provider, as ITU-T T.35 registers them

# ITU-T H.264, table 7-1: what is no slice, no parameter set and no SEI message.
OTHER_H264_UNITS = {
    "unspecified unit 0": 0,
    "delimiter": 9,
    "end of sequence": 10,
    "end of stream": 11,
    "filler": 12,
    "extended parameters": 13,
    "prefix": 14,
    "parameters of a subset": 15,
    "depth parameters": 16,
    "reserved unit 18": 18,
    "auxiliary slice": 19,
    "slice of another view": 20,
    "slice of a depth view": 21,
    "reserved unit 22": 22,
    "unspecified unit 24": 24,
    "unspecified unit 31": 31,
}
H264_MESSAGES = [
    Plant("user data of the first picture", message(before, 0, in_h264(6), 5, UUID)),
    Plant("user data of a later picture", message(before, 3, in_h264(6), 5, UUID)),
    Plant("user data behind a picture", message(behind, 3, in_h264(6), 5, UUID)),
    Plant("place by a registered maker", message(before, 4, in_h264(6), 4, GPS)),
    Plant("message of an unknown kind", message(before, 5, in_h264(6), 200, b"")),
    Plant("unspecified unit in the header", among_h264_sets(24)),
    Plant("bytes after the header", writing(f"{H264_ENTRY}/avcC", bytes.__add__)),
    Plant("settings of the encoder", there_already, b"x264 - core"),
]
H264_HEADER = [Plant("message in the header", among_h264_sets(6))]
H264_UNITS = [
    Plant(kind, before(nth % 9, in_h264(unit))) for nth, (kind, unit) in enumerate(OTHER_H264_UNITS.items())
]
H264_SLICES = [Plant("behind a slice in its unit", in_unit(2))]

# ITU-T H.265, table 7-1: the same.
OTHER_HEVC_UNITS = {
    "reserved slice 10": 10,
    "reserved slice 22": 22,
    "reserved slice 31": 31,
    "delimiter": 35,
    "filler": 38,
    "reserved unit 41": 41,
    "reserved unit 47": 47,
    "unspecified unit 48": 48,
    "dynamic metadata": 62,
    "enhancement layer": 63,
}
HEVC_MESSAGES = [
    Plant("user data of the first picture", message(before, 0, in_hevc(39), 5, UUID)),
    Plant("user data of a later picture", message(before, 3, in_hevc(39), 5, UUID)),
    Plant("user data behind a picture", message(behind, 3, in_hevc(40), 5, UUID)),
    Plant("place by a registered maker", message(before, 4, in_hevc(39), 4, GPS)),
    Plant("slice of another layer", behind(5, in_hevc(1, layer=1))),
    Plant("unspecified unit in the header", among_hevc_sets(48)),
    Plant("settings of the encoder", there_already, b"x265 (build"),
]
HEVC_HEADER = [
    Plant("message in the header", among_hevc_sets(39)),
    Plant("message behind in the header", among_hevc_sets(40)),
]
HEVC_UNITS = [Plant(kind, behind(-1, in_hevc(unit))) for kind, unit in OTHER_HEVC_UNITS.items()]
HEVC_ENDS = [
    Plant(kind, behind(-1, in_hevc(unit)))
    for kind, unit in {"end of sequence": 36, "end of stream": 37}.items()
]
HEVC_END = [Plant("bytes after the header", writing(f"{HEVC_ENTRY}/hvcC", bytes.__add__))]


# ── In the sound ─────────────────────────────────────────────────────────────────


def data_element(sample: bytes, secret: bytes) -> bytes:
    """AAC with a data_stream_element first (ISO/IEC 14496-3, 4.4.2.1)."""
    return b"\x81" + bytes([len(secret)]) + secret + sample


def fill_element(sample: bytes, secret: bytes) -> bytes:
    """AAC with a fill_element first, and so everything at another bit."""
    count = len(secret) + 1
    bits = f"110{15:04b}{count - 14:08b}{0:04b}{0:04b}"
    bits += "".join(f"{byte:08b}" for byte in secret + sample)
    bits += "0" * (-len(bits) % 8)
    return int(bits, 2).to_bytes(len(bits) // 8)


def after_configuration(body: bytes, secret: bytes) -> bytes:
    """Behind the AudioSpecificConfig, in its descriptor (ISO/IEC 14496-1, 7.2.6.7)."""
    grown = bytearray(body)
    for descriptor in (3, 4, 5):  # each within the one before; ffmpeg writes lengths in four bytes
        length_at = body.index(bytes([descriptor, 0x80, 0x80, 0x80])) + 4
        grown[length_at] += len(secret)
    end = length_at + 1 + body[length_at]
    return bytes(grown[:end]) + secret + bytes(grown[end:])


SOUNDS = [
    Plant("data element", in_sample(SOUND, 2, data_element)),
    Plant("fill element", in_sample(SOUND, 4, fill_element)),
    Plant("behind the last element", in_sample(SOUND, 6, bytes.__add__)),
    Plant("behind the configuration", writing(f"{SOUND}/{TABLES}/stsd/mp4a/esds", after_configuration)),
    Plant("name of the encoder", there_already, b"Lavc"),
]


@dataclass(frozen=True)
class Carrier:
    """A kind of clip, and all that is planted in one."""

    codec: str
    plants: Sequence[Plant]

    def load(self, file: bytes) -> bytes:
        for plant in self.plants:
            file = plant.into(file, plant.secret)
        return file


CARRIERS = {
    "tags": Carrier("libx264", TAGS),
    "boxes": Carrier("libx264", BOXES),
    "tracks": Carrier("libx264", TRACKS),
    "H.264": Carrier("libx264", [*H264_MESSAGES, *H264_UNITS, *H264_SLICES]),
    "HEVC": Carrier("libx265", [*HEVC_MESSAGES, *HEVC_END, *HEVC_UNITS]),
    # ffmpeg cannot trace a header with these, and ends of sequences stay in a copy: so it is encoded instead.
    "H.264, not copied": Carrier("libx264", H264_HEADER),
    "HEVC, not copied": Carrier("libx265", [*HEVC_HEADER, *HEVC_ENDS]),
    "sound": Carrier("libx264", SOUNDS),
}
