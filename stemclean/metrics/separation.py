"""Evaluate separated sources: BSSEval v4, the SDR of the Sound Demixing Challenges, and SI-SDR.

Conventions
    *Audio* is ``(source, channel, time)``, float32 or float64, and is processed in float64. The reference and the
    estimate of a source have the same index. Values are in decibels, higher is better. The metrics of BSSEval have one
    value per *frame*: windows of 1 s without overlap; a shorter window at the end is dropped, and a song shorter than
    the window is one frame. The other metrics have one value per song.

    *Undefined* values are NaN, so that they cannot be averaged by mistake: the BSSEval metrics of every source in a
    frame in which any reference or estimate is silent (museval's rule; *silent* means that the sum over the channels is
    exactly zero for all samples), and all metrics of a source whose reference is silent throughout. A perfect estimate
    is ``inf``. :func:`over_frames` and :func:`over_tracks` leave out both.

    *Silent throughout*: museval refuses such a track. Here a source whose reference is silent is left out, and the
    other values are those of museval for a track without it. A source of which only the estimate is silent has no
    BSSEval metrics (its SDX'23 SDR is 0 dB), but its reference still counts as interference for the others.

    *Not determined* values are NaN too: ISR, SIR and SAR if the references are almost empty in some band, as after
    lossy compression above a cut-off, so that the equations for the filters are singular up to rounding. The filters
    are then arbitrary, and so is their response to the abrupt edges of frames, which have energy in every band;
    museval's values change by decibels with the order of the sources. See
    :data:`stemclean.metrics.toeplitz.DETERMINED`. The ISR depends only on its own reference, SIR and SAR on all of
    them. The regularised metrics are meant for such songs.

    *Length*: :func:`fit` gives an estimate its reference's length, as museval does.

Definitions
    BSSEval v4 is that of museval 0.4.1 (``mode="v4"``, one filter a track, 512 taps, images, no permutation); see
    :mod:`stemclean.metrics.projection`. With s the reference's frame, p its projection on its own delayed copies, q the
    projection of the estimate e on those of all references: ``SDR = |s|² / |e - s|²``, ``ISR = |s|² / |p - s|²``,
    ``SIR = |p|² / |q - p|²``, ``SAR = |q|² / |e - q|²``. The SDR needs no projection at all.

    The regularised ISR, SIR and SAR (ours) use the filters that would result if white noise with :data:`REGULARISATION`
    of its energy (-80 dB) were added to each channel of a reference. If the references have -60 dB or more in every
    band, the values are those of BSSEval within 0.02 dB.

    The challenges (MDX'21, arXiv 2108.13559; SDX'23, arXiv 2308.06979) compute ``|s|² / |e - s|²`` over the whole song.
    They add 1e-7 to both sums, which only affects the score of silence; here that is NaN.

    SI-SDR (Le Roux et al., "SDR - half-baked or well done?", ICASSP 2019) is ``|a s|² / |e - a s|²`` with
    ``a = <e, s> / |s|²``, over the whole song and all channels, without subtracting a mean.
"""

from __future__ import annotations

import itertools
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, fields
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from stemclean.metrics.projection import LOOK_BACK, Correlator, Energies, Projector, Spectrum, at_lags, filters

__all__ = [
    "DEFAULT_METRICS",
    "METRICS",
    "Metric",
    "NotDeterminedWarning",
    "Scores",
    "Stretches",
    "bss_eval",
    "evaluate",
    "fit",
    "measure",
    "over_frames",
    "over_tracks",
    "sdx_sdr",
    "si_sdr",
    "validate",
]

Array = NDArray[np.float64]
Audio = NDArray[Any]
Stretches = Callable[[], Iterable[tuple[Audio, Audio]]]
"""Function that returns the audio of a song from its start: pairs of stretches of references and estimates,
``(source, channel, time)`` each. All but the last are a whole number of windows long."""

WINDOW_SECONDS = 1.0
FRAMES_A_STRETCH = 4

BLOCK_SAMPLES = 1 << 16
"""Samples summed at once by metrics without frames."""

REGULARISATION = 1e-8
"""Regularisation as a share of the energy of each channel: -80 dB, about the noise of 16 bits below music."""

T = TypeVar("T")
U = TypeVar("U")


class NotDeterminedWarning(UserWarning):
    """Some values are not determined and were left out, see *Not determined* in :mod:`stemclean.metrics.separation`."""


@dataclass(frozen=True)
class Metric:
    """Names and properties of a metric.

    Args:
        name: name on the command line.
        key: key in JSON and CSV.
        title: heading in tables.
        definition: definition in one line.
        by_frame: one value per frame and the median over tracks, rather than one per song and the mean over songs.
        filtered: whether it needs the distortion filters, which take most of the time.
        ridge: regularisation of the filters, as a share of the energy of each channel.
    """

    name: str
    key: str
    title: str
    definition: str
    by_frame: bool = True
    filtered: bool = False
    ridge: float = 0.0


_FRAMES_ALONE = "frames of 1 s, median of frames, median of songs, mean of classes"
_FRAMES = f"BSSEval v4 as museval 0.4.1 has it: {_FRAMES_ALONE}"
_SONGS = "over the song; mean of classes, mean of songs"

METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("sdr", "bsseval_v4_sdr_db", "SDR, BSSEval v4", f"signal to distortion; {_FRAMES}"),
        Metric("isr", "bsseval_v4_isr_db", "ISR, BSSEval v4", f"image to spatial distortion; {_FRAMES}", filtered=True),
        Metric("sir", "bsseval_v4_sir_db", "SIR, BSSEval v4", f"signal to interference; {_FRAMES}", filtered=True),
        Metric("sar", "bsseval_v4_sar_db", "SAR, BSSEval v4", f"signal to artifacts; {_FRAMES}", filtered=True),
        *(
            Metric(
                f"{short}-reg",
                f"bsseval_v4_regularised_{short}_db",
                f"{short.upper()}, regularised -80 dB",
                f"as BSSEval v4, white noise of 1e-8 of its energy being added to each channel; {_FRAMES_ALONE}",
                filtered=True,
                ridge=REGULARISATION,
            )
            for short in ("isr", "sir", "sar")
        ),
        Metric("sdx-sdr", "sdx23_sdr_db", "SDR, SDX'23", f"10 log10(sum s² / sum (s - e)²) {_SONGS}", by_frame=False),
        Metric("si-sdr", "si_sdr_db", "SI-SDR", f"scale-invariant SDR {_SONGS}", by_frame=False),
    )
}
"""All metrics by their name on the command line."""

DEFAULT_METRICS = tuple(name for name, metric in METRICS.items() if not metric.ridge)
"""Metrics computed by default."""


@dataclass(frozen=True)
class Scores:
    """Scores of a song.

    Args:
        frames: name of a metric -> one value per source and frame, ``(source, frame)``.
        song: name of a metric -> one value per source, ``(source,)``.
        silent_references: sources whose reference is silent throughout.
        silent_estimates: sources of which only the estimate is silent throughout.
        num_samples: length of the song.
        not_determined: name of a metric -> sources without a value, because the references do not determine it;
            metrics that are determined for all sources are omitted.
    """

    frames: dict[str, Array]
    song: dict[str, Array]
    silent_references: list[int]
    silent_estimates: list[int]
    num_samples: int
    not_determined: dict[str, list[int]] = field(default_factory=dict)

    def of_song(self, metric: str) -> Array:
        """Return one value per source; frames are combined by :func:`over_frames`. Shape: (source,)."""
        return self.song[metric] if metric in self.song else over_frames(self.frames[metric])


def validate(reference: Audio, estimate: Audio) -> None:
    """Check a pair of arrays ``(source, channel, time)``.

    Raises:
        ValueError: wrong rank or type, no samples, different shapes, or samples that are not finite.
    """
    for name, array in (("reference", reference), ("estimate", estimate)):
        if array.ndim != 3 or array.dtype.kind != "f":
            raise ValueError(f"{name} must be floats (source, channel, time), not {array.dtype} {array.shape}")
        if not array.size:
            raise ValueError(f"{name}: no source, no channel or no sample: {array.shape}")
        if not np.isfinite(array).all():
            raise ValueError(f"{name}: a sample is not finite")
    if reference.shape != estimate.shape:
        raise ValueError(f"reference {reference.shape} and estimate {estimate.shape} differ in shape")


def fit(sound: Audio, num_samples: int) -> Audio:
    """Cut a sound to a length, or pad it with silence at the end, as museval does with estimates.

    >>> fit(np.ones((1, 2)), 3)
    array([[1., 1., 0.]])

    Shape:
        sound: ``(…, time)``; result: ``(…, num_samples)``.
    """
    missing = num_samples - sound.shape[-1]
    if missing <= 0:
        return sound[..., :num_samples]
    return np.concatenate([sound, np.zeros((*sound.shape[:-1], missing), sound.dtype)], axis=-1)


def sdx_sdr(reference: Audio, estimate: Audio) -> Array:
    """Return the SDR of the Sound Demixing Challenges, ``10 log10(sum s² / sum (s - e)²)``. Shape: (source,)."""
    return measure(_stretches_of(reference, estimate, BLOCK_SAMPLES), BLOCK_SAMPLES, ["sdx-sdr"]).song["sdx-sdr"]


def si_sdr(reference: Audio, estimate: Audio) -> Array:
    """Return the scale-invariant SDR of the song; NaN if the estimate is silent. Shape: (source,)."""
    return measure(_stretches_of(reference, estimate, BLOCK_SAMPLES), BLOCK_SAMPLES, ["si-sdr"]).song["si-sdr"]


def bss_eval(reference: Audio, estimate: Audio, window: int, threads: int = 1) -> tuple[Array, Array, Array, Array]:
    """Compute SDR, ISR, SIR and SAR of BSSEval v4 in dB, one value per frame, in museval's order.

    Args:
        reference: the true sources.
        estimate: the estimates of a separator.
        window: length of a frame in samples.
        threads: number of stretches processed in parallel.

    Shape:
        reference, estimate: ``(source, channel, time)``; each result: ``(source, frame)``.

    Raises:
        ValueError: see :func:`validate`.

    Warns:
        NotDeterminedWarning: values that are not determined are NaN.
    """
    scores = measure(_stretches_of(reference, estimate, window), window, ["sdr", "isr", "sir", "sar"], threads)
    _warn(scores)
    return scores.frames["sdr"], scores.frames["isr"], scores.frames["sir"], scores.frames["sar"]


def evaluate(
    reference: Audio,
    estimate: Audio,
    sample_rate: int,
    labels: Sequence[str],
    metrics: Iterable[str] = DEFAULT_METRICS,
    threads: int = 1,
) -> dict[str, float]:
    """Compute metrics of a song: ``KEY/CLASS``, and ``KEY/average`` over the classes that have a value.

    Args:
        reference: the true sources.
        estimate: the estimates of a separator.
        sample_rate: sample rate in Hz; a frame is 1 s.
        labels: names of the sources.
        metrics: names from :data:`METRICS`.
        threads: number of stretches processed in parallel.

    Shape:
        reference, estimate: ``(source, channel, time)``.

    Raises:
        ValueError: see :func:`validate`; an unknown metric; or the number of names differs from that of the sources.

    Warns:
        NotDeterminedWarning: values that are not determined are NaN.
    """
    if len(labels) != len(reference):
        raise ValueError(f"{len(labels)} names for {len(reference)} sources")
    metrics = list(metrics)
    window = round(WINDOW_SECONDS * sample_rate)
    scores = measure(_stretches_of(reference, estimate, window), window, metrics, threads)
    _warn(scores)
    report: dict[str, float] = {}
    for name in metrics:
        values = scores.of_song(name)
        key = METRICS[name].key
        report |= {f"{key}/{label}": float(value) for label, value in zip(labels, values, strict=True)}
        report[f"{key}/average"] = over_tracks(values, median=False)
    return report


def _warn(scores: Scores) -> None:
    """Warn about values that are not determined, at the line that called the public function."""
    if scores.not_determined:
        message = f"{', '.join(scores.not_determined)}: not determined by references that are empty in some band; NaN"
        warnings.warn(f"{message}; the metrics ending in -reg are", NotDeterminedWarning, stacklevel=3)


def over_frames(values: Array) -> Array:
    """Return the median over frames with a finite value, or NaN. Shape: (source, frame) -> (source,).

    Perfect frames (``inf``) are left out, as in museval's stores.
    """
    return np.array([over_tracks(row, median=True) for row in values])


def over_tracks(values: Iterable[float], *, median: bool) -> float:
    """Return the median or mean of the finite values; NaN if there is none.

    >>> over_tracks([1.0, 2.0, float("nan"), 9.0], median=True)
    2.0
    """
    finite = [value for value in values if np.isfinite(value)]
    return float(np.median(finite) if median else np.mean(finite)) if finite else float("nan")


def measure(stretches: Stretches, window: int, metrics: Iterable[str], threads: int = 1) -> Scores:
    """Compute metrics of a song that is given in stretches; memory use does not grow with its length.

    The audio is read once or, if filters are needed, twice.

    Args:
        stretches: the audio.
        window: length of a frame in samples.
        metrics: names from :data:`METRICS`.
        threads: number of stretches processed in parallel.

    Raises:
        ValueError: see :func:`validate`; or an unknown metric.
    """
    metrics = list(metrics)
    unknown = [name for name in metrics if name not in METRICS]
    if unknown:
        raise ValueError(f'no metric named "{unknown[0]}"; known: {", ".join(METRICS)}')
    filtered = [name for name in metrics if METRICS[name].filtered]
    total, spectra = _measured_levels(stretches, window, threads, filtered=bool(filtered))
    silent = total.silent
    parts = _Parts(
        with_reference=[int(source) for source in np.flatnonzero(~silent[0])],
        evaluated=[int(source) for source in np.flatnonzero(~silent.any(axis=0))],
    )
    levels = total.frames()
    usable = parts.usable(levels.silent)
    frames = {"sdr": _decibels(levels.reference, levels.error)}
    if spectra is not None:
        projected = _projected(stretches, levels, spectra, parts, threads, filtered if usable.any() else [])
        frames |= {name: np.full(usable.shape, np.nan) for name in filtered} | projected.frames
    reference, error, product, estimate = total.sums
    song = {
        "sdx-sdr": _decibels(reference, error, undefined=reference == 0),
        "si-sdr": _si_sdr(reference, error, product, estimate),
    }
    return Scores(
        {name: np.where(usable, frames[name], np.nan) for name in metrics if name in frames},
        {name: song[name] for name in metrics if name in song},
        silent_references=[int(source) for source in np.flatnonzero(silent[0])],
        silent_estimates=[source for source in parts.with_reference if silent[1, source]],
        num_samples=total.num_samples,
        not_determined={} if spectra is None else projected.not_determined,
    )


@dataclass(frozen=True)
class _Parts:
    """Sources in BSSEval: those with a reference that is not silent, and of these, those with such an estimate."""

    with_reference: list[int]
    evaluated: list[int]

    def usable(self, silent: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return where a value is defined: in frames in which no participating source is silent.

        Shape:
            silent: ``(2, source, frame)``, reference and estimate; result: ``(source, frame)``.
        """
        defined = np.zeros(silent.shape[1:], np.bool_)
        defined[self.evaluated] = ~(silent[0, self.with_reference].any(axis=0) | silent[1, self.evaluated].any(axis=0))
        return defined


def _measured_levels(
    stretches: Stretches, window: int, threads: int, *, filtered: bool
) -> tuple[_Total, Spectrum | None]:
    """First pass: compute energies and, if filters are needed, the cross spectra of all channels."""
    total, correlator = _Total(window), Correlator()

    def analyse(item: tuple[Audio, Audio, Audio]) -> tuple[tuple[_Levels, _Levels], Spectrum | None]:
        return _levels(*item[1:], window), correlator(*map(_by_channel, item)) if filtered else None

    spectra: Spectrum | None = None
    for part, spectrum in _ordered(analyse, _with_history(stretches()), threads):
        total.add(part)
        if spectrum is not None:
            spectra = spectrum if spectra is None else spectra + spectrum
    if not total.parts:
        raise ValueError("no audio")
    return total, spectra


@dataclass(frozen=True)
class _Projected:
    """Metrics that need filters.

    Args:
        frames: name of a metric -> ``(source, frame)``, NaN for sources that do not take part or have no value.
        not_determined: see :class:`Scores`.
    """

    frames: dict[str, Array]
    not_determined: dict[str, list[int]]


def _projected(
    stretches: Stretches, levels: _Levels, spectra: Spectrum, parts: _Parts, threads: int, metrics: Sequence[str]
) -> _Projected:
    """Second pass: apply the filters."""
    result = _Projected({}, {})
    if not metrics:
        return result
    num_sources = len(levels.reference)
    channels = spectra.shape[1] // num_sources
    references = _channels_of(parts.with_reference, channels)
    estimates = _channels_of(parts.evaluated, channels, offset=num_sources * channels)
    owners = [parts.with_reference.index(source) for source in parts.evaluated]
    correlations = at_lags(spectra[:, references][:, :, [*references, *estimates]])
    ridges = sorted({METRICS[name].ridge for name in metrics})
    solutions = [filters(correlations, owners, channels, ridge) for ridge in ridges]
    projectors = [Projector(solution, owners, levels.window) for solution in solutions]

    def energies(item: tuple[Audio, Audio]) -> list[Energies]:
        framed = _framed(item, parts, levels.window)
        return [projector(*framed) for projector in projectors]

    framed_stretches = (item for item in stretches() if item[0].shape[2] >= levels.window)
    by_ridge = zip(*_ordered(energies, framed_stretches, threads), strict=True)
    for ridge, solution, pieces in zip(ridges, solutions, by_ridge, strict=True):
        names = [name for name in metrics if METRICS[name].ridge == ridge]
        for name, values in _ratios(names, pieces, levels.reference[parts.evaluated]).items():
            determined = solution.own_determined & (solution.every_determined or name.startswith("isr"))
            missing = [source for source, valid in zip(parts.evaluated, determined, strict=True) if not valid]
            if missing:
                result.not_determined[name] = missing
            result.frames[name] = np.full(levels.reference.shape, np.nan)
            result.frames[name][parts.evaluated] = np.where(determined[:, None], values, np.nan)
    return result


def _ratios(metrics: Iterable[str], pieces: Sequence[Energies], reference: Array) -> dict[str, Array]:
    """Compute metrics from the energies of all frames. Shape: (source, frame) each."""
    spatial, own, interference, explained, artifacts = (
        np.concatenate([getattr(piece, part.name) for piece in pieces], axis=1) for part in fields(Energies)
    )
    values = {
        "isr": _decibels(reference, spatial),
        "sir": _decibels(own, interference),
        "sar": _decibels(explained, artifacts),
    }
    return {name: values[name.removesuffix("-reg")] for name in metrics}


@dataclass(frozen=True)
class _Levels:
    """Energies of the frames of a stretch, or of the rest after them.

    Shape:
        reference, error, product, estimate: ``(source, frame)``; silent: ``(2, source, frame)``, reference and
            estimate.
    """

    window: int
    num_samples: int
    reference: Array
    error: Array
    product: Array
    """inner product of reference and error"""
    estimate: Array
    silent: NDArray[np.bool_]


@dataclass
class _Total:
    """The energies of all stretches of a song."""

    window: int
    parts: list[_Levels] = field(default_factory=list)
    rests: list[_Levels] = field(default_factory=list)

    def add(self, part: tuple[_Levels, _Levels]) -> None:
        self.parts.append(part[0])
        self.rests.append(part[1])

    @property
    def num_samples(self) -> int:
        return sum(part.num_samples for part in itertools.chain(self.parts, self.rests))

    def _joined(self, name: str, parts: Iterable[_Levels]) -> NDArray[Any]:
        return np.concatenate([getattr(part, name) for part in parts], axis=-1)

    @property
    def sums(self) -> Array:
        """Sums of reference, error, product and estimate. Shape: (4, source)."""
        names = ("reference", "error", "product", "estimate")
        return np.stack([self._joined(name, [*self.parts, *self.rests]).sum(axis=-1) for name in names])

    @property
    def silent(self) -> NDArray[np.bool_]:
        """Whether reference and estimate are silent throughout. Shape: (2, source)."""
        return np.asarray(self._joined("silent", [*self.parts, *self.rests]).all(axis=-1))

    def frames(self) -> _Levels:
        """Return the energies of all frames; a song shorter than the window is one frame."""
        parts = self.parts if any(part.num_samples for part in self.parts) else self.rests
        window = self.window if parts is self.parts else self.num_samples
        values = (self._joined(name, parts) for name in ("reference", "error", "product", "estimate", "silent"))
        return _Levels(window, self.num_samples, *values)


def _levels(reference: Audio, estimate: Audio, window: int) -> tuple[_Levels, _Levels]:
    """Return the energies of the whole frames of a stretch, and of the rest after them."""
    if reference.shape != estimate.shape or reference.ndim != 3:
        raise ValueError(
            f"reference {reference.shape} and estimate {estimate.shape} must be equal, as (source, channel, time)"
        )
    num_samples = reference.shape[2]
    num_framed = num_samples // window * window
    frames = [slice(start, start + window) for start in range(0, num_framed, window)]
    rest = [slice(num_framed, num_samples)] if num_framed < num_samples else []
    return (
        _Levels(window, num_framed, *_frame_levels(reference, estimate, frames)),
        _Levels(window, num_samples - num_framed, *_frame_levels(reference, estimate, rest)),
    )


def _frame_levels(
    reference: Audio, estimate: Audio, frames: Sequence[slice]
) -> tuple[Array, Array, Array, Array, NDArray[np.bool_]]:
    shape = (len(reference), len(frames))
    reference_energy, error, product, estimate_energy = (np.zeros(shape) for _ in range(4))
    silent = np.zeros((2, *shape), np.bool_)
    for source, index in np.ndindex(*shape):
        frame = (source, slice(None), frames[index])
        true = np.ascontiguousarray(reference[frame], np.float64)
        estimated = np.ascontiguousarray(estimate[frame], np.float64)
        difference = estimated - true
        reference_energy[source, index] = np.vdot(true, true)
        error[source, index] = np.vdot(difference, difference)
        product[source, index] = np.vdot(true, difference)
        estimate_energy[source, index] = np.vdot(estimated, estimated)
        silent[:, source, index] = _silent(true), _silent(estimate[frame])
    return reference_energy, error, product, estimate_energy, silent


def _silent(sound: Audio) -> bool:
    """Return whether the sum of the channels is exactly zero throughout; the first samples are checked first."""
    return not sound[:, :64].sum(axis=0).any() and not sound.sum(axis=0).any()


def _si_sdr(reference: Array, error: Array, product: Array, estimate: Array) -> Array:
    """Compute SI-SDR: the part of the error that is parallel to the reference is a gain and does not count.

    The rest is a small difference of large numbers, computed from the error or the estimate, whichever is smaller, to
    lose less precision.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        target = np.square(reference + product) / reference
        residual = np.where(error < estimate, error - np.square(product) / reference, estimate - target)
    return _decibels(target, np.maximum(residual, 0.0), undefined=(reference == 0) | (target == 0))


def _decibels(numerator: Array, denominator: Array, undefined: NDArray[np.bool_] | None = None) -> Array:
    """Return ``10 log10`` of a ratio of energies; ``inf`` if the denominator is zero, NaN if it is undefined."""
    with np.errstate(divide="ignore", invalid="ignore"):
        values = np.where(denominator == 0, np.inf, 10.0 * np.log10(numerator / denominator))
    return values if undefined is None else np.where(undefined, np.nan, values)


def _framed(item: tuple[Audio, Audio], parts: _Parts, window: int) -> tuple[Array, Array]:
    """Return the frames of participating sources. Shape: (source, channel, time) -> (source, channel, frame, time)."""
    framed = []
    for sound, sources in zip(item, (parts.with_reference, parts.evaluated), strict=True):
        whole = sound.shape[2] // window * window
        chosen = np.asarray(sound[sources, :, :whole], np.float64)
        framed.append(chosen.reshape(*chosen.shape[:2], -1, window))
    return framed[0], framed[1]


def _channels_of(sources: Iterable[int], channels: int, offset: int = 0) -> list[int]:
    return [offset + int(source) * channels + channel for source in sources for channel in range(channels)]


def _by_channel(sound: Audio) -> Array:
    """Join the channels of all sources. Shape: (source, channel, time) -> (source * channel, time)."""
    return np.asarray(sound, np.float64).reshape(sound.shape[0] * sound.shape[1], sound.shape[2])


def _with_history(stretches: Iterable[tuple[Audio, Audio]]) -> Iterator[tuple[Audio, Audio, Audio]]:
    """Yield each stretch, preceded by the last samples of the references before it."""
    history: Audio | None = None
    for reference, estimate in stretches:
        if history is None:
            history = reference[:, :, :0]
        yield history, reference, estimate
        history = np.concatenate([history, reference[:, :, -LOOK_BACK:]], axis=2)[:, :, -LOOK_BACK:]


def _stretches_of(reference: Audio, estimate: Audio, window: int) -> Stretches:
    """Divide arrays into stretches."""
    validate(reference, estimate)
    step = window * FRAMES_A_STRETCH

    def stretches() -> Iterator[tuple[Audio, Audio]]:
        for start in range(0, reference.shape[2], step):
            yield reference[:, :, start : start + step], estimate[:, :, start : start + step]

    return stretches


def _ordered(function: Callable[[T], U], items: Iterable[T], threads: int) -> Iterator[U]:
    """Yield the results in the order of the items, while a few of them are computed in parallel."""
    if threads < 2:
        yield from map(function, items)
        return
    with ThreadPoolExecutor(threads) as pool:
        pending: deque[Future[U]] = deque()
        for item in items:
            pending.append(pool.submit(function, item))
            if len(pending) > threads:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
