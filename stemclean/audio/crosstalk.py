"""Which stem of a song is heard in which other one, and how loud: measured, not learned. Ours.

A microphone hears the neighbour's amplifier, a separator leaves some of the drums in the bass: what bleeds into a stem
often lies beside it, clean, in a stem of the same song. Then nobody need guess. The stem is a sum ``a + g * b``, and
``g`` is what a regression of the stem on its neighbour finds, cell by cell of a spectrogram, each weighted by how soft
the stem's own sound is there: where the neighbour plays and the stem pauses, its bleed lies open. This is the local
Gaussian model of source separation with known sources (Prätzlich et al. 2015, "Kernel additive modeling for
interference reduction in multi-channel music recordings", use its powers only; here the phases say more, since the
sources are at hand).

Who bleeds into whom
    Both stems hold the bleeding sound, and where the stem pauses either is the other one times a number. But a bleed is
    softer than the stem's own sound, so of the two numbers only one is a bleed's gain; and the right direction takes
    more from the logarithm of the local powers. Whether it goes both ways is asked again of a source that is rid of
    what was found to bleed into it.

What it cannot find: sound that no other stem of the song holds, other takes, echoes beyond :data:`LATEST`, and sources
whose channels cancel: give those mended (:mod:`stemclean.audio.stereo`). One sampled part in two stems is bleed to it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy.fft import irfft

from stemclean.audio.crosstalk_fit import Blocks, Cells, Fit, blocks_together, fit, inverse_power
from stemclean.units import seconds_to_samples

__all__ = ["BLOCK", "LOWEST_DB", "Crosstalk", "measure"]

BLOCK = 2.0
"""Seconds of a block: within one, a bleed has one gain in each band; from one to the next it may come and go."""
LATEST = 0.02
"""Seconds by which a bleed may come later, or earlier, than its source: seven metres of air."""
SALIENCE = 16.0
"""Peak of the correlation over its noise from which on two stems are looked at closely."""
LOWEST_DB = -40.0
"""What bleeds softer than this, in dB relative to the stem, is not told."""
PAUSE_DB = 20.0
"""Where a bleed is this far below its mean its source pauses."""
STEADY = 0.3
"""Steadiness of the gains from which on a bleed is believed: two parts that play the same notes have much in common,
too, but another gain with each note."""
BOTH_WAYS_DB = -28.0
BOTH_WAYS_TAKEN = 0.25
"""Of the unlikelier direction of two stems, once the source is rid of the other: a bleed as loud as this, relative to
the stem, that still takes this share of what it took before, is there too."""
SAME_SOUND = 0.9
"""Two stems of which either is this share of the other are one recording twice."""


@dataclass(frozen=True)
class Crosstalk:
    """What is heard of one stem in another.

    Args:
        source, into: positions of the two.
        level_db: power of the bleed relative to that of the whole stem it is in, in dB, at most 0.
        delay: seconds by which it comes later than in its source; negative: earlier.
        spans: where it is heard, to :data:`BLOCK`: start and end in seconds, and its level there relative to the stem.
    """

    source: int
    into: int
    level_db: float
    delay: float
    spans: tuple[tuple[float, float, float], ...] = ()


def measure(stems: Sequence[Blocks], sample_rate: int) -> list[Crosstalk]:
    """Every bleed between stems of one song that lie on one time line.

    Args:
        stems: each gives its blocks of :data:`BLOCK` seconds anew when called, all with as many channels,
            ``(channel, time)``; one that ends early is silent from there on.
        sample_rate: in Hz, of all.

    Returns:
        By the stem that is bled into, then the source.

    Raises:
        AudioError: whatever reading raises.
    """
    cells = Cells(sample_rate)
    lags, loudness = _salient(stems, cells, seconds_to_samples(LATEST, sample_rate))
    if not lags:
        return []
    first, powers = fit(stems, cells, lags, loudness)
    twins = _twins(first, powers)
    if twins:  # they would explain each other, and between them what bleeds from either
        lags = {pair: lag for pair, lag in lags.items() if pair[0] not in twins and pair[::-1] not in twins.items()}
        first, powers = fit(stems, cells, lags, loudness)
    likelier = {
        pair: one for pair, one in first.items() if pair[::-1] not in first or one.taken >= first[pair[::-1]].taken
    }
    rid, _ = fit(stems, cells, lags, loudness, likelier)
    there = [
        pair
        for pair in lags
        if rid[pair].steadiness() >= STEADY and (pair in likelier or _both_ways(pair, first, rid, powers))
    ]
    sources = {source for source, _ in there}
    found = {pair: rid[pair] for pair in there}
    if any(into in sources for _, into in there):  # some source is bled into, which is known better now
        found, _ = fit(stems, cells, {pair: lags[pair] for pair in there}, loudness, found)
    told = [
        Crosstalk(
            source,
            into,
            10 * math.log10(share),
            lags[source, into] / sample_rate,
            _spans(found[source, into].bleed, powers[:, into]),
        )
        for source, into in there
        for share in [_share(found, (source, into), powers)]
        if share > 10 ** (LOWEST_DB / 10)
    ]
    return sorted(told, key=lambda one: (one.into, one.source))


def _both_ways(
    pair: tuple[int, int],
    first: Mapping[tuple[int, int], Fit],
    rid: Mapping[tuple[int, int], Fit],
    powers: NDArray[np.float64],
) -> bool:
    """Whether the unlikelier direction of two stems is there as well."""
    loud = _share(rid, pair, powers) >= 10 ** (BOTH_WAYS_DB / 10)
    return loud and rid[pair].taken >= BOTH_WAYS_TAKEN * first[pair].taken


def _share(fits: Mapping[tuple[int, int], Fit], pair: tuple[int, int], powers: NDArray[np.float64]) -> float:
    """Of a bleed in the power of the stem that it is in."""
    power = float(powers[:, pair[1]].sum())
    return min(float(fits[pair].bleed.sum()) / power, 1.0) if power else 0.0


def _twins(fits: Mapping[tuple[int, int], Fit], powers: NDArray[np.float64]) -> dict[int, int]:
    """Stems that are one recording twice: the later one -> the one that is kept."""
    same = [pair for pair in fits if min(_share(fits, way, powers) for way in (pair, pair[::-1])) >= SAME_SOUND]
    return {max(pair): min(pair) for pair in sorted(same, reverse=True)}


def _spans(bleed: NDArray[np.float64], power: NDArray[np.float64]) -> tuple[tuple[float, float, float], ...]:
    """Runs of blocks in which a bleed is no further below its mean than a pause is; ``(block,)`` both."""
    present = bleed > bleed[bleed > 0].mean() * 10 ** (-PAUSE_DB / 10)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], present, [False]])))
    runs = zip(edges[::2], edges[1::2], strict=True)
    return tuple(
        (
            float(start * BLOCK),
            float(end * BLOCK),
            10 * math.log10(min(float(bleed[start:end].sum() / power[start:end].sum()), 1.0)),
        )
        for start, end in runs
    )


def _salient(
    stems: Sequence[Blocks], cells: Cells, latest: int
) -> tuple[dict[tuple[int, int], int], NDArray[np.float64]]:
    """Pairs whose weighted cross-correlation has a peak, in both directions: a peak does not tell which.

    Args:
        latest: the furthest lag, in samples.

    Returns:
        ((source, stem) -> lag, power of each stem where it sounds)
    """
    num, bins = len(stems), cells.length // 2 + 1
    cross = np.zeros((bins, num, num), np.complex64)  # of the stem bled into and the source
    source_power, own_power = np.zeros((bins, num, num), np.float32), np.zeros((bins, num), np.float32)
    powers = [np.zeros(num)]
    for block in blocks_together(stems, cells.length):
        powers.append(np.square(block, dtype=np.float64).mean((1, 2)))
        spectra = cells.spectra(block.mean(1)).transpose(2, 0, 1)  # (bin, stem, frame)
        power = np.abs(spectra) ** 2
        weights = inverse_power(cells.around(power.transpose(1, 2, 0))).transpose(2, 0, 1)
        cross += (weights * spectra) @ spectra.conj().transpose(0, 2, 1)
        source_power += weights @ power.transpose(0, 2, 1)
        own_power += (weights * power).sum(-1)

    def peak(source: int, into: int) -> tuple[float, int]:
        norm = source_power[:, into, source] * own_power[:, into]
        heard = norm > 1e-9 * norm.max()
        return _peak(irfft(np.where(heard, cross[:, into, source] / np.sqrt(norm + 1e-30), 0)), latest)

    lags = {}
    for one, other in combinations(range(num), 2):
        (salience, lag), (back, back_lag) = peak(one, other), peak(other, one)
        if max(salience, back) >= SALIENCE:
            lag = lag if salience >= back else -back_lag
            lags[one, other], lags[other, one] = lag, -lag
    return lags, _loudness(np.array(powers))


def _loudness(powers: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean power of each stem over the blocks where it sounds: ``(block, stem)`` -> ``(stem,)``."""
    sounds = (powers > 0) & (powers >= 0.01 * powers.mean(0))
    total: NDArray[np.float64] = (powers * sounds).sum(0) / np.maximum(sounds.sum(0), 1)
    return total


def _peak(correlation: NDArray[np.float64], latest: int) -> tuple[float, int]:
    """Height of the highest point within some lags over the RMS outside of them, and its lag."""
    near = np.roll(correlation, latest)[: 2 * latest + 1]
    far = correlation[latest + 1 : -latest]
    place = int(np.abs(near).argmax())
    noise = float(np.sqrt(np.mean(far**2)))
    return (float(abs(near[place])) / noise if noise else 0.0), place - latest
