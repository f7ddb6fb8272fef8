"""``stemclean doctor`` says what works, and what to do about what does not."""

from __future__ import annotations

import json
from importlib import metadata
from pathlib import Path

import pytest
from typer.testing import CliRunner

from stemclean import doctor as verb
from stemclean.audio import libraries
from stemclean.cli import app


def states(report: dict[str, object]) -> dict[str, str]:
    return {finding["name"]: finding["state"] for finding in report["findings"]}  # type: ignore[attr-defined]


def test_a_working_installation_has_no_errors() -> None:
    run = CliRunner().invoke(app, ["doctor", "--json"])
    report = json.loads(run.stdout)
    assert run.exit_code == 0 and "error" not in states(report).values()
    assert {"python", "packages", "decoders", "devices", "weights atto.v2", "temporary files", "cache"} <= states(
        report
    ).keys()
    assert "mp3" in CliRunner().invoke(app, ["doctor"]).stdout


def test_a_missing_package_a_broken_decoder_and_a_full_disk_are_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    version = metadata.version

    def without_timm(name: str) -> str:
        if name == "timm":
            raise metadata.PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr(verb.metadata, "version", without_timm)
    monkeypatch.setattr(libraries, "decodes", lambda: {"wav": "", "mp3": "LibsndfileError: no MP3"})
    monkeypatch.setattr(verb, "ROOM_GB", 1e12)
    run = CliRunner().invoke(app, ["doctor", "--json"])
    report = json.loads(run.stdout)
    assert run.exit_code == 1
    found = {finding["name"]: finding for finding in report["findings"]}
    assert found["timm"]["state"] == "error" and found["timm"]["hint"] == "python -m pip install timm"
    assert found["decoders"]["state"] == "error" and "no MP3" in found["decoders"]["detail"]
    assert found["cache"]["state"] == "warning" and "XDG_CACHE_HOME" in found["cache"]["hint"]


def test_a_check_that_fails_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> dict[str, str]:
        raise ImportError("libsndfile.so: cannot open shared object file")

    monkeypatch.setattr(libraries, "versions", broken)
    report = verb.doctor()
    assert states(report)["decoders"] == "error" and states(report)["devices"] == "ok"
