"""The benchmark pages: prose is wrapped, numbers have one format, and missing results are marked."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from benchmarks import page
from benchmarks.pages import overview, results, robustness, tables
from benchmarks.pages.paired import Difference, decibels, difference, doubt, points, value_of

ROOT = Path(__file__).resolve().parents[1]


def test_every_page_can_be_written_without_results() -> None:
    pages = page.render(lambda _: {})
    for path, text in pages.items():
        assert text.startswith("# ") and text.endswith("\n") and "nan" not in text.lower(), path
        if path != "docs/benchmarks/repeat.md":
            assert "Not measured yet: `python -m benchmarks." in text, path
    named = set(re.findall(r"python -m benchmarks\.(\w+)", "".join(pages.values())))
    scripts = {path.stem for path in (ROOT / "benchmarks").glob("*.py")}
    assert named <= scripts | {path.parent.name for path in (ROOT / "benchmarks").glob("*/__main__.py")}


def test_no_page_shows_none_as_a_number() -> None:
    for path, text in page.render().items():
        cells = {cell.strip() for line in text.splitlines() if line.startswith("|") for cell in line.split("|")}
        assert not cells & {"None", "nan", "True", "False"}, path


def test_only_one_module_writes_tables() -> None:
    writers = [
        path for path in (ROOT / "benchmarks").rglob("*.py") if re.search(r"['\"]\| ?---|--- ?\|", path.read_text())
    ]
    assert [path.name for path in writers] == ["tables.py"]


def test_only_prose_is_wrapped() -> None:
    code = "```bash\npython -m benchmarks.page\n\nstemclean refine\n```"
    lines = f"- {'a' * 130} b"
    text = page.text_of(["# Title", "\none\ntwo " + "three " * 30, tables.table(["a"], [["b " * 80]]), code, lines])
    assert text.startswith("# Title\n\none two three three")
    prose = text.split("\n\n")[1]
    assert prose.count("\n") == 1 and max(map(len, prose.splitlines())) <= page.WIDTH
    assert code in text and text.endswith(f"{lines}\n") and f"| {'b ' * 80} |" in text


@pytest.mark.parametrize("phrase", ["`refine --self -o x`", "[a link of words](page.md)", "+0.44 ± 0.09 dB", "90 %"])
def test_wrapping_keeps_code_links_and_numbers_whole(phrase: str) -> None:
    for before in range(95, 120):
        text = page.text_of([f"{'x' * before} {phrase} and more words after it"])
        assert phrase in text


def test_the_overview_links_to_every_page() -> None:
    text = page.render()[overview.PATH]
    linked = set(re.findall(r"\(benchmarks/([\w-]+\.md)", text))
    assert linked == {Path(module.PATH).name for module in overview.PAGES}


def test_the_overview_counts_failures_of_damaged_inputs() -> None:
    record = {"counts": {"cases": 12}, "failed": {"crash": 0, "hang": 0}, "by": "stemclean 1", "settings": {}}
    clean = "\n".join(robustness.answer({"robustness": {"disks": record}}.get))  # type: ignore[arg-type]
    assert "| 12 | `stemclean 1` | none |" in clean and "No failure was found." in clean
    assert "`python -m benchmarks.robustness audio|documents|kills`" in clean
    failed = {**record, "failed": {"crash": 2, "hang": 1}}
    assert "**3 failures**" in "\n".join(robustness.answer({"robustness": {"disks": failed}}.get))  # type: ignore[arg-type]


def test_results_are_read_by_name() -> None:
    assert results.read("no such result") == {}
    assert results.read("one_sided")["shapes"]["mono"]["unlike_mono"] == 0


def test_figures_are_found_by_their_path() -> None:
    run = {"stems": {"all": {"0.9": {"accuracy/average": 0.5}}}, "sdr": 4.0}
    assert value_of(run, "stems/all/0.9/accuracy/average") == 0.5
    assert value_of(run, "sdr") == 4.0
    assert value_of(run, "sdr/average") is None and value_of(run, "stems/all/0.5/accuracy/average") is None


def test_differences_are_paired_by_seed() -> None:
    first = [{"seed": seed, "sdr": 2.0 + seed} for seed in (2, 0, 1)]
    second = [{"seed": seed, "sdr": 1.0 + seed} for seed in (0, 1, 3)]
    gain = difference(first, second, "sdr")
    assert gain.values == [1.0, 1.0] and gain.clear and decibels(gain) == "+1.00 ± 0.00 dB"


@pytest.mark.parametrize(
    ("values", "shown", "remark"),
    [
        ([0.01, 0.03], "+2.0 ± 1.4 points", " (not significant)"),  # 95 %: 0.02 ± 0.127
        ([0.02, 0.021, 0.019], "+2.0 ± 0.1 points", ""),
        ([0.02], "+2.0 points", " (one seed)"),
    ],
)
def test_a_difference_is_uncertain_if_its_interval_contains_zero(values: list[float], shown: str, remark: str) -> None:
    assert (points(Difference(values)), doubt(Difference(values))) == (shown, remark)
