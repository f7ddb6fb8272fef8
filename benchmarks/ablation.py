"""What does each choice of the bundled recipe bring? A short training each, with one choice changed.

    python -m benchmarks.ablation SET HELDOUT OUT.json [--examples 20000] [--only NAME]

Trains every variant on the training set and judges the clean held-out stems: how often the highest score is that of the
right class, and the ROC AUC of each class over all stems. A stopped run resumes; what is in OUT.json is not repeated.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from benchmarks.resumable import Runs
from stemclean import layouts
from stemclean import manifest as manifests
from stemclean.manifest import Manifest
from stemclean.metrics import tagging
from stemclean.models import weights
from stemclean.models.judge import Judge
from stemclean.running import Running
from stemclean.training.classifier_run import fit_classifier
from stemclean.training.recipe import read

LINEAR = ["options.n_mels=0", "options.patch=[32, 4]"]
PLAIN = [
    "masks=0",
    "disguised=1.0",
    "options.level_head=false",
    "options.drop_path=0.05",
    "mixing.speed=[1.0, 1.0]",
    "mixing.same_song_chance=0.0",
    "mixing.quiet_chance=0.4",
    "mixing.quiet_db=[-24.0, -6.0]",
]
"""Settings shared by all variants besides the recipe ``atto``: without the additions of its later versions."""
RENDERED = {"midi", "samples", "synth", "sung_speech"}
VARIANTS: dict[str, list[str]] = {
    "log-mel, cross-entropy, atto": [],
    "L1": ["loss=l1"],
    "generalised cross-entropy": ["loss=gce"],
    "linear magnitude, 32 x 4 patches": LINEAR,
    "femto": ["options.backbone=convnext_femto"],
    "nano": ["options.backbone=convnext_nano"],
    "no rendered material": [],
    "stripes cut out": ["masks=2"],
    "other speeds": ["mixing.speed=[0.89, 1.12]"],
    "level head": ["options.level_head=true", "disguised=0.6"],
}


def trained(
    name: str, seed: int, manifest: Manifest, folder: Path, work: Path, examples: int, cache: Path | None
) -> Path:
    """Weights of one variant; everything else is alike."""
    if name == "no rendered material":
        kept = [s for s in manifest.stems if s.extra["kind"] not in RENDERED or s.split == "validation"]
        manifest = manifest.with_stems(kept)
    common = [f"loop.examples={examples}", "loop.validations=4", "calibration.excerpts=0", f"seed={seed}"]
    output = work / f"{name.replace(' ', '_').replace(',', '')}-{examples}-{seed}.safetensors"
    if not output.exists():
        fit_classifier(
            manifest, folder, output, read("atto", [*common, *PLAIN, *VARIANTS[name]]), running=Running(cache=cache)
        )
    return output


def measured(path: Path, heldout: Path) -> dict[str, float | None]:
    """Return arg-max accuracy and AUC per class on clean stems."""
    judge = Judge(weights.load(path).model)
    labels = judge.model.spec.labels
    clean, folder = layouts.load(heldout, quiet=True)
    scores = np.stack([judge(judge.recording(folder / s.path, s.duration)).mean() for s in tqdm(clean.stems, "judge")])
    truth = np.array([[label in stem.labels for label in labels] for stem in clean.stems])
    auc = {f"auc/{label}": tagging.roc_auc(truth[:, k], scores[:, k]) for k, label in enumerate(labels)}
    best = truth[np.arange(len(scores)), scores.argmax(1)]
    return {"argmax_accuracy": float(best.mean()), "auc/average": tagging.mean(auc.values()), **auc}


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("training_set", type=Path)
    parser.add_argument("heldout", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--examples", type=int, default=20000)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--only", action="append", choices=list(VARIANTS))
    parser.add_argument("--cache", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    manifest = manifests.read(arguments.training_set / "manifest.json")
    work = arguments.output.with_suffix(".work")
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    path = f"benchmarks/results/{arguments.output.name}"
    command = f"python -m benchmarks.ablation SET HELDOUT {path} --examples {arguments.examples}"
    runs = Runs(arguments.output, {}, command=command)
    for run in runs.missing(
        {"variant": name, "seed": seed, "examples": arguments.examples}
        for seed in range(arguments.seeds)
        for name in arguments.only or VARIANTS
    ):
        weights_path = trained(
            run["variant"], run["seed"], manifest, arguments.training_set, work, arguments.examples, arguments.cache
        )
        runs.add(run | measured(weights_path, arguments.heldout))


if __name__ == "__main__":
    main()
