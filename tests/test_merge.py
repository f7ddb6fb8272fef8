"""``stemclean merge`` joins manifests in any order to the same bytes, and refuses contradictions."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from stemclean import manifest, manifest_chunks
from stemclean.cli import app
from stemclean.errors import ConfigError
from stemclean.manifest import F0, Created, Crosstalk, Manifest, Model, Skip, Source, Stem, Verdict
from stemclean.merge import merge
from stemclean.refining.summary import summary
from stemclean.running import Running

QUIET = Running(quiet=True)
LABELS = ["bass", "drums"]


def stem(song: str, label: str, **changes: Any) -> Stem:
    return Stem(
        id=f"{song}/{label}", track=song, path=f"{song}/{label}.wav", sample_rate=100, channels=1, num_samples=1000,
        claimed=[label], labels=[label], verdict=Verdict(action="keep", reason="as_claimed", label_quality=0.9),
        **changes,
    )  # fmt: skip


def song(name: str) -> list[Stem]:
    return [stem(name, label) for label in LABELS]


def dataset(stems: Sequence[Stem], *, root: str = "stems", labels: Sequence[str] = LABELS, **created: Any) -> Manifest:
    made = Created(**{"by": "test", "command": "refine", "config": {"threshold": 0.5}, **created})
    return Manifest(created=made, labels=list(labels), root=root, stems=list(stems))


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    def written(name: str, stems: Sequence[Stem], **options: Any) -> Path:
        return manifest.write(dataset(stems, **options), tmp_path / name)

    return written


def merged(paths: Sequence[Path], output: Path, **options: Any) -> Manifest:
    merge(paths, output, running=QUIET, **options)
    return manifest.read(output)


@pytest.mark.parametrize("ending", [".json", ".jsonl", ".jsonl.gz"])
def test_shards_in_any_order_give_the_same_bytes(tmp_path: Path, write: Callable[..., Path], ending: str) -> None:
    shards = [write(f"part{index}{ending}", song(f"song{index}")) for index in range(3)]
    results = set()
    for order in permutations(shards):
        whole = merged(order, tmp_path / f"whole{ending}")
        results.add((tmp_path / f"whole{ending}").read_bytes())
    assert len(results) == 1
    assert whole.stems == [stem for index in range(3) for stem in song(f"song{index}")]
    assert (whole.root, whole.created.command, whole.created.config) == ("stems", "merge", {"threshold": 0.5})


def test_the_summary_of_refine_is_computed_again(tmp_path: Path, write: Callable[..., Path]) -> None:
    drop = Verdict(action="drop", reason="no_known_class")
    parts = [write("a.json", song("a")), write("b.json", [stem("b", "bass").model_copy(update={"verdict": drop})])]
    whole = merged(parts, tmp_path / "m.json")
    assert whole.summary == {
        "stems": 3,
        "skipped": 0,
        "verdicts": {"keep": 2, "relabel": 0, "mixed": 0, "drop": 1},
        "reasons": {"as_claimed": 2, "no_known_class": 1},
        "seconds": {"bass": {"claimed": 20.0, "kept": 10.0}, "drums": {"claimed": 10.0, "kept": 10.0}},
        "noise": None,
    }


def test_the_noise_is_estimated_again_with_the_card_of_bundled_weights(
    tmp_path: Path, write: Callable[..., Path]
) -> None:
    from stemclean.models.weights import read_card, resolve

    path, uri = resolve("bundled:atto.v2")
    card = read_card(path)
    labels = card["spec"]["labels"]
    model = Model(uri=uri, sha256=manifest.file_sha256(path))

    def judged(name: str) -> list[Stem]:
        scores = {label: 0.9 if label == "drums" else 0.1 for label in labels}
        return [stem(name, label, scores=scores, found=["drums"]) for label in LABELS]

    parts = [write(f"{n}.json", judged(n), labels=labels, model=model) for n in "ab"]
    whole = merged(parts, tmp_path / "m.json")
    assert whole.summary == json.loads(json.dumps(summary(whole.stems, [], labels, [card])))
    assert whole.summary["noise"]["stems"] == 4


def test_a_stem_in_several_manifests_is_written_and_counted_once(tmp_path: Path, write: Callable[..., Path]) -> None:
    parts = [write("a.json", [*song("a"), *song("b")]), write("b.json", [*song("b"), *song("c")])]
    report = merge(parts, tmp_path / "m.json", running=QUIET)
    whole = manifest.read(tmp_path / "m.json")
    assert (report["stems"], report["repeated"], report["seconds"]) == (6, 2, 60.0)
    assert whole.summary["stems"] == 6 and whole.summary["seconds"]["bass"]["kept"] == 30.0


def test_another_result_for_the_same_stem_is_refused(tmp_path: Path, write: Callable[..., Path]) -> None:
    other = [stem("a", "bass").model_copy(update={"labels": ["drums"]})]
    with pytest.raises(ConfigError, match="different content") as caught:
        merged([write("a.json", song("a")), write("b.json", other)], tmp_path / "m.json")
    assert "stemclean diff" in caught.value.hint and not (tmp_path / "m.json").exists()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"labels": ["bass", "drums", "vocals"]}, "different classes: bass, drums; bass, drums, vocals"),
        ({"command": "check"}, "different commands: refine; check"),
        ({"model": Model(uri="hub:a/b", sha256="0" * 64)}, "different weights: none; hub:a/b (000000000000)"),
        ({"config": {"threshold": 0.9}}, "different settings: threshold=0.5; threshold=0.9"),
    ],
)
def test_differences_are_refused_or_allowed(
    tmp_path: Path, write: Callable[..., Path], options: dict[str, Any], says: str
) -> None:
    parts = [write("a.json", song("a")), write("b.json", song("b"), **options)]
    words = ["merge", *map(str, parts), "-o", str(tmp_path / "m.json")]
    refused = CliRunner().invoke(app, words)
    assert refused.exit_code == 2 and says in refused.stderr and "--allow-differences" in refused.stderr
    assert CliRunner().invoke(app, [*words, "--allow-differences"]).exit_code == 0
    whole = manifest.read(tmp_path / "m.json")
    assert len(whole.stems) == 4 and set(whole.labels) == {*LABELS, *options.get("labels", [])}
    assert whole.created.model is None and whole.created.config.get("threshold") in (0.5, None)


class TestSeveralDatasets:
    @pytest.fixture
    def two(self, write: Callable[..., Path]) -> list[Path]:
        bleed = [Crosstalk(stem="song/bass", label="bass", level_db=-20.0, delay=0.0)]
        f0 = F0(path="song/drums.csv", format="stemclean", by="annotation")
        source = Source(path="raw/drums.wav", sample_rate=100, num_samples=2000)
        stems = [stem("song", "bass"), stem("song", "drums", crosstalk=bleed, f0=f0, source=source)]
        return [write("a.json", stems, root="sets/one"), write("b.json", song("song"), root="sets/two")]

    def test_equal_names_are_refused(self, tmp_path: Path, two: list[Path]) -> None:
        with pytest.raises(ConfigError, match="in different folders") as caught:
            merged(two, tmp_path / "m.json")
        assert "--rename" in caught.value.hint

    def test_rename_tells_songs_of_equal_names_apart(self, tmp_path: Path, two: list[Path]) -> None:
        whole = merged(two, tmp_path / "out" / "m.jsonl", rename=True)
        assert whole.root == "../sets"
        assert [one.id for one in whole.stems] == [
            f"{folder}/song/{label}" for folder in ("one", "two") for label in LABELS
        ]
        assert {one.track for one in whole.stems} == {"one/song", "two/song"}
        drums = whole.stems[1]
        assert drums.path == "one/song/drums.wav" and drums.crosstalk and drums.f0 and drums.source
        assert drums.crosstalk[0].stem == "one/song/bass"
        assert (drums.f0.path, drums.source.path) == ("one/song/drums.csv", "one/raw/drums.wav")

    def test_other_names_are_kept(self, tmp_path: Path, write: Callable[..., Path]) -> None:
        parts = [write("a.json", song("a"), root="sets"), write("b.json", song("b"), root="sets/deep")]
        whole = merged(parts, tmp_path / "m.json")
        assert [(one.id, one.path) for one in whole.stems][::2] == [
            ("a/bass", "a/bass.wav"),
            ("b/bass", "deep/b/bass.wav"),
        ]


def test_skipped_files_keep_the_command_that_skipped_them(tmp_path: Path) -> None:
    paths = []
    for name in "ab":
        whole = dataset(song(name))
        skipped = [Skip(path="shared.txt", reason="not_audio"), Skip(path=f"{name}.wav", reason="empty", by="trim")]
        paths.append(manifest.write(whole.with_stems(whole.stems, skipped=skipped), tmp_path / f"{name}.json"))
    found = merged(paths, tmp_path / "m.json").skipped
    assert [(skip.path, skip.by) for skip in found] == [("a.wav", "trim"), ("b.wav", "trim"), ("shared.txt", "refine")]


def test_unknown_keys_survive(tmp_path: Path, write: Callable[..., Path]) -> None:
    path = write("a.jsonl", song("a"))
    header, first, second = path.read_text().splitlines()
    document = {**json.loads(first), "mood": {"valence": [1, 2.5]}}
    path.write_text("\n".join([header, json.dumps(document), second]) + "\n")
    merge([path, write("b.jsonl", song("b"))], tmp_path / "m.jsonl", running=QUIET)
    lines = (tmp_path / "m.jsonl").read_text().splitlines()
    assert json.loads(lines[1]) == document


def test_large_manifests_are_read_by_processes(
    tmp_path: Path, write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = [write(f"{name}.jsonl", [one for index in range(9) for one in song(f"{name}{index}")]) for name in "ab"]
    here = merged(parts, tmp_path / "m.jsonl").model_dump()
    monkeypatch.setattr(manifest_chunks, "LARGE", 0)
    monkeypatch.setattr(manifest_chunks, "SIZE", 5)
    assert merged(parts, tmp_path / "m.jsonl").model_dump() == here


@pytest.mark.parametrize("names", [["a.json", "a.json"], ["a.json", "m.json"]])
def test_an_input_is_named_once_and_is_not_the_output(
    tmp_path: Path, write: Callable[..., Path], names: list[str]
) -> None:
    for name in {*names}:
        write(name, song(name))
    run = CliRunner().invoke(app, ["merge", *(str(tmp_path / name) for name in names), "-o", str(tmp_path / "m.json")])
    assert run.exit_code == 2 and ("twice" in run.stderr or "both input and output" in run.stderr)
