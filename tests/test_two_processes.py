"""Two real processes, as on two GPUs: they learn the same as one, exit with 0, and only one writes."""

from __future__ import annotations

import json
import subprocess
import sys

import aligned_songs
import fake_hub
import pytest
import torch
from test_joint import QUICK as JOINT
from test_joint import QUICK_TRACKER

from stemclean.models import weights

ADAM = ["loop.eps=1e-3", "loop.validations=2"]
"""Where a gradient is zero but for rounding, as before a batch norm, Adam's own eps makes steps of the rounding."""
SEPARATOR = [
    "spec.sample_rate=8000", "spec.segment=4096", "spec.channels=1", "options.n_fft=256", "options.hop_length=128",
    "options.hidden=16", "options.layers=1", "options.dropout=0.0", "options.bandwidth_hz=4000.0",
    "validation_share=0.25", "validation_examples=4", "loop.examples=25", "loop.batch_size=5", "loop.precision=no",
    "loss.robust=masked",
]  # fmt: skip
CLASSIFIER = [
    "spec.sample_rate=8000", "spec.segment=32768", "options.n_mels=32", "options.hop_length=512",
    "options.patch=[4, 2]", "options.level_head=cells", "loss=bce", "mixing.effects=none", "validation_share=0.25",
    "loop.examples=25", "loop.batch_size=5", "loop.precision=no", "disguised=0.3",
]  # fmt: skip
JOBS = {
    "classifiers": ["train-classifier", *CLASSIFIER],
    "separators": ["train-separator", *SEPARATOR],
    "pitch": ["train-tracker", *QUICK_TRACKER, "loop.batch_size=5", "loop.examples=25", "options.dropout=0.0"],
    "cascades": [
        "train-joint", "--tracker=rmvpe", "--weighting=dwhs", *JOINT, "loop.batch_size=5", "loop.examples=25",
        "tracker.options.dropout=0.0",
    ],
}  # fmt: skip
SCRIPT = """
import json, os, sys
from pathlib import Path
import torch
from torch import nn

from stemclean.cli import main
from stemclean.training.norms import batch_norms, measure_norms, share_norms
from stemclean.training.processes import share, together

jobs, folder = json.loads(sys.argv[1]), Path(sys.argv[2])
for kind, words in jobs.items():
    sys.argv = ["stemclean", *words]
    try:
        main()
    except SystemExit as stopped:
        if stopped.code:
            raise
rank, processes = together().process_index, together().num_processes
(folder / f"rank{rank}").write_text(str(processes))

torch.manual_seed(0)
model = nn.Sequential(nn.Conv1d(2, 8, 5), nn.BatchNorm1d(8), nn.ReLU(), nn.Conv1d(8, 8, 5), nn.BatchNorm1d(8))
share_norms(model)
batches = [torch.randn(5, 2, 400) * level + level for level in (0.1, 1.0, 3.0)]
own = share(5, rank, processes)
measure_norms(model, lambda: iter([(batch[own.start : own.stop],) for batch in batches]), lambda batch: model(*batch))
torch.save([(norm.running_mean, norm.running_var) for norm in batch_norms(model)], folder / f"norms{rank}")
"""


def words(kind, data, output, *, push):
    command, *settings = JOBS[kind]
    command_line = [command, str(data), "-o", str(output), "--json", "--quiet", "--workers=0"]
    command_line += [f"--push-to-hub=org/{kind}"] if push else []
    for text in [*settings, *ADAM]:
        command_line += [text] if text.startswith("--") else ["--set", text]
    return command_line


MEASURED = {"atol": 1e-2, "rtol": 1e-2}
"""Statistics of batch norms differ by more than the weights do, layer after layer; of equal weights they are equal."""


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Each kind trained by one process and by two, who publish it; what they said, and the hub."""
    folder = tmp_path_factory.mktemp("two")
    songs = aligned_songs.write(folder / "songs", ("full",) * 8, {0: "validation", 1: "validation"})
    (folder / "train.py").write_text(SCRIPT)
    results = {}
    with fake_hub.serving() as hub:
        more = {"XDG_CACHE_HOME": str(folder / "cache"), "OMP_NUM_THREADS": "1"}
        settings = fake_hub.environment(hub.endpoint, folder / "home", **more)
        for many in (1, 2):
            own = folder / str(many)
            own.mkdir()
            jobs = {kind: words(kind, songs, own / f"{kind}.safetensors", push=many == 2) for kind in JOBS}
            start = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={many}"]
            command = [*start, str(folder / "train.py"), json.dumps(jobs), str(own)]
            results[many] = subprocess.run(
                command,
                env=settings,
                capture_output=True,
                text=True,
                timeout=600,
                check=False,
            )
    return folder, results, hub


def test_two_processes_exit_with_0(runs):
    folder, results, _ = runs
    assert results[2].returncode == 0, results[2].stderr
    assert [(folder / "2" / f"rank{rank}").read_text() for rank in range(2)] == ["2", "2"]
    assert [(folder / "1" / "rank0").read_text()] == ["1"]


def test_only_one_process_logs_and_writes(runs):
    folder, results, _ = runs
    decoder, text, reports = json.JSONDecoder(), results[2].stdout.strip(), []
    while text:
        report, end = decoder.raw_decode(text)
        reports.append(report)
        text = text[end:].strip()
    assert len(reports) == len(JOBS)
    written = sorted(path.name for path in (folder / "2").iterdir())
    assert written == sorted(
        ["norms0", "norms1", "rank0", "rank1", *(f"{kind}.{end}" for kind in JOBS for end in ("json", "safetensors"))]
    )


def test_only_one_process_publishes(runs):
    folder, results, hub = runs
    commits = [line for line in hub.asked if line.startswith("POST") and "/commit/" in line]
    assert commits == [f"POST /api/models/org/{kind}/commit/main" for kind in JOBS]
    for kind in JOBS:
        written = (folder / "2" / f"{kind}.safetensors").read_bytes()
        assert hub.repos[f"org/{kind}"]["main"]["model.safetensors"] == written
        assert f'"published": "hub:org/{kind}@' in results[2].stdout


@pytest.mark.parametrize("kind", JOBS)
def test_two_processes_learn_the_same_as_one(runs, kind):
    """Five examples a step, two and three of them a process; five steps. Weights differ by what rounding does in them,
    a hundredth of what they moved by at most; those of classifiers are stored in float16, of about three digits."""
    folder, *_ = runs
    cards = [json.loads((folder / str(many) / f"{kind}.json").read_text()) for many in (1, 2)]
    single, two = (weights.load(folder / str(many) / f"{kind}.safetensors", kind=kind) for many in (1, 2))
    assert cards[0]["run"] == cards[1]["run"]
    for alone, shared in zip(cards[0]["history"], cards[1]["history"], strict=True):
        assert alone.keys() == shared.keys()
        for name, figure in alone.items():
            assert shared[name] == pytest.approx(figure, rel=1e-2, abs=1e-2), name
    tolerance = {"atol": 1e-3, "rtol": 2e-3} if kind == "classifiers" else {"atol": 1e-4, "rtol": 1e-3}
    for name, tensor in single.model.state_dict().items():
        within = MEASURED if "running_" in name else tolerance
        torch.testing.assert_close(two.model.state_dict()[name], tensor, **within, msg=lambda m, n=name: f"{n}: {m}")


def test_batch_norm_statistics_agree(runs):
    folder, *_ = runs
    alone, first, second = (torch.load(folder / name) for name in ("1/norms0", "2/norms0", "2/norms1"))
    torch.testing.assert_close(first, second, atol=0, rtol=0)
    torch.testing.assert_close(first, alone, atol=1e-6, rtol=1e-6)
