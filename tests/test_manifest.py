"""The manifest format: it round-trips, equal data give equal bytes, and errors are located."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stemclean import manifest
from stemclean.errors import ManifestError
from stemclean.manifest import F0, Created, Estimated, Issue, Manifest, Region, Skip, Source, Stem, Verdict

LABELS = ["vocals", "bass", "drums", "other"]
ENDINGS = ["m.json", "m.jsonl", "m.jsonl.gz"]


def stem(**changes: Any) -> Stem:
    fields: dict[str, Any] = {
        "id": "song/drums",
        "track": "song",
        "path": "song/drums.flac",
        "sample_rate": 44100,
        "channels": 2,
        "num_samples": 44100 * 40,
        "claimed": ["drums"],
        "labels": ["drums"],
    }
    return Stem(**{**fields, **changes})


def dataset(*stems: Stem, **changes: Any) -> Manifest:
    return Manifest(created=Created(by="test", command="test"), labels=LABELS, stems=list(stems), **changes)


def document(**changes: Any) -> dict[str, Any]:
    return {**json.loads(dataset(stem()).model_dump_json(by_alias=True)), **changes}


def refusal(tmp_path: Path, content: Any, name: str = "m.json") -> str:
    (tmp_path / name).write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(ManifestError) as caught:
        manifest.read(tmp_path / name)
    return caught.value.message


_levels = st.dictionaries(st.sampled_from(LABELS), st.integers(-600, 5).map(lambda level: level / 10))
_scores = st.dictionaries(st.sampled_from(LABELS), st.integers(0, 10_000).map(lambda score: score / 10_000))
_edges = st.sets(st.integers(0, 40_000_000), max_size=8).map(sorted)
_spans = _edges.map(lambda edges: [(a / 1e6, b / 1e6) for a, b in zip(edges[::2], edges[1::2], strict=False)])
_json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
_text = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
_name = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=12)


@st.composite
def _stems(draw: st.DrawFn) -> Stem:
    labels = draw(st.lists(st.sampled_from(LABELS), unique=True))
    spans = draw(_spans)
    return stem(
        id=draw(_name),
        track=draw(_name),
        path=draw(st.sampled_from(["a.wav", "Ä ö/音.flac", "a/b/../c.wav", "./x.ogg"])),
        stream=draw(st.integers(0, 4)),
        labels=labels,
        scores=draw(_scores),
        levels_db=draw(_levels),
        active=draw(st.none() | _spans),
        regions=[Region(start=start, end=end, labels=labels, levels_db=draw(_levels)) for start, end in spans],
        split=draw(st.sampled_from([None, "train", "validation", "test"])),
        loudness_lufs=draw(st.none() | st.integers(-7000, 0).map(lambda level: level / 100)),
        verdict=draw(
            st.none() | st.just(Verdict(action="mixed", reason="unclaimed_class_present", label_quality=0.03))
        ),
        source=draw(st.none() | st.just(Source(path="../x.wav", sample_rate=44100, num_samples=44100 * 40, stream=2))),
        f0=draw(
            st.none()
            | st.just(F0(path="song/f0.pv", format="mir1k", by="annotation"))
            | st.just(F0(path="f0/a.csv", format="stemclean", sha256="ab", by="file:w", confidence=0.8125))
        ),
        estimated=draw(st.none() | st.just(Estimated(by="file:w", confidence=0.0))),
        issues=draw(st.lists(st.just(Issue(code="clipped", detail="3 samples")), max_size=1)),
        extra=draw(st.dictionaries(_text, _json, max_size=3)),
    )


class TestRoundTrip:
    @pytest.mark.parametrize("name", ENDINGS)
    @settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(stems=st.lists(_stems(), max_size=4, unique_by=lambda item: item.id))
    def test_written_manifests_are_read_back(self, tmp_path: Path, name: str, stems: list[Stem]) -> None:
        before = dataset(*stems, skipped=[Skip(path="x.wav", reason="empty")], root="../data")
        path = manifest.write(before, tmp_path / name)
        assert manifest.read(path) == before
        assert list(manifest.iter_stems(path)) == stems
        first = path.read_bytes()
        assert manifest.write(manifest.read(path), path).read_bytes() == first

    def test_unknown_keys_survive(self, tmp_path: Path) -> None:
        newer = document(novelty={"a": [1, None]})
        newer["stems"][0]["mood"] = "blue"
        newer["created"]["where"] = "here"
        (tmp_path / "m.json").write_text(json.dumps(newer))
        for name in ENDINGS:
            again = manifest.read(manifest.write(manifest.read(tmp_path / "m.json"), tmp_path / name))
            assert again.model_extra == {"novelty": {"a": [1, None]}}
            assert again.stems[0].model_extra == {"mood": "blue"}
            assert again.created.model_extra == {"where": "here"}

    def test_json_lines_have_a_header_and_stems(self, tmp_path: Path) -> None:
        path = manifest.write(dataset(stem(), stem(id="b")), tmp_path / "m.jsonl")
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        assert "stems" not in lines[0]
        assert lines[0]["schema"] == "stemclean.manifest/1"
        assert [line["id"] for line in lines[1:]] == ["song/drums", "b"]

    def test_numbers_are_rounded_to_their_precision(self, tmp_path: Path) -> None:
        fine = stem(scores={"drums": 0.123456}, loudness_lufs=-23.14159, active=[(1 / 3, 2.0)], peak_dbfs=-0.0001)
        written = json.loads(manifest.write(dataset(fine), tmp_path / "m.json").read_text())["stems"][0]
        assert written["scores"] == {"drums": 0.1235}
        assert written["loudness_lufs"] == -23.14
        assert written["active"] == [[0.333333, 2.0]]
        assert str(written["peak_dbfs"]) == "0.0"  # no "-0.0"

    def test_levels_have_one_decimal_and_are_optional(self, tmp_path: Path) -> None:
        quiet = Region(start=0.0, end=1.0, labels=["drums"], levels_db={"drums": -0.04, "bass": -12.3456})
        plain = Region(start=1.0, end=2.0, labels=[])
        original = stem(levels_db={"bass": -20.06}, regions=[quiet, plain])
        path = manifest.write(dataset(original, stem(id="b")), tmp_path / "m.json")
        first, second = json.loads(path.read_text())["stems"]
        assert first["levels_db"] == {"bass": -20.1}
        assert first["regions"][0]["levels_db"] == {"drums": 0.0, "bass": -12.3}
        assert "levels_db" not in second and "levels_db" not in first["regions"][1]
        jsonschema.validate(json.loads(path.read_text()), manifest.json_schema())

    def test_f0_and_estimates_are_optional(self, tmp_path: Path) -> None:
        sung = stem(f0=F0(path="a.csv", format="stemclean", by="file:w", confidence=0.123456))
        made = stem(id="b", estimated=Estimated(by="file:w", confidence=1 / 3))
        path = manifest.write(dataset(sung, made, stem(id="c")), tmp_path / "m.json")
        first, second, third = json.loads(path.read_text())["stems"]
        assert first["f0"]["confidence"] == 0.1235 and "estimated" not in first
        assert second["estimated"] == {"by": "file:w", "confidence": 0.3333} and "f0" not in second
        assert "f0" not in third and "estimated" not in third
        jsonschema.validate(json.loads(path.read_text()), manifest.json_schema())

    def test_keys_are_sorted_and_letters_not_escaped(self, tmp_path: Path) -> None:
        text = manifest.write(dataset(stem(track="Größe")), tmp_path / "m.json").read_text(encoding="utf-8")
        assert "Größe" in text
        keys = list(json.loads(text))
        assert keys == sorted(keys)

    def test_gzip_files_have_no_date(self, tmp_path: Path) -> None:
        path = manifest.write(dataset(stem()), tmp_path / "m.jsonl.gz")
        assert path.read_bytes()[4:8] == bytes(4)
        assert gzip.decompress(path.read_bytes()).startswith(b'{"created"')

    def test_written_manifests_match_the_schema(self, tmp_path: Path) -> None:
        path = manifest.write(dataset(stem(active=[(0.0, 1.0)])), tmp_path / "m.json")
        jsonschema.validate(json.loads(path.read_text()), manifest.json_schema())


class TestRefusals:
    def test_an_end_after_the_file_is_located(self, tmp_path: Path) -> None:
        broken = document()
        broken["stems"][0]["active"] = [[0, 41.2]]
        expected = "stems[0].active[0]: end 41.2 s is after the file's end (40 s)"
        assert refusal(tmp_path, broken) == f"{tmp_path / 'm.json'}: {expected}"

    @pytest.mark.parametrize(
        ("changes", "says"),
        [
            ({"active": [[5, 5]]}, "active[0]: end 5 s is not after start 5 s"),
            ({"active": [[0, 5], [4, 6]]}, "active[1]: start 4 s is before the previous end (5 s)"),
            ({"active": [[-1, 5]]}, "active[0][0]: must be 0 or more, not -1"),
            ({"active": [[1, 2, 3]]}, "active[0]: must have at most 2 items, not 3"),
            ({"active": [[1]]}, "active[0][1]: is missing"),
            ({"regions": 5}, "regions: must be a list, not 5"),
            ({"verdict": "keep"}, 'verdict: must be an object, not "keep"'),
            ({"track": 7}, "track: must be text, not 7"),
            ({"regions": [{"start": 0, "end": 99, "labels": []}]}, "regions[0]: end 99 s is after the file's end"),
            ({"scores": {"drums": 1.5}}, "scores.drums: must be 1 or less, not 1.5"),
            ({"sample_rate": 0}, "sample_rate: must be more than 0, not 0"),
            ({"sample_rate": 44100.5}, "sample_rate: must be a whole number, not 44100.5"),
            ({"num_samples": "many"}, 'num_samples: must be a whole number, not "many"'),
            ({"num_samples": True}, "num_samples: must be a number, not true"),
            ({"scores": {"drums": False}}, "scores.drums: must be a number, not false"),
            ({"path": "../outside.wav"}, 'path: "../outside.wav" leaves the root folder'),
            ({"path": "a/../../outside.wav"}, "leaves the root folder"),
            ({"path": "/etc/passwd"}, "leaves the root folder"),
            ({"path": "C:\\stems\\drums.wav"}, "leaves the root folder"),
            (
                {"f0": {"path": "../f0.pv", "format": "mir1k", "by": "annotation"}},
                'stems[0].f0.path: "../f0.pv" leaves the root folder',
            ),
            ({"split": "holdout"}, "split: must be 'train', 'validation' or 'test', not \"holdout\""),
            ({"verdict": {"action": "keep"}}, "verdict.reason: is missing"),
            ({"verdict": {"action": "burn", "reason": "x"}}, "verdict.action: must be 'keep', "),
            ({"id": None}, "id: must be text, not null"),
            ({"levels_db": {"drums": None}}, "levels_db.drums: must be a number, not null"),
        ],
    )
    def test_every_error_is_located(self, tmp_path: Path, changes: dict[str, Any], says: str) -> None:
        broken = document()
        broken["stems"][0] |= changes
        message = refusal(tmp_path, broken)
        assert "stems[0]." in message
        assert says in message

    def test_undeclared_labels_are_refused(self, tmp_path: Path) -> None:
        broken = document()
        broken["stems"][0]["claimed"] = ["theremin"]
        assert 'stems[0].claimed: "theremin" is not among the labels' in refusal(tmp_path, broken)

    def test_levels_of_undeclared_labels_are_refused(self, tmp_path: Path) -> None:
        broken = document()
        broken["stems"][0]["levels_db"] = {"theremin": -3.0}
        assert 'stems[0].levels_db: "theremin" is not among the labels' in refusal(tmp_path, broken)
        region = {"start": 0, "end": 1, "labels": ["drums"], "levels_db": {"theremin": -3.0}}
        broken["stems"][0] |= {"levels_db": {}, "regions": [region]}
        assert 'stems[0].regions[0].levels_db: "theremin" is not among' in refusal(tmp_path, broken)

    def test_a_repeated_id_is_refused(self, tmp_path: Path) -> None:
        broken = document()
        broken["stems"] *= 2
        assert 'stems[1].id: "song/drums" is also the id of stems[0]' in refusal(tmp_path, broken)

    @pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
    def test_nan_and_infinity_are_refused(self, tmp_path: Path, number: str) -> None:
        text = json.dumps(document()).replace('"loudness_lufs": null', f'"loudness_lufs": {number}')
        assert re.search("is no number|must be a finite number", refusal(tmp_path, text))

    def test_source_names_the_line_of_active(self, tmp_path: Path) -> None:
        fine = document()
        fine["stems"][0] |= {
            "active": [[0, 50.0]],
            "source": {"path": "x.wav", "sample_rate": 44100, "num_samples": 44100 * 50},
        }
        (tmp_path / "m.json").write_text(json.dumps(fine))
        assert manifest.read(tmp_path / "m.json").stems[0].active == [(0.0, 50.0)]
        fine["stems"][0]["active"] = [[0, 50.1]]
        assert "after the source's end (50 s)" in refusal(tmp_path, fine)

    def test_another_schema_is_refused(self, tmp_path: Path) -> None:
        assert 'unknown schema "stemclean.manifest/9"' in refusal(tmp_path, document(schema="stemclean.manifest/9"))

    @pytest.mark.parametrize("content", ["", "{", "[]", '"text"', "nonsense"])
    @pytest.mark.parametrize("name", ["m.json", "m.jsonl"])
    def test_other_json_values_are_refused(self, tmp_path: Path, content: str, name: str) -> None:
        assert str(tmp_path / name) in refusal(tmp_path, content, name)

    def test_a_broken_stem_is_reported_with_its_line(self, tmp_path: Path) -> None:
        path = manifest.write(dataset(stem(), stem(id="b")), tmp_path / "m.jsonl")
        header, first, _ = path.read_text().splitlines()
        assert "line 3" in refusal(tmp_path, f"{header}\n{first}\n{{half a", "m.jsonl")
        path.write_text(f"{header}\n{first}\n" + first.replace('"sample_rate": 44100', '"sample_rate": 0') + "\n")
        with pytest.raises(ManifestError, match=r"line 3\.sample_rate"):
            list(manifest.iter_stems(path))

    @pytest.mark.parametrize("name", ENDINGS)
    @pytest.mark.parametrize("content", [b"\xff\xfe\x00junk", b"\x1f\x8b\x08\x00junk"])
    def test_binary_files_are_refused(self, tmp_path: Path, name: str, content: bytes) -> None:
        (tmp_path / name).write_bytes(content)
        for call in (manifest.read, lambda path: list(manifest.iter_stems(path))):
            with pytest.raises(ManifestError, match=name):
                call(tmp_path / name)

    def test_a_truncated_archive_is_refused(self, tmp_path: Path) -> None:
        path = manifest.write(dataset(*(stem(id=str(index)) for index in range(50))), tmp_path / "m.jsonl.gz")
        path.write_bytes(path.read_bytes()[:-20])
        with pytest.raises(ManifestError, match="may be truncated"):
            manifest.read(path)

    def test_a_missing_file_is_reported(self, tmp_path: Path) -> None:
        with pytest.raises(ManifestError, match="No such file"):
            manifest.read(tmp_path / "nothing.json")


class TestWriting:
    def test_writing_is_atomic(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = manifest.write(dataset(stem()), tmp_path / "deep" / "m.json")
        before = path.read_bytes()
        monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError("no space")))
        with pytest.raises(OSError, match="no space"):
            manifest.write(dataset(stem(), stem(id="b")), path)
        assert path.read_bytes() == before

    def test_the_root_is_relative_to_the_manifest(self, tmp_path: Path) -> None:
        root = manifest.relative_root(tmp_path / "data" / "stems", tmp_path / "out" / "m.json")
        assert root == "../data/stems"
        folder = dataset(root=root).folder(tmp_path / "out" / "m.json")
        assert folder.resolve() == (tmp_path / "data" / "stems").resolve()
        assert dataset(root="data").folder(None) == Path("data")

    def test_with_stems_is_a_copy(self) -> None:
        before = dataset(stem())
        after = before.with_stems([], root="x")
        assert (len(before.stems), before.root, after.stems, after.root) == (1, ".", [], "x")


def test_nan_is_refused_in_untyped_values(tmp_path: Path) -> None:
    data = document()
    data["stems"][0]["extra"] = {"levels": [1.0, float("nan")]}
    assert refusal(tmp_path, data).endswith("m.json: stems[0].extra.levels[1]: must be a finite number")
    (tmp_path / "m.jsonl").write_text(f"{json.dumps({**data, 'stems': []})}\n{json.dumps(data['stems'][0])}\n")
    with pytest.raises(ManifestError, match=r"line 2\.extra\.levels\[1\]: must be a finite number"):
        list(manifest.iter_stems(tmp_path / "m.jsonl"))
    assert "summary.x: must" in refusal(tmp_path, json.dumps(document(summary={"x": 0})).replace(": 0}", ": 1e999}"))


def test_the_root_is_found_through_links(tmp_path: Path) -> None:
    """As on macOS, where /tmp is a link: ".." out of a linked folder leads elsewhere than its name says."""
    (tmp_path / "home" / "stems").mkdir(parents=True)
    (tmp_path / "disk" / "deep" / "out").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "disk" / "deep" / "out")
    (tmp_path / "home" / "data").symlink_to(tmp_path / "home" / "stems")
    output = tmp_path / "link" / "refined.json"
    root = manifest.relative_root(tmp_path / "home" / "stems", output)
    assert root == "../../../home/stems" and (output.parent / root).resolve() == tmp_path / "home" / "stems"
    assert manifest.relative_root(tmp_path / "home" / "data", tmp_path / "home" / "refined.json") == "data"


KEEP, DROP = (
    Verdict(action=action, reason=reason, label_quality=0.5)
    for action, reason in (("keep", "as_claimed"), ("drop", "no_class"))
)


@pytest.mark.parametrize(
    ("changes", "true_of_it"),
    [
        ({}, {"usable", "trainable", "single"}),
        ({"verdict": KEEP, "split": "train"}, {"usable", "trainable", "single"}),
        ({"labels": ["drums", "bass"]}, {"usable", "trainable"}),
        ({"labels": []}, set()),
        ({"verdict": DROP}, {"dropped", "single"}),
        ({"split": "validation"}, {"usable", "trainable", "single", "held_out"}),
        ({"split": "test"}, {"usable", "single", "held_out"}),
    ],
)
def test_a_stem_knows_its_permitted_uses(changes: dict[str, Any], true_of_it: set[str]) -> None:
    questions = ("usable", "trainable", "single", "held_out", "dropped")
    assert {name for name in questions if getattr(stem(**{"labels": ["drums"], **changes}), name)} == true_of_it


def test_a_sampling_weight_is_written_unless_it_is_1(tmp_path: Path) -> None:
    data = Manifest(
        created=Created(by="test", command="scan"), labels=["drums"],
        stems=[stem(id="a", labels=["drums"]), stem(id="b", labels=["drums"], sampling_weight=0.3)],
    )  # fmt: skip
    path = manifest.write(data, tmp_path / "m.json")
    assert [item.get("sampling_weight") for item in json.loads(path.read_text())["stems"]] == [None, 0.3]
    assert [item.sampling_weight for item in manifest.read(path).stems] == [1.0, 0.3]


@pytest.mark.parametrize(("name", "better"), [("r.json.gz", "r.jsonl.gz"), ("r.gz", "r.jsonl.gz"), ("r.txt", "r.json")])
def test_a_manifest_name_is_suggested(tmp_path: Path, name: str, better: str) -> None:
    with pytest.raises(ManifestError) as caught:
        manifest.check_output(tmp_path / name)
    assert caught.value.hint == f"name it {tmp_path / better}"
