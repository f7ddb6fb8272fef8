"""How stems are judged, and how a dataset refines itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from stemclean import verdicts
from stemclean.audio.activity import SILENCE_FLOOR_DBFS, Detector
from stemclean.refining import CLAIMED_THRESHOLD
from stemclean.settings import WHOLE, Chance, SettingError, Settings, SilenceDbfs
from stemclean.verdicts import Policy

__all__ = ["RefineConfig", "Running", "SelfConfig"]


Score = Annotated[float, Field(gt=0, lt=1)]


class RefineConfig(Settings):
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

    threshold: Annotated[
        Score | Mapping[str, Score] | Literal["adaptive"],
        Field(description='a number above 0 and below 1, one for each class, or "adaptive"'),
    ] = 0.9
    claimed_threshold: Score = CLAIMED_THRESHOLD
    max_bleed_db: Annotated[float, Field(ge=-200, le=200)] | None = None
    crosstalk: bool = True
    silence_floor_dbfs: SilenceDbfs = SILENCE_FLOOR_DBFS
    plain_windows: bool = False
    margin: Annotated[float, Field(ge=0, le=1000)] = 1.0
    detector: Detector = "sustained"
    joined: bool = False
    calibrated: bool = True

    @model_validator(mode="after")
    def _claims_count_for_their_class(self) -> Self:
        if isinstance(self.threshold, float) and self.claimed_threshold > self.threshold:
            raise SettingError(
                "claimed_threshold",
                f"claimed_threshold is {self.claimed_threshold:g}, above threshold {self.threshold:g}: "
                "a claim would count against its class",
                f"lower it too: --threshold {self.threshold:g} --claimed-threshold {self.threshold:g}",
            )
        return self

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


class SelfConfig(Settings):
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

    rounds: Annotated[int, Field(ge=1, le=1000), WHOLE] = 2
    folds: Annotated[int, Field(ge=1, le=1000), WHOLE] = 1
    retrain_on: Literal["single", "all"] = "single"
    min_single_share: Chance = 0.2


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
