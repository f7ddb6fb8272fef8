"""Every registered separator keeps the contract; tests of each one's sizes and computations follow."""

from __future__ import annotations

import math

import pytest
import torch

from stemclean.audio.stft import istft, stft
from stemclean.errors import ConfigError
from stemclean.models import registry, weights
from stemclean.models.contract import ModelSpec, Separator
from stemclean.models.deep_unet import DeepUNet
from stemclean.models.separators.band_split import PAPER_BANDS, _rotated

FOUR = ("vocals", "bass", "drums", "other")
TINY = {
    "hdemucs": {"channels": 4, "n_fft": 1024, "depth": 5, "dconv_depth": 1, "dconv_comp": 1},
    "xumx": {"n_fft": 256, "hop_length": 64, "hidden": 8, "layers": 2},
    "band_split": {
        "n_fft": 128,
        "hop_length": 32,
        "bands": [[8, 2], [4, 8], [1, 17]],
        "width": 8,
        "heads": 2,
        "depth": 1,
        "expansion": 2,
    },
    "unet": {"n_fft": 128, "hop_length": 32, "fold": 2, "channels": 8, "depth": 2, "growth": 1.0},
}
"""Options that make each of ours small; an architecture of another package is tested as it comes."""

NAMES = registry.names("separators")


def tiny(name, labels=FOUR, channels=2, segment=4096, **options):
    torch.manual_seed(0)
    spec = ModelSpec(8000, channels, tuple(labels), segment)
    return registry.build("separators", name, spec, {**TINY.get(name, {}), **options})


def mixture(batch=2, channels=2, time=4096, seed=1):
    return 0.1 * torch.randn(batch, channels, time, generator=torch.Generator().manual_seed(seed))


def test_separators_are_registered():
    assert set(TINY) <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
class TestContract:
    @pytest.mark.parametrize(
        ("labels", "channels", "time"), [(FOUR, 2, 4096), (("voice",), 1, 4096), ("abcdefg", 2, 5001)]
    )
    def test_shapes_at_any_number_of_classes_and_channels_and_any_length(self, name, labels, channels, time):
        model = tiny(name, labels, channels).eval()
        assert isinstance(model, Separator) and isinstance(model, torch.nn.Module)
        with torch.inference_mode():
            estimates = model(mixture(1, channels, time))
        assert estimates.shape == (1, len(labels), channels, time)
        assert estimates.dtype == torch.float32 and estimates.isfinite().all()

    def test_every_weight_gets_a_gradient(self, name):
        model = tiny(name).train()
        model.standardise(mixture(seed=2))
        model(mixture()).square().sum().backward()
        still = [key for key, weight in model.named_parameters() if weight.grad is None or not weight.grad.any()]
        assert still == []

    def test_weights_round_trip(self, name, tmp_path):
        model = tiny(name).eval()
        model.standardise(mixture(seed=2))
        card = {"kind": "separators", "architecture": name, "spec": model.spec.to_dict(), "options": TINY.get(name, {})}
        weights.save(tmp_path / "model.safetensors", model, card, dtype=torch.float32)
        loaded = weights.load(tmp_path / "model.safetensors", kind="separators").model
        with torch.inference_mode():
            torch.testing.assert_close(loaded(mixture()), model(mixture()), rtol=0, atol=0)  # float32: bit by bit

    def test_the_same_input_gives_the_same_estimates_alone_or_in_a_batch(self, name):
        model = tiny(name).eval()
        with torch.inference_mode():
            both, again = model(mixture()), model(mixture())
            alone = model(mixture()[1:])
        assert torch.equal(both, again)
        torch.testing.assert_close(alone[0], both[1], rtol=1e-4, atol=1e-6)  # sums in another order

    def test_mixed_precision_changes_little(self, name):
        """As Accelerate runs it with bf16, which has 8 bits: about half a percent of each number, layer by layer."""
        model = tiny(name).train()
        model.standardise(mixture(seed=2))
        torch.manual_seed(0)
        plain = model(mixture())
        torch.manual_seed(0)
        with torch.autocast("cpu", torch.bfloat16):
            mixed = model(mixture())
        mixed.square().sum().backward()
        assert mixed.dtype == torch.float32
        assert (mixed - plain).abs().mean() < 0.1 * plain.abs().mean()

    def test_silence_gives_silence_or_nearly(self, name):
        with torch.inference_mode():
            estimates = tiny(name).eval()(torch.zeros(1, 2, 4096))
        assert estimates.isfinite().all() and estimates.abs().max() < 0.01  # -40 dB, from biases alone

    def test_a_short_training_reduces_the_loss(self, name):
        """Twenty-five steps on one mixture bring the error down by a quarter: gradients point the right way."""
        model = tiny(name, ("low", "high"), **({"dropout": 0.0} if name in ("xumx", "band_split") else {}))
        time = torch.arange(2048) / 8000
        sources = torch.stack([torch.sin(2 * math.pi * 150 * time), torch.sin(2 * math.pi * 2100 * time)])
        sources = 0.2 * sources[None, :, None].expand(1, 2, 2, -1)  # (batch, stem, channel, time)
        model.train()
        model.standardise(sources.sum(1))
        optimizer = torch.optim.Adam(model.parameters(), 1e-2)
        errors = []
        for _ in range(25):
            error = (model(sources.sum(1)) - sources).square().mean()
            optimizer.zero_grad()
            error.backward()
            optimizer.step()
            errors.append(float(error.detach()))
        assert errors[-1] < 0.75 * errors[0]


class TestPaperSizes:
    """Built on the meta device: the counts alone, no memory."""

    @staticmethod
    def millions(name, labels=FOUR):
        with torch.device("meta"):
            model = registry.build("separators", name, ModelSpec(44100, 2, labels, 44100), {})
        return sum(p.numel() for p in model.parameters()) / 1e6

    def test_crossnet_has_the_papers_size(self):
        # Open-Unmix has 8.9 million parameters a class (its paper); averages across classes add none.
        assert self.millions("xumx") == pytest.approx(4 * 8.9, rel=0.01)

    def test_unet_has_djcms_size(self):
        # Levels of 32 to 384 channels, six of them: our count; the paper gives none for the separator alone.
        assert self.millions("unet", ("vocals",)) == pytest.approx(23.85, abs=0.05)

    def test_band_split_of_one_class(self):
        # The paper's model of one class with 12 pairs of transformers has 93.4 million (its table of models).
        assert self.millions("band_split", ("vocals",)) == pytest.approx(93.4, rel=0.005)

    def test_the_papers_bands_fill_the_spectrum(self):
        assert sum(count for count, _ in PAPER_BANDS) == 62
        assert sum(count * bins for count, bins in PAPER_BANDS) == 1025


class TestCrossNet:
    def test_crossing_connects_the_networks(self):
        """A change in the first class's LSTM reaches the second class's estimate, unless crossing is off."""
        for crossing in (True, False):
            model = tiny("xumx", crossing=crossing).eval()
            with torch.inference_mode():
                before = model(mixture())
                model.lstms[0].weight_ih_l0 += 0.5
                after = model(mixture())
            changed = [bool((before[:, i] != after[:, i]).any()) for i in range(4)]
            assert changed == ([True] * 4 if crossing else [True, False, False, False])

    def test_estimates_have_the_mixtures_phase(self):
        """Where the mask is the same everywhere, an estimate is the mixture times it."""
        model = tiny("xumx").eval()
        for mask in model.masks:
            torch.nn.init.zeros_(mask.scale)
            torch.nn.init.constant_(mask.offset, 0.25)
        with torch.inference_mode():
            torch.testing.assert_close(
                model(mixture()), 0.25 * mixture()[:, None].expand(-1, 4, -1, -1), atol=1e-6, rtol=0
            )

    def test_standardised_input_has_mean_zero_and_deviation_one(self):
        model = tiny("xumx")
        sound = mixture(8) * torch.linspace(1, 3, 8)[:, None, None]
        model.standardise(sound)
        seen = []
        model.encoders[0].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
        model.eval()(sound)
        bins = seen[0].unflatten(-1, (2, -1))
        torch.testing.assert_close(bins.mean((0, 1, 2)), torch.zeros(bins.shape[-1]), atol=1e-4, rtol=0)
        torch.testing.assert_close(bins.std((0, 1, 2)), torch.ones(bins.shape[-1]), atol=1e-3, rtol=0)

    def test_sound_above_the_bandwidth_is_separated_by_the_mask_alone(self):
        model = tiny("xumx", bandwidth_hz=1000.0).eval()
        assert model.num_inputs == 33  # 1000 Hz in steps of 8000 / 256 Hz, and 0 Hz
        time = torch.arange(4096) / 8000
        high = torch.sin(2 * math.pi * 3000 * time).expand(1, 2, -1)
        with torch.inference_mode():
            assert model(high).abs().max() > 0.1


class TestBandSplit:
    def test_a_rotary_product_depends_on_the_distance_alone(self):
        """Section 3.2 of Su et al. 2021: <turn(q, m), turn(k, n)> is a function of m - n."""
        query, key = torch.randn(2, 8, generator=torch.Generator().manual_seed(0)).double()
        rows = _rotated(query.expand(12, 8).double()), _rotated(key.expand(12, 8).double())
        products = rows[0] @ rows[1].T  # (place of the query, place of the key)
        for shift in (-3, 0, 5):
            diagonal = products.diagonal(shift)
            torch.testing.assert_close(diagonal, diagonal[:1].expand_as(diagonal), atol=1e-5, rtol=1e-5)
        assert (products.diagonal(5)[0] - products.diagonal(0)[0]).abs() > 1e-3

    def test_wrong_bands_and_heads_are_refused(self):
        with pytest.raises(ConfigError, match="the bands hold 16 bins, the spectrum has 65"):
            tiny("band_split", bands=[[8, 2]])
        with pytest.raises(ConfigError, match="width 8 with 8 heads"):
            tiny("band_split", heads=8)

    def test_activation_checkpointing_does_not_change_the_result(self):
        """With checkpoint_activations: estimates, what is dropped, gradients; far less is kept for the way back."""
        results = {}
        for again in (False, True):
            model, kept = tiny("band_split", depth=2, dropout=0.2, checkpoint_activations=again).train(), {}
            own = {p.untyped_storage().data_ptr() for p in model.parameters()}

            def keep(tensor, kept=kept):
                storage = tensor.untyped_storage()
                kept[storage.data_ptr()] = storage.nbytes()
                return tensor

            torch.manual_seed(1)
            with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
                estimates = model(mixture())
            estimates.square().sum().backward()
            nbytes = sum(size for pointer, size in kept.items() if pointer not in own)
            results[again] = estimates.detach(), {name: p.grad for name, p in model.named_parameters()}, nbytes
        (plain, gradients, much), (same, others, little) = results[False], results[True]
        assert torch.equal(plain, same)
        assert all(torch.equal(gradients[name], others[name]) for name in gradients)
        assert little < much / 4

    def test_masks_of_one_return_the_mixture(self):
        model = tiny("band_split").eval()
        for networks in model.masks:
            for network in networks:
                last = network[2]  # the linear layer before the gate: value times sigmoid(gate)
                torch.nn.init.zeros_(last.weight)
                numbers = len(last.bias) // 2
                with torch.no_grad():
                    last.bias[:numbers] = torch.tensor([1.0, 0.0]).repeat(numbers // 2)  # real, imaginary
                    last.bias[numbers:] = 20.0
        with torch.inference_mode():
            torch.testing.assert_close(model(mixture()), mixture()[:, None].expand(-1, 4, -1, -1), atol=1e-6, rtol=0)


class TestSpectrogramUNet:
    @pytest.mark.parametrize("mask", ["magnitude", "complex"])
    def test_masks_of_one_return_the_mixture(self, mask):
        """But for the highest bin, which is not looked at; at the ends, where the tone breaks off, it has sound."""
        model = tiny("unet", mask=mask, channels=2).eval()
        torch.nn.init.zeros_(model.masks.weight)
        with torch.no_grad():
            bias = model.masks.bias.view(4, 2, -1, 2)  # (stem, channel, part, fold)
            bias.zero_()
            bias[:, :, 0] = 20.0
        time = torch.arange(4096) / 8000
        sound = torch.sin(2 * math.pi * 700 * time).expand(1, 2, -1)
        with torch.inference_mode():
            inside = model(sound)[..., 200:-200]
        torch.testing.assert_close(inside, sound[:, None, :, 200:-200].expand(-1, 4, -1, -1), atol=1e-4, rtol=0)

    def test_folded_bins_get_their_own_masks(self):
        """A U-Net that gives its input back: each bin's mask is the sigmoid of the logarithm of its own magnitude."""
        model = tiny("unet", ("voice",), 1, mask="magnitude", fold=4).eval()
        model.unet, model.masks = torch.nn.Identity(), torch.nn.Identity()
        sound = mixture(1, 1, 4096)
        spectrum = stft(sound, n_fft=128, hop_length=32)
        expected = (spectrum.abs() + 1e-5).log().sigmoid() * spectrum
        expected[:, :, -1] = 0
        expected = istft(expected, n_fft=128, hop_length=32, num_samples=4096)
        with torch.inference_mode():
            torch.testing.assert_close(model(sound)[:, 0], expected, atol=1e-5, rtol=1e-3)

    def test_wrong_masks_and_folds_are_refused(self):
        with pytest.raises(ConfigError, match='no mask named "soft"'):
            tiny("unet", mask="soft")
        with pytest.raises(ConfigError, match="64 bins cannot be folded by 3"):
            tiny("unet", fold=3)

    @pytest.mark.parametrize("time_levels", [None, 0, 1])
    def test_a_deep_unet_takes_any_size(self, time_levels):
        net = DeepUNet(3, 8, depth=3, blocks=2, inner_blocks=1, growth=1.0, time_levels=time_levels).eval()
        with torch.inference_mode():
            assert net(torch.randn(2, 3, 13, 50)).shape == (2, 8, 13, 50)
        assert net.steps == [(2 if time_levels is None or level < time_levels else 1, 2) for level in range(3)]
