"""The page of the report: one file with everything in it, in which names are text; and the server of the review."""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import re
import struct
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import numpy as np
import pytest
from export_dataset import Dataset, tone
from report_dataset import NASTY, nasty_dataset, silence
from typer.testing import CliRunner

from stemclean import decisions, manifest
from stemclean.audio import clips, files
from stemclean.audio.overview import HIGHEST_HZ, LOWEST_HZ, overview
from stemclean.cli import app
from stemclean.decisions import Decisions, StemDecision
from stemclean.errors import ConfigError
from stemclean.manifest import Region
from stemclean.report_page import report
from stemclean.reporting.media import SIZES, size_for
from stemclean.reporting.overall import overall
from stemclean.reporting.page import within_budget
from stemclean.reporting.png import png
from stemclean.reporting.rows import keys, worst_first
from stemclean.reporting.worst import SECONDS, expected_worst, worst_seconds
from stemclean.review import review
from stemclean.running import Running

QUIET = Running(quiet=True)
A = "a" * 64


@pytest.fixture(scope="module")
def refined(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return nasty_dataset(tmp_path_factory.mktemp("nasty"))


@pytest.fixture(scope="module")
def page(refined: Path) -> tuple[str, dict[str, Any]]:
    output = refined.with_name("report.html")
    written = report(refined, output, running=QUIET)
    return output.read_text(encoding="utf-8"), written


def element(text: str, identity: str) -> Any:
    found = re.search(rf'<script type="application/json" id="{identity}">(.*?)</script>', text, re.DOTALL)
    assert found
    return json.loads(found.group(1))


def test_the_page_holds_everything_and_reaches_for_nothing(page: tuple[str, dict[str, Any]]) -> None:
    text, written = page
    assert (written["stems"], written["flagged"], written["pictures"], written["clips"]) == (10, 5, 5, 5)
    assert written["unreadable"] == [] and written["left_out"] == 0 and written["bytes"] == len(text.encode())
    addresses = set(re.findall(r"""(?:src|href|url)\s*[=(]\s*["']?((?:https?:)?//[^"'\s)]+)""", text))
    assert addresses == set()
    assert "connect-src 'none'" in text and "default-src 'none'" in text
    picture, clip = re.search(r'id="m0">(\S+) (\S+)</script>', text).groups()  # type: ignore[union-attr]
    assert base64.b64decode(picture).startswith(b"\x89PNG") and base64.b64decode(clip).startswith(b"OggS")


def test_the_policy_of_the_page_allows_its_own_script_alone(page: tuple[str, dict[str, Any]]) -> None:
    text = page[0]
    script = re.search(r"<script>(.*?)</script>", text, re.DOTALL)
    assert script
    digest = base64.b64encode(hashlib.sha256(script.group(1).encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}';" in text


def test_names_stay_text(page: tuple[str, dict[str, Any]]) -> None:
    text = page[0]
    assert "<img src=x" not in text and "\x1b" not in text and "\u202e" not in text and "<b>bold" not in text
    rows = element(text, "data")
    tracks = {row["track"] for row in rows}
    assert {NASTY[0], NASTY[1], "עברית 🎸 \\u202etxt", "esc\\x1b[31mred"} <= tracks
    assert {row.get("raw", row["id"]).rpartition("/")[0] for row in rows} == set(NASTY)


def test_stems_come_worst_first_with_what_is_known_about_them(page: tuple[str, dict[str, Any]], refined: Path) -> None:
    rows = element(page[0], "data")
    assert [row["quality"] for row in rows] == sorted(row["quality"] for row in rows)
    worst = rows[0]
    assert worst["claimed"] == [1] and worst["found"] == [2] and worst["action"] == "relabel"
    assert worst["bleed"][0] | {"from": ""} == {"from": "", "label": 2, "db": -9.0, "spans": [[10, 18, -6]]}
    assert worst["worst"][0] >= 9.9 and worst["worst"][1] - worst["worst"][0] == SECONDS
    assert worst["issues"][0][:2] == ["clipping", "warning"]
    assert (refined.parent / unquote(worst["url"])).is_file()
    assert "worst" not in rows[-1] and rows[-1]["flagged"] is False


def test_the_summary_counts(refined: Path) -> None:
    seen = overall(manifest.read(refined))
    assert (seen["stems"], seen["tracks"], seen["judged"], seen["flagged"]) == (10, 5, 10, 5)
    assert [(action, number) for action, number, _ in seen["verdicts"]] == [
        ("keep", 5), ("relabel", 5), ("mixed", 0), ("drop", 0),
    ]  # fmt: skip
    cells = {row["label"]: {k: v for k, v in row["cells"].items() if v} for row in seen["matrix"]}
    assert cells == {"vocals": {"vocals": 5}, "bass": {"drums": 5}}
    assert [(index, bin_["stems"]) for index, bin_ in enumerate(seen["histogram"]) if bin_["stems"]] == [
        (0, 5),
        (19, 5),
    ]
    assert seen["issues"][0]["code"] == "clipping" and seen["noise"] is None


def test_assets_lie_beside_the_page(refined: Path, tmp_path: Path) -> None:
    written = report(refined, tmp_path / "a b.html", assets=True, limit=7, running=QUIET)
    text = (tmp_path / "a b.html").read_text(encoding="utf-8")
    rows = element(text, "data")
    assert len(rows) == 7 == written["stems"] and "3 further stems" in text and 'id="m0"' not in text
    for kind, head in (("picture", b"\x89PNG"), ("clip", b"OggS")):
        assert (tmp_path / unquote(rows[0][kind])).read_bytes().startswith(head)


def test_a_file_that_is_gone_or_changed_costs_its_picture_alone(tmp_path: Path) -> None:
    data = Dataset(tmp_path / "stems")
    for name in ("gone", "changed", "silent", "fine"):
        data.add(f"{name}/bass.wav", ["drums"], silence() if name == "silent" else None, verdict=("relabel", "x"))
    source = data.write()
    (tmp_path / "stems/gone/bass.wav").unlink()
    files.write(tmp_path / "stems/changed/bass.wav", tone(99.0), 8000)
    written = report(source, tmp_path / "report.html", running=QUIET)
    reasons = {item["id"]: item["reason"].partition(":")[0] for item in written["unreadable"]}
    assert reasons == {"gone/bass": "not found", "changed/bass": "changed since scan"}
    assert (written["pictures"], written["clips"]) == (2, 1)
    assert "not found" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_a_foreign_file_is_not_overwritten(refined: Path, tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("<html>mine</html>")
    with pytest.raises(ConfigError, match="contains no report of stemclean"):
        report(refined, tmp_path / "index.html", running=QUIET)
    with pytest.raises(ConfigError, match="the report is a web page"):
        report(refined, tmp_path / "report.pdf", running=QUIET)


def test_commands_write_the_page_or_say_no_before_the_work(refined: Path, tmp_path: Path) -> None:
    runner = CliRunner()
    page = tmp_path / "page.html"
    done = runner.invoke(app, ["report", str(refined), "-o", str(page), "--json", "-q"])
    assert done.exit_code == 0 and json.loads(done.stdout)["flagged"] == 5
    assert "5 stems to look at" in runner.invoke(app, ["report", str(refined), "-o", str(page)]).stderr
    refused = runner.invoke(app, ["refine", str(refined), "-o", str(tmp_path / "r.json"), "--report", "x.pdf"])
    assert refused.exit_code == 2 and "the report is a web page" in refused.stderr
    assert not (tmp_path / "r.json").exists()


def test_a_page_takes_pictures_first_and_clips_of_the_worst_stems() -> None:
    media = [(b"p" * 30, b"c" * 300)] * 10
    assert within_budget(media, 10**6) == media
    small = within_budget(media, 1600)
    assert [bool(picture) for picture, _ in small] == [True] * 10 and [bool(clip) for _, clip in small] == [True] + [
        False
    ] * 9
    tiny = within_budget(media, 400)
    assert sum(bool(picture) for picture, _ in tiny) == 3 and tiny[0][0] and not tiny[-1][0]
    assert [size_for(n).columns for n in (1, 501, 5000, 10**6)] == [size.columns for size in SIZES.values()] + [240]


def test_a_picture_is_a_png_with_low_frequencies_at_the_bottom(tmp_path: Path) -> None:
    path = files.write(tmp_path / "tone.wav", np.concatenate([tone(1000.0, 2.0), tone(1000.0, 2.0) * 0], axis=1), 8000)
    seen = overview(path, columns=40, rows=48)
    row = int(seen.levels[:, 10].argmax())
    hz = LOWEST_HZ * (HIGHEST_HZ / LOWEST_HZ) ** ((row + 0.5) / 48)
    assert hz == pytest.approx(1000, rel=0.15)
    assert seen.levels.shape == (48, 40) and seen.levels[:, 25:].max() == 0 and seen.duration == 4.0
    assert seen.power[5] == pytest.approx(0.02, rel=0.05) and seen.power[30] == 0
    for colours, bits in ((16, 4), (32, 8)):
        data = png(seen.levels[:, :39], colours)
        width, height, depth, kind = struct.unpack(">IIBB", data[16:26])
        assert (width, height, depth, kind) == (39, 48, bits, 3)
        at = data.index(b"IDAT")
        lines = zlib.decompress(data[at + 4 : at + 4 + struct.unpack(">I", data[at - 4 : at])[0]])
        line = -(-39 * bits // 8) + 1
        assert len(lines) == 48 * line
        brightest = lines[(47 - row) * line : (48 - row) * line]
        assert max(brightest[1:]) >= (0xF0 if bits == 4 else 31)


def test_a_clip_sounds_like_its_stem(tmp_path: Path) -> None:
    sound = tone(440.0, 2.0, clips.RATE, peak=0.001, channels=1)
    (tmp_path / "clip.ogg").write_bytes(clips.encoded(sound.copy()))
    decoded = files.read(tmp_path / "clip.ogg", sample_rate=clips.RATE, channels=1)
    spectrum = np.abs(np.fft.rfft(decoded[0, 4800:43200]))
    assert abs(int(spectrum.argmax()) * clips.RATE / 38400 - 440) < 2
    assert decoded.shape[1] / clips.RATE == pytest.approx(2.0, abs=0.05)
    assert np.abs(decoded).max() == pytest.approx(0.1, rel=0.2)  # 40 dB louder


def test_the_worst_seconds_are_where_the_fault_is_loudest(refined: Path) -> None:
    stem = manifest.read(refined).stems[0].model_copy(update={"crosstalk": None})
    power = np.ones(200)
    assert worst_seconds(stem, power)[0] >= 10  # the drums have a larger share there
    power[100:] = 1e-4
    assert worst_seconds(stem, power)[0] < 3  # but here they are louder
    power[:100] = 1e-8
    fine = stem.model_copy(update={"regions": [Region(start=0, end=20, labels=["bass"])]})
    assert worst_seconds(fine, power)[0] >= 10  # no fault: the loudest part
    quiet = stem.model_copy(update={"active": [(0.0, 1.0), (12.0, 20.0)]})
    assert expected_worst(quiet) == (12.0, 20.0)
    assert worst_seconds(stem.model_copy(update={"num_samples": 8000}), power[:4]) == (0.0, 1.0)


def test_copies_have_keys_of_their_own(refined: Path) -> None:
    first, second, *_ = manifest.read(refined).stems
    copy = second.model_copy(update={"id": "copy", "sha256": first.sha256})
    nameless = second.model_copy(update={"id": "nameless", "sha256": None})
    found = keys([first, copy, second, nameless])
    assert len(set(found.values())) == 4 and found[second.id] == second.sha256
    assert found["copy"].startswith(f"{first.sha256}#")
    silent = first.model_copy(update={"verdict": first.verdict.model_copy(update={"reason": "silent"})})  # type: ignore[union-attr]
    assert [stem.id for stem in worst_first([second, silent])] == [first.id, second.id]


@pytest.fixture
def served(refined: Path, tmp_path: Path) -> Iterator[tuple[http.client.HTTPConnection, str, Path]]:
    output = tmp_path / "decisions.json"
    gone = StemDecision(action="drop", labels=[], sha256=A, id="gone")
    stem = manifest.read(refined).stems[0]
    known = StemDecision(action="relabel", labels=["drums"], sha256=stem.sha256, id="moved", note="sure")
    decisions.write(Decisions(decisions=[gone, known]), output)
    stop, begun, found = threading.Event(), threading.Event(), []

    def ready(address: str) -> None:
        found.append(address)
        begun.set()

    thread = threading.Thread(target=review, args=(refined, output), kwargs={"ready": ready, "stop": stop})
    thread.start()
    assert begun.wait(30)
    address = urlsplit(found[0])
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=30)
    yield connection, address.path, output
    connection.close()
    stop.set()
    thread.join(30)


def ask(
    connection: http.client.HTTPConnection, method: str, path: str, body: bytes | None = None, **headers: str
) -> Any:
    connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
    answer = connection.getresponse()
    return answer.status, answer.read(), answer.headers


def test_the_review_serves_the_page_pictures_clips_and_whole_files(served: Any, refined: Path) -> None:
    connection, base, _ = served
    status, page, headers = ask(connection, "GET", base)
    assert status == 200 and headers["Cache-Control"] == "no-store" and "connect-src 'self'" in page.decode()
    rows = element(page.decode(), "data")
    assert rows[0]["decision"] == {"action": "relabel", "labels": ["drums"], "note": "sure", "by": "", "decided": ""}
    assert ask(connection, "GET", base + rows[0]["picture"])[1].startswith(b"\x89PNG")
    assert ask(connection, "GET", base + rows[0]["clip"])[1].startswith(b"OggS")
    whole = (refined.parent / "stems" / manifest.read(refined).stems[0].path).read_bytes()
    assert ask(connection, "GET", base + "audio/0")[:2] == (200, whole)
    status, part, headers = ask(connection, "GET", base + "audio/0", Range="bytes=10-19")
    assert (status, part, headers["Content-Range"]) == (206, whole[10:20], f"bytes 10-19/{len(whole)}")
    assert ask(connection, "GET", base + "audio/0", Range="bytes=-5")[:2] == (206, whole[-5:])
    assert ask(connection, "GET", base + "audio/0", Range=f"bytes={len(whole)}-")[0] == 416
    status, nothing, headers = ask(connection, "HEAD", base + "audio/0")
    assert (status, nothing, headers["Content-Length"]) == (200, b"", str(len(whole)))


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("GET", "/", {}, 404),
        ("GET", "/wrong/", {}, 404),
        ("GET", "{}", {"Host": "evil.example:80"}, 421),
        ("GET", "{}audio/99", {}, 404),
        ("GET", "{}audio/../../x", {}, 404),
        ("GET", "{}audio/-1", {}, 404),
        ("GET", "{}decisions.json", {}, 404),
        ("PUT", "{}decisions", {"Origin": "http://evil.example"}, 403),
        ("PUT", "{}decisions", {"Content-Length": "99999999999"}, 413),
        ("PUT", "{}decisions", {"Content-Length": "x"}, 411),
        ("PUT", "{}page", {}, 404),
        ("POST", "{}decisions", {}, 501),
    ],
)
def test_the_review_refuses_strangers(
    served: Any, method: str, path: str, headers: dict[str, str], status: int
) -> None:
    connection, base, output = served
    before = output.read_bytes()
    assert ask(connection, method, path.format(base), None, **headers)[0] == status
    assert output.read_bytes() == before


def test_the_review_saves_decisions_and_keeps_those_about_other_stems(served: Any, refined: Path) -> None:
    connection, base, output = served
    stem = manifest.read(refined).stems[2]
    made = {"action": "drop", "labels": [], "sha256": stem.sha256, "id": stem.id, "note": "noise", "by": "Ana"}
    body = json.dumps({"schema": decisions.SCHEMA, "decisions": [made]}).encode()
    assert ask(connection, "PUT", base + "decisions", body)[0] == 200
    assert {item.id for item in decisions.read(output).decisions} == {stem.id, "gone"}
    before = output.read_bytes()
    status, answer, _ = ask(connection, "PUT", base + "decisions", b'{"schema": "x"}')
    assert status == 400 and b"no decisions" in answer and output.read_bytes() == before
