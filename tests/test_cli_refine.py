"""``refine --self`` on the command line: the options passed on, refused combinations, and the printed rounds."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any
from unittest.mock import Mock, create_autospec

import pytest
from typer.testing import CliRunner, Result

from stemclean import layouts, refine
from stemclean.cli import app
from stemclean.manifest import Created, Manifest
from stemclean.running import Running

LABELS = ["vocals", "drums"]


def run(command: str) -> Result:
    return CliRunner().invoke(app, shlex.split(command), prog_name="stemclean", env={"NO_COLOR": "1"})


def a_round(number: int, filled: int) -> dict[str, Any]:
    left = {"stems": 10 + filled, "found": 10, "filled_up": filled, "claimed": 60}
    return {
        "round": number,
        "weights": [{"uri": f"file:round{number}.safetensors", "sha256": "0"}],
        "trained_on": [{"vocals": 60, "drums": 60}],
        "labels_changed": 7,
        "added": {"vocals": 5, "drums": 1},
        "removed": {"vocals": 0, "drums": 6},
        "trains_next": {"vocals": left, "drums": left | {"stems": 10, "filled_up": 0}},
    }


@pytest.fixture
def verb(monkeypatch: pytest.MonkeyPatch) -> Mock:
    monkeypatch.setattr(layouts, "check", create_autospec(layouts.check))  # nor are the stems there
    summary = {
        "stems": 120,
        "verdicts": {"keep": 120},
        "seconds": {label: {"claimed": 60.0, "kept": 60.0} for label in LABELS},
        "rounds": [a_round(1, 2), a_round(2, 0)],
        "thresholds": {"rule": "adaptive", "stems": 24, "threshold": {"vocals": 0.5123, "drums": 0.9}, "f1": {}},
    }
    created = Created(by="stemclean", command="refine", config={"threshold": 0.9, "claimed_threshold": 0.3})
    mock = create_autospec(
        refine.refine_self, return_value=Manifest(created=created, labels=LABELS, stems=[], summary=summary)
    )
    monkeypatch.setattr(refine, "refine_self", mock)
    return mock


def test_every_option_reaches_the_verb(verb: Mock) -> None:
    result = run(
        "refine stems --self --rounds 3 --folds 4 --retrain-on all --min-single-share 0.1 --recipe paper --workdir w "
        "--set loop.examples=64 --set seed=2 --threshold adaptive --claimed-threshold 0.99"
    )
    assert result.exit_code == 0, result.stderr
    passed = verb.call_args.kwargs
    assert {name: passed[name] for name in ("rounds", "folds", "retrain_on", "min_single_share", "recipe")} == {
        "rounds": 3,
        "folds": 4,
        "retrain_on": "all",
        "min_single_share": 0.1,
        "recipe": "paper",
    }
    assert passed["overrides"] == ["loop.examples=64", "seed=2"] and passed["workdir"] == Path("w")
    config = verb.call_args.args[2]
    assert (config.threshold, config.claimed_threshold) == ("adaptive", 0.99)


def test_omitted_options_use_the_defaults(verb: Mock) -> None:
    run("refine stems --self")
    assert verb.call_args.kwargs == {
        "rounds": 2,
        "folds": 1,
        "retrain_on": "single",
        "min_single_share": 0.2,
        "recipe": "small",
        "overrides": (),
        "workdir": None,
        "decisions": None,
        "layout": None,
        "running": Running(),
    }
    assert (verb.call_args.args[2].threshold, verb.call_args.args[2].claimed_threshold) == (0.9, 0.3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--folds 2", "Invalid value for --folds: it requires --self"),
        ("--retrain-on all", "Invalid value for --retrain-on: it requires --self"),
        ("--min-single-share 0.5", "Invalid value for --min-single-share: it requires --self"),
        ("--set seed=1", "Invalid value for --set: it requires --self"),
        ("--self --rounds 1 --retrain-on all", "Invalid value for --retrain-on: it applies from the second round"),
        (
            "--self --rounds 1 --min-single-share 0",
            "Invalid value for --min-single-share: it applies from the second round",
        ),
        ("--self --folds 0", "'--folds': must be 1 or more"),
        ("--cache-limit 5", "Invalid value for --cache-limit: it requires --self"),
        ("--self --retrain-on some", "'some' is not one of"),
        ("--threshold high", "'high' is neither a number nor adaptive"),
        ("--threshold 1.5", "threshold is 1.5; it must be a number above 0 and below 1, one for each class, or"),
        ("--threshold 0.2", "a claim would count against its class"),
    ],
)
def test_invalid_combinations_are_refused_by_name(verb: Mock, options: str, message: str) -> None:
    result = run(f"refine stems {options}")
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in result.stderr.splitlines()[0]
    assert not verb.called


def test_the_rounds_and_the_thresholds_are_shown(verb: Mock) -> None:
    result = run("refine stems --self --threshold adaptive")
    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    assert "1 7 +5 -0 +1 -6" in lines
    assert "1 12 (claimed 60, 2 added by label quality) 10 (claimed 60)" in lines
    assert "2 10 (claimed 60) 10 (claimed 60)" in lines
    assert "adaptive thresholds, from 24 stems: vocals 0.512, drums 0.9" in lines
    assert "3.68 dB" in result.stderr and "4.28 dB" in result.stderr
    assert "3.68" not in run("refine stems --self").stderr


def test_the_help_warns_of_adaptive_thresholds() -> None:
    help_text = " ".join(run("refine --help").stdout.split())
    assert "costs recall" in help_text and "3.68 dB" in help_text
