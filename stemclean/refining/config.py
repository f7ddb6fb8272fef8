"""Settings of judging and of self-refining."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from stemclean import verdicts
from stemclean.audio.activity import SILENCE_FLOOR_DBFS, Detector
from stemclean.refining import CLAIMED_THRESHOLD, FOLDS, MIN_SINGLE_SHARE, RETRAIN_ON, ROUNDS, THRESHOLD
from stemclean.settings import WHOLE, Chance, SettingError, Settings, SilenceDbfs
from stemclean.verdicts import Policy

__all__ = ["RefineConfig", "SelfConfig"]


Score = Annotated[float, Field(gt=0, lt=1)]


class RefineConfig(Settings):
    """Settings of judging.

    Args:
        threshold: score in (0, 1) above which a class is present; the paper's value is 0.9. A mapping gives one for
            each class; ``adaptive`` chooses the one with the highest F1, see :mod:`stemclean.refining.adaptive`.
        claimed_threshold: the same for the class that the dataset claims, see :func:`stemclean.verdicts.limits`.
            Values from 0.2 to 0.5 tell correct claims from swapped ones about equally well on the bundled weights'
            validation stems.
        max_bleed_db: tolerated bleed in dB relative to the claimed classes, -25 for example. A stem that contains what
            it claims is kept if all unclaimed classes together are softer. None: every class that is found counts.
            Needs weights with a level head.
        crosstalk: measure the bleed between the time-aligned stems of a song, see
            :mod:`stemclean.refining.crosstalk`. Ours.
        silence_floor_dbfs: level below which sound counts as silence; see :mod:`stemclean.audio.activity`.
        plain_windows: judge each window separately, as the paper does, instead of running the trunk once.
        margin: distance between a score and its threshold, in logits, within which a stem is judged again by plain
            windows, so that both ways reach the same decision (docs/benchmarks/speed.md counts the differences).
        detector: the activity detector, see :mod:`stemclean.audio.activity`. ``peak``, the paper's, is run on every
            stem before training or judging.
        joined: cut out silence and join the rest, as the paper does; every whole window of the result has the same
            weight. Otherwise a window is weighted by its active seconds.
        calibrated: use the calibration on the model card, if there is one; otherwise a score is the mean of its
            windows, as in the paper.
    """

    threshold: Annotated[
        Score | Mapping[str, Score] | Literal["adaptive"],
        Field(description='a number above 0 and below 1, one for each class, or "adaptive"'),
    ] = THRESHOLD
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
        """Return the policy for verdicts.

        Args:
            chance: prior probability of a class in the data that the scores were calibrated on.

        Raises:
            ValueError: the thresholds are ``adaptive`` and have not been resolved yet.
        """
        if isinstance(self.threshold, str):
            raise ValueError("adaptive thresholds must be resolved before stems are judged")
        return Policy(self.threshold, self.claimed_threshold, self.max_bleed_db, chance)

    def limits(self, labels: Iterable[str], claimed: Sequence[str]) -> dict[str, float]:
        """Return the score above which each class is present in a stem, see :func:`stemclean.verdicts.limits`."""
        policy = self.policy()
        return verdicts.limits(labels, claimed, policy.threshold, policy.claimed_threshold)


class SelfConfig(Settings):
    """Settings of self-refining.

    Args:
        rounds: number of rounds of training and judging; the paper found that more than two do not help.
        folds: number of parts that tracks are divided into; each part is judged by a classifier trained without it.
            1: one classifier judges its own training data, as in the paper.
        retrain_on: the stems that train the next round: those with exactly one class (``single``, as in the paper), or
            ``all`` with any, each with the classes found in it.
        min_single_share: minimum share of a class's claims that train the next round; if there are fewer, stems are
            added, see :func:`stemclean.refining.choosing.choose`. Ours; the paper leaves it open.
    """

    rounds: Annotated[int, Field(ge=1, le=1000), WHOLE] = ROUNDS
    folds: Annotated[int, Field(ge=1, le=1000), WHOLE] = FOLDS
    retrain_on: Literal["single", "all"] = RETRAIN_ON
    min_single_share: Chance = MIN_SINGLE_SHARE
