"""Measure the bleed between the stems of a song, without a trained model. Ours.

A microphone picks up the next amplifier; a separator leaves some of the drums in the bass. The source of bleed is often
available as another stem of the same song. The stem is then a sum ``a + g * b``, and a regression of the stem on its
neighbour finds ``g``. It runs over the cells of a spectrogram, each weighted by how soft the stem's own sound is there:
while the neighbour plays and the stem pauses, only the bleed remains. This is the local Gaussian model of source
separation with known sources. (Prätzlich et al. 2015, "Kernel additive modeling for interference reduction in
multi-channel music recordings", use only its powers; since the sources are available, we can also use their phases.)

Direction
    Both stems contain the bleeding sound, and while the stem pauses, each is a multiple of the other. But bleed is
    softer than a stem's own sound, so only one of the two factors can be the gain of a bleed, and the right direction
    reduces the logarithm of the local powers more. Whether there is bleed in both directions is tested again after the
    bleed found in the source has been removed from it.

Rooms
    Bleed that is heard later than its source, with reflections, is measured by
    :mod:`stemclean.audio.crosstalk_room`, which has the same weights but more freedom.

Separated stems
    A separator leaves a share of each cell of the mixture in every stem, with gains that vary from cell to cell. This
    is no bleed of one stem into another; :mod:`stemclean.audio.phase_agreement` recognises it.

Limits: it cannot find sound that is in no other stem of the song, other takes, echoes later than 0.3 s, or sources
whose channels cancel (repair those first, :mod:`stemclean.audio.stereo`). The same sampled part in two stems is
reported as bleed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import scipy
from numpy.typing import NDArray

from stemclean.audio.crosstalk_fit import Blocks, Cells, Fit, blocks_together, fit, inverse_power
from stemclean.audio.crosstalk_room import AGREEMENT, fit_rooms, heard_later
from stemclean.audio.phase_agreement import AGREEMENT as SEPARATED
from stemclean.audio.phase_agreement import PhaseAgreement
from stemclean.units import seconds_to_samples

__all__ = ["BLOCK", "LOWEST_DB", "Crosstalk", "Measured", "measure"]

BLOCK = 2.0
"""Block length in seconds: within a block, bleed has a constant gain in each band; it may change between blocks."""
LATEST = 0.02
"""Maximum delay, in seconds, of bleed relative to its source, in either direction: seven metres of air."""
SALIENCE = 16.0
"""Minimum ratio of the peak of the correlation to its noise for two stems to be compared in detail."""
LOWEST_DB = -40.0
"""Minimum level, in dB relative to the stem, of bleed that is reported."""
PAUSE_DB = 20.0
"""If bleed is this far below its mean, its source pauses."""
STEADY = 0.3
"""Minimum steadiness of the gains of a bleed: two parts that play the same notes are similar too, but with another gain
for each note."""
BOTH_WAYS_DB = -28.0
BOTH_WAYS_TAKEN = 0.25
"""For the less likely direction of two stems, after the other bleed has been removed from the source: minimum level
relative to the stem, and minimum share of the previous reduction, for bleed in both directions."""
SAME_SOUND = 0.9
"""Two stems are the same recording if each makes up at least this share of the other."""


@dataclass(frozen=True)
class Crosstalk:
    """Bleed of one stem into another.

    Args:
        source, into: indices of the two stems.
        level_db: power of the bleed relative to that of the whole stem that it is in, in dB, at most 0.
        delay: delay relative to the source in seconds; negative: earlier.
        spans: start and end in seconds, with a resolution of :data:`BLOCK`, and level relative to the stem in dB.
    """

    source: int
    into: int
    level_db: float
    delay: float
    spans: tuple[tuple[float, float, float], ...] = ()


@dataclass(frozen=True)
class Measured:
    """What was measured between the stems of a song.

    Args:
        bleeds: sorted by the stem that they are in, then by source; none between stems that a separator made.
        separated: pairs of stems that a separator made from one mixture, and the agreement of their phases, in [0, 1].
    """

    bleeds: list[Crosstalk]
    separated: dict[tuple[int, int], float]


def measure(stems: Sequence[Blocks], sample_rate: int) -> Measured:
    """Measure all bleed between time-aligned stems of a song.

    Args:
        stems: functions that return the blocks of a stem from the start, ``(channel, time)``, of :data:`BLOCK` seconds
            and all with the same number of channels; a stem that ends early counts as silent after its end.
        sample_rate: sample rate of all stems in Hz.

    Returns:
        The bleeds, and the stems that a separator made.

    Raises:
        AudioError: a stem cannot be read.
    """
    cells = Cells(sample_rate)
    lags, rooms, loudness, agreement = _salient(stems, cells, seconds_to_samples(LATEST, sample_rate))
    separated = {pair: value for pair, value in agreement.items() if value >= SEPARATED}
    settled = {*separated, *(pair[::-1] for pair in separated)}
    in_rooms = _in_rooms(stems, cells, {pair: lag for pair, lag in rooms.items() if pair not in settled})
    settled |= {pair for bleed in in_rooms for pair in ((bleed.source, bleed.into), (bleed.into, bleed.source))}
    lags = {pair: lag for pair, lag in lags.items() if pair not in settled}
    bleeds = [*in_rooms, *_direct(stems, cells, lags, loudness)]
    return Measured(sorted(bleeds, key=lambda bleed: (bleed.into, bleed.source)), separated)


def _in_rooms(stems: Sequence[Blocks], cells: Cells, lags: Mapping[tuple[int, int], int]) -> list[Crosstalk]:
    """Measure the bleed that went through a room, see :mod:`stemclean.audio.crosstalk_room`."""
    if not lags:
        return []
    sources = {into: [source for source, other in lags if other == into] for _, into in lags}
    fits, powers = fit_rooms(stems, cells, sources)
    bleeds = []
    for (source, into), fitted in fits.items():
        power = float(powers[:, into].sum())
        share = min(float(fitted.bleed.sum()) / power, 1.0) if power else 0.0
        if fitted.agreement >= AGREEMENT and 10 ** (LOWEST_DB / 10) < share < SAME_SOUND:
            delay = lags[source, into] / cells.sample_rate
            spans = _spans(fitted.bleed, np.maximum(powers[:, into], 1e-20))
            bleeds.append(Crosstalk(source, into, 10 * math.log10(share), delay, spans))
    return bleeds


def _direct(
    stems: Sequence[Blocks], cells: Cells, lags: dict[tuple[int, int], int], loudness: NDArray[np.float64]
) -> list[Crosstalk]:
    """Measure the bleed that is a copy of its source, except for a delay and a filter."""
    if not lags:
        return []
    sample_rate = cells.sample_rate
    first, powers = fit(stems, cells, lags, loudness)
    twins = _twins(first, powers)
    if twins:  # the regression could not tell which of them bleeds
        lags = {pair: lag for pair, lag in lags.items() if pair[0] not in twins and pair[::-1] not in twins.items()}
        first, powers = fit(stems, cells, lags, loudness)
    likely = {
        pair: fitted
        for pair, fitted in first.items()
        if pair[::-1] not in first or fitted.taken >= first[pair[::-1]].taken
    }
    rid, _ = fit(stems, cells, lags, loudness, likely)
    present = [
        pair
        for pair in lags
        if rid[pair].steadiness() >= STEADY and (pair in likely or _both_ways(pair, first, rid, powers))
    ]
    sources = {source for source, _ in present}
    fits = {pair: rid[pair] for pair in present}
    if any(into in sources for _, into in present):  # a source has bleed itself, which is estimated better now
        fits, _ = fit(stems, cells, {pair: lags[pair] for pair in present}, loudness, fits)
    return [
        Crosstalk(
            source,
            into,
            10 * math.log10(share),
            lags[source, into] / sample_rate,
            _spans(fits[source, into].bleed, powers[:, into]),
        )
        for source, into in present
        for share in [_share(fits, (source, into), powers)]
        if share > 10 ** (LOWEST_DB / 10)
    ]


def _both_ways(
    pair: tuple[int, int],
    first: Mapping[tuple[int, int], Fit],
    rid: Mapping[tuple[int, int], Fit],
    powers: NDArray[np.float64],
) -> bool:
    """Return whether there is bleed in the less likely direction, too."""
    loud = _share(rid, pair, powers) >= 10 ** (BOTH_WAYS_DB / 10)
    return loud and rid[pair].taken >= BOTH_WAYS_TAKEN * first[pair].taken


def _share(fits: Mapping[tuple[int, int], Fit], pair: tuple[int, int], powers: NDArray[np.float64]) -> float:
    """Return the share of a bleed in the power of the stem that it is in."""
    power = float(powers[:, pair[1]].sum())
    return min(float(fits[pair].bleed.sum()) / power, 1.0) if power else 0.0


def _twins(fits: Mapping[tuple[int, int], Fit], powers: NDArray[np.float64]) -> dict[int, int]:
    """Return stems that are the same recording: the later one -> the one that is kept."""
    same = [
        pair for pair in fits if min(_share(fits, direction, powers) for direction in (pair, pair[::-1])) >= SAME_SOUND
    ]
    return {max(pair): min(pair) for pair in sorted(same, reverse=True)}


def _spans(bleed: NDArray[np.float64], power: NDArray[np.float64]) -> tuple[tuple[float, float, float], ...]:
    """Return the runs of blocks in which the source of a bleed does not pause; arguments are ``(block,)``."""
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
) -> tuple[dict[tuple[int, int], int], dict[tuple[int, int], int], NDArray[np.float64], dict[tuple[int, int], float]]:
    """Return pairs of stems whose weighted cross-correlation has a peak.

    Args:
        latest: the furthest lag, in samples.

    Returns:
        ((source, stem) -> lag, in both directions; the same for bleed through a room, in its direction; power of each
        stem where it sounds; agreement of the phases of each pair)
    """
    num, bins = len(stems), cells.length // 2 + 1
    cross = np.zeros((bins, num, num), np.complex64)  # of the stem bled into and the source
    source_power, own_power = np.zeros((bins, num, num), np.float32), np.zeros((bins, num), np.float32)
    powers, phases = [np.zeros(num)], PhaseAgreement(num)
    for block in blocks_together(stems, cells.length):
        powers.append(np.square(block, dtype=np.float64).mean((1, 2)))
        spectra = cells.spectra(block.mean(1)).transpose(2, 0, 1)  # (bin, stem, frame)
        power = np.abs(spectra) ** 2
        phases.add(spectra, power)
        weights = inverse_power(cells.around(power.transpose(1, 2, 0))).transpose(2, 0, 1)
        cross += (weights * spectra) @ spectra.conj().transpose(0, 2, 1)
        source_power += weights @ power.transpose(0, 2, 1)
        own_power += (weights * power).sum(-1)

    def correlation(source: int, into: int) -> NDArray[np.float32]:
        norm = source_power[:, into, source] * own_power[:, into]
        audible = norm > 1e-9 * norm.max()
        result: NDArray[np.float32] = scipy.fft.irfft(
            np.where(audible, cross[:, into, source] / np.sqrt(norm + 1e-30), 0)
        )
        return result

    lags, rooms = {}, {}
    for pair in combinations(range(num), 2):
        there, back = correlation(*pair), correlation(*pair[::-1])
        (salience, lag), (back_salience, back_lag) = _peak(there, latest), _peak(back, latest)
        later = {}
        if heard_later(there, back, lag, cells.sample_rate):
            later[pair] = lag
        if heard_later(back, there, back_lag, cells.sample_rate):
            later[pair[::-1]] = back_lag
        rooms.update(later)
        if max(salience, back_salience) >= SALIENCE:
            lag = lag if salience >= back_salience else -back_lag
            lags[pair], lags[pair[::-1]] = lag, -lag
    return lags, rooms, _loudness(np.array(powers)), phases.pairs()


def _loudness(powers: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean power of each stem over the blocks where it sounds: ``(block, stem)`` -> ``(stem,)``."""
    sounds = (powers > 0) & (powers >= 0.01 * powers.mean(0))
    total: NDArray[np.float64] = (powers * sounds).sum(0) / np.maximum(sounds.sum(0), 1)
    return total


def _peak(correlation: NDArray[np.floating], latest: int) -> tuple[float, int]:
    """Return the ratio of the highest peak within the lags to the RMS outside them, and the lag of the peak."""
    near = np.roll(correlation, latest)[: 2 * latest + 1]
    far = correlation[latest + 1 : -latest]
    index = int(np.abs(near).argmax())
    noise = float(np.sqrt(np.mean(far**2)))
    return (float(abs(near[index])) / noise if noise else 0.0), index - latest
