"""No sound of a file is lost: concatenated files, tags, unknown lengths of pipes, extensions, delays."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from stemclean import layouts
from stemclean.audio import decoders, extents, files, parts
from stemclean.audio.containers import LENGTH_TOLERANCE
from stemclean.errors import AudioError
from stemclean.exporting.converting import reads_right

RATE = 44100


def noise(seconds: float, channels: int = 2, seed: int = 0) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).standard_normal((channels, round(seconds * RATE)))).astype(np.float32)


def made(path: Path, sound: np.ndarray, codec: str = "", **options: str) -> bytes:
    """The bytes of a file with a sound: by FFmpeg's codec, or by libsndfile where none is named."""
    if not codec:
        kind = {".opus": "OGG", ".w64": "W64", ".aiff": "AIFF"}.get(path.suffix, path.suffix[1:].upper())
        subtype = {".opus": "OPUS", ".ogg": "VORBIS"}.get(path.suffix)
        soundfile.write(path, sound.T, 48000 if path.suffix == ".opus" else RATE, subtype, format=kind)
        return path.read_bytes()
    layout = {1: "mono", 2: "stereo"}.get(sound.shape[0], f"{sound.shape[0]}c")
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream(codec, rate=RATE, layout=layout)
        for start in range(0, sound.shape[1], 1024):
            part = np.ascontiguousarray(sound[:, start : start + 1024])
            frame = av.AudioFrame.from_ndarray(part, format="fltp", layout=layout)
            frame.sample_rate, frame.pts = RATE, start
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path.read_bytes()


FORMATS = [
    (".wav", ""), (".flac", ""), (".ogg", ""), (".opus", ""), (".mp3", ""), (".aiff", ""), (".au", ""), (".caf", ""),
    (".w64", ""), (".oga", "flac"), (".m4a", "aac"), (".mka", "flac"), (".wv", "wavpack"), (".tta", "tta"),
    (".aac", "aac"), (".mp2", "mp2"), (".ac3", "ac3"),
]  # fmt: skip


@pytest.fixture(params=FORMATS, ids=[ending for ending, _ in FORMATS])
def whole(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Callable[..., bytes], str]:
    """How to make a file of a format, and its ending."""
    ending, codec = request.param
    return lambda sound: made(tmp_path / f"made{ending}", sound, codec), ending


def read_all(path: Path) -> np.ndarray:
    return np.concatenate(list(files.blocks(path)), axis=1)


def test_concatenated_files_are_read_to_the_end(tmp_path: Path, whole: tuple[Callable[..., bytes], str]) -> None:
    make, ending = whole
    first, second = make(noise(1.3)), make(noise(0.9, seed=1))
    alone = [tmp_path / f"{number}{ending}" for number in range(2)]
    for path, content in zip(alone, (first, second), strict=True):
        path.write_bytes(content)
    together = tmp_path / f"together{ending}"
    together.write_bytes(first + second + first)
    apart = [read_all(path) for path in (alone[0], alone[1], alone[0])]
    waveform = read_all(together)
    assert files.probe(together).num_samples == waveform.shape[1]
    # Bare frames are one stream, in which a frame begins as the one before it ended.
    bare = ending in (".aac", ".mp2", ".ac3")
    assert abs(waveform.shape[1] - sum(sound.shape[1] for sound in apart)) <= (4096 if bare else 0)
    if not bare:
        assert np.array_equal(waveform, np.concatenate(apart, axis=1))
        middle = files.read(together, start=1.0, duration=1.5)
        at = round(files.probe(together).sample_rate)
        assert np.array_equal(middle, waveform[:, at : at + middle.shape[1]])


@pytest.mark.parametrize(
    "damage", [lambda content: content * 2, lambda content: id3(5000) + content], ids=["twice", "tag"]
)
@pytest.mark.parametrize("ending", [".wav", ".flac"])
def test_files_that_other_readers_cut_short_are_detected(
    tmp_path: Path, ending: str, damage: Callable[[bytes], bytes]
) -> None:
    path = tmp_path / f"drums{ending}"
    content = made(path, noise(1.0))
    assert reads_right(path, 0, RATE)
    path.write_bytes(damage(content))
    assert not reads_right(path, 0, RATE)


def test_concatenated_files_with_other_channels_are_refused(
    tmp_path: Path, whole: tuple[Callable[..., bytes], str]
) -> None:
    make, ending = whole
    path = tmp_path / f"together{ending}"
    path.write_bytes(make(noise(1.0)) + make(noise(1.0, channels=1)))
    with pytest.raises(AudioError, match=r"several files in one|number of channels changes") as caught:
        read_all(path)
    assert caught.value.reason == "unreadable"


def test_concatenated_mp3_with_and_without_a_xing_header(tmp_path: Path) -> None:
    with_header = made(tmp_path / "a.mp3", noise(1.0), "libmp3lame")
    without = made(tmp_path / "b.mp3", noise(1.0), "libmp3lame", write_xing="0")
    assert b"Xing" in with_header[:4096] or b"Info" in with_header[:4096]
    for order in ((with_header, without), (without, with_header), (without, without), (with_header, with_header)):
        path = tmp_path / "together.mp3"
        path.write_bytes(b"".join(order))
        assert read_all(path).shape[1] == pytest.approx(2 * RATE, abs=4 * 1152)  # a frame of padding at each end


def id3(length: int) -> bytes:
    frame = b"APIC" + length.to_bytes(4, "big") + b"\0\0" + bytes(length)
    size = len(frame)
    return b"ID3\x03\0\0" + bytes(size >> shift & 127 for shift in (21, 14, 7, 0)) + frame


ID3V1 = b"TAG" + b"x" * 125
APE_ITEM = struct.pack("<II", 1, 0) + b"Title\0x"
APE = (
    b"APETAGEX" + struct.pack("<IIII8x", 2000, len(APE_ITEM) + 32, 1, 0xA0000000) + APE_ITEM
    + b"APETAGEX" + struct.pack("<IIII8x", 2000, len(APE_ITEM) + 32, 1, 0x80000000)
)  # fmt: skip


@pytest.mark.parametrize(
    ("before", "after"),
    [(id3(100), b""), (id3(5_000_000), b""), (id3(9) + id3(70_000), ID3V1), (b"", APE), (APE + id3(9), APE + ID3V1)],
    ids=["small", "large", "two", "ape", "all"],
)
def test_tags_are_skipped_and_hide_no_sound(
    tmp_path: Path, whole: tuple[Callable[..., bytes], str], before: bytes, after: bytes
) -> None:
    make, ending = whole
    plain, tagged = tmp_path / f"plain{ending}", tmp_path / f"tagged{ending}"
    content = make(noise(1.0))
    plain.write_bytes(content)
    tagged.write_bytes(before + content + after)
    assert np.array_equal(read_all(tagged), read_all(plain))


PLACEHOLDERS = [0, 0x7FFFF000, 0x7FFFFFFF, 0x7FFFFFFF - 36, 0x80000000, 0xFFFFFFFF - 36, 0xFFFFF000, 0xFFFFFFFF]


@pytest.mark.parametrize("length", PLACEHOLDERS, ids=hex)
@pytest.mark.parametrize("order", ["<", ">"], ids=["riff", "rifx"])
def test_a_wav_file_written_to_a_pipe_is_read(tmp_path: Path, length: int, order: str) -> None:
    sound = (noise(1.0) * 32767).astype(f"{order}i2")
    data = np.ascontiguousarray(sound.T).tobytes()
    form = struct.pack(f"{order}IHHIIHH", 16, 1, 2, RATE, RATE * 4, 4, 16)
    riff = b"RIFF" if order == "<" else b"RIFX"
    path = tmp_path / "a.wav"
    path.write_bytes(
        riff
        + struct.pack(f"{order}I", (length + 36) & 0xFFFFFFFF)
        + b"WAVEfmt "
        + form
        + b"data"
        + struct.pack(f"{order}I", length)
        + data
    )
    assert np.array_equal(files.read(path), sound.astype(np.float32) / 32768)


def test_an_empty_wav_file_is_not_a_piped_one(tmp_path: Path) -> None:
    form = struct.pack("<IHHIIHH", 16, 1, 2, RATE, RATE * 4, 4, 16)
    behind = b"LIST" + struct.pack("<I", 4) + b"INFO"
    path = tmp_path / "a.wav"
    content = b"WAVEfmt " + form + b"data" + struct.pack("<I", 0) + behind
    path.write_bytes(b"RIFF" + struct.pack("<I", len(content)) + content)
    with pytest.raises(AudioError) as caught:
        files.probe(path)
    assert caught.value.reason == "empty"


@pytest.mark.parametrize("sizes", [(0, 0, 0), ((1 << 64) - 1,) * 3, None], ids=["zero", "minus one", "no ds64"])
def test_rf64_without_sizes(tmp_path: Path, sizes: tuple[int, int, int] | None) -> None:
    sound = (noise(1.0) * 32767).astype("<i2")
    form = struct.pack("<IHHIIHH", 16, 1, 2, RATE, RATE * 4, 4, 16)
    ds64 = b"" if sizes is None else b"ds64" + struct.pack("<IQQQI", 28, *sizes, 0)
    path = tmp_path / "a.wav"
    path.write_bytes(b"RF64\xff\xff\xff\xffWAVE" + ds64 + b"fmt " + form + b"data\xff\xff\xff\xff" + sound.T.tobytes())
    assert np.array_equal(files.read(path), sound.astype(np.float32) / 32768)


@pytest.mark.parametrize(
    ("ending", "patches"),
    [
        (".w64", [(16, "<Q", (1 << 64) - 1), (b"data", 16, "<Q", (1 << 64) - 1)]),
        (".w64", [(16, "<Q", 0), (b"data", 16, "<Q", 24)]),
        (".au", [(8, ">I", 0xFFFFFFFF)]),
        (".au", [(8, ">I", 0)]),
        (".au", [(8, ">I", 0x7FFFF000)]),
        (".aiff", [(4, ">I", 0), (b"COMM", 10, ">I", 0), (b"SSND", 4, ">I", 0)]),
        (".aiff", [(4, ">I", 0x7F00002E), (b"COMM", 10, ">I", 0x1FC00000), (b"SSND", 4, ">I", 0x7F000008)]),
        (".aiff", [(4, ">I", 0xFFFFFFFF), (b"COMM", 10, ">I", 0xFFFFFFFF), (b"SSND", 4, ">I", 0xFFFFFFFF)]),
        (".caf", [(b"data", 4, ">q", -1)]),
    ],
)
def test_other_files_written_to_a_pipe_are_read(tmp_path: Path, ending: str, patches: list[tuple]) -> None:
    path = tmp_path / f"a{ending}"
    content = bytearray(made(path, noise(1.0)))
    whole = files.read(path)
    for *where, kind, value in patches:
        at = content.index(where[0]) + where[1] if len(where) == 2 else where[0]
        content[at : at + struct.calcsize(kind)] = struct.pack(kind, value)
    path.write_bytes(content)
    assert np.array_equal(files.read(path), whole)


def test_ordinary_lengths_are_kept() -> None:
    assert not any(extents.is_placeholder(length) for length in (1, 1_000_000, 0x60000000, 0x90000000, 0xF0000000))


def test_mp3_in_wav(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    made(path, noise(2.0), "libmp3lame")
    assert path.read_bytes()[20:22] == b"\x55\x00"
    assert read_all(path).shape[1] == pytest.approx(2 * RATE, abs=3 * 1152)


def with_layout(path: Path, layout: str, sound: np.ndarray) -> bytes:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=RATE, layout=layout)
        packed = np.ascontiguousarray(sound.T).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(packed, format="s16", layout=layout)
        frame.sample_rate, frame.pts = RATE, 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path.read_bytes()


@pytest.mark.parametrize("layout", ["8c", "16c", "24c", "5.1", "6.1", "7.1"])
@pytest.mark.parametrize("ending", [".mka", ".mov", ".wav"])
def test_many_channels_through_ffmpeg(tmp_path: Path, layout: str, ending: str) -> None:
    """PyAV dies of planar frames of more than eight channels."""
    sound = (noise(0.5, av.AudioLayout(layout).nb_channels) * 32767).astype("<i2")
    path = tmp_path / f"a{ending}"
    with_layout(path, layout, sound)
    assert np.array_equal(files.read(path), sound.astype(np.float32) / 32768)


@pytest.mark.parametrize(("layout", "tag"), [("5.1", 121), ("6.1", 125), ("7.1", 126), ("7.1", 127), ("7.1", 128)])
def test_layouts_of_quicktime(tmp_path: Path, layout: str, tag: int) -> None:
    """PyAV dies of layouts that list their channels; FFmpeg makes those of a tag in the atom "chan"."""
    channels = av.AudioLayout(layout).nb_channels
    sound = (noise(0.5, channels) * 32767).astype("<i2")
    path = tmp_path / "a.mov"
    content = with_layout(path, layout, sound)
    at = content.index(b"chan") + 8  # behind version and flags
    path.write_bytes(content[:at] + struct.pack(">HHI", tag, channels, 0) + content[at + 8 :])
    assert np.array_equal(files.read(path), sound.astype(np.float32) / 32768)


@pytest.mark.parametrize("layout", ["5.1", "6.1", "7.1"])
def test_opus_of_many_channels_is_read_to_the_end(tmp_path: Path, layout: str) -> None:
    """libsndfile stops somewhere in Opus of many channels."""
    channels = av.AudioLayout(layout).nb_channels
    pitches = [100 * (number + 1) for number in range(channels)]
    times = np.arange(3 * 48000) / 48000
    sound = np.array([0.1 * np.sin(2 * np.pi * pitch * times) for pitch in pitches], np.float32)
    path = tmp_path / "a.opus"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libopus", rate=48000, layout=layout)
        stream.bit_rate = 64_000 * channels
        packed = np.ascontiguousarray(sound.T).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(packed, format="flt", layout=layout)
        frame.sample_rate, frame.pts = 48000, 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    read = files.read(path)
    assert read.shape == sound.shape
    heard_there = np.abs(np.fft.rfft(read[:, -48000:])).argmax(axis=1)
    assert set(pitches) - {400} <= set(heard_there.tolist())  # the fourth channel is for the lowest pitches alone


def test_sound_beyond_the_header_length_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.mov"
    content = made(path, noise(3.0), "pcm_s16le")
    at = content.index(b"mdhd") + 20  # duration, behind version, flags, two dates and the scale
    path.write_bytes(content[:at] + struct.pack(">I", RATE) + content[at + 4 :])
    assert LENGTH_TOLERANCE < 2.0
    with pytest.raises(AudioError, match="more sound than the header says"):
        read_all(path)


@pytest.mark.parametrize("ending", [".mp2", ".tta", ".ac3", ".eac3", ".wv", ".mka", ".mov", ".3gp", ".ra"])
def test_ffmpeg_extensions_are_scanned(tmp_path: Path, ending: str) -> None:
    codec = {
        ".mp2": "mp2", ".tta": "tta", ".ac3": "ac3", ".eac3": "eac3", ".wv": "wavpack", ".mka": "flac", ".mov": "aac",
        ".3gp": "aac", ".ra": "ac3",
    }[ending]  # fmt: skip
    path = tmp_path / "song" / f"drums{ending}"
    path.parent.mkdir()
    made(path, noise(2.0), codec)
    (stem,) = layouts.scan(tmp_path, quiet=True).stems
    assert stem.claimed == ["drums"]
    assert stem.num_samples / stem.sample_rate == pytest.approx(2.0, abs=0.1)


@pytest.mark.parametrize("ending", [".mpc", ".shn", ".tak", ".ape", ".ofr", ".la", ".pcm", ".vqf", ".dsf", ".amr"])
def test_unreadable_files_are_listed(tmp_path: Path, ending: str) -> None:
    made(tmp_path / "bass.wav", noise(0.5))
    (tmp_path / f"drums{ending}").write_bytes(bytes(range(256)) * 64)
    scanned = layouts.scan(tmp_path, quiet=True)
    assert [skip.path for skip in scanned.skipped] == [f"drums{ending}"]
    assert scanned.skipped[0].reason in ("not_audio", "unreadable")


def test_unknown_delays_are_reported_beside_known_ones(tmp_path: Path) -> None:
    plain = made(tmp_path / "made.mp3", noise(1.0), "libmp3lame", write_xing="0")
    tagged = made(tmp_path / "made.mp3", noise(1.0), "libmp3lame")
    bare = made(tmp_path / "made.aac", noise(1.0), "aac")
    gapless = made(tmp_path / "made.m4a", noise(1.0), "aac")
    songs = {
        "alike": {"bass.mp3": plain, "drums.mp3": plain},
        "beside wav": {"bass.mp3": plain, "drums.aac": bare, "vocals.wav": made(tmp_path / "made.wav", noise(1.0))},
        "tagged": {"bass.mp3": tagged, "drums.m4a": gapless, "vocals.wav": made(tmp_path / "made.wav", noise(1.0))},
    }
    for song, stems in songs.items():
        (tmp_path / "set" / song).mkdir(parents=True)
        for name, content in stems.items():
            (tmp_path / "set" / song / name).write_bytes(content)
    scanned = layouts.scan(tmp_path / "set", quiet=True)
    assert not scanned.skipped
    late = {stem.path for stem in scanned.stems if any(issue.code == "delay_unknown" for issue in stem.issues)}
    assert late == {"beside wav/bass.mp3", "beside wav/drums.aac"}


def test_tags_in_another_encoding_hide_no_sound(tmp_path: Path) -> None:
    path = tmp_path / "drums.mka"
    with av.open(str(path), "w") as container:
        container.metadata["title"] = "Schlagzeug XXXX"
        stream = container.add_stream("flac", rate=RATE, layout="stereo")
        stream.metadata["title"] = "Drums XXXX"
        frame = av.AudioFrame.from_ndarray(noise(0.1)[:, :4096], format="fltp", layout="stereo")
        frame.sample_rate = RATE
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    path.write_bytes(path.read_bytes().replace(b"XXXX", b"\xfc\xe4\xff\xdf"))
    info = files.probe(path)
    assert info.num_samples > 4000
    assert info.titles[0].startswith("Drums")


@pytest.mark.parametrize(
    "text",
    [b"[" * 100_000, b'{"stems": [{"name": ["deep"]}, {"name": 3}]}', b'{"stems": {"a": 1}}', b'{"stems": 5}',
     b"\xff\xfe", b'{"stems": [{"name": "\xe4\xff"}]}', b'{"stems": [1, null]}', b""],
)  # fmt: skip
def test_invalid_stem_mp4_names_are_ignored(tmp_path: Path, text: bytes, encode: Callable[..., Path]) -> None:
    path = encode(tmp_path / "song.stem.mp4", [noise(0.2), noise(0.2)], RATE, "aac")
    content = path.read_bytes()
    assert content[content.rfind(b"moov") - 4 :][4:8] == b"moov"
    at = content.rfind(b"moov") - 4
    (length,) = struct.unpack(">I", content[at : at + 4])
    box = struct.pack(">I4s", 16 + len(text), b"udta") + struct.pack(">I4s", 8 + len(text), b"stem") + text
    moov = content[at + 8 : at + length].replace(b"udta", b"free")
    path.write_bytes(content[:at] + struct.pack(">I4s", 8 + len(moov) + len(box), b"moov") + moov + box)
    titles = files.probe(path).titles
    assert len(titles) == 2
    assert all(isinstance(title, str) for title in titles)


def test_invalid_ebml_lengths_are_ignored(tmp_path: Path) -> None:
    path = tmp_path / "drums.mka"
    path.write_bytes(b"\x1aE\xdf\xa3" + bytes(2000))
    with pytest.raises(AudioError):
        decoders.decoder_of(path)


def test_a_slice_behaves_like_a_file(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(bytes(range(100)))
    with parts.Slice(path, parts.Part(10, 60, ((5, b"\xff\xfe"),))) as part:
        assert part.read() == bytes([*range(10, 15), 255, 254, *range(17, 60)])
        assert part.seek(-3, 2) == 47
        assert part.read(10) == bytes(range(57, 60))
        part.seek(6)
        assert part.read(2) == bytes([254, 17])
