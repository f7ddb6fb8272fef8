"""Decisions of people who listened to stems: the file ``decisions.json``, and how it is applied to a dataset.

A decision belongs to the *content* of a stem: it is found again by the checksum of the file, even if the file has been
renamed. If several stems have the same content, each can have a decision of its own, which is found by its id.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from stemclean.disk import replacing
from stemclean.documents import FlawError, json_of
from stemclean.errors import ManifestError, in_plain_words
from stemclean.manifest import HumanDecision, Manifest, Stem
from stemclean.verdicts import with_decision

__all__ = ["MISFITS", "SCHEMA", "Decisions", "StemDecision", "applied", "parsed", "read", "write"]

SCHEMA: Final = "stemclean.decisions/1"

MISFITS: dict[str, str] = {
    "content_changed": "the stem with this id has other content now",
    "stem_gone": "no stem has this content or this id any more",
    "class_unknown": "the dataset has no such class",
    "held_out": "a declared test or validation stem, which is never relabelled",
    "ambiguous": "stems with other ids have this content, and the decisions about it differ",
}
"""Reason why a decision does not fit -> what it means."""


class StemDecision(HumanDecision):
    """A decision about one stem."""

    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None
    """checksum of the bytes of the file; null if the manifest has none, then the id must match"""
    stream: Annotated[int, Field(ge=0, le=65_535)] = 0
    """index of the audio stream in the file"""
    id: str
    """id of the stem when the decision was made"""
    decided: str = ""
    """date and time in ISO 8601"""

    @property
    def outcome(self) -> tuple[str, frozenset[str]]:
        """What must be equal in decisions that agree."""
        return ("drop" if self.action == "drop" else "use", frozenset(self.labels))

    def bare(self) -> HumanDecision:
        """Return what the manifest holds about it."""
        return HumanDecision(action=self.action, labels=self.labels, note=self.note, by=self.by)


class Decisions(BaseModel):
    """The file ``decisions.json``."""

    model_config = ConfigDict(extra="allow", populate_by_name=True)

    schema_: Literal["stemclean.decisions/1"] = Field(default=SCHEMA, alias="schema")
    decisions: list[StemDecision] = Field(default_factory=list)


def read(path: str | Path) -> Decisions:
    """Read a file of decisions.

    Raises:
        ManifestError: the file does not exist, is not valid, or contradicts itself; the message contains the address,
            as in ``decisions[3].labels: must name a class, because the action is accept``.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        hint = "give the file that the report downloads (decisions.json)"
        raise ManifestError(f"{path}: {error.strerror or error}", hint) from None
    except UnicodeDecodeError:
        raise ManifestError(f"{path}: not UTF-8 text", "give the file that the report downloads") from None
    return parsed(text, str(path))


def parsed(text: str, name: str) -> Decisions:
    """Parse a file of decisions; ``name`` is used in errors, which are those of :func:`read`."""
    again = "download it from the report again"
    try:
        document = json_of(text)
    except FlawError as error:
        raise ManifestError(f"{name}: {error}", again) from None
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        raise ManifestError(f'{name}: these are no decisions: "schema" is not {SCHEMA}', again)
    try:
        decisions = Decisions.model_validate(document)
    except ValidationError as error:
        first = error.errors()[0]
        address = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"]).lstrip(".")
        problem = in_plain_words(first["msg"])
        raise ManifestError(f"{name}: {address}{'.' if problem.startswith('labels:') else ': '}{problem}") from None
    for at, before in _contradictions(decisions.decisions):
        problem = f"decisions[{at}]: differs from decisions[{before}], which is about the same stem"
        raise ManifestError(f"{name}: {problem}", "keep one of the two")
    return decisions


def write(decisions: Decisions, path: str | Path) -> Path:
    """Write a file of decisions atomically. Keys are sorted, and equal decisions give equal bytes."""
    document = decisions.model_dump(mode="json", by_alias=True)
    text = json.dumps(document, sort_keys=True, ensure_ascii=False, indent=1) + "\n"
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return Path(path)


def applied(manifest: Manifest, decisions: Decisions) -> tuple[Manifest, dict[str, Any]]:
    """Apply decisions to a dataset.

    Args:
        manifest: the dataset, judged or not.
        decisions: decisions about stems of this dataset, or of an earlier state of it.

    Returns:
        (the manifest with labels and verdicts as decided, a report): ``fit``, number of stems with a decision that
        fits; ``unfit``, the other decisions, each with ``id``, ``sha256``, ``action``, and ``reason``, see
        :data:`MISFITS`.
    """
    by_content: dict[tuple[str | None, int], list[Stem]] = {}
    for stem in manifest.stems:
        for key in _keys(stem):
            by_content.setdefault(key, []).append(stem)
    with_id = {stem.id for stem in manifest.stems}
    labels = set(manifest.labels)
    chosen: dict[str, StemDecision] = {}
    unfit: list[tuple[StemDecision, str]] = []
    for decision, alike in _own_first(decisions.decisions, by_content):
        reason = ""
        if not alike:
            reason = "content_changed" if decision.id in with_id else "stem_gone"
        elif not set(decision.labels) <= labels:
            reason = "class_unknown"
        elif all(stem.held_out for stem in alike):
            reason = "held_out"
        elif any(chosen.get(stem.id, decision).outcome != decision.outcome for stem in alike):
            reason = "ambiguous"
        if reason:
            unfit.append((decision, reason))
        else:
            chosen |= {stem.id: decision for stem in alike if not stem.held_out and stem.id not in chosen}
    stems = [with_decision(stem, chosen[stem.id].bare()) if stem.id in chosen else stem for stem in manifest.stems]
    report = {
        "fit": len(chosen),
        "unfit": [
            {"id": decision.id, "sha256": decision.sha256, "action": decision.action, "reason": reason}
            for decision, reason in unfit
        ],
    }
    return manifest.with_stems(stems), report


def _keys(stem: Stem) -> Iterator[tuple[str | None, int]]:
    """Yield what identifies the content of a stem; a trimmed stem also has the content of its source."""
    yield stem.sha256, stem.stream
    if stem.source is not None and stem.source.sha256 is not None:
        yield stem.source.sha256, stem.source.stream


def _own_first(
    decisions: Sequence[StemDecision], by_content: dict[tuple[str | None, int], list[Stem]]
) -> Iterator[tuple[StemDecision, list[Stem]]]:
    """Yield decisions with the stems that they are about, first those whose stem still has its id.

    A decision whose stem has its id is about this stem alone. Otherwise it is about all stems with its content that no
    other decision is about.
    """
    own, others = [], []
    for decision in decisions:
        alike = by_content.get((decision.sha256, decision.stream), [])
        same_id = [stem for stem in alike if stem.id == decision.id]
        if same_id:
            own.append((decision, same_id))
        else:
            others.append((decision, [] if decision.sha256 is None else alike))
    taken = {stem.id for _, stems in own for stem in stems}
    yield from own
    for decision, alike in others:
        free = [stem for stem in alike if stem.id not in taken]
        yield decision, free or alike


def _contradictions(decisions: Sequence[StemDecision]) -> Iterator[tuple[int, int]]:
    """Yield the positions of decisions about the same stem that do not agree."""
    seen: dict[tuple[str | None, int, str], int] = {}
    for index, decision in enumerate(decisions):
        before = seen.setdefault((decision.sha256, decision.stream, decision.id), index)
        if decisions[before].outcome != decision.outcome:
            yield index, before
