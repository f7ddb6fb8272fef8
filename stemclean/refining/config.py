"""How stems are judged, and how a dataset refines itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from stemclean import verdicts
from stemclean.audio.activity import SILENCE_FLOOR_DBFS, Detector
from stemclean.errors import ConfigError
from stemclean.refining import CLAIMED_THRESHOLD
from stemclean.verdicts import Policy

__all__ = ["RefineConfig", "Running", "SelfConfig"]


@dataclass(frozen=True)
class RefineConfig:
    """How stems are judged.

    Args:
        threshold: a class is present above it, in (0, 1); the paper's 0.9. Class by class as a mapping. ``adaptive``:
            each class's own, which maximises F1, see :mod:`stemclean.refining.adaptive`.
        claimed_threshold: the same for the class that the dataset claims, see :func:`stemclean.verdicts.limits`;
            from 0.2 to 0.5 right and swapped claims of the bundled weights' validation stems part about equally well.
        max_bleed_db: a stem that holds what it claims is kept where the unclaimed classes found in it, together, are
            softer than the claimed ones by so many dB: -25, say. None: any class that is found counts, however soft.
            Needs weights with a level head.
        crosstalk: measure what is heard of a song's stems in one another, where they lie on one time line, see
            :mod:`stemclean.refining.crosstalk`. Ours.
        silence_floor_dbfs: what is softer is silence, however soft the song; see :mod:`stemclean.audio.activity`.
        plain_windows: judge every window by itself, as the paper does, instead of running the trunk once.
        margin: stems with a score this close to its threshold, in logits, are judged again by plain windows, so that
            both ways decide alike (docs/benchmarks/speed.md counts the decisions that differ).
        detector: what finds where a stem sounds, see :mod:`stemclean.audio.activity`. ``peak``, the paper's, finds it
            anew in every stem, before it trains or is judged.
        joined: cut out the silence and join the rest, as the paper does; each window that lies wholly in that counts
            alike. Otherwise a window counts by its active seconds.
        calibrated: use the calibration of the weights' card, if it has one; otherwise a score is the mean of its
            windows, as in the paper.
    """

    threshold: float | Mapping[str, float] | Literal["adaptive"] = 0.9
    claimed_threshold: float = CLAIMED_THRESHOLD
    max_bleed_db: float | None = None
    crosstalk: bool = True
    silence_floor_dbfs: float = SILENCE_FLOOR_DBFS
    plain_windows: bool = False
    margin: float = 1.0
    detector: Detector = "sustained"
    joined: bool = False
    calibrated: bool = True

    def __post_init__(self) -> None:
        if isinstance(self.threshold, str) and self.threshold != "adaptive":
            raise ConfigError(
                f'threshold is "{self.threshold}", but it is a score or adaptive', "the paper's threshold is 0.9"
            )
        if not self.silence_floor_dbfs <= 0:
            raise ConfigError(f"silence_floor_dbfs is {self.silence_floor_dbfs:g}", "give a level below 0, as -70")
        for name, value in self._scores():
            if not 0 < value < 1:
                raise ConfigError(
                    f"{name} is {value:g}, but scores lie between 0 and 1", "the paper's threshold is 0.9"
                )
        if isinstance(self.threshold, float | int) and self.claimed_threshold > self.threshold:
            raise ConfigError(
                f"claimed_threshold {self.claimed_threshold:g} is above threshold {self.threshold:g}: "
                "a claim would count against its class",
                f"lower it too: --threshold {self.threshold:g} --claimed-threshold {self.threshold:g}",
            )

    def policy(self, chance: float = 0.5) -> Policy:
        """How verdicts are given.

        Args:
            chance: of a class in what the scores were calibrated on.

        Raises:
            ValueError: the thresholds are ``adaptive`` and have not been found yet.
        """
        if isinstance(self.threshold, str):
            raise ValueError("adaptive thresholds are found before stems are judged by them")
        return Policy(self.threshold, self.claimed_threshold, self.max_bleed_db, chance)

    def limits(self, labels: Iterable[str], claimed: Sequence[str]) -> dict[str, float]:
        """The score above which each class of a stem is present, see :func:`stemclean.verdicts.limits`."""
        policy = self.policy()
        return verdicts.limits(labels, claimed, policy.threshold, policy.claimed_threshold)

    def _scores(self) -> Iterable[tuple[str, float]]:
        yield "claimed_threshold", self.claimed_threshold
        if isinstance(self.threshold, Mapping):
            yield from ((f"threshold of {label}", value) for label, value in self.threshold.items())
        elif not isinstance(self.threshold, str):
            yield "threshold", self.threshold


@dataclass(frozen=True)
class SelfConfig:
    """How a dataset refines itself.

    Args:
        rounds: how often a classifier is trained and judges; the paper found that more than two do not help.
        folds: parts of the tracks; each is judged by a classifier that was trained without it. 1: one classifier, which
            judges what it was trained on, as in the paper.
        retrain_on: what the next round is trained on: stems in which exactly one class was found (``single``, the
            paper's), or ``all``, each with the classes found in it.
        min_single_share: a class that keeps fewer stems for the next round than this share of its claims is filled up
            to it, see :func:`stemclean.refining.choosing.choose`; ours, the paper leaves it open.
    """

    rounds: int = 2
    folds: int = 1
    retrain_on: Literal["single", "all"] = "single"
    min_single_share: float = 0.2

    def __post_init__(self) -> None:
        if self.rounds < 1:
            raise ConfigError(f"{self.rounds} rounds are none", "the paper's answer is --rounds 2")
        if self.folds < 1:
            raise ConfigError(f"{self.folds} folds are none", "give two at least, or leave --folds out")
        if self.retrain_on not in ("single", "all"):
            raise ConfigError(f'nothing to retrain on is called "{self.retrain_on}"', "known: single, all")
        if not 0 <= self.min_single_share <= 1:
            raise ConfigError(
                f"min_single_share is {self.min_single_share:g}, but a share lies between 0 and 1",
                "0 fills up nothing, 0.2 is the default",
            )


@dataclass(frozen=True)
class Running:
    """How a run is carried out; nothing of it changes the result.

    Args:
        workers: stems judged at once; None: one a core.
        device: where the model judges; None: CUDA where there is one.
        resume: go on where an earlier run of the same data, weights and settings was stopped.
        quiet: no progress bars.
    """

    workers: int | None = None
    device: str | None = None
    resume: bool = True
    quiet: bool = False
