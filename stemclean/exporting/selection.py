"""Select the stems of an export: which audio stands for which target class, and why the rest is left out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from tqdm import tqdm

from stemclean import duplicates
from stemclean.errors import AudioError
from stemclean.exporting.cutting import Spans, good_parts
from stemclean.exporting.targets import Targets
from stemclean.manifest import Manifest, Skip, Stem

__all__ = ["REASONS", "Item", "Selection"]

REASONS: dict[str, str] = {
    "several_classes": "it holds several classes that no target class holds together",
    "no_class": "it has no label",
    "held_out": "it is a declared validation or test stem, and the format is for training alone",
    "duplicate_across_splits": "a held-out stem has the same audio",
    "duplicate_in_song": "an earlier stem of the song has the same audio",
    duplicates.OTHER_CLASS: "a stem with other labels has the same audio, so one of the two is wrong",
    "other_class": "with --cut: a part of a stem holds a class that is not one of its labels",
    "silent": "it is silent; with --cut: silence before, after or between the parts of a stem",
    "too_short": "with --cut: a part of a stem is shorter than a second",
    "low_quality": "its label quality is below --min-quality",
    "not_judged": "it has no label quality, and --min-quality is given",
    "outside": "no target class holds any of its classes",
    "incomplete_song": "its song lacks a class, and the format was told to write complete songs alone",
    "too_quiet": "no chunk of it is loud enough for the trainer",
}
"""Reason code -> why audio was left out of an export. Others are reasons of verdicts and of skipped files."""


@dataclass(frozen=True)
class Item:
    """A stem, or parts of it, that stand for a target class.

    Args:
        stem: the stem.
        target: the target class.
        spans: the parts of the file that are exported, in seconds; None: all of it.
    """

    stem: Stem
    target: str
    spans: Spans | None = None

    @property
    def seconds(self) -> float:
        """Length of its audio."""
        return self.stem.duration if self.spans is None else sum(end - start for start, end in self.spans)

    @property
    def key(self) -> tuple[str, str]:
        """The id of the stem, and the target; no other item has both."""
        return self.stem.id, self.target


class Selection:
    """The items of an export, in the order of the manifest, and an account of everything that was left out.

    No audio is read here. A selection only shrinks: :meth:`keep` removes what cannot be used.

    Args:
        manifest: the dataset; its verdicts and labels decide.
        targets: the target classes.
        held_out: whether declared validation and test stems are taken. They are taken whole and as claimed, because
            they are never relabelled.
        min_quality: label quality below which a stem is left out; None: any will do. It is the probability that the
            claim is right, so relabelled stems are left out, too, except if a person relabelled them.
        cut: whether only the parts of a stem that fit a target are taken, see :mod:`stemclean.exporting.cutting`.
            Stems that a person decided about are taken whole.

    Attributes:
        items: what is exported so far.
        lost_seconds: target -> reason -> seconds left out. Audio with several labels counts under each target that
            holds one of them; audio without labels counts under the targets of its claims.
        outside_seconds: seconds with labels or claims that no target holds.
        reasons: id of a stem that was left out -> reason.
        skipped: files that could not be read.
    """

    def __init__(
        self,
        manifest: Manifest,
        targets: Targets,
        *,
        held_out: bool = False,
        min_quality: float | None = None,
        cut: bool = False,
    ) -> None:
        self.manifest, self.targets, self.held_out = manifest, targets, held_out
        self.min_quality, self.cut = min_quality, cut
        self.items: list[Item] = []
        self.lost_seconds: dict[str, dict[str, float]] = {target: {} for target in targets.names}
        self.outside_seconds = 0.0
        self.reasons: dict[str, str] = {}
        self.skipped: list[Skip] = []
        self._copies = duplicates.left_out(manifest.stems)
        for stem in manifest.stems:
            reason = self._reason(stem)
            if reason:
                self._lose(stem, reason, stem.duration)
            else:
                self._take(stem)

    @property
    def kept_seconds(self) -> dict[str, float]:
        """Target -> seconds of its items."""
        kept = dict.fromkeys(self.targets.names, 0.0)
        for item in self.items:
            kept[item.target] += item.seconds
        return kept

    @property
    def won_seconds(self) -> dict[str, dict[str, float]]:
        """Target -> claim -> seconds of its items whose claims mean another target or none: what refining found."""
        won: dict[str, dict[str, float]] = {target: {} for target in self.targets.names}
        for item in self.items:
            if self.targets.holding(item.stem.claimed) != item.target:
                claims, claim = won[item.target], "+".join(item.stem.claimed) or "no class"
                claims[claim] = claims.get(claim, 0.0) + item.seconds
        return won

    @property
    def empty(self) -> list[str]:
        """The targets without items."""
        full = {item.target for item in self.items}
        return [target for target in self.targets.names if target not in full]

    @property
    def filled(self) -> list[str]:
        """The targets with items."""
        empty = self.empty
        return [target for target in self.targets.names if target not in empty]

    def by_target(self) -> dict[str, list[Item]]:
        """Return all targets with their items."""
        found: dict[str, list[Item]] = {target: [] for target in self.targets.names}
        for item in self.items:
            found[item.target].append(item)
        return found

    def keep(self, check: Callable[[Item], str], *, title: str, quiet: bool = True) -> None:
        """Keep the items that pass a check.

        Args:
            check: returns the reason for leaving an item out; empty if it is kept. If it raises an
                :class:`~stemclean.errors.AudioError`, the item is left out for the reason of the error, and the file
                is listed in ``skipped``.
            title: of the progress bar.
            quiet: show no progress bar.
        """
        self.items = list(self._passing(check, title, quiet=quiet))

    def lose(self, items: Sequence[Item], error: AudioError) -> None:
        """Leave out items whose file turned out to be unreadable."""
        gone = {item.stem.id for item in items}

        def check(item: Item) -> str:
            if item.stem.id in gone:
                raise error
            return ""

        self.keep(check, title="")

    def drop_copies(self) -> None:
        """Leave out stems because of their duplicates, see :func:`stemclean.duplicates.left_out`.

        For formats that do not read the audio; otherwise this is part of listening, since silent files are no copies.
        """
        self.keep(self.copy_reason, title="compare")

    def copy_reason(self, item: Item) -> str:
        """Return the reason for leaving out a stem because of its duplicates; empty if there is none."""
        return self._copies.get(item.stem.id, "")

    def _passing(self, check: Callable[[Item], str], title: str, *, quiet: bool) -> Iterator[Item]:
        for item in tqdm(self.items, title, unit="stem", disable=True if quiet else None):
            try:
                reason = check(item)
            except AudioError as error:
                reason = error.reason
                skip = Skip(path=item.stem.path, reason=error.reason, detail=error.detail)
                self.skipped += [] if skip in self.skipped else [skip]
            if reason:
                self._lose(item.stem, reason, item.seconds)
            else:
                yield item

    def _reason(self, stem: Stem) -> str:
        """Return the reason for leaving out a stem, whatever the targets are; empty if there is none."""
        if stem.verdict and stem.dropped:
            return stem.verdict.reason
        if stem.held_out:
            return "" if self.held_out else "held_out"
        if not stem.labels:
            return "no_class"
        if self.min_quality is None or stem.decision is not None:
            return ""
        if stem.verdict is None or stem.verdict.label_quality is None:
            return "not_judged"
        return "low_quality" if stem.verdict.label_quality < self.min_quality else ""

    def _take(self, stem: Stem) -> None:
        """Add the items of a stem."""
        if self.cut and not stem.held_out and stem.decision is None:
            parts = good_parts(stem, self.targets)
            self.items += [Item(stem, target, spans) for target, spans in parts.kept.items()]
            for labels, reason, seconds in parts.lost:
                self._count(labels, reason, seconds)
            if not parts.kept:
                self.reasons[stem.id] = parts.lost[0][1] if self.targets.touching(stem.labels) else "outside"
        elif target := self.targets.holding(stem.labels):
            self.items.append(Item(stem, target))
        else:
            self._lose(stem, "several_classes" if stem.labels else "no_class", stem.duration)

    def _lose(self, stem: Stem, reason: str, seconds: float) -> None:
        """Count a stem, or parts of it, that are left out."""
        labels = stem.labels or stem.claimed
        self.reasons[stem.id] = reason if self.targets.touching(labels) else "outside"
        self._count(labels, reason, seconds)

    def _count(self, labels: Sequence[str], reason: str, seconds: float) -> None:
        touched = self.targets.touching(labels)
        if not touched:
            self.outside_seconds += seconds
        for target in touched:
            reasons = self.lost_seconds[target]
            reasons[reason] = reasons.get(reason, 0.0) + seconds
