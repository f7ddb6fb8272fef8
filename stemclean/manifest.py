"""The manifest: what a dataset holds, what was found in it, and why. Schema ``stemclean.manifest/1``.

Two shapes on disk, one model. ``.json`` is one document; ``.jsonl`` (also ``.jsonl.gz``) has the
header object on its first line and then one stem a line, so that millions can be read lazily with
:func:`iter_stems`. Keys are sorted, paths are POSIX and relative to ``root``, which itself is relative to
the manifest's folder; there is ``null`` and never NaN; unknown keys survive a round trip. Equal
manifests give equal bytes.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import math
import os
import posixpath
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

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
    "SKIP_REASONS",
    "Created",
    "Crosstalk",
    "Estimated",
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
    "iter_stems",
    "json_schema",
    "read",
    "relative_root",
    "write",
]

ENDINGS = (".json", ".jsonl", ".jsonl.gz")
SCHEMA: Final = "stemclean.manifest/1"
LARGEST = 2**53
"""Whole numbers up to which JSON means the same everywhere; 6 000 years of sound at 44.1 kHz."""
ANNOTATION: Final = "annotation"
"""``by`` of an f0 that came with the dataset."""

ESTIMATE: Final = "estimate"
"""``by`` of an f0 that was found beside its stem and says that it is an estimate."""

SKIP_REASONS: dict[str, str] = {
    "class_unknown": "the name tells no class, or tells two",
    "mixture": "the file holds the whole song, or the song without some class, and is no stem",
    "not_found": "there is no such file, or it is there no more",
    "no_permission": "the file may not be read",
    "empty": "no bytes, or no samples",
    "not_audio": "the content is no audio that can be decoded",
    "wrong_extension": "the content is another format than the extension says",
    "truncated": "the file ends before its header says",
    "non_finite": "NaN or infinite samples",
    "no_audio_stream": "a container without sound",
    "unreadable": "decoding failed for another reason",
    "decoder_crashed": "the decoder crashed on the file, gave no answer, or needed more memory than a file may have",
    "changed_while_reading": "the file was written to, replaced or removed while this run was at it",
    "changed_since_scan": "the file is not the one that was scanned: its checksum is another",
    "unexpected_error": "an error that nobody foresaw, named in the detail, while the file was at work",
    "duplicate_id": "a second stem with the same id",
    "conflicting_rows": "a list says two things of one file",
    "outside_root": "the path leaves the dataset's folder",
    "not_in_manifest": "an audio file beside a manifest that does not name it",
    "silent": "nothing in the file is loud enough to be kept",
    "f0_unreadable": "a file of f0 beside a stem that cannot be read",
    "f0_wrong_unit": "a file of f0 whose numbers are in another unit than its format has",
    "f0_wrong_length": "a file of f0 that sings on after its stem has ended, or of what trimming cut away",
    "f0_without_stem": "a file of f0 beside which no vocals and no mixture lie",
    "f0_ambiguous": "a second file of f0 for one stem",
}
"""Reason code of a skipped file -> what it means."""


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise ValueError("must be a finite number; write null where there is none")
    return value


def _nameable(text: str) -> str:
    if "\0" in text:
        raise ValueError("holds a NUL character, which no file's name has")
    return text


Name = Annotated[str, AfterValidator(_nameable)]
ClassName = Annotated[str, AfterValidator(class_names.checked)]
Fingerprint = Annotated[str, Field(pattern=r"^([0-9a-f]{4}){16}$")]
Number = Annotated[float, AfterValidator(_finite)]
Score = Annotated[float, Field(ge=0.0, le=1.0)]
Severity = Literal["note", "warning", "error"]
Seconds = Annotated[float, Field(ge=0.0), AfterValidator(_finite)]


class _Noun(BaseModel):
    """Unknown keys are kept, so that a newer file survives an older reader."""

    model_config = ConfigDict(extra="allow", populate_by_name=True, use_attribute_docstrings=True)


class Input(_Noun):
    """A file that the manifest was made from."""

    path: Name
    """as it was given, or relative to the manifest's folder"""
    sha256: str | None = None
    """of its bytes; of a folder, of what it holds"""


class Model(_Noun):
    """The weights that judged the stems."""

    uri: str
    """as ``--weights`` takes it"""
    sha256: str | None = None
    """of the weights"""


class Created(_Noun):
    """Where a manifest comes from; holds no date, so that equal runs give equal bytes."""

    by: str
    """the program and its version"""
    command: str
    """the verb that wrote the manifest"""
    config: dict[str, Any] = Field(default_factory=dict)
    """every setting of the run, resolved"""
    inputs: list[Input] = Field(default_factory=list)
    """what it was made from"""
    model: Model | None = None
    """the weights that judged, where any did"""
    models: list[Model] = Field(default_factory=list)
    """with ``--folds``, the weights of every fold, instead of ``model``"""


class Region(_Noun):
    """A stretch of a stem that holds the same classes throughout; times in seconds."""

    start: Seconds
    """seconds"""
    end: Seconds
    """seconds, after ``start`` and not after the file's end"""
    labels: list[str]
    """the classes that sound; none: nothing known does"""
    levels_db: dict[str, Number] = Field(default_factory=dict)
    """class -> its power here in dB relative to all that sounds here; empty where the weights tell no levels"""


class Verdict(_Noun):
    """What to do with a stem and why.

    ``label_quality`` in [0, 1] is low where the claimed labels are likely wrong; it ranks stems.
    """

    action: Literal["keep", "relabel", "mixed", "drop"]
    """``keep`` as claimed, ``relabel`` to one other class, ``mixed`` of several, ``drop``"""
    reason: str
    """a code, see the reasons of a verdict"""
    label_quality: Score | None = None
    """low where the claim is likely wrong; 0 for silence"""


class Issue(_Noun):
    """A remark on one stem that changes no label."""

    code: str
    """what it is, see the codes of an issue"""
    severity: Severity = "note"
    """``note``, ``warning``, or ``error``: the stem should not be used as it is"""
    score: Score = 1.0
    """how strong the evidence is"""
    detail: str = ""
    """what was found, in one line"""


class Span(_Noun):
    """A stretch in which something is heard; times in seconds."""

    start: Seconds
    """seconds"""
    end: Seconds
    """seconds, after ``start``"""
    level_db: Number
    """its power there in dB relative to all that sounds there"""


class Crosstalk(_Noun):
    """Sound of another stem of the same song that was measured in this one."""

    stem: str
    """the id of the stem that it is from"""
    label: str | None
    """the class that stem carries; null: not clear"""
    level_db: Number
    """its power in dB relative to the whole of the stem that it is heard in"""
    delay: Number
    """seconds by which it comes later than in the stem that it is from; negative: earlier"""
    spans: list[Span] = Field(default_factory=list)
    """where it is heard, to two seconds"""


class Source(_Noun):
    """The recording that a trimmed or otherwise derived file was cut from.

    A stem that has one holds the stem's ``active`` regions *of the source*, one after the other:
    sample n of the file is the n-th sample of those regions put together.
    """

    path: Name
    """where it was found, relative to ``root``"""
    sha256: str | None = None
    """of its bytes"""
    sample_rate: int = Field(gt=0, le=10_000_000)
    """in Hz"""
    num_samples: int = Field(ge=0, le=LARGEST)
    """per channel"""
    stream: int = Field(default=0, ge=0, le=65_535)
    """which audio stream of the file"""


class F0(_Noun):
    """The fundamental frequency of what is sung in a stem: a file, with the times of the stem's own file.

    A mixture whose f0 is known, and of which there are no stems, is a stem too: one that holds every class.
    """

    path: Name
    """relative to ``root``, POSIX"""
    format: str
    """how the file is written: ``stemclean`` is ``time,f0_hz,voicing,confidence``"""
    sha256: str | None = None
    """of the file's bytes"""
    by: str
    """``annotation``: it came with the dataset; ``estimate``: it says itself that it is one; else the weights' URI"""
    confidence: Score | None = None
    """mean of the frames'; null where it came with the dataset"""

    @property
    def annotated(self) -> bool:
        """Whether it came with the dataset, and is not an estimate."""
        return self.by == ANNOTATION


class Estimated(_Noun):
    """Of a stem whose sound a separator made: which one, and how far it is trusted."""

    by: str
    """the weights, as ``--weights`` takes them"""
    confidence: Score
    """how far the sound is trusted as a reference"""


class Stem(_Noun):
    """One recording that claims to hold one class."""

    id: Name
    """the path without its ending, and ``#n`` for the n-th stream of a file"""
    track: Name
    """the song that it belongs to"""
    path: Name
    """relative to ``root``, POSIX"""
    stream: int = Field(default=0, ge=0, le=65_535)
    """which audio stream of the file"""
    sha256: str | None = None
    """of the file's bytes"""
    sample_rate: int = Field(gt=0, le=10_000_000)
    """in Hz"""
    channels: int = Field(gt=0, le=65_535)
    """of the file, before any down-mix"""
    num_samples: int = Field(ge=0, le=LARGEST)
    """per channel"""
    split: Literal["train", "validation", "test"] | None = None
    """as declared; test and validation stems are reported on, never relabelled"""
    claimed: list[str]
    """what the dataset said; never overwritten"""
    labels: list[str]
    """what is believed now: the classes that it holds, any number"""
    scores: dict[str, Score] = Field(default_factory=dict)
    """class -> how sure it is that the class is present"""
    found: list[str] | None = None
    """the classes that were found in it, whatever its labels are; null: not judged yet"""
    levels_db: dict[str, Number] = Field(default_factory=dict)
    """class found -> its power in dB relative to the whole stem's; empty where the weights tell no levels"""
    crosstalk: list[Crosstalk] | None = None
    """what is heard in it of other stems of its song; null: not measured"""
    active: list[tuple[Seconds, Seconds]] | None = None
    """where it sounds, start and end in seconds, of the ``source`` where there is one"""
    regions: list[Region] = Field(default_factory=list)
    """what sounds when"""
    loudness_lufs: Number | None = None
    """integrated, ITU-R BS.1770; null: silent or too short"""
    peak_dbfs: Number | None = None
    """of the samples; null: silent"""
    verdict: Verdict | None = None
    """what to do with it; null: not judged yet"""
    fingerprint: Fingerprint | None = None
    """what its copies have alike, 16-bit numbers in hex, by which they are looked for; null: silent, or not taken"""
    same_sound: Name | None = None
    """the id of the first stem with the same sound, in whatever format; null: none other is known to have it"""
    source: Source | None = None
    """what it was cut from; null: it is a recording as it came"""
    f0: F0 | None = None
    """what is sung in it; null: not known"""
    estimated: Estimated | None = None
    """who made its sound; null: it is a recording"""
    issues: list[Issue] = Field(default_factory=list)
    """remarks that change no label"""
    sampling_weight: float = Field(default=1.0, gt=0, le=1e6)
    """how often training draws it, relative to other stems; left out: 1"""
    extra: dict[str, Any] = Field(default_factory=dict)
    """anything else; of a planted dataset, what was planted"""

    @property
    def duration(self) -> float:
        """Length of the file in seconds."""
        return self.num_samples / self.sample_rate

    @property
    def held_out(self) -> bool:
        """Whether it is declared a test or validation stem: reported on, never relabelled."""
        return self.split in ("test", "validation")

    @property
    def dropped(self) -> bool:
        """Whether its verdict says that it is of no use."""
        return self.verdict is not None and self.verdict.action == "drop"

    @property
    def usable(self) -> bool:
        """Whether it is believed to hold some class, and not dropped."""
        return bool(self.labels) and not self.dropped

    @property
    def trainable(self) -> bool:
        """Whether a model may learn from it or be validated on it: usable, and no declared test stem."""
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
        line, what = (self.source, "source") if self.source else (self, "file")
        end_of_file = line.num_samples / line.sample_rate
        _check_spans("active", self.active or [], end_of_file, what)
        _check_spans("regions", [(r.start, r.end) for r in self.regions], self.duration, "file")
        return self


class Skip(_Noun):
    """A file that was passed over, and why."""

    path: str
    """relative to ``root`` where it lies below"""
    reason: str
    """a code, see the reasons of a skipped file"""
    detail: str = ""
    """what was found, in one line"""
    by: str | None = None
    """the verb of the earlier run that passed it over; null: the run that wrote this manifest"""


class Manifest(_Noun):
    """A dataset: a header and its stems."""

    schema_: Literal["stemclean.manifest/1"] = Field(default=SCHEMA, alias="schema")
    """the version of this contract"""
    created: Created
    """where it comes from"""
    labels: list[ClassName]
    """the classes, in their order; names without ``/`` and ``\\``"""
    root: Name = "."
    """the folder of the stems, relative to the manifest's own"""
    stems: list[Stem] = Field(default_factory=list)
    """what there is"""
    skipped: list[Skip] = Field(default_factory=list)
    """what was passed over, and why"""
    summary: dict[str, Any] = Field(default_factory=dict)
    """counts that the verb found worth telling"""

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Manifest:
        seen: dict[str, int] = {}
        known = set(self.labels)
        for index, stem in enumerate(self.stems):
            if stem.id in seen:
                raise ValueError(f'stems[{index}].id: "{stem.id}" stands at stems[{seen[stem.id]}] too')
            seen[stem.id] = index
            named: list[tuple[str, Iterable[str]]] = [
                ("claimed", stem.claimed),
                ("labels", stem.labels),
                ("scores", stem.scores),
                ("found", stem.found or []),
                ("levels_db", stem.levels_db),
                ("crosstalk", [one.label for one in stem.crosstalk or [] if one.label is not None]),
                *((f"regions[{number}].labels", region.labels) for number, region in enumerate(stem.regions)),
                *((f"regions[{number}].levels_db", region.levels_db) for number, region in enumerate(stem.regions)),
            ]
            for field, labels in named:
                unknown = sorted(set(labels) - known)
                if unknown:
                    raise ValueError(f'stems[{index}].{field}: "{unknown[0]}" is not among the labels {self.labels}')
        return self

    def with_stems(self, stems: Sequence[Stem], **changes: Any) -> Manifest:
        """A copy with other stems and, by keyword, other header fields."""
        return self.model_copy(update={"stems": list(stems), **changes})

    def folder(self, manifest_path: Path | None) -> Path:
        """The folder that stem paths are relative to, as seen from here.

        Args:
            manifest_path: where the manifest was read from; None: ``root`` stands for itself.
        """
        return Path(self.root) if manifest_path is None else manifest_path.parent / self.root


def _leaves_root(path: str) -> bool:
    drive = re.match(r"[A-Za-z]:[/\\]", path) is not None  # of Windows, which would leave the root there
    return drive or posixpath.isabs(path) or posixpath.normpath(path).split("/")[0] == ".."


def _check_spans(field: str, spans: Sequence[tuple[float, float]], end_of_file: float, what: str) -> None:
    previous = 0.0
    for index, (start, end) in enumerate(spans):
        at = f"{field}[{index}]"
        if end <= start:
            raise ValueError(f"{at}: end {end:g} s is not after start {start:g} s")
        if start < previous - 1e-6:
            raise ValueError(f"{at}: start {start:g} s is before the previous end ({previous:g} s)")
        if end > end_of_file + 1e-5:
            raise ValueError(f"{at}: end {end:g} s is after the {what}'s end ({end_of_file:g} s)")
        previous = end


def read(path: str | Path) -> Manifest:
    """Read a manifest of either shape.

    Raises:
        ManifestError: no such file, no JSON, or a broken rule; the message holds the address,
            as in ``stems[412].active[0]: end 41.2 s is after the file's end (40.9 s)``.
    """
    path = Path(path)
    with _readable(path):
        if _is_lines(path):
            with _open_text(path) as lines:
                header = _parse(path, lines.readline())
                stems = [_parse(path, line, number) for number, line in enumerate(lines, 2) if line.strip()]
            document = {**header, "stems": stems}
        else:
            with _open_text(path) as file:
                document = _parse(path, file.read())
    return _validate(path, document)


def iter_stems(path: str | Path) -> Iterator[Stem]:
    """The stems of a manifest one by one; of a ``.jsonl`` without holding more than one line.

    Raises:
        ManifestError: as :func:`read`, at the line concerned.
    """
    path = Path(path)
    if not _is_lines(path):
        yield from read(path).stems
        return
    with _readable(path), _open_text(path) as lines:
        header = _validate(path, _parse(path, lines.readline()))
        for number, line in enumerate(lines, 2):
            if line.strip():
                document = _parse(path, line, number)
                yield _validate(
                    path, {"created": header.created, "labels": header.labels, "stems": [document]}, number
                ).stems[0]


def write(manifest: Manifest, path: str | Path) -> Path:
    """Write a manifest; the ending (``.json``, ``.jsonl``, ``.jsonl.gz``) says the shape.

    The file appears whole or not at all (temporary name, then rename).
    """
    path = Path(path)
    document = manifest.model_dump(mode="json", by_alias=True)
    for stem in document["stems"]:
        _shorten(stem)
    if not document["created"]["models"]:
        del document["created"]["models"]
    for skip in document["skipped"]:
        if skip["by"] is None:
            del skip["by"]
    document = _rounded(document)
    if _is_lines(path):
        stems = document.pop("stems")
        text = "".join(
            json.dumps(line, sort_keys=True, allow_nan=False, ensure_ascii=False) + "\n" for line in (document, *stems)
        )
    else:
        text = json.dumps(document, sort_keys=True, allow_nan=False, ensure_ascii=False, indent=1) + "\n"
    data = text.encode()
    if path.suffix == ".gz":
        data = gzip.compress(data, mtime=0)
    with replacing(path) as temporary:
        temporary.write_bytes(data)
    return path


def check_output(path: str | Path) -> Path:
    """Refuse a manifest's path that must not be written, before hours of work go into it.

    Raises:
        ManifestError: a folder, or an ending that is no manifest's.
        ConfigError: a file is there that is no manifest.
    """
    path = Path(path)
    if path.is_dir():
        raise ManifestError(f"{path}: this is a folder", f"name a file in it: {path / 'refined.json'}")
    if not path.name.endswith(ENDINGS):
        raise ManifestError(f"{path}: a manifest ends in {', '.join(ENDINGS)}", f"name it {path.with_suffix('.json')}")
    refuse_foreign(path, _is_manifest, "manifest of stemclean")
    return path


def _is_manifest(path: Path) -> bool:
    """Whether a file says that it is one; it may be damaged."""
    declared, before = re.compile(rb'"schema"\s*:\s*"stemclean\.manifest/'), b""
    with gzip.open(path) if path.suffix == ".gz" else open(path, "rb") as file:
        while block := file.read(1 << 20):
            if declared.search(before + block):
                return True
            before = block[-100:]
    return False


def relative_root(folder: str | Path, manifest_path: str | Path) -> str:
    """``root`` of a manifest at ``manifest_path`` for stems below ``folder``: POSIX, relative where possible.

    Links are kept as they are named, but where a way up (``..``) out of a linked folder would lead astray.
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
    """The JSON Schema of the published contract."""
    schema = Manifest.model_json_schema(by_alias=True)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": SCHEMA, **schema}


def _shorten(stem: dict[str, Any]) -> None:
    """Leave out what says nothing in a stem that is about to be written."""
    for optional in ("source", "stream", "levels_db", "f0", "estimated", "fingerprint", "same_sound"):
        if not stem.get(optional):
            stem.pop(optional, None)
    if stem["sampling_weight"] == 1.0:
        del stem["sampling_weight"]
    if stem["crosstalk"] is None:  # an empty list says that there is none
        del stem["crosstalk"]
    for region in stem["regions"]:
        if not region["levels_db"]:
            del region["levels_db"]
    if "source" in stem and not stem["source"]["stream"]:
        del stem["source"]["stream"]


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
    """Floats rounded to what they mean, by the key that they stand under."""
    if isinstance(value, float):
        return round(value, decimals) + 0.0  # + 0.0: no "-0.0"
    if isinstance(value, dict):
        return {key: _rounded(item, _DECIMALS.get(key, decimals)) for key, item in value.items()}
    if isinstance(value, list):
        return [_rounded(item, decimals) for item in value]
    return value


def _is_lines(path: Path) -> bool:
    return path.name.endswith((".jsonl", ".jsonl.gz"))


@contextlib.contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except (UnicodeDecodeError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ManifestError(f"{path}: no UTF-8 text: {error}", "was the file cut off, or is it none?") from None


def _open_text(path: Path) -> Any:
    try:
        return gzip.open(path, "rt", encoding="utf-8-sig") if path.suffix == ".gz" else open(path, encoding="utf-8-sig")
    except OSError as error:
        raise ManifestError(
            f"{path}: {error.strerror or error}", "give a manifest (.json, .jsonl) or a folder of stems"
        ) from None


def _parse(path: Path, text: str, number: int | None = None) -> dict[str, Any]:
    try:
        document = json_of(text, line=number or 1, any_depth=True)  # too deep is told with the stem, below
    except FlawError as error:
        by_hand = "was it edited by hand? look for a comma or quote there"
        hint = "was the file cut off? write it again" if error.cut else by_hand
        raise ManifestError(f"{path}: {error}", hint if "no JSON" in error.what else "write it again") from None
    if not isinstance(document, dict):
        told = {list: "a list", str: "a text", type(None): "null"}.get(type(document), "a value")
        raise ManifestError(f"{path}: a manifest is a JSON object, this is {told}", "was another file meant?")
    return document


def _validate(path: Path, document: dict[str, Any], line: int | None = None) -> Manifest:
    declared = document.get("schema", SCHEMA)
    if declared != SCHEMA:
        raise ManifestError(f"{path}: schema {_told(declared)} is not known", f"this version reads {SCHEMA}")
    flaw = next(_flaws(document), None)
    try:
        if flaw is None or flaw[1] == _NOT_FINITE:  # which a field's own rule tells better
            manifest = Manifest.model_validate(document)
        if flaw is None:
            return manifest
        address, what = flaw
        at = address.lstrip(".") if line is None else f"line {line}" + address.removeprefix(".stems[0]")
        raise ManifestError(f"{path}: {at}: {what}", "write null where there is none" if what == _NOT_FINITE else "")
    except ValidationError as error:
        first = error.errors()[0]
        address = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"]).lstrip(".")
        what = in_plain_words(first["msg"]) + _as_written(first)
        if line is not None:
            address = f"line {line}" + address.removeprefix("stems[0]")
        separator = "." if address and what.startswith(("active", "regions", "path", "f0")) else ": " if address else ""
        more = f"and {error.error_count() - 1} more" if error.error_count() > 1 else ""
        raise ManifestError(f"{path}: {address}{separator}{what}", more) from None


def _as_written(error: Mapping[str, Any]) -> str:
    """The value that stands in the place of a right one, where it is short enough to be told."""
    value = error["input"]
    if error["type"] in {"missing", "value_error"} or isinstance(value, dict | list | tuple):
        return ""
    text = _told(value)
    return f", not {text}" if text else ""


def _told(value: Any) -> str:
    """A value as JSON has it; nothing where that is long."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) < 80 else ""


_NOT_FINITE = "must be a finite number"
_HALF_A_LETTER = "holds half a letter (a lone surrogate)"


def _flaws(value: Any, at: str = "", depth: int = 0) -> Iterator[tuple[str, str]]:
    """Addresses of what no manifest holds, wherever it stands, and why not."""
    if depth > DEEPEST:
        yield at[:200], f"nested too deeply: {DEEPEST} lists and objects in one another at most"
    elif isinstance(value, dict):
        for key, item in value.items():
            if not key.isprintable() and _has_surrogate(key):
                yield at, f"a key {_HALF_A_LETTER}"
            yield from _flaws(item, f"{at}.{key}", depth + 1)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _flaws(item, f"{at}[{index}]", depth + 1)
    elif (why := _flaw(value)) is not None:
        yield at, why


def _flaw(value: object) -> str | None:
    if isinstance(value, float):
        return None if math.isfinite(value) else _NOT_FINITE
    if isinstance(value, str):
        return _HALF_A_LETTER if not value.isprintable() and _has_surrogate(value) else None
    return "must be a whole number up to 2^53" if isinstance(value, int) and abs(value) > LARGEST else None


def _has_surrogate(text: str) -> bool:
    return any("\ud800" <= letter <= "\udfff" for letter in text)
