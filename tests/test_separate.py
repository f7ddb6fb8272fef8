"""Separation of files, with a model that returns its input: sound, length, rate and channels are kept."""

from __future__ import annotations

import json
import sys
from types import SimpleNamespace

import json_page
import numpy as np
import pytest
import soundfile
import torch
from typer.testing import CliRunner

from stemclean.audio import files
from stemclean.audio.loudness import integrated_lufs
from stemclean.cli import app
from stemclean.errors import ConfigError, WeightsError
from stemclean.models import registry, weights
from stemclean.models.contract import ModelSpec
from stemclean.separate import SeparateConfig, separate

RATE = 8000
LABELS = ("vocals", "rest")
SEGMENTS = []


class Echo(torch.nn.Module):
    """A quarter of the mixture is vocals, three quarters are the rest."""

    def __init__(self, spec):
        super().__init__()
        self.spec = spec
        self.shares = torch.nn.Parameter(torch.tensor([0.25, 0.75]))

    def forward(self, mixture):
        SEGMENTS.append(mixture.clone())
        return self.shares[None, :, None, None] * mixture[:, None]


@pytest.fixture
def echo(tmp_path, monkeypatch):
    """``echo(channels=2)``: weights of :class:`Echo`, as if a package had registered it."""
    point = SimpleNamespace(name="echo", load=lambda: Echo)
    real = registry.entry_points
    monkeypatch.setattr(registry, "entry_points", lambda group: [*real(group=group), point])
    SEGMENTS.clear()

    def make(channels=2, loudness_lufs=-14.0):
        spec = ModelSpec(RATE, channels, LABELS, 4096)
        card = {"kind": "separators", "architecture": "echo", "spec": spec.to_dict(), "options": {}}
        path = tmp_path / f"echo{channels}.safetensors"
        return weights.save(path, Echo(spec), {**card, "loudness_lufs": loudness_lufs})

    return make


def song(path, seconds=3.1, rate=RATE, channels=2, seed=0, level=0.1):
    """Low noise, so that a change of rate and back loses nothing of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    spectrum = np.fft.rfft(np.random.default_rng(seed).standard_normal((channels, round(seconds * rate))))
    spectrum[:, np.fft.rfftfreq(round(seconds * rate), 1 / rate) > 2500] = 0
    sound = np.fft.irfft(spectrum, round(seconds * rate))
    sound *= level / np.abs(sound).max()
    soundfile.write(path, sound.T, rate, subtype="PCM_24")
    return sound


def test_segment_borders_are_inaudible(tmp_path, echo):
    sound = song(tmp_path / "My Song.wav")
    result = separate(tmp_path / "My Song.wav", tmp_path / "out", weights_uri=echo(), quiet=True)
    assert list(result["songs"]) == ["My Song"] and result["songs"]["My Song"]["num_samples"] == 24800
    for label, share in zip(LABELS, (0.25, 0.75), strict=True):
        estimate, rate = soundfile.read(tmp_path / "out" / "My Song" / f"{label}.wav")
        assert rate == RATE
        np.testing.assert_allclose(estimate.T, share * sound, atol=3e-7)  # 24 bits, rounded twice
    assert soundfile.info(tmp_path / "out" / "My Song" / "vocals.wav").subtype == "PCM_24"


def test_loudness_is_normalised_for_the_model_and_restored(tmp_path, echo):
    sound = song(tmp_path / "a.wav", level=0.02)
    separate(tmp_path / "a.wav", tmp_path / "out", weights_uri=echo(), quiet=True)
    model_input = torch.cat([segment[0] for segment in SEGMENTS], -1).numpy()
    assert integrated_lufs(model_input, RATE) == pytest.approx(-14.0, abs=0.3)  # segments overlap, so not to the digit
    assert integrated_lufs(sound, RATE) < -30
    estimate, _ = soundfile.read(tmp_path / "out" / "a" / "rest.wav")
    np.testing.assert_allclose(estimate.T, 0.75 * sound, atol=3e-7)  # as above


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize(("rate", "model_rate"), [(RATE, 1), (RATE, 2), (11025, 2), (6000, 2)])
def test_estimates_keep_rate_channels_and_length(tmp_path, echo, rate, model_rate, channels):
    sound = song(tmp_path / "a.wav", seconds=2.0371, rate=rate, channels=model_rate)
    separate(
        tmp_path / "a.wav",
        tmp_path / "out",
        weights_uri=echo(channels),
        config=SeparateConfig(format="flac"),
        quiet=True,
    )
    estimate, written_rate = soundfile.read(tmp_path / "out" / "a" / "rest.flac", always_2d=True)
    assert (written_rate, estimate.shape) == (rate, sound.T.shape)
    # Rates changed twice: ripples of soxr's filter in the passband, and its ends, where sound begins and stops.
    inside = slice(None) if rate == RATE else slice(200, -200)
    tolerance = 1e-6 if rate == RATE else 1e-3 * np.abs(sound).max()
    np.testing.assert_allclose(estimate[inside], 0.75 * sound.T[inside], atol=tolerance)


def test_silent_and_very_short_songs_are_separated(tmp_path, echo):
    soundfile.write(tmp_path / "silent.wav", np.zeros((5000, 2)), RATE)
    soundfile.write(tmp_path / "short.wav", np.full((10, 2), 0.5), RATE)
    for name, length in (("silent", 5000), ("short", 10)):
        result = separate(tmp_path / f"{name}.wav", tmp_path / name, weights_uri=echo(), quiet=True)
        assert result["songs"][name]["loudness_lufs"] is None
        assert len(soundfile.read(tmp_path / name / name / "rest.wav")[0]) == length


def test_a_musdb_folder_gives_a_musdb_folder(tmp_path, echo):
    for number in (1, 2):
        song(tmp_path / "in" / "test" / f"song {number}" / "mixture.wav", seconds=0.6, seed=number)
        song(tmp_path / "in" / "test" / f"song {number}" / "vocals.wav", seconds=0.6)
    song(tmp_path / "in" / "plain.wav", seconds=0.6)
    (tmp_path / "in" / "broken.wav").write_bytes(b"RIFF1234WAVEnothing")
    result = separate(tmp_path / "in", tmp_path / "out", weights_uri=echo(), quiet=True)
    assert list(result["songs"]) == ["plain", "test/song 1", "test/song 2"]
    written = sorted(path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.wav"))
    assert written == [f"{name}/{label}.wav" for name in result["songs"] for label in sorted(LABELS)]
    assert [skip["path"] for skip in result["skipped"]] == ["broken.wav"]
    assert json.loads((tmp_path / "out" / "separated.json").read_text())["songs"] == result["songs"]


def test_finished_songs_are_skipped_unless_something_changed(tmp_path, echo):
    source, out, uri = tmp_path / "in", tmp_path / "out", echo()
    for number in (1, 2):
        song(source / f"song{number}.wav", seconds=0.6, seed=number)
    separate(source, out, weights_uri=uri, quiet=True)
    count = len(SEGMENTS)
    separate(source, out, weights_uri=uri, quiet=True)
    assert len(SEGMENTS) == count
    song(source / "song2.wav", seconds=0.6, seed=9)
    separate(source, out, weights_uri=uri, quiet=True)
    assert len(SEGMENTS) == count + count // 2
    separate(source, out, weights_uri=uri, config=SeparateConfig(overlap=0.0), quiet=True)
    assert len(SEGMENTS) > count + count // 2
    before = len(SEGMENTS)
    separate(source, out, weights_uri=uri, config=SeparateConfig(overlap=0.0), resume=False, quiet=True)
    assert len(SEGMENTS) > before


def test_foreign_files_are_not_overwritten(tmp_path, echo):
    song(tmp_path / "in" / "one" / "mixture.wav", seconds=0.6)
    song(tmp_path / "data" / "one" / "vocals.wav", seconds=0.6)
    with pytest.raises(ConfigError, match=r"vocals\.wav is there already"):
        separate(tmp_path / "in", tmp_path / "data", weights_uri=echo(), quiet=True)
    with pytest.raises(ConfigError):
        separate(tmp_path / "in", tmp_path / "in" / "out", weights_uri=echo(), quiet=True)


@pytest.mark.parametrize("format_", ["wav", "flac"])
def test_nothing_is_clipped(tmp_path, echo, format_):
    """A WAV beyond full scale is of floats; FLAC has none, so all estimates of the song are turned down alike."""
    sound = song(tmp_path / "a.wav", level=0.999)
    uri = echo()
    loud = Echo(ModelSpec(RATE, 2, LABELS, 4096))
    loud.shares.data[:] = torch.tensor([0.5, 2.0])
    weights.save(uri, loud, weights.load(uri, kind="separators").card)
    result = separate(tmp_path / "a.wav", tmp_path / "out", weights_uri=uri, config=SeparateConfig(format=format_))
    entry = result["songs"]["a"]
    gain = 10 ** (entry["gain_db"] / 20)
    assert entry["in_float"] == (["rest"] if format_ == "wav" else [])
    assert (gain == 1) == (format_ == "wav")
    for label, share in zip(LABELS, (0.5, 2.0), strict=True):
        audio = files.read(tmp_path / "out" / "a" / f"{label}.{format_}")
        assert audio == pytest.approx(gain * share * sound, abs=2e-4)  # gain_db has three decimals


@pytest.mark.parametrize("channels", [1, 2])
def test_a_mono_model_gets_each_channel_at_its_loudness(tmp_path, echo, channels):
    sound = song(tmp_path / "a.wav", seconds=4.0, channels=channels)
    separate(tmp_path / "a.wav", tmp_path / "out", weights_uri=echo(channels=1, loudness_lufs=-14.0), quiet=True)
    segments = torch.cat(SEGMENTS)[:, 0].numpy()  # (segment * channel, time), of all channels in turn
    for channel in range(channels):
        second, before = segments[channels + channel], sound[channel, 3072:7168]  # segments overlap by a quarter
        gain = float(second @ before / (before @ before))
        assert integrated_lufs(gain * sound[channel : channel + 1], RATE) == pytest.approx(-14.0, abs=0.1)
    assert files.read(tmp_path / "out" / "a" / "rest.wav") == pytest.approx(0.75 * sound, abs=1e-5)


@pytest.mark.parametrize("kind", ["left", "inverted"])
def test_faulty_stereo_is_separated_as_mono(tmp_path, echo, kind):
    """The model gets mono; the estimates have the channels of the song."""
    sound = song(tmp_path / "a.wav", channels=1)
    both = np.concatenate([sound, (0.0 if kind == "left" else -1.0) * sound])
    soundfile.write(tmp_path / "a.wav", both.T, RATE, subtype="PCM_24")
    result = separate(tmp_path / "a.wav", tmp_path / "out", weights_uri=echo(), quiet=True)
    assert all(torch.allclose(segment[:, 0], segment[:, 1], atol=1e-6) for segment in SEGMENTS)
    assert result["songs"]["a"]["issues"] == ["one_sided" if kind == "left" else "polarity_inverted"]
    assert files.read(tmp_path / "out" / "a" / "rest.wav") == pytest.approx(0.75 * both, abs=1e-5)


def test_invalid_arguments_are_refused(tmp_path, echo):
    with pytest.raises(ConfigError, match="no such file"):
        separate(tmp_path / "no.wav", tmp_path / "out", weights_uri=echo())
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match="contains no audio files"):
        separate(tmp_path / "empty", tmp_path / "out", weights_uri=echo())
    with pytest.raises(WeightsError, match="weights of a classifier; those of a separator are needed"):
        separate(tmp_path / "empty", tmp_path / "out", weights_uri="bundled:atto.v2")
    for wrong in ({"format": "mp3"}, {"overlap": 1.0}):
        with pytest.raises(ConfigError):
            SeparateConfig(**wrong)
    song(tmp_path / "two" / "a.wav"), song(tmp_path / "two" / "a.flac")
    with pytest.raises(ConfigError, match="would both be written to a"):
        separate(tmp_path / "two", tmp_path / "out", weights_uri=echo())


def test_the_command_separates(tmp_path, echo):
    song(tmp_path / "a.wav", seconds=0.6)
    (tmp_path / "in").mkdir()
    (tmp_path / "a.wav").rename(tmp_path / "in" / "a.wav")
    (tmp_path / "in" / "text.wav").write_text("no sound")
    words = ["separate", str(tmp_path / "in"), "-o", str(tmp_path / "out"), "--weights", str(echo()), "--json", "-q"]
    result = CliRunner().invoke(app, words)
    report = json.loads(result.stdout)
    assert result.exit_code == 3 and list(report["songs"]) == ["a"] and len(report["failures"]) == 1
    assert json_page.disagreements("separate", report) == []
    assert files.probe(tmp_path / "out" / "a" / "vocals.wav").num_samples == 4800


def test_the_commands_module_needs_no_torch():
    assert "torch" not in vars(sys.modules["stemclean.cli.separate"])
