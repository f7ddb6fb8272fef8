"""Reading and writing audio files, in blocks or as a whole; every kind of broken file has its code."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
import soxr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stemclean.audio import containers, decoders, extents, files
from stemclean.errors import AudioError, ConfigError, SkipReason

RATE = 22050
SIXTEEN_BITS = 2 / 32768  # rounded once on the way in, once more by the reader's own scale


@pytest.fixture
def sound() -> np.ndarray:
    """Two channels of band-limited noise, 1.7 s: nothing about it is periodic, so every shift would show."""
    noise = np.random.default_rng(3).standard_normal((2, round(1.7 * RATE)))
    smooth = np.apply_along_axis(lambda row: np.convolve(row, np.hanning(16), "same"), 1, noise)
    return (0.4 * smooth / np.abs(smooth).max()).astype(np.float32)


def reason(call: Callable[[], object]) -> str:
    with pytest.raises(AudioError) as caught:
        call()
    assert caught.value.reason in {*SkipReason}
    assert caught.value.detail
    return caught.value.reason


@pytest.mark.parametrize("ending", [".wav", ".flac", ".aiff", ".caf", ".au", ".w64", ".rf64"])
def test_lossless_formats_round_trip(tmp_path: Path, sound: np.ndarray, ending: str) -> None:
    path = tmp_path / f"a{ending}"
    kind = {".aiff": "AIFF", ".w64": "W64", ".rf64": "RF64"}.get(ending, ending[1:].upper())
    soundfile.write(path, sound.T, RATE, subtype="PCM_16", format=kind)
    info = files.probe(path)
    assert (info.sample_rate, info.channels, info.num_samples, info.num_streams) == (RATE, 2, sound.shape[1], 1)
    assert np.abs(files.read(path) - sound).max() < SIXTEEN_BITS


@pytest.mark.parametrize(
    ("ending", "codec", "rate"),
    [(".m4a", "aac", 44100), (".m4a", "alac", 44100), (".webm", "libopus", 48000), (".mka", "flac", 44100)],
)
def test_containers_keep_the_sound_in_time(
    tmp_path: Path, encode: Callable[..., Path], ending: str, codec: str, rate: int
) -> None:
    """A click train keeps its places: the codec's own delay is taken out."""
    sound = np.zeros((2, rate), np.float32)
    for start in (10_000, 21_000, 35_000):
        sound[:, start : start + 200] = 0.5 * np.hanning(200)
    path = encode(tmp_path / f"a{ending}", [sound], rate, codec)
    info = files.probe(path)
    # A container may be wrong about its length by the tolerance that the reader documents.
    assert abs(info.num_samples - rate) <= containers.LENGTH_TOLERANCE * rate
    back = files.read(path)
    assert back.shape == (2, info.num_samples)
    shared = min(rate, back.shape[1])
    lag = np.argmax(np.correlate(back[0, :shared], sound[0, :shared], "full")) - (shared - 1)
    assert abs(lag) <= 1


def test_the_first_samples_of_aac_are_whole(tmp_path: Path, encode: Callable[..., Path]) -> None:
    """Each frame is added to the one before, the first to the encoder's delay, which is before time 0."""
    sound = np.tile(0.2 * np.sin(2 * np.pi * 1500 * np.arange(RATE) / RATE), (2, 1))
    back = files.read(encode(tmp_path / "a.m4a", [sound], RATE, "aac"))
    difference = np.abs(back[:, :1024] - sound[:, :1024])
    assert difference.max() < 0.04  # 0.2 without the delay


@pytest.mark.parametrize(
    ("ending", "written", "codec"),
    [
        (".weba", ".webm", "libopus"), (".f4a", ".m4a", "aac"), (".m4p", ".m4a", "alac"), (".ts", ".ts", "mp2"),
        (".mts", ".m2ts", "ac3"), (".m2ts", ".m2ts", "ac3"), (".mpg", ".mpg", "mp2"), (".vob", ".vob", "mp2"),
        (".nut", ".nut", "pcm_s16le"), (".sox", ".sox", "pcm_s32le"), (".wtv", ".wtv", "ac3"),
        (".spdif", ".spdif", "ac3"),
    ],
)  # fmt: skip
def test_rare_containers_round_trip(
    tmp_path: Path, encode: Callable[..., Path], ending: str, written: str, codec: str
) -> None:
    tone = 0.3 * np.tile(np.sin(2 * np.pi * 440 * np.arange(46080) / 48000), (2, 1))
    path = encode(tmp_path / f"b{written}", [tone], 48000, codec).replace(tmp_path / f"a{ending}")
    info = files.probe(path)
    assert (info.sample_rate, info.channels) == (48000, 2)
    assert abs(info.num_samples - tone.shape[1]) <= 2500  # lossy ones keep their padding
    back = files.read(path)
    assert back.shape == (2, info.num_samples)
    assert np.sqrt(np.mean(back[0, 8000:40000] ** 2)) == pytest.approx(0.3 / np.sqrt(2), rel=0.03)


@pytest.mark.parametrize(("ending", "kind", "channels"), [("mogg", "OGG", 6), ("ogm", "OGG", 2), ("wve", "WVE", 1)])
def test_other_libsndfile_extensions_are_read(tmp_path: Path, ending: str, kind: str, channels: int) -> None:
    path = tmp_path / f"a.{ending}"
    soundfile.write(path, np.full((8000, channels), 0.1), 8000, format=kind)
    assert (files.probe(path).channels, files.probe(path).num_samples) == (channels, 8000)


@pytest.mark.parametrize(
    ("ending", "head"), [("mxf", b"\x06\x0e+4\x02\x05\x01\x01"), ("dv", b"\x1f\x07\0\x3f"), ("swf", b"CWS\x06"),
                         ("gxf", b"\0\0\0\0\x01\xbc"), ("hca", b"HCA\0"), ("brstm", b"RSTM"), ("lpcm", b"\0\x01")]
)  # fmt: skip
def test_undecodable_files_are_reported(tmp_path: Path, ending: str, head: bytes) -> None:
    path = tmp_path / f"a.{ending}"
    path.write_bytes(head + bytes(range(200, 256)) * 8)
    assert path.suffix in files.ENDINGS
    assert reason(lambda: files.probe(path)) == "unreadable"


def test_each_stream_of_a_container_is_read_separately(
    tmp_path: Path, encode: Callable[..., Path], sounds: object
) -> None:
    tones = [0.3 * np.tile(np.sin(2 * np.pi * hz * np.arange(44100) / 44100), (2, 1)) for hz in (200, 1000)]
    path = encode(tmp_path / "a.mka", tones, 44100, "flac", ["Drums", "Bass"])
    assert files.probe(path).num_streams == 2
    assert files.probe(path).titles == ("Drums", "Bass")
    for stream, tone in enumerate(tones):
        assert np.abs(files.read(path, stream=stream) - tone).max() < SIXTEEN_BITS
    assert reason(lambda: files.probe(path, stream=2)) == "no_audio_stream"


def test_blocks_add_up_to_the_whole_file(tmp_path: Path, sound: np.ndarray) -> None:
    path = files.write(tmp_path / "a.flac", sound, RATE)
    for rate in (None, 16000, 44100):
        parts = list(files.blocks(path, sample_rate=rate, block_duration=0.25))
        length = round(0.25 * (rate or RATE))
        assert {part.shape[1] for part in parts[:-1]} == {length}
        assert 0 < parts[-1].shape[1] <= length
        assert np.array_equal(np.concatenate(parts, axis=1), files.read(path, sample_rate=rate))


def test_resampling_in_blocks_equals_soxr_on_the_whole(tmp_path: Path, sound: np.ndarray) -> None:
    path = files.write(tmp_path / "a.flac", sound, RATE)
    whole = soxr.resample(files.read(path).T, RATE, 16000).T
    assert np.array_equal(files.read(path, sample_rate=16000), whole)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(start=st.floats(0, 2), duration=st.floats(0, 2), rate=st.sampled_from([None, 16000, 44100]))
def test_an_excerpt_equals_that_part_of_the_file(
    tmp_path: Path, sound: np.ndarray, start: float, duration: float, rate: int | None
) -> None:
    path = tmp_path / "a.flac"
    if not path.exists():
        files.write(path, sound, RATE)
    excerpt = files.read(path, start=start, duration=duration, sample_rate=rate)
    whole = files.read(path, sample_rate=rate)
    at = round(round(start * RATE) * (rate or RATE) / RATE)
    expected = whole[:, at : at + excerpt.shape[1]]
    if rate is None:
        assert np.array_equal(excerpt, expected)
    elif excerpt.shape[1]:
        # Starts between two samples of the new rate are rounded: up to half a sample of shift, so compare the level.
        assert excerpt.shape[1] == pytest.approx(min(duration, max(0, 1.7 - start)) * rate, abs=2)
        assert np.abs(excerpt).max() <= 1.2 * np.abs(whole).max()


def test_an_excerpt_that_starts_on_the_new_grid_is_exact(tmp_path: Path, sound: np.ndarray) -> None:
    path = files.write(tmp_path / "a.flac", sound, RATE)
    whole = files.read(path, sample_rate=16000)
    excerpt = files.read(path, start=0.8, duration=0.4, sample_rate=16000)  # 0.8 s is a whole sample at both rates
    # The filter's far tails are cut at the margin: -120 dB.
    assert np.abs(excerpt - whole[:, 12800 : 12800 + 6400]).max() < 1e-6


def test_mono_is_duplicated_and_many_channels_are_downmixed() -> None:
    mono = np.ones((1, 4), np.float32)
    assert np.array_equal(files.mix_channels(mono, 2), np.ones((2, 4)))
    assert np.array_equal(files.mix_channels(np.stack([mono[0], 0 * mono[0]]), 1), 0.5 * mono)
    for channels in range(3, 11):
        ones = np.ones((channels, 4), np.float32)
        stereo = files.mix_channels(ones, 2)
        assert stereo.shape == (2, 4)
        np.testing.assert_allclose(stereo, 1.0, rtol=1e-6)  # full scale everywhere stays full scale: no clipping
        left = np.zeros((channels, 4), np.float32)
        left[0] = 1.0
        mixed = files.mix_channels(left, 2)
        assert mixed[0, 0] > 0.19  # a fifth with ten channels
        assert mixed[1, 0] == 0.0
    with pytest.raises(ConfigError, match="3 channels cannot become 5"):
        files.mix_channels(np.ones((3, 4), np.float32), 5)


def test_the_centre_of_a_surround_file_is_on_both_sides() -> None:
    centre = np.zeros((6, 1), np.float32)
    centre[2] = 1.0
    left, right = files.mix_channels(centre, 2)[:, 0]
    assert left == right > 0.2
    bass_effects = np.zeros((6, 1), np.float32)
    bass_effects[3] = 1.0
    assert not files.mix_channels(bass_effects, 2).any()


def test_writing_a_file_is_atomic(tmp_path: Path, sound: np.ndarray) -> None:
    path = tmp_path / "deep" / "a.flac"
    with pytest.raises(RuntimeError, match="stop"), files.create(path, RATE, 2) as file:  # noqa: PT012
        file.write(sound)
        raise RuntimeError("stop")
    assert list(path.parent.iterdir()) == []
    files.write(path, sound, RATE)
    assert [item.name for item in path.parent.iterdir()] == ["a.flac"]
    assert soundfile.info(path).subtype == "PCM_24"


def test_equal_sound_is_written_as_equal_bytes(tmp_path: Path, sound: np.ndarray) -> None:
    for ending in (".flac", ".wav"):
        first, second = (files.write(tmp_path / f"{name}{ending}", sound, RATE).read_bytes() for name in "ab")
        assert first == second


def test_unwritable_sound_is_refused(tmp_path: Path, sound: np.ndarray) -> None:
    with pytest.raises(ConfigError, match=r'cannot write ".m4a"'):
        files.write(tmp_path / "a.m4a", sound, RATE)
    with pytest.raises(ConfigError, match="cannot write 9 channels"):
        files.write(tmp_path / "a.flac", np.zeros((9, 10), np.float32), RATE)
    assert list(tmp_path.iterdir()) == []


class TestBrokenFiles:
    """One reason code each."""

    def test_not_found(self, tmp_path: Path) -> None:
        assert reason(lambda: files.probe(tmp_path / "a.wav")) == "not_found"

    def test_no_bytes(self, tmp_path: Path) -> None:
        path = tmp_path / "a.wav"
        path.touch()
        assert reason(lambda: files.probe(path)) == "empty"

    @pytest.mark.parametrize("ending", [".wav", ".flac"])
    def test_no_samples(self, tmp_path: Path, ending: str) -> None:
        path = files.write(tmp_path / f"a{ending}", np.zeros((2, 0), np.float32), RATE)
        assert reason(lambda: files.probe(path)) in ("empty", "unreadable")
        assert ending != ".wav" or reason(lambda: files.probe(path)) == "empty"

    @pytest.mark.parametrize("ending", [".wav", ".flac", ".mp3", ".ogg", ".m4a", ".webm"])
    @pytest.mark.parametrize(
        "content",
        [
            b"not a sound at all\n" * 50,
            "Grüße, 音楽\n".encode() * 400,
            bytes(range(1, 256)) * 40,
            b"\x89PNG\r\n\x1a\n" + b"\0" * 99,
        ],
        ids=["text", "unicode", "noise", "png"],
    )
    def test_not_audio(self, tmp_path: Path, ending: str, content: bytes) -> None:
        path = tmp_path / f"a{ending}"
        path.write_bytes(content)
        assert reason(lambda: files.probe(path)) == "not_audio"

    def test_no_permission(self, tmp_path: Path, sound: np.ndarray) -> None:
        path = files.write(tmp_path / "a.wav", sound, RATE)
        path.chmod(0)
        if os.access(path, os.R_OK):
            pytest.skip("this user may read everything")
        assert reason(lambda: files.probe(path)) == "no_permission"

    def test_no_permission_reported_by_the_system(
        self, tmp_path: Path, sound: np.ndarray, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = files.write(tmp_path / "a.wav", sound, RATE)

        def refuse(*_: object, **__: object) -> None:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr("builtins.open", refuse)
        assert reason(lambda: decoders.decoder_of(path)) == "no_permission"

    @pytest.mark.parametrize(
        ("real", "claimed"),
        [(".flac", ".wav"), (".wav", ".flac"), (".ogg", ".wav"), (".mp3", ".wav"), (".mp3", ".flac"), (".wav", ".mp3")],
    )
    def test_wrong_extension(self, tmp_path: Path, sound: np.ndarray, real: str, claimed: str) -> None:
        kind = {".mp3": "MP3", ".ogg": "OGG"}.get(real, real[1:].upper())
        soundfile.write(tmp_path / f"a{real}", sound.T, RATE, format=kind)
        path = (tmp_path / f"a{real}").rename(tmp_path / f"b{claimed}")
        assert reason(lambda: files.probe(path)) == "wrong_extension"

    def test_equivalent_extensions_are_accepted(self, tmp_path: Path, sound: np.ndarray) -> None:
        wav = files.write(tmp_path / "a.wav", sound, RATE)
        for ending in (".wave", ".WAV", ".bwf"):
            assert files.probe(shutil.copy(wav, tmp_path / f"b{ending}")).format == "wav"
        soundfile.write(tmp_path / "a.ogg", sound.T, RATE)
        assert files.probe(shutil.copy(tmp_path / "a.ogg", tmp_path / "b.oga")).format == "ogg"

    @pytest.mark.parametrize("ending", [".wav", ".flac", ".ogg", ".mp3", ".aiff", ".au", ".caf", ".w64"])
    @pytest.mark.parametrize("part", [0.3, 0.6, 0.97])
    def test_truncated(self, tmp_path: Path, sound: np.ndarray, ending: str, part: float) -> None:
        path = tmp_path / f"a{ending}"
        soundfile.write(path, sound.T, RATE, format=ending[1:].upper())
        data = path.read_bytes()
        path.write_bytes(data[: int(part * len(data))])
        assert reason(lambda: files.probe(path)) == "truncated"

    @pytest.mark.parametrize(("ending", "codec"), [(".m4a", "aac"), (".mka", "flac"), (".webm", "libopus")])
    def test_truncated_containers(self, tmp_path: Path, encode: Callable[..., Path], ending: str, codec: str) -> None:
        sound = 0.1 * np.random.default_rng(0).standard_normal((2, 48000))
        path = encode(tmp_path / f"a{ending}", [sound], 48000, codec)
        data = path.read_bytes()
        path.write_bytes(data[: len(data) // 2])
        assert reason(lambda: files.probe(path)) == "truncated"

    def test_damage_in_the_middle_is_not_reported_as_truncation(self, tmp_path: Path) -> None:
        noise = 0.1 * np.random.default_rng(0).standard_normal((2, 400_000))
        path = files.write(tmp_path / "a.flac", noise, 44100, subtype="PCM_16")
        data = bytearray(path.read_bytes())
        data[len(data) // 2 : len(data) // 2 + 500] = bytes(500)
        path.write_bytes(bytes(data))
        assert files.probe(path).num_samples == 400_000
        assert reason(lambda: list(files.blocks(path))) == "unreadable"

    @pytest.mark.parametrize("value", [np.nan, np.inf])
    def test_non_finite(self, tmp_path: Path, sound: np.ndarray, value: float) -> None:
        sound[1, RATE] = value
        path = tmp_path / "a.wav"
        soundfile.write(path, sound.T, RATE, subtype="FLOAT")
        files.probe(path)  # headers do not know
        with pytest.raises(AudioError, match=r"at 1\.000 s") as caught:
            files.read(path)
        assert caught.value.reason == "non_finite"
        blocks = files.blocks(path, block_duration=0.5, sample_rate=16000)
        assert reason(lambda: list(blocks)) == "non_finite"

    def test_no_audio_stream(self, tmp_path: Path) -> None:
        path = tmp_path / "a.mp4"
        with av.open(str(path), "w") as container:
            stream = container.add_stream("mpeg4", rate=5)
            stream.width = stream.height = 32
            stream.pix_fmt = "yuv420p"
            container.mux(stream.encode(av.VideoFrame(32, 32, "yuv420p")))
            container.mux(stream.encode(None))
        assert reason(lambda: files.probe(path)) == "no_audio_stream"

    def test_a_pipe_does_not_hang(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "a.wav")
        reasons: list[str] = []
        thread = threading.Thread(
            target=lambda: reasons.append(reason(lambda: files.probe(tmp_path / "a.wav"))), daemon=True
        )
        thread.start()
        thread.join(10)
        assert reasons == ["unreadable"]

    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(data=st.data())
    def test_damaged_files_raise_only_audio_errors(
        self, tmp_path: Path, sound: np.ndarray, data: st.DataObject
    ) -> None:
        """Bytes overwritten anywhere: the file is read, or an AudioError says why not."""
        ending = data.draw(st.sampled_from([".wav", ".flac", ".ogg", ".aiff"]))
        source = tmp_path / f"whole{ending}"
        if not source.exists():
            soundfile.write(source, sound[:, :8000].T, RATE, format=ending[1:].upper())
        content = bytearray(source.read_bytes())
        at = data.draw(st.integers(0, min(len(content) - 1, 400)))
        junk = data.draw(st.binary(min_size=1, max_size=8))
        content[at : at + len(junk)] = junk
        path = tmp_path / f"broken{ending}"
        path.write_bytes(bytes(content))
        try:
            for block in files.blocks(path):
                assert np.isfinite(block).all()
        except AudioError as error:
            assert error.reason in {*SkipReason}  # noqa: PT017 - most broken files still decode


def test_an_mp3_without_a_length_is_read_to_its_end(tmp_path: Path, encode: Callable[..., Path]) -> None:
    """libsndfile takes size by bit rate for the length of an MP3 without a Xing header, and drops the rest."""
    quiet, loud = np.zeros((2, 44100 * 3)), np.random.default_rng(0).standard_normal((2, 44100 * 3)) * 0.3
    path = encode(tmp_path / "a.mp3", [np.concatenate([loud, quiet], axis=1)], 44100, "libmp3lame")
    data = path.read_bytes()
    start = max(data.find(b"Xing"), data.find(b"Info"))
    assert start > 0
    path.write_bytes(data[:start] + b"\0\0\0\0" + data[start + 4 :])
    with path.open("rb") as file:
        assert not extents.mp3_says_length(file)
    assert files.read(path).shape[1] / 44100 == pytest.approx(6.0, abs=0.1)  # one frame is 0.026 s


def test_flac_of_unknown_length_is_read(tmp_path: Path, sound: np.ndarray) -> None:
    """What an encoder writes into a pipe has a length of zero in its header."""
    path = files.write(tmp_path / "a.flac", sound, RATE, subtype="PCM_16")
    data = bytearray(path.read_bytes())
    data[21] &= 0xF0  # STREAMINFO: 36 bits of number of samples
    data[22:26] = bytes(4)
    path.write_bytes(bytes(data))
    assert np.abs(files.read(path) - sound).max() < SIXTEEN_BITS


def test_memory_is_independent_of_file_length(tmp_path: Path) -> None:
    """An hour of mono at 16 kHz would be 230 MB of samples; reading it in blocks may take 60 MB more than starting."""
    path = tmp_path / "long.flac"
    minute = (0.1 * np.random.default_rng(0).standard_normal((1, 16000 * 60))).astype(np.float32)
    with files.create(path, 16000, 1, subtype="PCM_16") as file:
        for _ in range(60):
            file.write(minute)
    script = (
        "import resource, sys\n"
        "from stemclean.audio import activity, files\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024\n"
        "list(activity.active_regions(next(files.blocks(sys.argv[1])), 16000))\n"
        "before = peak()\n"
        "regions = activity.active_regions(files.blocks(sys.argv[1]), 16000)\n"
        "print(peak() - before, regions[-1][1])\n"
    )
    grown, end = map(
        int, subprocess.run([sys.executable, "-c", script, path], check=True, capture_output=True).stdout.split()
    )
    assert end == 16000 * 3600
    assert grown < 60


def test_memory_of_long_blocks_follows_the_data(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "FIRST_ROOM", 1000)
    noise = 0.1 * np.random.default_rng(0).standard_normal((2, 300_001)).astype(np.float32)
    path = files.write(tmp_path / "x.wav", noise, 44100, subtype="FLOAT")
    for seconds, lengths in [(1e6, [300_001]), (5.0, [220_500, 79_501]), (0.01, [441] * 680 + [121])]:
        parts = list(files.blocks(path, block_duration=seconds))
        assert [part.shape[1] for part in parts] == lengths
        assert np.array_equal(np.concatenate(parts, axis=1), noise)
