"""The manifest: what a dataset contains, what was found in it, and why. Schema ``stemclean.manifest/1``.

There are two file formats with the same model. ``.json`` is a single document; ``.jsonl`` (also ``.jsonl.gz``) has the
header object on its first line, followed by one stem per line, so that millions can be read lazily with
:func:`iter_stems`. Keys are sorted. Paths are POSIX and relative to ``root``, which is relative to the folder of the
manifest. Missing values are ``null``, never NaN. Unknown keys survive a round trip. Equal manifests give equal bytes.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import math
import os
import posixpath
import re
import shlex
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from stemclean.disk import file_sha256, replacing
from stemclean.documents import DEEPEST, FlawError, json_of
from stemclean.errors import ManifestError, in_plain_words
from stemclean.labels import class_names
from stemclean.outputs import refuse_foreign
from stemclean.units import SECONDS_DECIMALS

__all__ = [
    "ANNOTATION",
    "ESTIMATE",
    "F0",
    "SCHEMA",
    "Created",
    "Crosstalk",
    "Estimated",
    "HumanDecision",
    "Input",
    "Issue",
    "Manifest",
    "Model",
    "Region",
    "Skip",
    "Source",
    "Span",
    "Stem",
    "Verdict",
    "check_output",
    "file_sha256",
    "input_of",
    "is_lines",
    "iter_stems",
    "json_schema",
    "lines_of",
    "read",
    "read_documents",
    "read_header",
    "relative_root",
    "stem_of_line",
    "write",
    "write_lines",
]

ENDINGS = (".json", ".jsonl", ".jsonl.gz")
SCHEMA: Final = "stemclean.manifest/1"
LARGEST = 2**53
"""Largest integer that JSON readers agree on; 6 000 years of sound at 44.1 kHz."""
ANNOTATION: Final = "annotation"
"""``by`` of an f0 that came with the dataset."""

ESTIMATE: Final = "estimate"
"""``by`` of an f0 that was found next to its stem and is marked as an estimate."""


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise ValueError("must be a finite number; write null if there is none")
    return value


def _no_switch(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError(f"must be a number, not {str(value).lower()}")
    return value


def _nameable(text: str) -> str:
    if "\0" in text:
        raise ValueError("contains a NUL character, which file names cannot contain")
    return text


Name = Annotated[str, AfterValidator(_nameable)]
ClassName = Annotated[str, AfterValidator(class_names.checked)]
Fingerprint = Annotated[str, Field(pattern=r"^([0-9a-f]{4}){16}$")]
Whole = Annotated[int, BeforeValidator(_no_switch)]
Number = Annotated[float, AfterValidator(_finite), BeforeValidator(_no_switch)]
Score = Annotated[float, Field(ge=0.0, le=1.0), BeforeValidator(_no_switch)]
Severity = Literal["note", "warning", "error"]
Seconds = Annotated[float, Field(ge=0.0), AfterValidator(_finite), BeforeValidator(_no_switch)]


class _Noun(BaseModel):
    """The base of all objects. Unknown keys are kept, so that files of newer versions survive older ones."""

    model_config = ConfigDict(extra="allow", populate_by_name=True, use_attribute_docstrings=True)


class Input(_Noun):
    """A file or folder that the manifest was made from."""

    path: Name
    """as given, or relative to the folder of the manifest"""
    sha256: str | None = None
    """checksum of its bytes; for a folder, of its contents"""
    layout: str | None = None
    """layout in which its stems were found, such as ``track_folders``; null if it is a manifest"""


class Model(_Noun):
    """The weights that judged the stems."""

    uri: str
    """as accepted by ``--weights``"""
    sha256: str | None = None
    """checksum of the weights"""


class Created(_Noun):
    """The origin of a manifest. It contains no date, so that equal runs give equal bytes."""

    by: str
    """program and version"""
    command: str
    """command that wrote the manifest"""
    config: dict[str, Any] = Field(default_factory=dict)
    """all settings of the run, defaults included"""
    inputs: list[Input] = Field(default_factory=list)
    """files and folders that it was made from"""
    model: Model | None = None
    """weights that judged the stems; null if none did"""
    models: list[Model] = Field(default_factory=list)
    """with ``--folds``: weights of each fold, instead of ``model``"""

    def of(self, source: Input) -> Created:
        """Return a copy with another input."""
        return self.model_copy(update={"inputs": [source]})


class Region(_Noun):
    """A stretch of a stem that holds the same classes throughout."""

    start: Seconds
    """in seconds"""
    end: Seconds
    """in seconds; after ``start``, and not after the end of the file"""
    labels: list[str]
    """classes present; empty if there is no known class"""
    levels_db: dict[str, Number] = Field(default_factory=dict)
    """class -> power in dB relative to the whole sound of the region; empty if the weights estimate no levels"""


class Verdict(_Noun):
    """What to do with a stem, and why.

    Stems are ranked by ``label_quality``: the lower it is, the more likely the claim is wrong.
    """

    action: Literal["keep", "relabel", "mixed", "drop"]
    """``keep`` as claimed, ``relabel`` to another class, ``mixed`` (several classes), or ``drop``"""
    reason: str
    """code; see the reasons of a verdict"""
    label_quality: Score | None = None
    """estimated probability that the stem holds exactly what it claims; 0 for silence"""


class HumanDecision(_Noun):
    """What a person who listened to a stem decided. It overrules what was measured."""

    action: Literal["accept", "relabel", "drop"]
    """``accept`` the claim, ``relabel`` to other classes, or ``drop``"""
    labels: list[str]
    """classes that the stem holds, according to the person; empty if it is dropped"""
    note: str = ""
    """remark of the person"""
    by: str = ""
    """name of the person"""

    @model_validator(mode="after")
    def _agrees_with_its_action(self) -> HumanDecision:
        if self.action == "drop" and self.labels:
            raise ValueError("labels: must be empty, because the action is drop")
        if self.action != "drop" and not self.labels:
            raise ValueError(f"labels: must name a class, because the action is {self.action}")
        return self


class Issue(_Noun):
    """A remark on a stem. It does not change its labels."""

    code: str
    """code; see the codes of an issue"""
    severity: Severity = "note"
    """``note``, ``warning``, or ``error`` (the stem should not be used as it is)"""
    score: Score = 1.0
    """strength of the evidence"""
    detail: str = ""
    """details in one line"""


class Span(_Noun):
    """A stretch in which bleed is present."""

    start: Seconds
    """in seconds"""
    end: Seconds
    """in seconds; after ``start``"""
    level_db: Number
    """power in dB relative to the whole sound of the stretch"""


class Crosstalk(_Noun):
    """Bleed from another stem of the same song, as measured in this stem."""

    stem: str
    """id of the source stem"""
    label: str | None
    """class of the source stem; null if unclear"""
    level_db: Number
    """power in dB relative to the whole stem that it is in"""
    delay: Number
    """delay relative to the source stem, in seconds; negative if it is earlier"""
    spans: list[Span] = Field(default_factory=list)
    """where it is present, with a resolution of two seconds"""


class Source(_Noun):
    """The recording that a trimmed or otherwise derived file was cut from.

    The file contains the ``active`` regions of the stem, which then refer to the *source*, one after the other: sample
    n of the file is the n-th sample of the concatenated regions.
    """

    path: Name
    """relative to ``root``"""
    sha256: str | None = None
    """checksum of its bytes"""
    sample_rate: Whole = Field(gt=0, le=10_000_000)
    """in Hz"""
    num_samples: Whole = Field(ge=0, le=LARGEST)
    """number of samples per channel"""
    stream: Whole = Field(default=0, ge=0, le=65_535)
    """index of the audio stream in the file"""


class F0(_Noun):
    """The f0 of the voice in a stem: a file whose times refer to the file of the stem.

    A mixture with a known f0 but without stems is treated as a stem that holds all classes.
    """

    path: Name
    """relative to ``root``, POSIX"""
    format: str
    """file format; ``stemclean`` is ``time,f0_hz,voicing,confidence``"""
    sha256: str | None = None
    """checksum of the bytes of the file"""
    by: str
    """``annotation`` if it came with the dataset, ``estimate`` if it is marked as one, else the URI of the weights"""
    confidence: Score | None = None
    """mean over the frames; null if it came with the dataset"""

    @property
    def annotated(self) -> bool:
        """Whether it came with the dataset and is not an estimate."""
        return self.by == ANNOTATION


class Estimated(_Noun):
    """How a stem was estimated, if a separator made its sound."""

    by: str
    """weights, as accepted by ``--weights``"""
    confidence: Score
    """how far the sound can be trusted as a reference"""


class Stem(_Noun):
    """A recording that claims to hold one class."""

    id: Name
    """the path without its extension, and ``#n`` for the n-th stream of a file"""
    track: Name
    """song that it belongs to"""
    path: Name
    """relative to ``root``, POSIX"""
    stream: Whole = Field(default=0, ge=0, le=65_535)
    """index of the audio stream in the file"""
    sha256: str | None = None
    """checksum of the bytes of the file"""
    sample_rate: Whole = Field(gt=0, le=10_000_000)
    """in Hz"""
    channels: Whole = Field(gt=0, le=65_535)
    """number of channels in the file, before any downmix"""
    num_samples: Whole = Field(ge=0, le=LARGEST)
    """number of samples per channel"""
    split: Literal["train", "validation", "test"] | None = None
    """as declared by the dataset; test and validation stems are reported on, but never relabelled"""
    claimed: list[str]
    """classes according to the dataset; never overwritten"""
    labels: list[str]
    """classes that the stem is now believed to hold; any number"""
    scores: dict[str, Score] = Field(default_factory=dict)
    """class -> score; a high score means that the class is present"""
    found: list[str] | None = None
    """classes that were found in it, regardless of its labels; null if it was not judged"""
    levels_db: dict[str, Number] = Field(default_factory=dict)
    """class found -> power in dB relative to the whole stem; empty if the weights estimate no levels"""
    crosstalk: list[Crosstalk] | None = None
    """bleed from other stems of its song; null if it was not measured"""
    active: list[tuple[Seconds, Seconds]] | None = None
    """parts with sound, start and end in seconds; times in the ``source``, if there is one"""
    regions: list[Region] = Field(default_factory=list)
    """classes present over time"""
    loudness_lufs: Number | None = None
    """integrated loudness (ITU-R BS.1770); null if silent or too short"""
    peak_dbfs: Number | None = None
    """sample peak; null if silent"""
    verdict: Verdict | None = None
    """what to do with it; null if it was not judged"""
    decision: HumanDecision | None = None
    """what a person decided about it; null if nobody did"""
    fingerprint: Fingerprint | None = None
    """sixteen 16-bit numbers in hex that are nearly equal for copies; null if silent or not computed"""
    same_sound: Name | None = None
    """id of the first stem with the same sound, in any format; null if no other stem is known to have it"""
    source: Source | None = None
    """recording that it was cut from; null if it is an original file"""
    f0: F0 | None = None
    """f0 of its voice; null if unknown"""
    estimated: Estimated | None = None
    """how it was estimated; null if it is a recording"""
    issues: list[Issue] = Field(default_factory=list)
    """remarks that do not change its labels"""
    sampling_weight: float = Field(default=1.0, gt=0, le=1e6)
    """how often training draws it, relative to other stems; 1 if omitted"""
    extra: dict[str, Any] = Field(default_factory=dict)
    """anything else; in a corrupted dataset, the planted fault"""

    @property
    def duration(self) -> float:
        """Length of the file in seconds."""
        return self.num_samples / self.sample_rate

    @property
    def held_out(self) -> bool:
        """Whether it belongs to a declared test or validation split: reported on, but never relabelled."""
        return self.split in ("test", "validation")

    @property
    def dropped(self) -> bool:
        """Whether its verdict is ``drop``."""
        return self.verdict is not None and self.verdict.action == "drop"

    @property
    def usable(self) -> bool:
        """Whether it has labels and is not dropped."""
        return bool(self.labels) and not self.dropped

    @property
    def trainable(self) -> bool:
        """Whether a model may be trained or validated on it: usable, and not in a declared test split."""
        return self.usable and self.split != "test"

    @property
    def single(self) -> bool:
        """Whether it is believed to hold exactly one class."""
        return len(set(self.labels)) == 1

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Stem:
        if _leaves_root(self.path):
            raise ValueError(f'path: "{self.path}" leaves the root folder')
        if self.f0 and _leaves_root(self.f0.path):
            raise ValueError(f'f0.path: "{self.f0.path}" leaves the root folder')
        timeline, name = (self.source, "source") if self.source else (self, "file")
        _check_spans("active", self.active or [], timeline.num_samples / timeline.sample_rate, name)
        _check_spans("regions", [(r.start, r.end) for r in self.regions], self.duration, "file")
        return self


class Skip(_Noun):
    """A file that was skipped, and why."""

    path: str
    """relative to ``root`` if it lies below it"""
    reason: str
    """code; see the reasons of a skipped file"""
    detail: str = ""
    """details in one line"""
    by: str | None = None
    """command of the earlier run that skipped it; null if the run that wrote this manifest did"""


class Manifest(_Noun):
    """A dataset: a header and its stems."""

    schema_: Literal["stemclean.manifest/1"] = Field(default=SCHEMA, alias="schema")
    """version of the schema"""
    created: Created
    """origin of the manifest"""
    labels: list[ClassName]
    """classes in order; names without ``/`` and ``\\``"""
    root: Name = "."
    """folder of the stems, relative to that of the manifest"""
    stems: list[Stem] = Field(default_factory=list)
    """stems of the dataset"""
    skipped: list[Skip] = Field(default_factory=list)
    """files that were skipped"""
    summary: dict[str, Any] = Field(default_factory=dict)
    """statistics of the command that wrote the manifest"""

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Manifest:
        seen: dict[str, int] = {}
        classes = set(self.labels)
        for index, stem in enumerate(self.stems):
            if stem.id in seen:
                raise ValueError(f'stems[{index}].id: "{stem.id}" is also the id of stems[{seen[stem.id]}]')
            seen[stem.id] = index
            for field, labels in _classes_of(stem):
                unknown = sorted(set(labels) - classes)
                if unknown:
                    raise ValueError(f'stems[{index}].{field}: "{unknown[0]}" is not among the labels {self.labels}')
        return self

    @property
    def layout(self) -> str | None:
        """Layout in which :func:`stemclean.layouts.scan` has found its stems; None: another command wrote it."""
        return self.created.config.get("layout") if self.created.command == "scan" else None

    def with_stems(self, stems: Sequence[Stem], **changes: Any) -> Manifest:
        """A copy with other stems and, by keyword, other header fields."""
        return self.model_copy(update={"stems": list(stems), **changes})

    def folder(self, manifest_path: Path | None) -> Path:
        """The folder that stem paths are relative to, relative to the working directory.

        Args:
            manifest_path: where the manifest was read from; None if ``root`` is the folder itself.
        """
        return Path(self.root) if manifest_path is None else manifest_path.parent / self.root


def _classes_of(stem: Stem) -> Iterator[tuple[str, Iterable[str]]]:
    """Yield the classes that a stem names, with the name of the field."""
    yield "claimed", stem.claimed
    yield "labels", stem.labels
    yield "scores", stem.scores
    yield "found", stem.found or []
    yield "levels_db", stem.levels_db
    yield "decision.labels", stem.decision.labels if stem.decision else []
    yield "crosstalk", [bleed.label for bleed in stem.crosstalk or [] if bleed.label is not None]
    for number, region in enumerate(stem.regions):
        yield f"regions[{number}].labels", region.labels
        yield f"regions[{number}].levels_db", region.levels_db


def _named(stem: Stem) -> set[str]:
    """Return all classes that a stem names."""
    return set().union(*(labels for _, labels in _classes_of(stem)))


def _leaves_root(path: str) -> bool:
    drive = re.match(r"[A-Za-z]:[/\\]", path) is not None  # a Windows path, which would leave the root there
    return drive or posixpath.isabs(path) or posixpath.normpath(path).split("/")[0] == ".."


def _check_spans(field: str, spans: Sequence[tuple[float, float]], end_of_file: float, name: str) -> None:
    previous = 0.0
    for index, (start, end) in enumerate(spans):
        at = f"{field}[{index}]"
        if end <= start:
            raise ValueError(f"{at}: end {end:g} s is not after start {start:g} s")
        if start < previous - 1e-6:
            raise ValueError(f"{at}: start {start:g} s is before the previous end ({previous:g} s)")
        if end > end_of_file + 1e-5:
            raise ValueError(f"{at}: end {end:g} s is after the {name}'s end ({end_of_file:g} s)")
        previous = end


def read(path: str | Path) -> Manifest:
    """Read a manifest in either format.

    Raises:
        ManifestError: the file does not exist, is not JSON, or breaks a rule; the message contains the address,
            as in ``stems[412].active[0]: end 41.2 s is after the file's end (40.9 s)``.
    """
    path = Path(path)
    return _validate(path, _document(path))


def _document(path: Path) -> dict[str, Any]:
    """Return the whole content of a manifest."""
    with _readable(path), _open_text(path) as file:
        if not is_lines(path):
            return _parse(path, file.read())
        header = _parse(path, file.readline())
        return {**header, "stems": [_parse(path, line, number) for number, line in enumerate(file, 2) if line.strip()]}


def iter_stems(path: str | Path) -> Iterator[Stem]:
    """The stems of a manifest, one at a time; a ``.jsonl`` is read line by line.

    Raises:
        ManifestError: as in :func:`read`, with the line number.
    """
    path = Path(path)
    if not is_lines(path):
        yield from read(path).stems
        return
    header = read_header(path)
    for number, text in lines_of(path):
        yield stem_of_line(path, header, number, text)[1]


def read_header(path: str | Path) -> Manifest:
    """Return a manifest without its stems; of a ``.jsonl``, only the first line is read.

    Raises:
        ManifestError: as in :func:`read`.
    """
    path = Path(path)
    if not is_lines(path):
        return read(path).with_stems([])
    with _readable(path), _open_text(path) as lines:
        return _validate(path, _parse(path, lines.readline()))


def read_documents(path: str | Path) -> tuple[Manifest, list[tuple[dict[str, Any], Stem]]]:
    """Return a manifest without its stems, and its stems, each as it is written and as an object.

    Raises:
        ManifestError: as in :func:`read`.
    """
    path = Path(path)
    document = _document(path)
    whole = _validate(path, document)
    return whole.with_stems([]), list(zip(document.get("stems", []), whole.stems, strict=True))


def lines_of(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the lines of the stems of a ``.jsonl``, each with its number in the file.

    Raises:
        ManifestError: it cannot be read.
    """
    with _readable(path), _open_text(path) as lines:
        next(lines, None)
        for number, text in enumerate(lines, 2):
            if text.strip():
                yield number, text


def stem_of_line(path: Path, header: Manifest, number: int, text: str) -> tuple[dict[str, Any], Stem]:
    """Return the stem on a line, as it is written and as an object.

    Raises:
        ManifestError: as in :func:`read`, with the number of the line.
    """
    document = _parse(path, text, number)
    if "\\u" not in text:  # half a character is only possible as an escape
        with contextlib.suppress(ValidationError):
            stem = Stem.model_validate(document)
            if _is_typed(document) and _named(stem).issubset(header.labels):
                return document, stem
    whole = {"created": header.created, "labels": header.labels, "stems": [document]}
    return document, _validate(path, whole, number).stems[0]


def write(manifest: Manifest, path: str | Path) -> Path:
    """Write a manifest; the extension (``.json``, ``.jsonl``, ``.jsonl.gz``) selects the format.

    The file is written under a temporary name and then renamed, so it is never incomplete.
    """
    path = Path(path)
    header = manifest.with_stems([])
    stems = (_rounded(_shortened(stem.model_dump(mode="json", by_alias=True))) for stem in manifest.stems)
    if is_lines(path):
        lines = (json.dumps(stem, sort_keys=True, allow_nan=False, ensure_ascii=False) + "\n" for stem in stems)
        return write_lines(header, (line.encode() for line in lines), path)
    document = {**_head(header), "stems": list(stems)}
    text = json.dumps(document, sort_keys=True, allow_nan=False, ensure_ascii=False, indent=1) + "\n"
    with replacing(path) as temporary:
        temporary.write_bytes(text.encode())
    return path


def write_lines(header: Manifest, lines: Iterable[bytes], path: str | Path) -> Path:
    """Write a manifest as JSON lines from the lines of its stems, without holding it in memory.

    Args:
        header: the manifest without its stems.
        lines: a line for each stem, with sorted keys.
        path: ``.jsonl`` or ``.jsonl.gz``.
    """
    path = Path(path)
    first = json.dumps(_head(header), sort_keys=True, allow_nan=False, ensure_ascii=False) + "\n"
    with replacing(path) as temporary, temporary.open("wb") as file:
        packed = gzip.GzipFile(filename="", fileobj=file, mode="wb", mtime=0) if path.suffix == ".gz" else file
        packed.write(first.encode())
        for line in lines:
            packed.write(line)
        if packed is not file:
            packed.close()
    return path


def _head(header: Manifest) -> dict[str, Any]:
    """Return the header of a manifest as it is written."""
    document = header.model_dump(mode="json", by_alias=True, exclude={"stems"})
    if not document["created"]["models"]:
        del document["created"]["models"]
    for skip in document["skipped"]:
        if skip["by"] is None:
            del skip["by"]
    rounded: dict[str, Any] = _rounded(document)
    return rounded


def check_output(path: str | Path) -> Path:
    """Refuse an output path for a manifest before hours of work go into it.

    Raises:
        ManifestError: the path is a folder, or its extension is not that of a manifest.
        ConfigError: a file with this name exists and is not a manifest.
    """
    path = Path(path)
    if path.is_dir():
        raise ManifestError(f"{path}: this is a folder", f"name a file in it: {path / 'refined.json'}")
    if not path.name.endswith(ENDINGS):
        raise ManifestError(
            f"{path}: the extension of a manifest is {', '.join(ENDINGS[:-1])} or {ENDINGS[-1]}",
            f"name it {_named_like(path)}",
        )
    refuse_foreign(path, _is_manifest, "stemclean manifest")
    return path


def _named_like(path: Path) -> Path:
    """A name for a manifest in place of one with another extension: ``r.jsonl.gz`` for ``r.json.gz``."""
    if path.suffix == ".gz":
        return path.with_suffix("").with_suffix(".jsonl.gz")
    return path.with_suffix(".json")


def _is_manifest(path: Path) -> bool:
    """Whether a file declares the schema of a manifest; it may be damaged."""
    declared, before = re.compile(rb'"schema"\s*:\s*"stemclean\.manifest/'), b""
    with gzip.open(path) if path.suffix == ".gz" else open(path, "rb") as file:
        while block := file.read(1 << 20):
            if declared.search(before + block):
                return True
            before = block[-100:]
    return False


def input_of(data: str | Path, output: str | Path, source: Manifest | None = None) -> Input:
    """Return an input as it is named in a manifest: relative to the output, with a checksum if it is a file.

    Args:
        data: the file or folder.
        output: the manifest that names it.
        source: what was read from it, which knows the layout; None: not read yet.
    """
    path = Path(data)
    return Input(
        path=relative_root(path, Path(output)),
        sha256=file_sha256(path) if path.is_file() else None,
        layout=source.layout if source else None,
    )


def relative_root(folder: str | Path, manifest_path: str | Path) -> str:
    """``root`` of a manifest at ``manifest_path`` for stems in ``folder``: POSIX, relative if possible.

    Links are kept, except if ``..`` in a linked folder would lead elsewhere.
    """
    parent = Path(manifest_path).parent
    try:
        relative = os.path.relpath(folder, parent)
        if (parent / relative).resolve() != Path(folder).resolve():
            relative = os.path.relpath(Path(folder).resolve(), parent.resolve())
    except ValueError:  # another drive
        return Path(folder).resolve().as_posix()
    return Path(relative).as_posix()


def json_schema() -> dict[str, Any]:
    """The JSON Schema of the manifest."""
    schema = Manifest.model_json_schema(by_alias=True)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": SCHEMA, **schema}


def _shortened(stem: dict[str, Any]) -> dict[str, Any]:
    """Remove empty optional keys of a stem before it is written, and return it."""
    for optional in ("source", "stream", "levels_db", "f0", "estimated", "decision", "fingerprint", "same_sound"):
        if not stem.get(optional):
            stem.pop(optional, None)
    if stem["sampling_weight"] == 1.0:
        del stem["sampling_weight"]
    if stem["crosstalk"] is None:  # an empty list means that none was found
        del stem["crosstalk"]
    for region in stem["regions"]:
        if not region["levels_db"]:
            del region["levels_db"]
    if "source" in stem and not stem["source"]["stream"]:
        del stem["source"]["stream"]
    return stem


_DECIMALS = {
    "loudness_lufs": 2,
    "peak_dbfs": 2,
    "scores": 4,
    "levels_db": 1,
    "label_quality": 4,
    "confidence": 4,
    "start": SECONDS_DECIMALS,
    "end": SECONDS_DECIMALS,
    "active": SECONDS_DECIMALS,
}


def _rounded(value: Any, decimals: int = 6) -> Any:
    """The value with floats rounded to their precision, which depends on the key."""
    if isinstance(value, float):
        return round(value, decimals) + 0.0  # + 0.0: no "-0.0"
    if isinstance(value, dict):
        return {key: _rounded(item, _DECIMALS.get(key, decimals)) for key, item in value.items()}
    if isinstance(value, list):
        return [_rounded(item, decimals) for item in value]
    return value


def is_lines(path: Path) -> bool:
    """Return whether a manifest has one stem per line (``.jsonl``, ``.jsonl.gz``), by its name."""
    return path.name.endswith((".jsonl", ".jsonl.gz"))


@contextlib.contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except (UnicodeDecodeError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ManifestError(
            f"{path}: not UTF-8 text: {error}", "the file may be truncated, or not a manifest"
        ) from None


def _open_text(path: Path) -> Any:
    try:
        return gzip.open(path, "rt", encoding="utf-8-sig") if path.suffix == ".gz" else open(path, encoding="utf-8-sig")
    except IsADirectoryError:
        raise ManifestError(
            f"{path} is a folder, not a manifest", f"stemclean refine {shlex.quote(str(path))} makes a manifest of it"
        ) from None
    except OSError as error:
        raise ManifestError(
            f"{path}: {error.strerror or error}", "give a manifest, as refine writes it (.json, .jsonl or .jsonl.gz)"
        ) from None


def _parse(path: Path, text: str, number: int | None = None) -> dict[str, Any]:
    try:
        document = json_of(
            text, line=number or 1, any_depth=True
        )  # nesting is checked below, with the address of the stem
    except FlawError as error:
        typo = "if it was edited by hand, check the commas and quotes there"
        hint = "the file may be truncated; write it again" if error.cut else typo
        raise ManifestError(f"{path}: {error}", hint if "not JSON" in error.problem else "write it again") from None
    if not isinstance(document, dict):
        kind = {list: "a list", str: "text", type(None): "null"}.get(type(document), "a value")
        raise ManifestError(f"{path}: a manifest is a JSON object, but this is {kind}", "check the file name")
    return document


def _validate(path: Path, document: dict[str, Any], line: int | None = None) -> Manifest:
    declared = document.get("schema", SCHEMA)
    if declared != SCHEMA:
        raise ManifestError(f"{path}: unknown schema {_short_json(declared)}", f"this version reads {SCHEMA}")
    flaw = next(_flaws(document), None)
    try:
        if flaw is None or flaw[1] == _NOT_FINITE:  # the message of the field is better
            manifest = Manifest.model_validate(document)
        if flaw is None:
            return manifest
        address, problem = flaw
        at = address.lstrip(".") if line is None else f"line {line}" + address.removeprefix(".stems[0]")
        hint = "write null if there is none" if problem == _NOT_FINITE else ""
        raise ManifestError(f"{path}: {at}: {problem}", hint)
    except ValidationError as error:
        first = error.errors()[0]
        address = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"]).lstrip(".")
        problem = in_plain_words(first["msg"]) + _as_written(first)
        if line is not None:
            address = f"line {line}" + address.removeprefix("stems[0]")
        separator = (
            "." if address and problem.startswith(("active", "regions", "path", "f0")) else ": " if address else ""
        )
        more = f"and {error.error_count() - 1} more" if error.error_count() > 1 else ""
        raise ManifestError(f"{path}: {address}{separator}{problem}", more) from None


def _as_written(error: Mapping[str, Any]) -> str:
    """The invalid value, if it is short enough to be shown."""
    value = error["input"]
    if error["type"] in {"missing", "value_error"} or isinstance(value, dict | list | tuple):
        return ""
    text = _short_json(value)
    return f", not {text}" if text else ""


def _short_json(value: Any) -> str:
    """A value as JSON, or nothing if that is long."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) < 80 else ""


_NOT_FINITE = "must be a finite number"
_LONE_SURROGATE = "contains a lone surrogate (half a character)"


def _flaws(value: Any, at: str = "", depth: int = 0) -> Iterator[tuple[str, str]]:
    """Addresses of values that are not allowed anywhere in a manifest, and the reason."""
    if depth > DEEPEST:
        yield at[:200], f"nested too deeply: at most {DEEPEST} levels of lists and objects are allowed"
    elif isinstance(value, dict):
        for key, item in value.items():
            if not key.isprintable() and _has_surrogate(key):
                yield at, f"a key {_LONE_SURROGATE}"
            yield from _flaws(item, f"{at}.{key}", depth + 1)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _flaws(item, f"{at}[{index}]", depth + 1)
    elif (problem := _flaw(value)) is not None:
        yield at, problem


_NESTED: dict[str, type[_Noun]] = {
    "verdict": Verdict,
    "source": Source,
    "f0": F0,
    "estimated": Estimated,
    "decision": HumanDecision,
}
_NESTED_LISTS: dict[str, type[_Noun]] = {"regions": Region, "issues": Issue, "crosstalk": Crosstalk}
_TYPED: list[type[_Noun]] = [Stem, Span, *_NESTED.values(), *_NESTED_LISTS.values()]
_KEYS = {kind: frozenset(kind.model_fields) for kind in _TYPED}


def _is_typed(document: dict[str, Any]) -> bool:
    """Return whether a valid stem has no values but those with a type, in which :func:`_flaws` finds nothing more."""
    if document.get("extra") or not document.keys() <= _KEYS[Stem]:
        return False
    for key, kind in _NESTED.items():
        if (value := document.get(key)) and not value.keys() <= _KEYS[kind]:
            return False
    for key, kinds in _NESTED_LISTS.items():
        for value in document.get(key) or ():
            if not value.keys() <= _KEYS[kinds]:
                return False
    spans = (span for bleed in document.get("crosstalk") or () for span in bleed.get("spans", ()))
    return all(span.keys() <= _KEYS[Span] for span in spans)


def _flaw(value: object) -> str | None:
    if isinstance(value, float):
        return None if math.isfinite(value) else _NOT_FINITE
    if isinstance(value, str):
        return _LONE_SURROGATE if not value.isprintable() and _has_surrogate(value) else None
    return "must be a whole number up to 2^53" if isinstance(value, int) and abs(value) > LARGEST else None


def _has_surrogate(text: str) -> bool:
    return any("\ud800" <= letter <= "\udfff" for letter in text)
