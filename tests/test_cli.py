"""The command line: its output and exit codes. The verbs are replaced by mocks with their signatures."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import Mock, create_autospec

import json_page
import pytest
from typer.main import get_command
from typer.testing import CliRunner, Result

import stemclean
from stemclean import evaluate, export, layouts, manifest, refine
from stemclean.__main__ import SPINS
from stemclean.cli import _options, _refined, _shared, app
from stemclean.cli._command import COMMON
from stemclean.errors import ConfigError
from stemclean.export import ClassHours, ExportReport
from stemclean.layouts.zfturbo import ZFTurbo
from stemclean.manifest import Created, Manifest, Skip, Stem, Verdict
from stemclean.running import Running
from stemclean.settings import Assignment

HEAVY = {"torch", "numpy", "scipy", "soundfile", "av", "timm", "pedalboard", "huggingface_hub"}


def run(command: str) -> Result:
    return CliRunner().invoke(app, shlex.split(command), prog_name="stemclean", env={"NO_COLOR": "1"})


def commands() -> dict[tuple[str, ...], Any]:
    """Every command that does something, by the words that call it."""

    def below(command: Any, words: tuple[str, ...]) -> dict[tuple[str, ...], Any]:
        children = getattr(command, "commands", None)
        if children is None:
            return {words: command}
        return {key: leaf for word, child in children.items() for key, leaf in below(child, (*words, word)).items()}

    return below(get_command(app), ())


def stem(name: str, claimed: str, scores: dict[str, float], verdict: Verdict, **more: Any) -> Stem:
    held = [label for label, score in scores.items() if score > 0.9]
    fields = {"sample_rate": 44100, "channels": 2, "num_samples": 44100 * 60, "labels": held, "found": held, **more}
    return Stem(id=name, track="song", path=f"{name}.wav", claimed=[claimed], scores=scores, verdict=verdict, **fields)


def judged(**changes: Any) -> Manifest:
    """What refine gives: one stem of each kind."""
    stems = [
        stem(
            "song/drums",
            "drums",
            {"drums": 0.99, "vocals": 0.02},
            Verdict(action="keep", reason="as_claimed", label_quality=0.98),
        ),
        stem(
            "song/vocals",
            "vocals",
            {"drums": 0.97, "vocals": 0.03},
            Verdict(action="relabel", reason="other_class_found", label_quality=0.03),
        ),
        stem(
            "song/drums_2",
            "drums",
            {"drums": 0.98, "vocals": 0.95},
            Verdict(action="mixed", reason="unclaimed_class_present", label_quality=0.05),
        ),
        stem("song/vocals_2", "vocals", {}, Verdict(action="drop", reason="silent", label_quality=0.0)),
        stem(
            "song/vocals_3",
            "vocals",
            {"drums": 0.96, "vocals": 0.01},
            Verdict(action="keep", reason="held_out", label_quality=0.01),
            split="test",
            labels=["vocals"],
        ),
    ]
    fields = {
        "created": Created(by="stemclean", command="refine", config={"threshold": 0.9, "claimed_threshold": 0.5}),
        "labels": ["vocals", "drums"],
        "stems": stems,
        "summary": {
            "stems": 5,
            "verdicts": {"keep": 2, "relabel": 1, "mixed": 1, "drop": 1},
            "seconds": {"vocals": {"claimed": 180.0, "kept": 60.0}, "drums": {"claimed": 120.0, "kept": 3720.4}},
        },
    }
    return Manifest(**{**fields, **changes})


def clean() -> Manifest:
    return judged(stems=judged().stems[:1])


@pytest.fixture(autouse=True)
def _data_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """The verbs are stood in for, and so are the folders and manifests that they are called with."""
    monkeypatch.setattr(layouts, "check", create_autospec(layouts.check))


@pytest.fixture
def refining(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Mock]:
    """Puts something in the place of refine, which must be called as refine can be."""

    def stand_in(result: Any) -> Mock:
        mock = create_autospec(refine.refine, side_effect=result if not isinstance(result, Manifest) else None)
        mock.return_value = result
        monkeypatch.setattr(refine, "refine", mock)
        return mock

    return stand_in


class TestHelp:
    def test_no_help_imports_anything_heavy(self) -> None:
        names = [" ".join(words) for words in commands()]
        program = (
            "import sys; from typer.testing import CliRunner; from stemclean.cli import _options, app\n"
            f"codes = [CliRunner().invoke(app, [*name.split(), '--help']).exit_code for name in ['', *{names!r}]]\n"
            f"print(codes, sorted({HEAVY!r} & set(sys.modules)))"
        )
        result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
        assert result.stdout.split("] ") == [f"[{', '.join(['0'] * (len(names) + 1))}", "[]\n"]

    def test_no_part_of_scipy_is_loaded_before_the_work_begins(self) -> None:
        """Its parts load when they are first used, which takes twice as long as all else that a verb imports."""
        verbs = ["check", "diff", "export", "merge", "refine", "report", "trim", "validate"]
        program = (
            "import importlib, scipy, sys\n"
            "parts = {f'scipy.{part}' for part in ('fft', 'linalg', 'ndimage', 'signal', 'special')}\n"
            f"for verb in {verbs!r}:\n"
            "    importlib.import_module(f'stemclean.{verb}')\n"
            "    print(verb, sorted(parts & set(sys.modules)))\n"
            "print(scipy.fft.rfft([1.0, 2.0])[0].real, sorted(parts & set(sys.modules))[0])"
        )
        result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
        assert result.stdout.splitlines() == [*(f"{verb} []" for verb in verbs), "3.0 scipy.fft"]

    @pytest.mark.parametrize("words", commands(), ids=" ".join)
    def test_help_ends_with_a_valid_example(self, words: tuple[str, ...]) -> None:
        lines = run(f"{' '.join(words)} --help").stdout.rstrip().splitlines()
        program, *example = shlex.split(lines[-1])
        assert lines[-2].strip() == "Example:"
        assert (program, *example[: len(words)]) == ("stemclean", *words)
        context = commands()[words].make_context("example", example[len(words) :])
        assert context.params  # parsed: every option and argument is known and complete

    @pytest.mark.parametrize("words", commands(), ids=" ".join)
    def test_every_option_has_help(self, words: tuple[str, ...]) -> None:
        assert [option.name for option in commands()[words].params if not option.help] == []

    @pytest.mark.parametrize("words", commands(), ids=" ".join)
    def test_every_command_has_quiet_and_json(self, words: tuple[str, ...]) -> None:
        options = {name for option in commands()[words].params for name in option.opts}
        assert {"--json", "--quiet", "-q"} <= options

    def test_the_options_of_refine_are_in_groups(self) -> None:
        help_text = run("refine --help").stdout
        groups = re.findall(r"^(\w.*):$", help_text, re.MULTILINE)
        assert groups == ["Arguments", "Options", "Judging", "Bleed", "Self-refining, with --self", "Running", "Output"]
        of_self = help_text.partition("with --self:")[2].partition("Running:")[0]
        assert re.findall(r"^  (--[\w-]+)", of_self, re.MULTILINE) == [
            "--rounds", "--folds", "--retrain-on", "--min-single-share", "--workdir", "--recipe", "--set",
        ]  # fmt: skip
        assert help_text.count("--device") == 1 and "[default: 2; x>=1]" in " ".join(help_text.split())

    def test_what_one_training_can_all_can(self) -> None:
        shared = {
            "--device", "--workers", "--cache-limit", "--logs", "--resume", "--keep-checkpoint", "--push-to-hub",
            "--license", "--init", "--recipe", "--seed", "--examples", "--set", "--output", "--json", "--quiet",
        }  # fmt: skip
        trainings = [words for words in commands() if words[0].startswith("train-")]
        assert len(trainings) == 4
        for words in trainings:
            assert shared <= {name for option in commands()[words].params for name in option.opts}, words

    @pytest.mark.parametrize("words", commands(), ids=" ".join)
    def test_few_options_are_of_one_command_alone(self, words: tuple[str, ...]) -> None:
        """Other options are aliases of ``_options.py``, or those that every command has."""
        shared = {name for alias in vars(_options).values() for name in getattr(alias, "__metadata__", ())}
        help_texts = {info.help for info in shared}
        own = [option for option in commands()[words].params if option.help not in help_texts]
        own = [option for option in own if option.name not in COMMON]
        assert len([option for option in own if option.param_type_name == "option"]) <= 12

    @pytest.mark.parametrize("verb", ["train-classifier", "train-separator", "train-tracker", "train-joint"])
    def test_so_many_workers_that_the_machine_would_hang_are_refused(self, verb: str, tmp_path: Path) -> None:
        result = run(f"{verb} {tmp_path} -o {tmp_path / 'out.safetensors'} --workers 9999999999999")
        assert result.exit_code == 2
        assert result.stderr.splitlines()[0] == "error: Invalid value for '--workers': must be 256 or less"

    @pytest.mark.parametrize("verb", ["train-separator", "train-joint"])
    def test_an_empty_list_of_classes_is_refused(self, verb: str, tmp_path: Path, make_dataset: Any) -> None:
        folder = make_dataset(tmp_path / "stems", tracks=2, seconds=0.5)
        result = run(f"{verb} {folder} -o {tmp_path / 'out.safetensors'} --labels '' --examples 1")
        assert result.exit_code == 2
        assert result.stderr.splitlines()[0] == 'error: "" cannot be the name of a class: it is empty'

    @pytest.mark.parametrize(
        "command",
        ["train-classifier {0} -o {0}/out.safetensors --push-to-hub ''", "export {0} {0}/out --to hf --push ''"],
    )
    def test_an_empty_name_of_a_repository_is_refused(self, command: str, tmp_path: Path, make_dataset: Any) -> None:
        folder = make_dataset(tmp_path / "stems", tracks=2, seconds=0.5)
        result = run(command.format(folder).replace(f"{folder}/out", str(tmp_path / "out")))
        assert result.exit_code == 2
        assert result.stderr.splitlines()[0] == 'error: "" is not a hub repository'

    @pytest.mark.parametrize("verb", ["train-classifier", "train-separator", "train-tracker", "train-joint", "refine"])
    def test_a_device_that_is_not_there_is_refused(self, verb: str, tmp_path: Path) -> None:
        output = tmp_path / ("out.json" if verb == "refine" else "out.safetensors")
        result = run(f"{verb} {tmp_path} -o {output} --device cudaa")
        assert result.exit_code == 2
        assert result.stderr.splitlines()[0] == 'error: this machine has no device "cudaa"'
        assert result.stderr.splitlines()[1].startswith("  known: cpu") and not output.exists()

    @pytest.mark.parametrize("words", commands(), ids=" ".join)
    def test_every_object_is_documented(self, words: tuple[str, ...]) -> None:
        assert json_page.rows(" ".join(words))

    @pytest.mark.parametrize("words", ["", "eval", "models"])
    def test_the_lists_of_commands_cut_no_sentence(self, words: str) -> None:
        assert "..." not in run(f"{words} --help").stdout.partition("Commands:")[2]

    def test_no_arguments_show_help(self) -> None:
        assert run("").stdout == run("--help").stdout

    @pytest.mark.parametrize("given", [None, "5"])
    def test_threads_wait_shortly_for_each_other(self, given: str | None) -> None:
        """It must be set before torch is imported, and a value of the user stays."""
        program = (
            "import os, sys; from stemclean import cli, __main__\n"
            "cli.main = lambda: print('torch' in sys.modules, os.environ['GOMP_SPINCOUNT'])\n"
            "__main__.main()"
        )
        environment = {name: value for name, value in os.environ.items() if name != "GOMP_SPINCOUNT"}
        if given:
            environment["GOMP_SPINCOUNT"] = given
        command = [sys.executable, "-c", program]
        result = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        assert result.stdout.split() == ["False", given or SPINS]

    def test_version(self) -> None:
        assert run("--version").stdout == f"stemclean {stemclean.__version__}\n"


class TestExitCodes:
    def test_success_exits_with_0(self, refining: Callable[..., Mock]) -> None:
        refining(judged())
        assert run("refine stems").exit_code == 0

    @pytest.mark.parametrize(
        ("kinds", "left", "code"),
        [
            ("wrong", [1], 1),
            ("wrong", [0, 2, 3, 4], 0),
            ("mixed", [2], 1),
            ("mixed", [0, 1, 3, 4], 0),
            ("drop", [3], 1),
            ("drop", [0, 1, 2, 4], 0),
            ("any", [3], 1),
            ("any", [0, 4], 0),  # a declared test stem is reported on, no more
            ("drop,mixed", [2], 1),
        ],
    )
    def test_findings_change_the_exit_code_only_on_request(
        self, refining: Callable[..., Mock], kinds: str, left: list[int], code: int
    ) -> None:
        refining(judged(stems=[judged().stems[index] for index in left]))
        options = " ".join(f"--fail-on {kind}" for kind in kinds.split(","))
        assert run(f"refine stems {options}").exit_code == code

    def test_findings_hide_no_failure(self, refining: Callable[..., Mock]) -> None:
        refining(judged(skipped=[Skip(path="song/bass.wav", reason="truncated")]))
        result = run("refine stems --fail-on any")
        assert result.exit_code == 1 and "song/bass.wav: truncated" in result.stderr

    def test_errors_name_the_cause_the_place_and_the_next_step(self, refining: Callable[..., Mock]) -> None:
        refining(ConfigError('no weights named "x"', "known: atto\nor: --weights hub:ORG/REPO"))
        result = run("refine stems --weights bundled:x")
        assert (result.exit_code, result.stdout) == (2, "")
        assert result.stderr == 'error: no weights named "x"\n  known: atto\n  or: --weights hub:ORG/REPO\n'

    @pytest.mark.parametrize(
        ("command", "message"),
        [
            ("refin stems", "No such command 'refin'. Did you mean 'refine'?"),
            ("refine", "Missing argument 'DATA'"),
            ("refine stems --treshold 1", "No such option: --treshold"),
            ("refine stems --rounds 2", "Invalid value for --rounds: it requires --self"),
            ("refine stems --self --weights a", "refine trains its own weights with --self"),
            ("corrupt a b --bleed-db 0:-20", "'0:-20' is not a range LOW:HIGH"),
            ("export a b --to zfturbo --sample-rate 9", "Invalid value for '--sample-rate': must be 8000 or more"),
            ("trim a b --first-db loud", "Invalid value for '--first-db': must be a number"),
        ],
    )
    def test_usage_errors_exit_with_2(self, command: str, message: str) -> None:
        result = run(command)
        assert (result.exit_code, result.stdout) == (2, "")
        assert result.stderr.startswith("error: ")
        assert message in result.stderr.splitlines()[0]
        assert result.stderr.splitlines()[-1].startswith("  help: stemclean")

    def test_a_path_that_cannot_be_written(self, refining: Callable[..., Mock]) -> None:
        refining(PermissionError(13, "Permission denied", "/out.json"))
        result = run("refine stems")
        assert (result.exit_code, result.stderr.splitlines()[0]) == (2, "error: /out.json: Permission denied")

    def test_failed_inputs_are_listed(self, refining: Callable[..., Mock]) -> None:
        skipped = [
            Skip(path="song/a.wav", reason="truncated", detail="ends at 2 s of 5 s"),
            Skip(path="song/mixture.wav", reason="mixture"),
            Skip(path="song/stem 4.wav", reason="class_unknown"),
        ]
        refining(judged(skipped=skipped))
        result = run("refine stems")
        assert result.exit_code == 3
        lines = result.stderr.splitlines()
        start = lines.index("skipped 2 files that could not be used")
        assert lines[start + 1 : start + 3] == [
            "  song/a.wav: truncated (ends at 2 s of 5 s)",
            "  song/stem 4.wav: class_unknown",
        ]
        assert lines[start + 3].startswith("  to give a file a class, ")
        assert run("refine stems -q").stderr == "skipped 2 files that could not be used\n"

    def test_a_long_list_of_failures_is_cut_and_says_so(self, refining: Callable[..., Mock]) -> None:
        skipped = [Skip(path=f"{number}.wav", reason="empty") for number in range(_shared.ROWS + 7)]
        refining(judged(skipped=skipped))
        lines = run("refine stems").stderr.splitlines()
        assert lines[-1] == "  and 7 more; --json lists all"
        assert lines[-2] == f"  {_shared.ROWS - 1}.wav: empty"
        assert len(json.loads(run("refine stems --json -q").stdout)["failures"]) == _shared.ROWS + 7

    def test_skips_of_an_earlier_run_are_not_failures(self, refining: Callable[..., Mock]) -> None:
        skipped = [
            Skip(path="song/a.wav", reason="truncated", by="trim"),
            Skip(path="song/mixture.wav", reason="mixture", by="trim"),
        ]
        verb = refining(judged(skipped=skipped))
        assert run("refine stems").exit_code == 0
        report = json.loads(run("refine stems --json").stdout)
        assert (report["failures"], report["mixtures"], report["skipped_before"]) == ([], 0, 2)
        verb.return_value = judged(skipped=[*skipped, Skip(path="song/b.wav", reason="empty")])
        result = run("refine stems --json")
        assert [failure["path"] for failure in json.loads(result.stdout)["failures"]] == ["song/b.wav"]
        assert result.exit_code == 3

    def test_skipped_mixtures_are_not_failures(self, refining: Callable[..., Mock]) -> None:
        refining(judged(skipped=[Skip(path="song/mixture.wav", reason="mixture")]))
        assert run("refine stems").exit_code == 0

    def test_interrupt_exits_with_130(self, refining: Callable[..., Mock]) -> None:
        refining(KeyboardInterrupt())
        result = run("refine stems")
        assert (result.exit_code, result.stderr.splitlines()[0]) == (130, "error: interrupted")

    def test_a_bug_shows_no_traceback_by_default(self, refining: Callable[..., Mock]) -> None:
        refining(ZeroDivisionError("oh"))
        result = run("refine stems")
        assert (result.exit_code, result.stdout) == (70, "")
        assert result.stderr.startswith("error: ZeroDivisionError: oh\n  this is a bug in stemclean")
        assert "Traceback" not in result.stderr
        stderr = run("--debug refine stems").stderr
        assert stderr.startswith("Traceback")
        assert "ZeroDivisionError: oh" in stderr


class TestRefine:
    def test_problems_come_first_and_silence_last(self, refining: Callable[..., Mock]) -> None:
        refining(judged())
        lines = [" ".join(line.split()) for line in run("refine stems").stdout.splitlines()]
        assert lines[0] == "What is wrong, worst first"
        assert lines[3:6] == [
            "song/vocals vocals drums 0.97 0.03 relabel other class found",
            "song/drums_2 drums drums 0.98 + vocals 0.95 0.05 mixed unclaimed class present",
            "song/vocals_2 vocals nothing 0.00 drop silent",
        ]
        assert "song/vocals_3 vocals drums 0.96 0.01" in lines  # held out
        assert "5 stems: 2 keep, 1 relabel, 1 mixed, 1 drop" in lines
        assert {"vocals 3:00 1:00", "drums 2:00 1:02:00"} <= set(lines)

    def test_a_clean_dataset_shows_no_empty_table(self, refining: Callable[..., Mock]) -> None:
        refining(clean())
        result = run("refine stems")
        assert "What is wrong" not in result.stdout
        assert "every stem holds what it claims" in result.stderr

    def test_output_names_the_next_command(self, refining: Callable[..., Mock]) -> None:
        refining(judged())
        assert run("refine stems -o out.json").stderr.splitlines() == [
            "wrote out.json",
            "listen to song/vocals.wav first: it claims vocals and holds drums",
            "next: stemclean export out.json --to zfturbo training_set",
        ]
        assert run("refine stems -q").stderr == ""

    def test_piped_lines_are_not_truncated(self, refining: Callable[..., Mock]) -> None:
        long = judged().stems[1].model_copy(update={"id": "x" * 300})
        refining(judged(stems=[long]))
        assert "x" * 300 in run("refine stems").stdout

    def test_a_long_list_is_cut_and_says_so(self, refining: Callable[..., Mock]) -> None:
        many = [judged().stems[1].model_copy(update={"id": f"song/{n}"}) for n in range(_refined.ROWS + 5)]
        refining(judged(stems=many))
        assert "and 5 more in out.json" in run("refine stems -o out.json").stdout
        assert len(json.loads(run("refine stems --json").stdout)["findings"]) == _refined.ROWS + 5

    def test_json_output(self, refining: Callable[..., Mock]) -> None:
        refining(judged(skipped=[Skip(path="a.wav", reason="empty"), Skip(path="mix.wav", reason="mixture")]))
        result = run("refine stems --json")
        report = json.loads(result.stdout)
        assert [(finding["id"], finding["action"]) for finding in report["findings"]] == [
            ("song/vocals", "relabel"),
            ("song/drums_2", "mixed"),
            ("song/vocals_2", "drop"),
        ]
        assert [finding["id"] for finding in report["held_out"]] == ["song/vocals_3"]
        assert report["verdicts"] == {"keep": 2, "relabel": 1, "mixed": 1, "drop": 1}
        assert report["failures"] == [{"path": "a.wav", "reason": "empty", "detail": ""}]
        assert (report["mixtures"], report["output"], result.exit_code) == (1, "refined.json", 3)

    def test_options_reach_the_verb(self, refining: Callable[..., Mock]) -> None:
        verb = refining(judged())
        run(
            "refine stems -o o.json --threshold 0.8 --claimed-threshold 0.8 --weights file:w -q --workers 3 "
            "--device cpu"
        )
        data, output, config = verb.call_args.args
        assert (data, output) == (Path("stems"), Path("o.json"))
        assert (config.threshold, config.claimed_threshold) == (0.8, 0.8)
        running = Running(device="cpu", workers=3, quiet=True)
        assert verb.call_args.kwargs == {"weights_uri": "file:w", "decisions": None, "layout": None, "running": running}

    def test_without_weights_the_default_is_used(self, refining: Callable[..., Mock]) -> None:
        verb = refining(judged())
        run("refine stems")
        assert "weights_uri" not in verb.call_args.kwargs

    def test_self_passes_rounds_and_recipe(self, monkeypatch: pytest.MonkeyPatch) -> None:
        verb = create_autospec(refine.refine_self, return_value=judged())
        monkeypatch.setattr(refine, "refine_self", verb)
        assert run("refine stems --self --rounds 3 --recipe mine.toml --workdir w").exit_code == 0
        passed = {name: verb.call_args.kwargs[name] for name in ("rounds", "recipe", "workdir")}
        assert passed == {"rounds": 3, "recipe": "mine.toml", "workdir": Path("w")}


class TestExport:
    @pytest.fixture
    def exporting(self, monkeypatch: pytest.MonkeyPatch) -> Mock:
        classes = {"vocals": ClassHours(1.5, 0.25, {"several_classes": 0.25}), "drums": ClassHours(2.0, 0.0, {})}
        report = ExportReport(
            "zfturbo",
            classes,
            stems=7,
            output=Path("set/zfturbo.csv"),
            files=[Path("set/zfturbo.csv"), Path("set/audio/a.flac")],
            num_audio=1,
            next_steps=["in the trainer: --dataset_type 3"],
        )
        verb = create_autospec(export.export, return_value=report)
        monkeypatch.setattr(export, "export", verb)
        return verb

    def test_export_shows_hours_and_the_next_command(self, exporting: Mock) -> None:
        result = run("export refined.json --to zfturbo set")
        lines = {" ".join(line.split()) for line in result.stdout.splitlines()}
        assert {"vocals 1:30:00 15:00 several classes 15:00", "drums 2:00:00 0:00"} <= lines
        assert result.stderr.splitlines() == [
            "wrote set/zfturbo.csv and 1 audio file",
            "in the trainer: --dataset_type 3",
        ]

    def test_recovered_hours_have_a_column(self, exporting: Mock) -> None:
        classes = {**exporting.return_value.classes, "bass": ClassHours(1.0, 0.0, {}, {"drums": 0.5})}
        exporting.return_value = dataclasses.replace(exporting.return_value, classes=classes)
        lines = {" ".join(line.split()) for line in run("export refined.json --to zfturbo set").stdout.splitlines()}
        assert {"class kept of other claims lost why lost", "bass 1:00:00 drums 30:00 0:00"} <= lines

    def test_unjudged_labels_are_reported(self, exporting: Mock) -> None:
        exporting.return_value = dataclasses.replace(exporting.return_value, unjudged=7)
        result = run("export 'my stems' --to zfturbo set")
        assert result.exit_code == 0
        assert result.stderr.splitlines()[:2] == [
            "no stem was judged: their labels are the claims of my stems, right or wrong",
            "to judge them first: stemclean refine 'my stems' -o refined.json",
        ]
        exporting.return_value = dataclasses.replace(exporting.return_value, unjudged=2)
        assert run("export my_stems --to zfturbo set").stderr.startswith("2 of 7 stems were not judged: ")
        assert json.loads(run("export my_stems --to zfturbo set --json -q").stdout)["unjudged"] == 2

    def test_skipped_stems_are_counted_and_failures_listed(self, exporting: Mock) -> None:
        skipped = [
            Skip(path="song/mixture.wav", reason="mixture"),
            Skip(path="song/a.wav", reason="empty", by="refine"),
            Skip(path="song/b.wav", reason="truncated"),
        ]
        exporting.return_value = dataclasses.replace(exporting.return_value, skipped=skipped)
        result = run("export refined.json --to zfturbo set")
        assert result.exit_code == 3
        assert {"passed over 1 mixture", "earlier runs passed over 1 file"} <= set(result.stderr.splitlines())
        assert result.stderr.splitlines()[-1] == "  song/b.wav: truncated"

    def test_settings_reach_the_layout(self, exporting: Mock) -> None:
        run("export refined.json --to zfturbo set --allow-empty --set chunk_size=5 --sample-rate 48000 -q")
        assert exporting.call_args.kwargs == {
            "sample_rate": 48000, "classes": None, "min_quality": None, "cut": False, "decisions": None,
            "audio_format": None, "link": None, "layout": None, "quiet": True,
        }  # fmt: skip
        assert exporting.call_args.args[1] == ZFTurbo(allow_empty=True, chunk_size=5)
        run("export refined.json --to zfturbo set --classes vocals,accompaniment --cut --min-quality 0.7 -q")
        asked = {name: exporting.call_args.kwargs[name] for name in ("classes", "cut", "min_quality")}
        assert asked == {"classes": ("vocals", "accompaniment"), "cut": True, "min_quality": 0.7}
        run("export refined.json --to zfturbo set --format wav --link copy -q")
        assert [exporting.call_args.kwargs[name] for name in ("audio_format", "link")] == ["wav", "copy"]

    def test_a_format_that_allows_empty_classes_says_so(self, exporting: Mock) -> None:
        result = run("export refined.json --to csv set --allow-empty")
        assert result.exit_code == 2
        assert "--allow-empty: csv does not need it" in result.stderr
        assert "leave it out" in result.stderr
        assert not exporting.called

    def test_json_is_the_report(self, exporting: Mock) -> None:
        assert json.loads(run("export refined.json --to zfturbo set --json").stdout)["classes"]["vocals"]["kept"] == 1.5


class TestTrainClassifier:
    @pytest.fixture
    def training(self, monkeypatch: pytest.MonkeyPatch) -> Mock:
        from stemclean import train_classifier

        card = {
            "output": "w.safetensors",
            "spec": {"labels": ["vocals", "drums"]},
            "parameters": 7,
            "metrics": {"validation": {"score": 0.91234}},
            "data": {"hours": {"vocals": 0.5, "drums": 1.25}},
            "seconds": 61.0,
            "wait_share": 0.0321,
            "skipped": [],
            "history": ["long"],
        }
        verb = create_autospec(train_classifier.train_classifier, return_value=card)
        monkeypatch.setattr(train_classifier, "train_classifier", verb)
        return verb

    def test_options_become_recipe_settings(self, training: Mock) -> None:
        run("train-classifier stems -o w.safetensors --loss bce --examples 9 --seed 4 --set loop.decay=2 --no-resume")
        assert training.call_args.kwargs == {
            "recipe": "small",
            "overrides": [
                Assignment("loss", "bce", "--loss"),
                Assignment("loop.examples", 9, "--examples"),
                Assignment("seed", 4, "--seed"),
                "loop.decay=2",
            ],
            "init": None,
            "card": None,
            "push_to_hub": None,
            "layout": None,
            "running": Running(resume=False),
        }

    def test_training_shows_scores_and_the_next_command(self, training: Mock) -> None:
        result = run("train-classifier stems -o w.safetensors")
        lines = {" ".join(line.split()) for line in result.stdout.splitlines()}
        assert {"score 0.912", "hours of each class vocals 0.50, drums 1.25"} <= lines
        assert result.stderr.splitlines()[-1] == "next: stemclean refine DATA --weights file:w.safetensors"

    def test_published_weights_are_used_by_their_address(self, training: Mock) -> None:
        training.return_value["published"] = "hub:org/mine@abc"
        result = run("train-classifier stems -o w.safetensors --push-to-hub org/mine --license MIT --keep-checkpoint")
        passed = training.call_args.kwargs
        assert (
            passed["push_to_hub"] == "org/mine"
            and passed["card"] == {"license": "MIT"}
            and passed["running"].keep_checkpoint
        )
        assert result.stderr.splitlines()[-2:] == [
            "published as hub:org/mine@abc",
            "next: stemclean refine DATA --weights hub:org/mine@abc",
        ]

    def test_json_leaves_the_history_to_the_card(self, training: Mock) -> None:
        report = json.loads(run("train-classifier stems -o w.safetensors --json").stdout)
        assert (report["metrics"], "history" in report) == ({"score": 0.91234}, False)


class TestEval:
    def test_manifests_on_disk_are_compared(self, tmp_path: Path) -> None:
        stems = judged().stems
        truth = [s.model_copy(update={"labels": s.claimed, "verdict": None, "scores": {}}) for s in stems]
        truth[1] = truth[1].model_copy(update={"labels": ["drums"], "extra": {"fault": "swapped"}})
        refined_path = manifest.write(judged(), tmp_path / "refined.json")
        truth_path = manifest.write(judged(stems=truth), tmp_path / "truth.json")
        command = f"eval labels {shlex.quote(str(refined_path))} --truth {shlex.quote(str(truth_path))}"
        result = run(command)
        lines = {" ".join(line.split()) for line in result.stdout.splitlines()}
        assert result.exit_code == 0
        assert {"wrong stems 1 of 5", "recall 1.000", "precision 0.333", "swapped 1 1.000 1.000"} <= lines
        assert json.loads(run(f"{command} --json").stdout) == evaluate.evaluate_labels(refined_path, truth_path)


class TestLibrary:
    def test_public_names_are_there(self) -> None:
        assert [name for name in stemclean.__all__ if getattr(stemclean, name, None) is None] == []
        assert set(stemclean.__all__) <= set(dir(stemclean))

    def test_importing_the_package_imports_nothing_else(self) -> None:
        program = "import sys, stemclean; print([m for m in sys.modules if m.startswith('stemclean.')])"
        result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
        assert result.stdout == "[]\n"

    def test_a_verbs_name_is_its_module_in_any_order(self) -> None:
        program = "import stemclean; from stemclean.refine import refine; print(stemclean.refine.refine is refine)"
        result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
        assert result.stdout == "True\n"

    def test_an_unknown_name_is_an_attribute_error(self) -> None:
        with pytest.raises(AttributeError, match="no attribute 'nothing'"):
            _ = stemclean.nothing
