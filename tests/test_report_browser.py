"""The page of the report in a real browser: it plays, filters, decides by keyboard, and runs no name."""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from report_dataset import NASTY, nasty_dataset

from stemclean import decisions, manifest
from stemclean.report_page import report
from stemclean.review import review
from stemclean.running import Running

playwright = pytest.importorskip("playwright.sync_api", reason="playwright drives the browser")
BROWSER = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium or Chrome on the PATH")
axe = pytest.importorskip("axe_playwright_python", reason="it brings axe, which looks for barriers")
AXE = Path(axe.__file__).with_name("axe.min.js")


@pytest.fixture(scope="module")
def refined(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return nasty_dataset(tmp_path_factory.mktemp("nasty"))


@pytest.fixture(scope="module")
def page_file(refined: Path) -> Path:
    report(refined, refined.with_name("report.html"), running=Running(quiet=True))
    return refined.with_name("report.html")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as started:
        options = ["--autoplay-policy=no-user-gesture-required", *(["--no-sandbox"] if os.geteuid() == 0 else [])]
        running = started.chromium.launch(executable_path=BROWSER, args=options)
        yield running
        running.close()


@pytest.fixture
def page(browser: Any, page_file: Path) -> Iterator[Any]:
    context = browser.new_context(viewport={"width": 1280, "height": 800}, accept_downloads=True)
    context.set_default_timeout(10_000)
    opened = context.new_page()
    opened.problems = []
    opened.requests = []
    opened.on("pageerror", lambda error: opened.problems.append(str(error)))
    opened.on("console", lambda line: opened.problems.append(line.text) if line.type in ("error", "warning") else None)
    opened.on("request", lambda request: opened.requests.append(request.url))
    opened.goto(page_file.as_uri())
    opened.wait_for_selector("html[data-ready]", state="attached")
    yield opened
    assert opened.problems == []
    context.close()


def wait_for(page: Any, condition: str) -> None:
    """Wait until an expression is true. The policy of the page forbids Playwright's own way."""
    for _ in range(200):
        if page.evaluate(condition):
            return
        page.wait_for_timeout(25)
    pytest.fail(f"never true: {condition}")


def chosen(page: Any) -> str:
    """The name of the chosen stem."""
    return str(page.inner_text("#detail-title"))


def downloaded(page: Any) -> dict[str, Any]:
    with page.expect_download() as waiting:
        page.click("#download")
    assert waiting.value.suggested_filename == "decisions.json"
    return json.loads(Path(waiting.value.path()).read_text(encoding="utf-8"))


def test_names_are_text_and_nothing_leaves_the_page(page: Any, page_file: Path) -> None:
    assert page.title() == "stems · stemclean"  # no script in a name has run
    assert page.locator("#rows [role=option]").count() == 5
    shown = "\n".join(page.locator("#rows [role=option]").all_inner_texts())
    for name in (NASTY[0], NASTY[1], "esc\\x1b[31mred", "\\u202etxt", "document.title='run'<"):
        assert name in shown
    assert page.locator("main b b, main img[src=x]").count() == 0
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert NASTY[1] in page.inner_text("#print") and page.locator("#print img[src=x]").count() == 0
    assert {url for url in page.requests if not url.startswith(("data:", "blob:"))} == {page_file.as_uri()}


def test_it_plays_the_worst_seconds_and_the_whole_stem(page: Any) -> None:
    assert page.evaluate("document.querySelector('#spectrogram img').decode().then(() => true)")
    page.evaluate(
        "window.played = []; const play = HTMLMediaElement.prototype.play;"
        "HTMLMediaElement.prototype.play = function () { window.sound = this; played.push(this.src.slice(0, 12));"
        " return play.call(this); }; undefined"
    )
    page.focus("#list")
    page.keyboard.press("Space")
    wait_for(page, "window.sound && sound.currentTime > 0.05 && !sound.error")
    assert page.evaluate("sound.duration") == pytest.approx(8, abs=0.2)
    assert page.is_visible("#playhead") and page.evaluate("played") == ["data:audio/o"]
    page.keyboard.press("Space")
    assert page.evaluate("sound.paused") and page.is_hidden("#playhead")
    page.keyboard.press("w")
    wait_for(page, "sound.currentTime > 0.05 && !sound.error")
    assert page.evaluate("sound.duration") == pytest.approx(20, abs=0.2)
    assert page.evaluate("played")[1].startswith("file:")
    page.keyboard.press("j")
    assert page.evaluate("sound.paused")


def test_the_first_key_brings_the_stems_into_view(page: Any) -> None:
    page.set_viewport_size({"width": 1200, "height": 700})
    page.evaluate("scrollTo(0, 0)")
    first = page.inner_text("#detail h2")
    page.keyboard.press("d")
    assert page.evaluate("document.querySelector('#detail').getBoundingClientRect().top < innerHeight / 2")
    assert page.inner_text("#progress") == "5 to look at" and page.inner_text("#detail h2") == first
    page.keyboard.press("d")
    assert page.inner_text("#progress") == "1 decided, 4 to go" and page.inner_text("#detail h2") != first


def test_filters_and_search_choose_what_is_shown(page: Any) -> None:
    def count() -> str:
        return str(page.inner_text("#count"))

    assert count() == "5 of 10 stems"
    for name, value, expected in (
        ("state", "all", 10), ("action", "keep", 5), ("claimed", "vocals", 5), ("claimed", "bass", 0),
        ("found", "-", 0),
    ):  # fmt: skip
        page.select_option(f"#f-{name}", value)
        assert count() == f"{expected} of 10 stems", name
    page.click("#clear-filters")
    wait_for(page, "document.getElementById('count').textContent.startsWith('5 of')")
    page.select_option("#f-issue", "clipping")
    assert count() == "1 of 10 stems" and NASTY[0] in chosen(page)
    page.click("#clear-filters")
    wait_for(page, "document.getElementById('count').textContent.startsWith('5 of')")
    page.keyboard.press("Escape")
    page.focus("#list")
    page.keyboard.press("/")
    page.keyboard.type("onerror")
    assert count() == "1 of 10 stems" and NASTY[1] in chosen(page)
    page.click("#clear-filters")
    page.click("[data-claimed=bass][data-found=drums]")
    assert count() == "5 of 10 stems"


def test_decisions_are_made_by_keyboard_kept_downloaded_undone_and_made_again(
    page: Any, refined: Path, tmp_path: Path
) -> None:
    stems = {stem.id: stem for stem in manifest.read(refined).stems if stem.claimed == ["bass"]}
    ids = list(stems)
    page.keyboard.press("?")
    page.fill("#by", 'Ana "<b>"')
    page.keyboard.press("Escape")
    page.focus("#list")
    page.keyboard.press("n")
    page.keyboard.type("a <i>note</i> 🎸")
    page.keyboard.press("Escape")
    page.keyboard.press("a")  # goes on to the next
    page.keyboard.press("r")
    page.keyboard.press("1")  # vocals, besides the drums that were found
    page.keyboard.press("Enter")
    page.keyboard.press("d")
    page.keyboard.press("d")
    page.keyboard.press("u")
    assert page.inner_text("#progress") == "3 decided, 2 to go"
    page.reload()
    page.wait_for_selector("html[data-ready]", state="attached")
    assert page.inner_text("#progress") == "3 decided, 2 to go" and page.inner_text("#decision").startswith("Accepted")
    page.focus("#list")
    page.keyboard.press("d")  # decides again
    page.keyboard.press("u")
    page.keyboard.press("k")
    made = downloaded(page)
    path = tmp_path / "decisions.json"
    path.write_text(json.dumps(made), encoding="utf-8")
    filed = decisions.read(path).decisions
    assert [(d.action, d.labels, d.sha256, d.id) for d in filed] == [
        ("accept", ["bass"], stems[ids[0]].sha256, ids[0]),
        ("relabel", ["vocals", "drums"], stems[ids[1]].sha256, ids[1]),
        ("drop", [], stems[ids[2]].sha256, ids[2]),
    ]
    assert filed[0].note == "a <i>note</i> 🎸" and filed[0].by == 'Ana "<b>"' and filed[0].decided.endswith("Z")
    decided, fitting = decisions.applied(manifest.read(refined), decisions.read(path))
    assert fitting == {"fit": 3, "unfit": []}
    assert [stem.verdict.reason for stem in decided.stems if stem.decision and stem.verdict] == [
        "accepted_by_listener", "mixed_by_listener", "dropped_by_listener",
    ]  # fmt: skip
    page.evaluate("localStorage.clear()")
    page.reload()
    page.set_input_files("#load", path)
    wait_for(page, "document.getElementById('progress').textContent.startsWith('3 decided')")


def test_it_is_accessible_in_light_and_dark(page: Any) -> None:
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        violations = page.evaluate(f"{AXE.read_text(encoding='utf-8')}\naxe.run().then((r) => r.violations)")
        assert [(item["id"], item["nodes"][0]["html"]) for item in violations] == [], scheme
    page.focus("#list")
    page.keyboard.press("End")
    assert page.get_attribute("#list", "aria-activedescendant") == page.get_attribute(
        "#rows [aria-selected=true]", "id"
    )
    page.keyboard.press("r")
    assert page.evaluate("document.querySelector('dialog[open]').contains(document.activeElement)")
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.id") == "list"


def test_the_review_plays_whole_files_and_saves_at_once(browser: Any, refined: Path, tmp_path: Path) -> None:
    output, stop, begun, found = tmp_path / "decisions.json", threading.Event(), threading.Event(), []

    def ready(address: str) -> None:
        found.append(address)
        begun.set()

    thread = threading.Thread(target=review, args=(refined, output), kwargs={"ready": ready, "stop": stop})
    thread.start()
    assert begun.wait(30)
    page = browser.new_context().new_page()
    page.goto(found[0])
    page.wait_for_selector("html[data-ready]", state="attached")
    page.evaluate(
        "const play = HTMLMediaElement.prototype.play;"
        "HTMLMediaElement.prototype.play = function () { window.sound = this; return play.call(this); }; undefined"
    )
    assert page.evaluate("document.querySelector('#spectrogram img').decode().then(() => true)")
    page.focus("#list")
    page.keyboard.press("w")
    wait_for(page, "window.sound && sound.currentTime > 0.05 && !sound.error")
    with page.expect_response(lambda answer: answer.request.method == "PUT") as saved:
        page.keyboard.press("d")
    assert saved.value.status == 200
    assert [item.action for item in decisions.read(output).decisions] == ["drop"]
    page.reload()
    assert page.inner_text("#decision").startswith("Dropped")
    page.context.close()
    stop.set()
    thread.join(30)
