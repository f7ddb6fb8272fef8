"""How long it takes to decide on all stems of a report: python -m benchmarks.review_time SONGS OUT.json.

Faults are planted in a folder of songs, refine judges them, and Chromium shows the report. A listener with perfect ears
goes through it by keyboard: plays the worst seconds of every stem once, thinks, accepts what holds exactly its claim,
relabels what holds one other class, and drops the rest. The answers come from the ground truth, so this measures what
the page costs and what the best decisions bring, not how well a person hears.
"""

from __future__ import annotations

import argparse
import csv
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, sync_playwright

from stemclean import manifest
from stemclean.manifest import Stem

THINKING_SECONDS = 3.0
"""After the sound has ended; the keys are pressed at once."""


def main() -> int:
    """Plant, refine, decide, export, and write the figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.review_time", description=__doc__)
    parser.add_argument("songs", type=Path, help="clean songs, a folder each")
    parser.add_argument("output", type=Path, help="the figures (.json)")
    parser.add_argument("--seed", type=int, default=13)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        faults = ["--mislabel", "0.2", "--bleed", "0.2", "--seed", str(arguments.seed)]
        _stemclean("corrupt", arguments.songs, work / "data", *faults)
        refined = work / "refined.json"
        _stemclean("refine", work / "data", "-o", refined, "--report", work / "report.html")
        truth = {stem.id: stem for stem in manifest.read(work / "data" / "truth.json").stems}
        stems = {stem.id: stem for stem in manifest.read(refined).stems}
        session = review(work / "report.html", stems, truth, work / "decisions.json")
        _stemclean("export", refined, work / "verdicts", "--to", "zfturbo")
        _stemclean("export", refined, work / "decided", "--to", "zfturbo", "--decisions", work / "decisions.json")
        of_path = {(work / "data" / stem.path).resolve(): stem for stem in truth.values()}
        hours = {"claims": _hours([(stem, stem.claimed) for stem in truth.values()])}
        for name in ("verdicts", "decided"):
            with (work / name / "zfturbo.csv").open(encoding="utf-8") as file:
                rows = list(csv.DictReader(file))
            hours[name] = _hours([(of_path[Path(row["path"]).resolve()], [row["instrum"]]) for row in rows])
    result = {"songs": len({stem.track for stem in truth.values()}), "stems": len(stems), **session, "hours": hours}
    arguments.output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result))
    return 0


def review(page_file: Path, stems: dict[str, Stem], truth: dict[str, Stem], output: Path) -> dict[str, Any]:
    """Decide on every listed stem by keyboard, and save the decisions.

    Returns:
        ``flagged``: stems decided on; ``keys``: keys pressed; ``seconds``: from the first key to the last.
    """
    browser_path = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as started:
        flags = ["--no-sandbox", "--autoplay-policy=no-user-gesture-required"]
        page = started.chromium.launch(executable_path=browser_path, args=flags).new_page()
        page.goto(page_file.as_uri())
        page.wait_for_selector("html[data-ready]", state="attached")
        page.evaluate(
            "const play = HTMLMediaElement.prototype.play;"
            "HTMLMediaElement.prototype.play = function () { window.sound = this; return play.call(this); }; undefined"
        )
        begun, decided, keys = time.monotonic(), set[str](), 1
        page.keyboard.press("j")  # brings the stems into view
        while (name := page.inner_text("#detail h2")) not in decided:
            page.keyboard.press("Space")
            _listen(page)
            page.wait_for_timeout(1000 * THINKING_SECONDS)
            answer = answer_to(stems[name], truth[name])
            for key in answer:
                page.keyboard.press(key)
            decided.add(name)
            keys += 1 + len(answer)
            page.wait_for_timeout(200)
        seconds = time.monotonic() - begun
        with page.expect_download() as download:
            page.click("#download")
        download.value.save_as(output)
    return {"flagged": len(decided), "keys": keys, "seconds": round(seconds)}


def answer_to(stem: Stem, true: Stem) -> list[str]:
    """The keys that say what a stem holds. When it is relabelled, the classes that were found are already chosen."""
    if sorted(true.labels) == sorted(stem.claimed):
        return ["a"]
    if len(true.labels) != 1:
        return ["d"]
    classes = ["vocals", "bass", "drums", "other"]
    return ["r", *(str(classes.index(name) + 1) for name in sorted({*true.labels} ^ {*stem.labels})), "Enter"]


def _listen(page: Page) -> None:
    """Wait until the sound has ended. The policy of the page forbids Playwright's own way of waiting."""
    while not page.evaluate("!!window.sound && sound.currentTime > 0 && (sound.ended || sound.paused)"):
        page.wait_for_timeout(100)
    page.evaluate("window.sound = null; undefined")


def _hours(labelled: list[tuple[Stem, list[str]]]) -> dict[str, float]:
    """Hours of stems whose label says exactly what they hold, and of others."""
    hours = {"right": 0.0, "wrong": 0.0}
    for stem, labels in labelled:
        right = sorted(labels) == sorted(stem.labels)
        hours["right" if right else "wrong"] += stem.num_samples / stem.sample_rate / 3600
    return {name: round(value, 3) for name, value in hours.items()}


def _stemclean(*words: str | Path) -> None:
    command = [sys.executable, "-m", "stemclean", *map(str, words), "--quiet"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    sys.exit(main())
