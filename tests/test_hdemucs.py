"""Hybrid Demucs: agreement with torchaudio for the same weights, and tests of its parts."""

from __future__ import annotations

import importlib.util
import math
import re
from pathlib import Path

import pytest
import torch
from torch import nn

from stemclean.errors import ConfigError
from stemclean.models import registry, weights
from stemclean.models.contract import ModelSpec
from stemclean.models.separators import hdemucs

FOUR = ("vocals", "bass", "drums", "other")
SMALL = {"channels": 8, "dconv_depth": 1}
"""Of the recipe ``hdemucs-small``."""


def built(labels=FOUR, audio=2, **options):
    torch.manual_seed(0)
    return registry.build("separators", "hdemucs", ModelSpec(44100, audio, tuple(labels), 131072), options)


def sound(*shape, seed=1):
    return 0.1 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def torchaudios():
    """torchaudio's class; where its native library does not fit this torch, from the class's file, which needs none."""
    try:
        from torchaudio.models import HDemucs
    except (ImportError, OSError, RuntimeError):
        module_spec = importlib.util.find_spec("torchaudio")
        if module_spec is None:
            pytest.skip("torchaudio is not installed")
        path = Path(module_spec.submodule_search_locations[0]) / "models" / "_hdemucs.py"
        spec = importlib.util.spec_from_file_location("torchaudio_hdemucs", path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module.HDemucs
    return HDemucs


def twins(labels=FOUR, audio=2, **options):
    """torchaudio's network with weights as after some training, and ours with the same."""
    ours = built(labels, audio, **options)
    named = {"nfft" if key == "n_fft" else key: value for key, value in options.items()}
    theirs = torchaudios()(list(labels), audio_channels=audio, **named)
    rng = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, weight in theirs.named_parameters():
            if name.endswith("scale"):
                weight.uniform_(0.2, 1.0, generator=rng)  # so that what residual branches say counts
            elif name.endswith("query_decay.bias"):
                weight.uniform_(-3.0, 0.0, generator=rng)
            elif re.search(r"\.(query|key|content|proj)\.weight", name):
                weight.mul_(4)  # so that attention differs from frame to frame
            elif weight.ndim == 1:
                weight.add_(torch.randn(weight.shape, generator=rng), alpha=0.1)
    ours.load_state_dict(hdemucs.from_torchaudio(theirs.state_dict()))
    return ours, theirs


class TestTorchaudios:
    """float32 has 24 bits: two orders of the same sums differ by about 1e-7 of the estimates' size, layer by layer.

    The tolerance is 1e-4 of the estimates' deviation for each sample: 80 dB below them, and 10 to 100 times what the
    largest of all differences was. The last test shows that a part that is missing does more than that.
    """

    @staticmethod
    def assert_equal(ours, theirs, mixture):
        with torch.inference_mode():
            expected = theirs.eval()(mixture)
            torch.testing.assert_close(ours.eval()(mixture), expected, atol=1e-4 * float(expected.std()), rtol=0)

    @pytest.mark.parametrize(
        ("options", "time"),
        [
            (SMALL, 44100),
            (SMALL, 131072),
            ({"channels": 8}, 40 * 1024),
            ({"channels": 8, "n_fft": 1024, "depth": 5}, 430 * 256 - 7),  # more frames than an LSTM processes at once
            ({"channels": 8, "n_fft": 2048}, 30001),
            ({"channels": 8, "n_fft": 1024, "depth": 5, "dconv_comp": 2}, 8191),
            ({"channels": 16, "n_fft": 1024, "depth": 4}, 8192),  # no level beyond the one where the branches meet
            ({"channels": 4, "n_fft": 1024, "depth": 5, "growth": 3, "dconv_comp": 1, "dconv_attn": 2}, 30000),
            ({"channels": 8, "n_fft": 1024, "depth": 5, "norm_starts": 1, "dconv_lstm": 3, "dconv_depth": 3}, 60000),
            ({"channels": 8, "dconv_attn": 9, "dconv_lstm": 9, "norm_starts": 9}, 30000),
        ],
    )
    def test_the_same_weights_give_the_same_estimates(self, options, time):
        self.assert_equal(*twins(**options), sound(2, 2, time))

    def test_mono_and_other_classes_agree_with_torchaudio(self):
        self.assert_equal(*twins(("voice", "rest"), 1, **SMALL), sound(3, 1, 30000))

    def test_the_papers_size_agrees_with_torchaudio(self):
        ours, theirs = twins()
        self.assert_equal(ours, theirs, sound(1, 2, 44100))

    def test_gradients_agree_with_torchaudio(self):
        ours, theirs = twins(**SMALL)
        for model in (ours, theirs):
            model.train()(sound(1, 2, 30000)).square().sum().backward()
        expected = hdemucs.from_torchaudio(
            {name: weight.grad for name, weight in theirs.named_parameters() if weight.grad is not None}
        )
        for name, weight in ours.named_parameters():
            tolerance = 1e-3 * float(expected[name].square().mean().sqrt())  # sums over all frames and bins
            torch.testing.assert_close(
                weight.grad, expected[name], atol=tolerance, rtol=1e-3, msg=lambda m, n=name: n + m
            )

    def test_torchaudios_unused_weights_change_nothing(self):
        """The norm that is never applied and the bias of the keys: 2 688 of 83 639 368 numbers at the paper's size."""
        with torch.device("meta"):
            theirs = torchaudios()(list(FOUR))
            ours = built()
        named = dict(theirs.named_parameters())
        mapped = hdemucs.from_torchaudio({name: torch.full((1, 1), number) for number, name in enumerate(named)})
        places = {int(value) for value in mapped.values()}
        left = [name for number, name in enumerate(named) if number not in places]
        assert {re.sub(r"\d+", "N", name) for name in left} == {
            "time_encoder.N.normN.weight",
            "time_encoder.N.normN.bias",
            "freq_encoder.N.dconv.layers.N.N.key.bias",
        }
        missing = sum(named[name].numel() for name in left)
        assert missing == 2688
        assert sum(p.numel() for p in ours.parameters()) == sum(p.numel() for p in named.values()) - missing

    @pytest.mark.parametrize(
        "part",
        [
            "embedding",
            "encoders.0.residual.0.widen.weight",
            "encoders.4.residual.0.lstm.linear.weight",
            "encoders.4.residual.0.attention.out.weight",
            "encoders.4.residual.0.attention.decay.bias",
            "time_encoders.3.residual.0.scale",
            "time_encoders.4.conv.weight",
            "time_decoders.4.norm.bias",
        ],
    )
    def test_the_tolerance_detects_a_missing_part(self, part):
        ours, theirs = twins(**SMALL)
        dict(ours.named_parameters())[part].detach().zero_()
        with pytest.raises(AssertionError):
            self.assert_equal(ours, theirs, sound(1, 2, 44100))


def test_the_papers_size_has_83_6_million_parameters():
    with torch.device("meta"):
        model = built()
    assert sum(p.numel() for p in model.parameters()) == 83_636_680


class TestCheckpointing:
    """Activations that are computed again are the same ones."""

    @staticmethod
    def trained(checkpointing):
        """Estimates, gradients, and how many bytes the way back keeps."""
        model = built(**SMALL, checkpoint_activations=checkpointing).train()
        kept = {}

        def keep(tensor):
            storage = tensor.untyped_storage()
            kept[storage.data_ptr()] = storage.nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            estimates = model(sound(2, 2, 44100))
        own = {p.untyped_storage().data_ptr() for p in model.parameters()}
        estimates.square().sum().backward()
        nbytes = sum(size for pointer, size in kept.items() if pointer not in own)
        return estimates.detach(), {name: p.grad for name, p in model.named_parameters()}, nbytes

    def test_checkpointing_keeps_results_and_saves_memory(self):
        plain, gradients, much = self.trained(False)
        again, same, little = self.trained(True)
        assert torch.equal(plain, again)
        assert all(torch.equal(gradients[name], same[name]) for name in gradients)
        assert little < much / 4

    def test_weights_load_with_and_without_checkpointing(self, tmp_path):
        plain, again = built(**SMALL), built(**SMALL, checkpoint_activations=True)
        card = {"kind": "separators", "architecture": "hdemucs", "spec": plain.spec.to_dict(), "options": SMALL}
        weights.save(tmp_path / "plain.safetensors", plain, card, dtype=torch.float32)
        start = weights.load(tmp_path / "plain.safetensors", kind="separators")
        assert weights.start_from(start, again, "hdemucs", {**SMALL, "checkpoint_activations": True}) == []


class TestParts:
    @pytest.mark.parametrize("n_fft", [512, 1024])
    @pytest.mark.parametrize("time", [3000, 4096, 5001])
    def test_a_spectrogram_is_inverted(self, n_fft, time):
        """But near the ends, where windows that reach beyond them would have to help, and for the highest bin."""
        model = built(n_fft=n_fft, depth=5, channels=4, dconv_comp=1)
        waveform = nn.functional.avg_pool1d(sound(2, 2, time), 2, 1)  # nothing in the highest bin
        planes = model._planes(waveform)
        assert planes.shape == (2, 4, n_fft // 2, math.ceil((time - 1) / (n_fft // 4)))
        back = model._waveform(planes[:, None], time - 1)[:, 0]
        inside = slice(n_fft // 2, -n_fft // 2)
        torch.testing.assert_close(back[..., inside], waveform[..., inside], atol=1e-3, rtol=0)

    @pytest.mark.parametrize("time", [1, 5, 255, 383, 384, 385, 512, 700])
    def test_sounds_too_short_for_reflection_padding(self, time):
        model = built(n_fft=1024, depth=5, channels=4, dconv_comp=1).eval()
        with torch.inference_mode():
            estimates = model(sound(2, 2, time))
        assert estimates.shape == (2, 4, 2, time) and estimates.isfinite().all()

    def test_white_noise_keeps_its_size(self):
        planes = built(n_fft=1024, depth=5, channels=4, dconv_comp=1)._planes(sound(1, 1, 65536))
        hann = math.sqrt(3 / 8)  # root mean square of the window; half of a bin's power is in each part
        assert float(planes.std()) == pytest.approx(0.1 * hann / math.sqrt(2), rel=0.02)

    def test_lstm_pieces_are_joined_in_order(self):
        torch.manual_seed(0)
        recurrent = hdemucs._Recurrent(3)
        recurrent._run = lambda rows: rows
        rows = torch.randn(2, 731, 3)
        assert torch.equal(recurrent._in_chunks(rows), rows)

    def test_an_lstm_is_limited_to_its_piece(self):
        torch.manual_seed(0)
        recurrent = hdemucs._Recurrent(4)
        before = torch.randn(1, 4, 600)
        after = before.clone()
        after[..., 400:] += 1.0
        with torch.inference_mode():
            changed = (recurrent(before) != recurrent(after)).any(1)[0].nonzero()
        assert 250 <= int(changed.min()) < 400

    def test_attention_covers_all_frames_but_its_own(self):
        torch.manual_seed(0)
        attention = hdemucs._LocalAttention(8)
        with torch.no_grad():
            attention.query.weight.zero_()
            attention.query.bias.zero_()
            attention.decay.bias.fill_(-100.0)  # no decay
            attention.out.weight.copy_(torch.eye(8)[..., None])
            attention.content.weight.copy_(torch.eye(8)[..., None])
            for bias in (attention.out.bias, attention.content.bias):
                bias.zero_()
            hidden = torch.randn(1, 8, 5)
            change = attention(hidden) - hidden
        torch.testing.assert_close(change, (hidden.sum(-1, keepdim=True) - hidden) / 4)

    def test_attention_weakens_with_the_distance(self):
        """The score is minus 1 + 2 + 3 + 4 halves of the sigmoid, over the root of four, a frame."""
        torch.manual_seed(0)
        attention = hdemucs._LocalAttention(8)
        with torch.no_grad():
            for weight in (
                attention.query.weight,
                attention.query.bias,
                attention.decay.weight,
                attention.content.bias,
            ):
                weight.zero_()
            attention.decay.bias.zero_()  # sigmoid: 1 / 2
            attention.content.weight.copy_(torch.eye(8)[..., None])
            attention.out.weight.copy_(torch.eye(8)[..., None])
            attention.out.bias.zero_()
            hidden = torch.zeros(1, 8, 9)
            hidden[..., 0] = 1.0
            change = (attention(hidden) - hidden)[0, 0]
        slope = (1 + 2 + 3 + 4) * 0.25 / 2
        positions = torch.arange(9.0)
        scores = torch.exp(-slope * (positions[:, None] - positions).abs()).fill_diagonal_(math.exp(-100))
        torch.testing.assert_close(change, (scores / scores.sum(1, keepdim=True))[:, 0], atol=1e-6, rtol=1e-4)

    def test_every_row_of_the_spectrogram_has_its_own_embedding(self):
        model = built(**SMALL)
        assert model.embedding.shape == (8, 512)
        steps = (model.embedding[:, 1:] - model.embedding[:, :-1]).square().mean() / model.embedding.square().mean()
        assert steps < 0.1  # neighbours are alike


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_fft": 3000}, "n_fft is 3000"),
        ({"n_fft": 1 << 30}, "n_fft is 1073741824"),
        ({"n_fft": 16}, "n_fft is 16"),
        ({"depth": 4}, "depth is 4"),
        ({"depth": 30}, "depth is 30"),
        ({"channels": 6, "growth": 1}, "channels of level 4"),
        ({"channels": 8, "growth": 1}, "channels of level 4"),
        ({"channels": 8, "dconv_comp": 32}, "channels of level 0"),
        ({"channels": 0}, "channels is 0"),
    ],
)
def test_invalid_sizes_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        built(**options)
