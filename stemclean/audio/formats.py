"""Detect audio formats from file extensions and from the first bytes of a file.

A *family* is a set of extensions that are used for the same format (``.ogg``, ``.oga`` and ``.opus``; ``.m4a`` and
``.mp4``). A file whose content belongs to another family than its extension is refused as ``wrong_extension``, because
many other tools trust the extension.
"""

from __future__ import annotations

from pathlib import Path

__all__ = [
    "ENDINGS",
    "STREAM_ENDINGS",
    "content_family",
    "ending_family",
    "family_of",
    "has_signature",
    "quantisation_step",
]

_FAMILIES: dict[str, tuple[str, ...]] = {
    "wav": ("wav", "wave", "bwf", "rf64", "w64", "nist", "sph"),
    "aiff": ("aif", "aiff", "aifc"),
    "flac": ("flac", "fla"),
    "ogg": ("ogg", "oga", "opus", "spx", "ogv", "ogx", "mogg", "ogm"),
    "mp3": ("mp3", "mp2", "mp1", "mpa", "mpga", "m2a", "bit"),
    "au": ("au", "snd"),
    "caf": ("caf",),
    "mp4": ("m4a", "mp4", "m4b", "m4r", "m4v", "mov", "qt", "aac", "adts", "3gp", "3gpp", "3g2", "aax", "f4a", "m4p"),
    "matroska": ("webm", "weba", "mka", "mkv"),
    "wma": ("wma", "asf", "wmv"),
    "wavpack": ("wv",),
    "ape": ("ape",),
    "tta": ("tta",),
    "tak": ("tak",),
    "shn": ("shn",),
    "mpc": ("mpc", "mpp", "mp+"),
    "ac3": ("ac3", "eac3", "ec3"),
    "dts": ("dts", "dtshd"),
    "mlp": ("mlp", "thd", "truehd"),
    "amr": ("amr", "awb"),
    "dsf": ("dsf",),
    "iff": ("iff", "svx", "8svx", "dff"),
    "real": ("ra", "rm", "ram", "rmvb"),
    "voc": ("voc",),
    "ircam": ("ircam", "sf"),
    "sds": ("sds",),
    "oma": ("oma", "omg", "aa3", "at3"),
    "avi": ("avi",),
    "flv": ("flv", "f4v"),
    "mpegts": ("ts", "mts", "m2ts"),
    "mpegps": ("mpg", "mpeg", "vob"),
    "nut": ("nut",),
    "wtv": ("wtv",),
    "sox": ("sox",),
    "wve": ("wve",),
    "xa": ("xa",),
    "spdif": ("spdif",),
    "avr": ("avr",),
    "paf": ("paf",),
    "pvf": ("pvf",),
    "vqf": ("vqf",),
    "qcp": ("qcp",),
    "adx": ("adx",),
    "gsm": ("gsm",),
    "g722": ("g722",),
    "sbc": ("sbc",),
    "aptx": ("aptx",),
    # No decoder reads these families; they are known so that their files are listed as skipped.
    "optimfrog": ("ofr", "ofs"),
    "lossless audio": ("la",),
    "headerless": ("pcm", "lpcm"),
    "audible": ("aa",),
    "video": ("mxf", "gxf", "dv", "swf"),
    "game audio": ("hca", "brstm"),
}

ENDINGS = frozenset(f".{ending}" for endings in _FAMILIES.values() for ending in endings)
"""Extensions (lower case, with the dot) of audio files; a scan of a folder ignores all other files."""

STREAM_ENDINGS = frozenset(
    f".{ending}"
    for family in ("mp4", "matroska", "wma", "real", "avi", "flv", "ogg", "mpegts", "mpegps", "nut", "wtv")
    for ending in _FAMILIES[family]
    if ending not in ("aac", "adts", "opus", "spx", "wma")
)
"""Extensions of containers that may hold more than one audio stream."""

_DECODER_NAMES: dict[str, str] = {
    # libsndfile's names, in lower case
    "wav": "wav", "wavex": "wav", "rf64": "wav", "w64": "wav", "nist": "wav", "svx": "iff",
    "aiff": "aiff", "flac": "flac", "ogg": "ogg", "mp3": "mp3", "MPEG": "mp3", "au": "au", "caf": "caf",
    # FFmpeg's names; a demuxer may have several, separated by commas
    "nistsphere": "wav", "mpeg": "mpegps",
    "mov": "mp4", "mp4": "mp4", "m4a": "mp4", "aac": "mp4", "loas": "mp4", "matroska": "matroska", "webm": "matroska",
    "asf": "wma", "wv": "wavpack", "ape": "ape", "mpc8": "mpc", "eac3": "ac3", "dtshd": "dts", "truehd": "mlp",
    "amrnb": "amr", "amrwb": "amr", "rm": "real", "epaf": "paf", "f4v": "flv", "live_flv": "flv",
}  # fmt: skip

_SIGNATURES: tuple[tuple[int, bytes, str], ...] = (
    (0, b"riff\x2e\x91\xcf\x11", "wav"),
    (0, b"NIST_1A", "wav"),
    (0, b"fLaC", "flac"),
    (0, b"OggS", "ogg"),
    (0, b".snd", "au"),
    (0, b"dns.", "au"),
    (0, b"caff", "caf"),
    *((4, name, "mp4") for name in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")),
    (0, b"\x1aE\xdf\xa3", "matroska"),
    (0, b"0&\xb2u", "wma"),
    (0, b"wvpk", "wavpack"),
    (0, b"MAC ", "ape"),
    (0, b"TTA1", "tta"),
    (0, b"TTA2", "tta"),
    (0, b"tBaK", "tak"),
    (0, b"ajkg", "shn"),
    (0, b"MP+", "mpc"),
    (0, b"MPCK", "mpc"),
    (0, b"#!AMR", "amr"),
    (0, b"DSD ", "dsf"),
    (0, b"FRM8", "iff"),
    (0, b".ra\xfd", "real"),
    (0, b".RMF", "real"),
    (0, b"Creative Voice File", "voc"),
    (0, b"\x64\xa3", "ircam"),
    (2, b"\xa3\x64", "ircam"),
    (0, b"\xf0\x7e", "sds"),
    (0, b"EA3", "oma"),
    (0, b"ea3", "oma"),
    (0, b"FLV", "flv"),
    (0, b"2BIT", "avr"),
    (0, b" paf", "paf"),
    (0, b"fap ", "paf"),
    (0, b"PVF1", "pvf"),
    (0, b"TWIN", "vqf"),
    (0, b"OFR ", "optimfrog"),
    (0, b"LA0", "lossless audio"),
    (4, b"\x57\x90\x75\x36", "audible"),
    (0, b"\0\0\x01\xba", "mpegps"),
    (0, b"nut/multimedia container", "nut"),
    (0, b"\xb7\xd8\x00\x20\x37\x49\xda\x11", "wtv"),
    (0, b".SoX", "sox"),
    (0, b"XoS.", "sox"),
    (0, b"ALawSoundFile**", "wve"),
    *((0, name, "xa") for name in (b"XA\0\0", b"XAI\0", b"XAJ\0")),
    *((0, name, "video") for name in (b"\x06\x0e\x2b\x34\x02\x05\x01\x01", b"\0\0\0\0\x01\xbc", b"FWS", b"CWS")),
    (0, b"RSTM", "game audio"),
    (0, b"HCA\0", "game audio"),
)
"""Position, bytes and family of each signature."""

_FORMS = {b"WAVE": "wav", b"AIFF": "aiff", b"AIFC": "aiff", b"8SVX": "iff", b"16SV": "iff", b"AVI ": "avi"} | {
    b"QLCM": "qcp"
}
_SYNCS = (
    b"\x0b\x77", b"\x77\x0b",  # AC-3
    b"\x7f\xfe\x80\x01", b"\xfe\x7f\x01\x80", b"\x1f\xff\xe8\x00", b"\xff\x1f\x00\xe8", b"DTSHDHDR",  # DTS
    b"ID3", b"APETAGEX",
)  # fmt: skip
_UNSIGNED = frozenset({"adx", "gsm", "g722", "sbc", "aptx", "mpegts", "spdif"})
"""Families whose files may begin with any bytes: the extension is trusted."""

UNREADABLE = frozenset({"optimfrog", "lossless audio", "headerless", "audible", "video", "game audio"})
"""Families that no decoder reads."""

_BITS = {
    "PCM_S8": 8,
    "PCM_U8": 8,
    "PCM_16": 16,
    "PCM_24": 24,
    "PCM_32": 32,
    "ULAW": 13,
    "ALAW": 12,
    "IMA_ADPCM": 16,
    "MS_ADPCM": 16,
}
"""Bits of libsndfile's integer sample formats; those of logarithmic formats hold near zero."""


def quantisation_step(subtype: str) -> float:
    """Return the quantisation step of an integer format, full scale = 1; 0 for float and lossy formats.

    The RMS of dither noise is half a step, so a sound that stays below one step is only noise.

    >>> quantisation_step("PCM_16") == 2**-15, quantisation_step("VORBIS")
    (True, 0.0)
    """
    return 2.0 ** (1 - _BITS[subtype]) if subtype in _BITS else 0.0


def ending_family(path: Path) -> str | None:
    """Return the family of a file's extension; None if it is not an audio extension."""
    ending = path.suffix.lower().removeprefix(".")
    return next((family for family, endings in _FAMILIES.items() if ending in endings), None)


def family_of(decoder_name: str) -> str:
    """Return the family of a format by its name in libsndfile or FFmpeg; the name itself if it has no family.

    >>> family_of("WAVEX"), family_of("mov,mp4,m4a,3gp,3g2,mj2"), family_of("VOC")
    ('wav', 'mp4', 'voc')
    """
    first = decoder_name.split(",", maxsplit=1)[0]
    return _DECODER_NAMES.get(first) or _DECODER_NAMES.get(first.lower(), first.lower())


def has_signature(family: str) -> bool:
    """Return whether all files of a family can be recognised by their first bytes."""
    return family not in _UNSIGNED


def content_family(head: bytes) -> str | None:
    """Return the family of a file from its first bytes, ``"text"``, or None if they are inconclusive.

    Bare frames (MPEG, AAC, AC-3, DTS, MLP) have no unique signature: the family is ``"frames"`` if the bytes could be a
    frame (a tag or a sync word), and the decoder decides.
    """
    if head[:4] in (b"RIFF", b"RF64", b"BW64", b"RIFX", b"FORM") and head[8:12] in _FORMS:
        return _FORMS[head[8:12]]
    for offset, signature, family in _SIGNATURES:
        if head.startswith(signature, offset):
            return family
    if _is_text(head):
        return "text"
    frames = head.lstrip(b"\0")
    synced = frames[:1] == b"\xff" and frames[1:2] >= b"\xe0"
    mlp = head[4:8] in (b"\xf8\x72\x6f\xba", b"\xf8\x72\x6f\xbb")
    return "frames" if synced or mlp or frames.startswith(_SYNCS) else None


def _is_text(head: bytes) -> bool:
    try:
        text = head.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < len(head) - 4:  # otherwise, the last character is incomplete
            return False
        text = head[: error.start].decode("utf-8")
    return all(character.isprintable() or character in "\t\r\n\f\ufeff" for character in text)
