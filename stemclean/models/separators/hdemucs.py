"""Hybrid Demucs, known as Demucs v3 (Défossez 2021, arXiv 2111.03600).

Two U-Nets process the mixture, one as a spectrogram and one as a waveform. Each level reduces the number of bins in the
first and of samples in the second, until there is one bin per frame and one sample per frame. There the two branches
are added, and the deeper levels are shared. Each branch has its own decoder, with skip connections from its own
encoder. The estimates of both are summed.

Written from the paper. Details that the paper leaves open follow the authors' published weights, which
:func:`from_torchaudio` converts: the same input gives the same estimates.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from stemclean.audio.stft import istft, stft
from stemclean.errors import ConfigError
from stemclean.models.contract import ModelSpec

__all__ = ["HybridDemucs", "build", "from_torchaudio"]

KERNEL, STRIDE = 8, 4
"""Kernel and stride of the convolutions, over bins in one branch and over samples in the other."""
SHARED_KERNEL, SHARED_STRIDE = 4, 2
"""Kernel and stride over frames in the levels that the branches share."""
SMALLEST_N_FFT, LARGEST_N_FFT = 32, 1 << 16
MAX_DEPTH = 12
NORM_GROUPS = 4
HEADS = 4
DECAYS = 4
"""Decay parameters per attention head."""
LSTM_LAYERS = 2
LSTM_FRAMES = 200
"""Maximum input length of an LSTM in frames; longer inputs are divided into chunks that overlap by half."""
WEIGHT_DEVIATION = 0.1
"""Standard deviation that the initial weights of a convolution are rescaled towards."""
RESIDUAL_SCALE = 1e-4
"""Initial factor on the output of a residual branch."""
FIRST_DECAY = -2.0
"""Initial bias of the decays before the sigmoid: attention starts with a wide window."""
SELF_SCORE = -100.0
"""Attention score of a frame for itself, before the softmax: it attends to the other frames only."""
EMBEDDING_WEIGHT, EMBEDDING_RATE = 0.2, 10.0
"""Weight of the frequency embedding, and the factor by which it learns faster than other parameters."""
FLOOR = 1e-5
"""Added to the standard deviation that an input is divided by."""


class HybridDemucs(nn.Module):
    """Hybrid Demucs as a :class:`~stemclean.models.contract.Separator`; the defaults are the paper's.

    Args:
        spec: sample rate, channels, labels and segment of the model.
        channels: channels of the first level; 48 gives 83.6 million parameters.
        growth: factor on the channels from level to level.
        depth: number of levels, large enough that the branches meet: with an ``n_fft`` of 4096 they meet on level 5.
        n_fft: length of the STFT window in samples, a power of two; the hop is a quarter of it.
        dconv_depth: number of convolutions in each residual branch.
        dconv_comp: channels of a level divided by those of its residual branches.
        dconv_attn, dconv_lstm: first level whose residual branches have local attention, and an LSTM.
        norm_starts: first level with group norms.
        checkpoint_activations: in training, store only the inputs of each level and recompute its activations in the
            backward pass; estimates and gradients do not change.

    Raises:
        ConfigError: no network can have these sizes.
    """

    def __init__(
        self,
        spec: ModelSpec,
        *,
        channels: int = 48,
        growth: int = 2,
        depth: int = 6,
        n_fft: int = 4096,
        dconv_depth: int = 2,
        dconv_comp: int = 4,
        dconv_attn: int = 4,
        dconv_lstm: int = 4,
        norm_starts: int = 4,
        checkpoint_activations: bool = False,
    ) -> None:
        super().__init__()
        self.spec, self.n_fft, self.hop_length = spec, n_fft, n_fft // 4
        self.checkpoint_activations = checkpoint_activations
        levels = _levels(n_fft, depth)
        self.meeting = sum(level.time is not None for level in levels) - 1
        widths = [channels * growth**number for number in range(depth)]
        outputs = len(spec.labels) * spec.channels
        self.encoders, self.decoders = nn.ModuleList(), nn.ModuleList()
        self.time_encoders, self.time_decoders = nn.ModuleList(), nn.ModuleList()
        for number, (level, width) in enumerate(zip(levels, widths, strict=True)):
            first = number == 0
            norm = number >= norm_starts
            hidden = width // dconv_comp
            attention, lstm = number >= dconv_attn, number >= dconv_lstm
            _check(number, width if norm else NORM_GROUPS, hidden, HEADS if attention and dconv_depth else 1)

            def residual(
                width: int = width, hidden: int = hidden, attention: bool = attention, lstm: bool = lstm
            ) -> nn.Sequential:
                rows = (_Residual(width, hidden, 2**index, attention, lstm) for index in range(dconv_depth))
                return nn.Sequential(*rows)

            before = spec.channels if first else widths[number - 1]
            after = outputs if first else before
            parts = 2 if first else 1  # real and imaginary
            step = level.step
            self.encoders.append(_Encoder(step, parts * before, width, residual(), norm=norm))
            self.decoders.append(_Decoder(step, width, parts * after, norm=norm, last=first))
            if level.time is None:
                continue
            if number == self.meeting:
                self.time_encoders.append(_Down(level.time, before, width))
                self.time_decoders.append(_Up(level.time, width, after, norm=norm, last=False))
            else:
                self.time_encoders.append(_Encoder(level.time, before, width, residual(), norm=norm))
                self.time_decoders.append(_Decoder(level.time, width, after, norm=norm, last=first))
        self.embedding = nn.Parameter(_embedding(channels, levels[1].bins) / EMBEDDING_RATE)

    def standardise(self, mixtures: Tensor) -> None:
        """Do nothing: the network standardises each input."""

    def forward(self, mixture: Tensor) -> Tensor:
        """See :class:`~stemclean.models.contract.Separator`; always in float32, like the published weights.

        The input is extended by reflection at both ends, or by zeros if it is too short for that.
        """
        with torch.autocast(mixture.device.type, enabled=False):
            waveform = mixture.float()
            planes, *scale = _standardised(self._planes(waveform))
            samples, *time_scale = _standardised(waveform)
            planes, samples = self._decode(*self._encode(planes, samples))
            stems = len(self.spec.labels)
            spectral = _restored(planes.unflatten(1, (stems, -1)), *scale)  # (batch, stem, plane, freq, frame)
            temporal = _restored(samples.unflatten(1, (stems, -1)), *time_scale)
            return temporal + self._waveform(spectral, waveform.shape[-1])

    def _encode(self, planes: Tensor, samples: Tensor) -> tuple[list[_Encoded], list[_Encoded]]:
        """Return the outputs of the encoders of both branches, from the outermost to the innermost level."""
        encoded, time_encoded = [], []
        for number, encoder in enumerate(self.encoders):
            from_time: tuple[Tensor, ...] = ()
            if number <= self.meeting:
                size = samples.shape[-1]
                samples = self._through(self.time_encoders[number], samples)
                time_encoded.append(_Encoded(samples, size))
                from_time = (samples[:, :, None],) if number == self.meeting else ()  # -> (batch, channel, 1, frame)
            elif number == self.meeting + 1:
                planes = planes.squeeze(2)  # (batch, channel, 1, frame) -> (batch, channel, frame)
            size = planes.shape[2]
            planes = self._through(encoder, planes, *from_time)
            if number == 0:
                planes = planes + EMBEDDING_WEIGHT * EMBEDDING_RATE * self.embedding[:, :, None]
            encoded.append(_Encoded(planes, size))
        return encoded, time_encoded

    def _decode(self, encoded: list[_Encoded], time_encoded: list[_Encoded]) -> tuple[Tensor, Tensor]:
        """Return the outputs of the decoders of both branches: planes of a spectrogram, and samples."""
        planes = torch.zeros_like(encoded[-1].values)
        samples = planes  # replaced on the level where the branches split
        for number in reversed(range(len(self.encoders))):
            skip, size = encoded[number]
            if planes.ndim < skip.ndim:
                planes = planes[:, :, None]  # (batch, channel, frame) -> (batch, channel, 1, frame)
            planes, inner = self._through(self.decoders[number], planes, skip, size)
            if number > self.meeting:
                continue
            time_skip, time_size = time_encoded[number]
            decoder = self.time_decoders[number]
            if number == self.meeting:
                samples = self._through(decoder, inner.squeeze(2), time_size)
            else:
                samples, _ = self._through(decoder, samples, time_skip, time_size)
        return planes, samples

    def _through(self, level: nn.Module, *inputs: Any) -> Any:
        """Run a level, with activation checkpointing if it is enabled."""
        if self.checkpoint_activations and self.training and torch.is_grad_enabled():
            return checkpoint(level, *inputs, use_reentrant=False, preserve_rng_state=False)  # no random numbers in it
        return level(*inputs)

    def _planes(self, waveform: Tensor) -> Tensor:
        """Return a spectrogram whose frame k is centred on the middle of the k-th hop, without the highest bin.

        The scale is that of an orthonormal transform: except for the window, white noise keeps its standard deviation.

        Shape:
            ``(batch, channel, time)`` -> ``(batch, channel * part, freq, frame)``; the parts are real and imaginary.
        """
        padding = self.hop_length * 3 // 2
        missing = -waveform.shape[-1] % self.hop_length
        reflects = waveform.shape[-1] > padding + missing
        padded = functional.pad(waveform, (padding, padding + missing), "reflect" if reflects else "constant")
        spectrum = stft(padded, n_fft=self.n_fft, hop_length=self.hop_length)[:, :, :-1, 2:-2]
        parts = torch.view_as_real(spectrum * (math.sqrt(self.n_fft) / 2))  # (batch, channel, freq, frame, part)
        return parts.movedim(-1, 2).flatten(1, 2)

    def _waveform(self, planes: Tensor, num_samples: int) -> Tensor:
        """Invert :meth:`_planes`.

        Shape:
            ``(batch, stem, channel * part, freq, frame)`` -> ``(batch, stem, channel, num_samples)``.
        """
        parts = planes.unflatten(2, (self.spec.channels, 2)).movedim(3, -1)
        spectrum = torch.view_as_complex(parts.contiguous()) * (2 / math.sqrt(self.n_fft))
        spectrum = functional.pad(spectrum, (2, 2, 0, 1))  # the outer frames, and the highest bin
        padding = self.hop_length * 3 // 2
        length = self.hop_length * (spectrum.shape[-1] - 1)
        padded = istft(spectrum, n_fft=self.n_fft, hop_length=self.hop_length, num_samples=length)
        return padded[..., padding : padding + num_samples]


@dataclass(frozen=True)
class _Step:
    """Geometry of a convolution over the bins of a spectrogram (2-D) or over samples or frames (1-D)."""

    kernel: int
    stride: int
    padding: int
    spectral: bool = False

    def conv(self, inputs: int, outputs: int) -> nn.Module:
        if self.spectral:
            return _initialised(nn.Conv2d(inputs, outputs, (self.kernel, 1), (self.stride, 1), (self.padding, 0)))
        return _initialised(nn.Conv1d(inputs, outputs, self.kernel, self.stride, self.padding))

    def transposed(self, inputs: int, outputs: int) -> nn.Module:
        """Return a transposed convolution; the caller removes its padding."""
        if self.spectral:
            return _initialised(nn.ConvTranspose2d(inputs, outputs, (self.kernel, 1), (self.stride, 1)))
        return _initialised(nn.ConvTranspose1d(inputs, outputs, self.kernel, self.stride))

    def around(self, inputs: int, outputs: int, size: int) -> nn.Module:
        """Return a convolution that keeps the size."""
        kind = nn.Conv2d if self.spectral else nn.Conv1d
        return _initialised(kind(inputs, outputs, size, padding=size // 2))


@dataclass(frozen=True)
class _Level:
    """Number of input bins, the convolution over them (over frames if there is one bin), and that over samples."""

    bins: int
    step: _Step
    time: _Step | None


class _Encoded(NamedTuple):
    """Output of an encoder, and the size of its input along the axis that it shortened."""

    values: Tensor
    size: int


class _Down(nn.Module):
    """Downsampling convolution; its input is padded with zeros to a multiple of the stride."""

    def __init__(self, step: _Step, inputs: int, outputs: int) -> None:
        super().__init__()
        self.stride = step.stride
        self.conv = step.conv(inputs, outputs)

    def forward(self, hidden: Tensor) -> Tensor:
        """Shorten the third axis of ``(batch, channel, freq, frame)`` or ``(batch, channel, time)``."""
        missing = -hidden.shape[2] % self.stride
        if missing:
            hidden = functional.pad(hidden, (*[0, 0] * (hidden.ndim - 3), 0, missing))
        shorter: Tensor = self.conv(hidden)
        return shorter


class _Up(nn.Module):
    """Upsampling convolution back to a given number of bins or samples."""

    def __init__(self, step: _Step, inputs: int, outputs: int, *, norm: bool, last: bool) -> None:
        super().__init__()
        self.padding, self.last = step.padding, last
        self.conv = step.transposed(inputs, outputs)
        self.norm = _norm(outputs, norm)

    def forward(self, hidden: Tensor, size: int) -> Tensor:
        longer = self.norm(self.conv(hidden)).narrow(2, self.padding, size)
        return longer if self.last else functional.gelu(longer)


class _Encoder(nn.Module):
    """One level of an encoder."""

    def __init__(self, step: _Step, inputs: int, width: int, residual: nn.Sequential, *, norm: bool) -> None:
        super().__init__()
        self.down = _Down(step, inputs, width)
        self.norm = _norm(width, norm)
        self.residual = residual
        self.gate = step.around(width, 2 * width, 1)
        self.gate_norm = _norm(2 * width, norm)

    def forward(self, hidden: Tensor, other: Tensor | None = None) -> Tensor:
        """Encode ``hidden``; ``other`` is added to it on the level where the branches meet."""
        hidden = self.down(hidden)
        if other is not None:
            hidden = hidden + other
        hidden = functional.gelu(self.norm(hidden))
        if hidden.ndim == 3:
            hidden = self.residual(hidden)
        elif len(self.residual):  # along time, separately for each bin
            rows = hidden.transpose(1, 2)  # (batch, freq, channel, frame)
            hidden = self.residual(rows.flatten(0, 1)).view(rows.shape).transpose(1, 2)
        return functional.glu(self.gate_norm(self.gate(hidden)), 1)


class _Decoder(nn.Module):
    """One level of a decoder."""

    def __init__(self, step: _Step, width: int, outputs: int, *, norm: bool, last: bool) -> None:
        super().__init__()
        self.gate = step.around(width, 2 * width, 3)
        self.gate_norm = _norm(2 * width, norm)
        self.up = _Up(step, width, outputs, norm=norm, last=last)

    def forward(self, hidden: Tensor, skip: Tensor, size: int) -> tuple[Tensor, Tensor]:
        """Return the input of the next decoder, and of the other branch on the level where they split."""
        inner = functional.glu(self.gate_norm(self.gate(hidden + skip)), 1)
        return self.up(inner, size), inner


class _Residual(nn.Module):
    """A narrow residual branch along time; its output has a small weight at first.

    Args:
        width: channels of input and output.
        hidden: channels of the branch.
        dilation: dilation of its convolution.
        attention, lstm: whether it contains local attention, and an LSTM.
    """

    def __init__(self, width: int, hidden: int, dilation: int, attention: bool, lstm: bool) -> None:
        super().__init__()
        self.narrow = _initialised(nn.Conv1d(width, hidden, 3, dilation=dilation, padding=dilation))
        self.narrow_norm = nn.GroupNorm(1, hidden)
        self.lstm = _Recurrent(hidden) if lstm else nn.Identity()
        self.attention = _LocalAttention(hidden) if attention else nn.Identity()
        self.widen = _initialised(nn.Conv1d(hidden, 2 * width, 1))
        self.widen_norm = nn.GroupNorm(1, 2 * width)
        self.scale = nn.Parameter(torch.full((width,), RESIDUAL_SCALE))

    def forward(self, hidden: Tensor) -> Tensor:
        """``(batch, channel, frame)`` in and out."""
        inner = functional.gelu(self.narrow_norm(self.narrow(hidden)))
        inner = self.attention(self.lstm(inner))
        return hidden + self.scale[:, None] * functional.glu(self.widen_norm(self.widen(inner)), 1)


class _Recurrent(nn.Module):
    """A bidirectional LSTM with a skip connection.

    It runs on :data:`LSTM_FRAMES` frames at a time. Longer inputs are divided into chunks that overlap by half, and
    only the middle of each chunk's output is used.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(channels, channels, LSTM_LAYERS, bidirectional=True, batch_first=True)
        self.linear = nn.Linear(2 * channels, channels)

    def forward(self, hidden: Tensor) -> Tensor:
        """``(batch, channel, frame)`` in and out."""
        frames = hidden.shape[-1]
        rows = hidden.transpose(1, 2)  # -> (batch, frame, channel)
        outputs = self._run(rows) if frames <= LSTM_FRAMES else self._in_chunks(rows)
        return hidden + outputs.transpose(1, 2)

    def _run(self, rows: Tensor) -> Tensor:
        outputs: Tensor = self.linear(self.lstm(rows)[0])
        return outputs

    def _in_chunks(self, rows: Tensor) -> Tensor:
        batch, frames, _ = rows.shape
        hop, edge = LSTM_FRAMES // 2, LSTM_FRAMES // 4
        num_chunks = -(-frames // hop)
        padded = functional.pad(rows, (0, 0, 0, (num_chunks - 1) * hop + LSTM_FRAMES - frames))
        chunks = padded.unfold(1, LSTM_FRAMES, hop).transpose(2, 3)  # (batch, chunk, frame, channel)
        outputs = self._run(chunks.flatten(0, 1)).unflatten(0, (batch, num_chunks))
        middles = outputs[:, :, edge:-edge].flatten(1, 2)
        return torch.cat([outputs[:, 0, :edge], middles, outputs[:, -1, -edge:]], 1)[:, :frames]


class _LocalAttention(nn.Module):
    """Attention along time that decays with distance at a rate computed for each frame, with a skip connection.

    The score of a query at frame s and a key at frame t is their scaled product minus the sum over k of
    k * decay_k(s) * ``|t - s|`` / sqrt(:data:`DECAYS`), where decay_k(s) is in (0, 1 / 2). The keys have no bias: it
    would add the same number to all scores of a query, and the softmax is invariant to that.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.query, self.content, self.out = (_initialised(nn.Conv1d(channels, channels, 1)) for _ in range(3))
        self.key = _initialised(nn.Conv1d(channels, channels, 1, bias=False))
        self.decay = nn.Conv1d(channels, HEADS * DECAYS, 1)
        with torch.no_grad():
            self.decay.weight *= 0.01
            self.decay.bias.fill_(FIRST_DECAY)  # type: ignore[union-attr]

    def forward(self, hidden: Tensor) -> Tensor:
        """``(batch, channel, frame)`` in and out."""
        frames = hidden.shape[-1]
        query, key, content = (
            project(hidden).unflatten(1, (HEADS, -1)) for project in (self.query, self.key, self.content)
        )  # (batch, head, channel, frame)
        scores = query.transpose(-1, -2) @ key / math.sqrt(key.shape[2])  # (batch, head, query, key)
        positions = torch.arange(frames, device=hidden.device, dtype=hidden.dtype)
        distance = (positions[:, None] - positions).abs()
        steps = torch.arange(1, DECAYS + 1, device=hidden.device, dtype=hidden.dtype)
        decays = self.decay(hidden).unflatten(1, (HEADS, DECAYS)).sigmoid() / 2
        slope = torch.einsum("k,bhkt->bht", steps, decays) / math.sqrt(DECAYS)
        scores = scores - slope[..., None] * distance
        is_self = torch.eye(frames, device=hidden.device, dtype=torch.bool)
        weights = scores.masked_fill(is_self, SELF_SCORE).softmax(-1)
        attended = content @ weights.transpose(-1, -2)  # (batch, head, channel, query)
        summed: Tensor = hidden + self.out(attended.flatten(1, 2))
        return summed


def _levels(n_fft: int, depth: int) -> list[_Level]:
    """Return the convolutions of each level.

    Raises:
        ConfigError: no network can have this window or depth.
    """
    if n_fft & (n_fft - 1) or not SMALLEST_N_FFT <= n_fft <= LARGEST_N_FFT:
        raise ConfigError(f"hdemucs: n_fft is {n_fft}", f"give a power of two from {SMALLEST_N_FFT} to {LARGEST_N_FFT}")
    levels = []
    bins = n_fft // 2
    while bins > KERNEL:
        over_time = _Step(KERNEL, STRIDE, (KERNEL - STRIDE) // 2)
        levels.append(
            _Level(bins, _Step(over_time.kernel, over_time.stride, over_time.padding, spectral=True), over_time)
        )
        bins //= STRIDE
    stride = bins // 2  # so that the product of all strides is the hop, a quarter of the window
    levels.append(_Level(bins, _Step(bins, bins, 0, spectral=True), _Step(2 * stride, stride, stride // 2)))
    if not len(levels) <= depth <= MAX_DEPTH:
        raise ConfigError(
            f"hdemucs: depth is {depth}",
            f"with n_fft {n_fft} the branches meet on level {len(levels)}: give {len(levels)} to {MAX_DEPTH}",
        )
    shared = _Step(SHARED_KERNEL, SHARED_STRIDE, (SHARED_KERNEL - SHARED_STRIDE) // 2)
    return [*levels, *[_Level(1, shared, None)] * (depth - len(levels))]


def _check(number: int, normed: int, hidden: int, heads: int) -> None:
    """Raise ConfigError if norms or attention cannot divide the channels."""
    if normed % NORM_GROUPS or hidden < 1 or hidden % heads:
        raise ConfigError(
            f"hdemucs: the channels of level {number} cannot be shared out among "
            f"{NORM_GROUPS} groups of a norm and {heads} heads of an attention",
            "let options.channels be 8 or a multiple of it, and options.dconv_comp a divisor of it",
        )


def _standardised(values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Scale each example of a batch to mean 0 and deviation 1; return it with its original mean and deviation."""
    axes = tuple(range(1, values.ndim))
    mean = values.mean(axes, keepdim=True)
    deviation = values.std(axes, keepdim=True, correction=min(1, values[0].numel() - 1))
    return (values - mean) / (deviation + FLOOR), mean, deviation


def _restored(estimates: Tensor, mean: Tensor, deviation: Tensor) -> Tensor:
    """Return ``(batch, stem, …)`` with the mixture's mean and deviation."""
    return estimates * deviation[:, None] + mean[:, None]


def _norm(channels: int, enabled: bool) -> nn.Module:
    return nn.GroupNorm(NORM_GROUPS, channels) if enabled else nn.Identity()


def _initialised(conv: Any) -> nn.Module:
    """Rescale the initial weights of a convolution halfway, in log scale, to :data:`WEIGHT_DEVIATION`."""
    with torch.no_grad():
        factor = (WEIGHT_DEVIATION / conv.weight.std()).sqrt()
        conv.weight *= factor
        if conv.bias is not None:
            conv.bias *= factor
    module: nn.Module = conv
    return module


def _embedding(channels: int, bins: int) -> Tensor:
    """Return random walks over the bins, so that neighbours are similar, with deviation 1: ``(channels, bins)``."""
    return torch.randn(channels, bins).cumsum(1) / torch.arange(1, bins + 1).sqrt()


def from_torchaudio(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Convert the weights of torchaudio's ``HDemucs`` to those of a :class:`HybridDemucs` of the same size.

    torchaudio numbers the decoders from the innermost level. Two of its parameters have no effect and are left out: the
    norm of the innermost level of the waveform branch, which is never applied, and the bias of attention keys, which
    the softmax cancels.

    Args:
        state: ``state_dict()`` of the torchaudio model.

    Returns:
        State for ``load_state_dict``.
    """
    counts: dict[str, int] = defaultdict(int)
    for key in state:
        kind, number, *_ = key.split(".")
        if number.isdigit():
            counts[kind] = max(counts[kind], int(number) + 1)
    indices: dict[str, list[str]] = defaultdict(list)
    """Of a residual branch, the indices of its convolutions and norms, in order."""
    for key in state:
        if match := re.fullmatch(r"(.*\.dconv\.layers\.\d+)\.(\d+)\.weight", key):
            indices[match[1]].append(match[2])
    ours = {}
    for key, value in state.items():
        kind, number, *rest = key.split(".")
        if kind == "freq_emb":
            ours["embedding"] = value.T
            continue
        encodes, timed = kind.endswith("_encoder"), kind.startswith("time_")
        level = int(number) if encodes else counts[kind] - 1 - int(number)
        name = _ours(rest, indices.get(".".join([kind, number, *rest[:3]]), []), encodes=encodes)
        if timed and level == counts[kind] - 1:
            if encodes and rest[0] == "norm1":
                continue
            name = name.removeprefix("down.").removeprefix("up.")
        if not name.endswith("attention.key.bias"):
            ours[f"{'time_' if timed else ''}{'encoders' if encodes else 'decoders'}.{level}.{name}"] = value
    return ours


def _ours(theirs: list[str], indices: list[str], *, encodes: bool) -> str:
    """Return our name of a parameter within a level."""
    outer = {"conv": "down.conv", "conv_tr": "up.conv", "rewrite": "gate"}
    norms = {"norm1": "norm", "norm2": "gate_norm"} if encodes else {"norm1": "gate_norm", "norm2": "up.norm"}
    if theirs[0] != "dconv":
        return ".".join([(outer | norms)[theirs[0]], *theirs[1:]])
    _, _, layer, index, *inner = theirs
    if index in indices:
        name = ("narrow", "narrow_norm", "widen", "widen_norm")[indices.index(index)]
    elif inner[0] in ("lstm", "linear"):
        name = "lstm"
    else:
        name = "" if inner[0] == "scale" else "attention"
        inner = [{"query_decay": "decay", "proj": "out"}.get(inner[0], inner[0]), *inner[1:]]
    return ".".join(filter(None, ["residual", layer, name, *inner]))


def build(spec: ModelSpec, **options: Any) -> HybridDemucs:
    """Build the model; options as for :class:`HybridDemucs`."""
    return HybridDemucs(spec, **options)
