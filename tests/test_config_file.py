"""``--config FILE`` gives any command its options, and the command line wins."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command
from typer.testing import CliRunner, Result

from stemclean import manifest
from stemclean.cli import app
from stemclean.manifest import Created, Issue, Manifest, Stem


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., Result]:
    """Validate a manifest whose stem is clipped and whose file is missing, with options from a file."""
    stem = Stem(
        id="a", track="a", path="a.wav", sample_rate=100, channels=1, num_samples=9, claimed=["bass"], labels=["bass"],
        issues=[Issue(code="clipped", severity="warning")],
    )  # fmt: skip
    made = Manifest(created=Created(by="test", command="check"), labels=["bass"], stems=[stem])
    path = manifest.write(made, tmp_path / "m.json")

    def with_options(text: str, *words: str, name: str = "options.toml") -> Result:
        (tmp_path / name).write_text(text)
        return CliRunner().invoke(app, ["validate", str(path), "--config", str(tmp_path / name), *words])

    return with_options


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ('audio = false\nfail-on = ["clipped", "hum"]\njson = true', "o.toml"),
        ("[validate]\naudio = false\nfail_on = 'clipped'\njson = true\n[refine]\nthreshold = 0.9", "o.toml"),
        ("audio = true\njson = true\nfail-on = 'hum'\n[validate]\naudio = false\nfail-on = 'clipped'", "o.toml"),
        ('{"validate": {"audio": false, "fail-on": "clipped"}, "json": true}', "o.json"),
    ],
)
def test_options_come_from_the_file_and_the_section_wins(run: Callable[..., Result], text: str, name: str) -> None:
    result = run(text, name=name)
    report = json.loads(result.stdout)
    assert (result.exit_code, report["checked"]) == (1, "manifest")
    assert report["failed_on"] == [{"id": "a", "reasons": ["clipped"]}]


def test_the_command_line_wins(run: Callable[..., Result]) -> None:
    text = "audio = false\njson = true\nfail-on = 'clipped'"
    result = run(text, "--audio", "--fail-on", "hum")
    assert (result.exit_code, json.loads(result.stdout)["failed_on"]) == (3, [])


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("audoi = false", "audoi is no option of stemclean validate\n  did you mean audio?"),
        ("[validate]\nfail-om = 'x'", "[validate] fail-om is no option of stemclean validate\n  did you mean fail-on?"),
        ("[valdate]\naudio = false", "valdate is no option of stemclean validate\n  did you mean validate?"),
        ("config = 'other.toml'", "config is no option"),
        ("audio = 'no'", "audio: must be audio = true or audio = false"),
        ("workers = true", "workers: cannot be true or false"),
        ("workers = [1, 2]", "workers: must be a number or a text"),
        ("fail-on = {a = 1}", "fail-on: must be a number or a text"),
        ("workers = 0", "--workers"),
        ("audio", "line 1: not TOML"),
        ("fail-on = ['cliped']", "did you mean clipped?"),
    ],
)
def test_what_is_wrong_is_named(run: Callable[..., Result], text: str, says: str) -> None:
    result = run(text)
    assert (result.exit_code, result.stdout) == (2, "") and says in result.stderr


def test_a_missing_file_is_refused(run: Callable[..., Result], tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["stats", "m.json", "--config", str(tmp_path / "none.toml")])
    assert result.exit_code == 2 and "No such file" in result.stderr


def test_required_options_and_options_that_depend_on_others_may_be_in_the_file(tmp_path: Path) -> None:
    file = tmp_path / "o.toml"
    file.write_text("[export]\nto = 'nonsense'\n[refine]\nrounds = 2")
    export = CliRunner().invoke(app, ["export", str(tmp_path), str(tmp_path / "x"), "--config", str(file)])
    assert "--to" not in export.stderr and export.exit_code == 2
    (tmp_path / "a.wav").write_bytes(b"")
    refine = CliRunner().invoke(app, ["refine", str(tmp_path), "--config", str(file)])
    assert refine.exit_code == 2 and "--rounds: it requires --self" in refine.stderr


def commands(group: Any, words: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], Any]]:
    found = []
    for name, command in group.commands.items():
        found += commands(command, (*words, name)) if hasattr(command, "commands") else [((*words, name), command)]
    return found


@pytest.mark.parametrize(("words", "command"), commands(get_command(app)), ids=str)
def test_every_command_takes_a_config_and_a_json_log(words: tuple[str, ...], command: Any, tmp_path: Path) -> None:
    names = {name for parameter in command.params for name in parameter.opts}
    assert {"--config", "--log-json"} <= names
    file = tmp_path / "o.toml"
    file.write_text(f"[{'.'.join(words)}]\nno-such-option = 1")
    result = CliRunner().invoke(app, [*words, "--log-json", "--config", str(file)])
    error = json.loads(result.stderr)
    assert result.exit_code == 2 and error["event"] == "error"
    assert f"no-such-option is no option of stemclean {' '.join(words)}" in error["message"]
