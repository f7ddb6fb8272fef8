"""Generated files are up to date, and the blocks of the README are correct."""

from __future__ import annotations

import importlib
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import jsonschema
import pytest

from benchmarks import page
from benchmarks.pages import overview
from benchmarks.pages.results import RESULTS
from stemclean import manifest
from stemclean.errors import SkipReason
from stemclean.training import recipe
from stemclean.verdicts import VerdictReason

ROOT = Path(__file__).resolve().parents[1]
TOOLS = ROOT / "docs" / "_tools"


@pytest.fixture(autouse=True)
def _tools(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(TOOLS))


def tool(name: str) -> ModuleType:
    return importlib.import_module(name)


@pytest.mark.parametrize("name", ["schema", "manifest_page", "commands_page", "weights_page", "settings_page"])
def test_generated_files_are_fresh(name: str) -> None:
    generator = tool(name)
    text = (ROOT / generator.PATH).read_text(encoding="utf-8")
    if name == "commands_page" and f"with Typer {generator.TYPER};" not in text:
        pytest.skip("the page was written with another Typer, whose help has other words")
    assert text == generator.render(), "run: python docs/_tools/generate.py"


def test_benchmark_pages_are_fresh() -> None:
    assert page.stale(page.render()) == [], "run: python -m benchmarks.page"


def test_every_benchmark_page_is_in_the_menu() -> None:
    menu = re.findall(r"benchmarks/[\w-]+\.md", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    files = [f"benchmarks/{path.name}" for path in (ROOT / "docs" / "benchmarks").glob("*.md")]
    assert (
        sorted(menu)
        == sorted(files)
        == sorted(path.removeprefix("docs/") for path in page.render() if "s/" in path[5:])
    )


def test_the_overview_of_the_benchmarks_is_short() -> None:
    text = page.render()[overview.PATH]
    assert text.count("\n") <= overview.LIMIT
    assert re.findall(r"^## (.+)$", text, flags=re.MULTILINE) == [question.title for question in overview.QUESTIONS]


def test_benchmarks_use_only_bundled_weights() -> None:
    shipped = {f"bundled:{path.stem}" for path in (ROOT / "stemclean" / "weights").glob("*.safetensors")}
    results = "".join(path.read_text(encoding="utf-8") for path in RESULTS.glob("*.json"))
    assert set(re.findall(r'"(bundled:[\w.]+)"', results)) <= shipped


def test_every_command_is_documented() -> None:
    page = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    titles = re.findall(r"^## (.+)$", page, flags=re.MULTILINE)
    assert titles == [" ".join(("stemclean", *words)) for words in tool("commands_page").names()]


def test_every_reason_is_documented() -> None:
    page = (ROOT / "docs" / "manifest.md").read_text(encoding="utf-8")
    reasons = {*VerdictReason, *SkipReason}
    assert reasons <= set(re.findall(r"^\| `(\w+)` \|", page, flags=re.MULTILINE))


def test_written_manifests_match_the_published_schema(tmp_path: Path) -> None:
    schema = json.loads((ROOT / "stemclean" / "manifest.schema.json").read_text(encoding="utf-8"))
    stem = manifest.Stem(
        id="a",
        track="t",
        path="t/a.wav",
        sample_rate=44100,
        channels=2,
        num_samples=88200,
        claimed=["drums"],
        labels=["drums", "vocals"],
        scores={"drums": 0.9, "vocals": 1.0},
        active=[(0.0, 1.0), (1.5, 2.0)],
        regions=[manifest.Region(start=0, end=1, labels=["drums"])],
        verdict=manifest.Verdict(action="mixed", reason="unclaimed_class_present", label_quality=0.0),
    )
    skip = manifest.Skip(path="b.wav", reason="empty")
    created = manifest.Created(by="stemclean", command="refine", model=manifest.Model(uri="file:w"))
    whole = manifest.Manifest(created=created, labels=["drums", "vocals"], stems=[stem], skipped=[skip])
    document = json.loads(manifest.write(whole, tmp_path / "m.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(document, schema)
    document["stems"][0]["scores"]["drums"] = 1.5
    with pytest.raises(jsonschema.ValidationError, match=r"^1\.5 is greater than the maximum of 1"):
        jsonschema.validate(document, schema)


@pytest.mark.parametrize("name", recipe.names())
def test_every_recipe_loads_under_its_own_name(name: str) -> None:
    loaded = recipe.read(name)
    assert (loaded.name, loaded.kind) == (name, "classifiers")


def test_readme_names_every_page_and_folder_that_it_links_to() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)#]+)[^)]*\)", text) if not link.startswith("http")]
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_ci_runs_the_commands_of_the_readme() -> None:
    result = subprocess.run([str(ROOT / ".ci" / "run"), "--print"], capture_output=True, text=True, check=True)
    assert result.stdout.splitlines() == [
        'python -m pip install -e ".[dev,docs]"',
        "python -m pytest -n auto --dist loadfile",
    ]
    assert result.stdout in (ROOT / "README.md").read_text(encoding="utf-8")


def test_readme_shows_what_its_first_command_finds(tmp_path: Path) -> None:
    readme = tool("readme")
    block = readme.BLOCK.search((ROOT / "README.md").read_text(encoding="utf-8"))
    program, *words = shlex.split(block["command"])
    if not (ROOT / words[1]).exists() or not list((ROOT / "stemclean" / "weights").glob("*.safetensors")):
        pytest.skip("the example or the bundled weights are not in the tree")
    command = [
        sys.executable,
        "-m",
        program,
        words[0],
        str(ROOT / words[1]),
        "--json",
        "-q",
        "-o",
        str(tmp_path / "r.json"),
    ]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    report = json.loads(result.stdout)
    shown = [line.split() for line in block["old"].splitlines()]
    for finding in report["findings"]:
        rows = [row for row in shown if row and row[0] == finding["id"]]
        assert rows, f"run: python docs/_tools/generate.py, the README lacks {finding['id']}"
        assert finding["action"] in rows[0]
    for failure in report["failures"]:
        assert f"{failure['path']}: {failure['reason']} " in block["old"]
