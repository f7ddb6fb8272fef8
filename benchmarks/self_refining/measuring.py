"""The quality of a classifier and of a set of labels: Tables 1 and 4 of Koo et al. 2023.

Metrics are those of :mod:`stemclean.metrics.tagging`, per class and averaged. A class is present where the mean of a
stem's windows is above the threshold; scores are not calibrated. Mixtures are one window long.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from benchmarks.self_refining.material import REAL
from stemclean.data.mixing import MixingConfig, RandomMixer
from stemclean.data.pool import StemPool
from stemclean.disk import replacing
from stemclean.manifest import Manifest
from stemclean.metrics import tagging

THRESHOLDS = (0.9, 0.5)
"""The paper's, and the one at which a score says "rather yes"."""
LABEL_RULES = {"default": (0.9, 0.3), "paper": (0.9, 0.9), "0.5": (0.5, 0.5)}
"""Rules for labels: threshold, threshold of the claimed class. ``default`` is the rule of ``refine``."""
PAPER_MIXES = 3941
MIX_SEED = 20231105
"""Seed of the scored mixtures: the same for every classifier."""

Record = dict[str, Any]
Labelling = Mapping[str, Sequence[str]]
"""Stem id -> classes."""


def scores_of(judged: Manifest, labels: Sequence[str]) -> np.ndarray:
    """Scores ``(stem, label)`` of a manifest that was refined; 0 for silence."""
    return np.array([[stem.scores.get(label, 0.0) for label in labels] for stem in judged.stems])


def truth_of(stems: Sequence[Sequence[str]], labels: Sequence[str]) -> np.ndarray:
    """Label sets as Booleans, ``(stem, label)``."""
    return np.array([[label in held for label in labels] for held in stems], bool).reshape(len(stems), len(labels))


def classified(truth: np.ndarray, scores: np.ndarray, labels: Sequence[str]) -> Record:
    """Every label metric at each threshold, the ROC AUC of the scores, and what guessing is worth.

    Shape:
        truth, scores: ``(item, label)``.

    Returns:
        ``{"0.9": {"accuracy/average": …}, "0.5": …, "auc": {CLASS: …, "average": …}, "guessing": …, "num": …}``;
        ``guessing`` is the accuracy of always giving the same answer, the more frequent one, for each class.
    """
    auc = {label: tagging.roc_auc(truth[:, k], scores[:, k]) for k, label in enumerate(labels)}
    share = truth.mean(0) if len(truth) else np.full(len(labels), np.nan)
    return {
        **{f"{limit:g}": rounded(tagging.evaluate(truth, scores > limit, labels)) for limit in THRESHOLDS},
        "auc": rounded({**auc, "average": tagging.mean(auc.values())}),
        "guessing": round(float(np.maximum(share, 1 - share).mean()), 5) if len(truth) else None,
        "num": len(truth),
    }


def single_stems(judged: Manifest, labels: Sequence[str]) -> Record:
    """:func:`classified` of stems that hold what they claim: all of them, and the real ones."""
    scores, truth = scores_of(judged, labels), truth_of([stem.claimed for stem in judged.stems], labels)
    real = np.array([stem.track.startswith(REAL) for stem in judged.stems], bool)
    return {"all": classified(truth, scores, labels), "real": classified(truth[real], scores[real], labels)}


def label_quality(truth: Labelling, labelling: Labelling, labels: Sequence[str]) -> Record:
    """Metrics of labels by id against the truth; a stem that ``found`` does not name holds nothing."""
    ids = sorted(truth)
    true, labelled = ([held.get(name, []) for name in ids] for held in (truth, labelling))
    return rounded(tagging.evaluate(truth_of(true, labels), truth_of(labelled, labels), labels))


def relabelled_quality(refined: Manifest, truth: Labelling, labels: Sequence[str]) -> Record:
    """:func:`label_quality` of a refined dataset by every rule, and what the scores alone are worth (ROC AUC)."""
    report: Record = {}
    for rule, (threshold, claimed_threshold) in LABEL_RULES.items():
        by_class = {}
        for stem in refined.stems:
            limits = {label: claimed_threshold if label in stem.claimed else threshold for label in labels}
            by_class[stem.id] = [label for label in labels if stem.scores.get(label, 0.0) > limits[label]]
        report[rule] = label_quality(truth, by_class, labels)
    real, scores = truth_of([truth[stem.id] for stem in refined.stems], labels), scores_of(refined, labels)
    auc = {label: tagging.roc_auc(real[:, k], scores[:, k]) for k, label in enumerate(labels)}
    report["auc"] = rounded({**auc, "average": tagging.mean(auc.values())})
    return report


def training_quality(training: Manifest, truth: Labelling, labels: Sequence[str]) -> Record:
    """Describe a training set: stems of each class, and the share with right labels."""
    right = [set(stem.labels) == set(truth[stem.id]) for stem in training.stems]
    by_class = {}
    for label in labels:
        held = [is_right for stem, is_right in zip(training.stems, right, strict=True) if label in stem.labels]
        by_class[label] = {"stems": len(held), "right": round(sum(held) / len(held), 4) if held else None}
    return {
        "stems": len(right),
        "right": round(sum(right) / len(right), 4) if right else None,
        "by_class": by_class,
    }


class Mixes:
    """Random mixtures of scored stems, as features, made once for each kind of front end.

    Args:
        judged: the stems.
        folder: what their paths are relative to.
        work: folder of the features and of the decoded stems.
        mixing: of the recipe; what is no stem (noise, empty mixtures) and stems made almost inaudible are left out,
            and every segment is processed anew.
        num: of mixtures.
    """

    def __init__(self, judged: Manifest, folder: Path, work: Path, mixing: MixingConfig, num: int) -> None:
        self.judged, self.folder, self.work, self.num = judged, folder, work, num
        self.mixing = mixing.changed(quiet_chance=0.0, noise_chance=0.0, empty_chance=0.0, reuse=1)

    def classified(self, model: Any, options: Mapping[str, Any], device: str) -> Record:
        """:func:`classified` of all mixtures.

        Args:
            model: a classifier.
            options: it was built with; those of the front end name the features.
        """
        path = self._features(model, options)
        features, targets = np.load(path, mmap_mode="r"), np.load(path.with_suffix(".targets.npy"))
        net = model.net.to(device).eval()
        scores = []
        with all_threads(), torch.inference_mode():
            for first in tqdm(range(0, self.num, 64), "judge mixtures", unit="batch", disable=None, leave=False):
                batch = torch.from_numpy(features[first : first + 64].astype(np.float32)).to(device)
                outputs = net(batch.contiguous(memory_format=torch.channels_last))
                scores.append(torch.sigmoid(model.logits(outputs)).float().cpu().numpy())
        return classified(targets > 0.5, np.concatenate(scores), model.spec.labels)

    def _features(self, model: Any, options: Mapping[str, Any]) -> Path:
        """Return the file of the features ``(mixture, channel, freq, frame)``, float16."""
        front = {key: value for key, value in options.items() if key not in {"backbone", "drop_path", "patch"}}
        stems = [[stem.id, stem.sha256] for stem in self.judged.stems]
        content = [front, model.spec.to_dict(), repr(self.mixing), self.num, MIX_SEED, stems]
        path = self.work / f"mixes-{hashlib.sha256(json.dumps(content).encode()).hexdigest()[:12]}.npy"
        if path.exists():
            return path
        spec = model.spec
        pool = StemPool.build(
            self.judged,
            self.folder,
            sample_rate=spec.sample_rate,
            channels=spec.channels,
            cache=self.work / "judged-pool",
        )
        mixer = RandomMixer(pool, spec.labels, self.mixing, spec.segment, seed=MIX_SEED, level_dbfs=model.level_dbfs)
        targets, held = [], None
        with replacing(path) as temporary:
            for index in tqdm(range(self.num), "mix", unit="mixture", disable=None):
                example = mixer.example(index)
                with torch.no_grad():
                    features = model.features(torch.from_numpy(example.waveform)[None])[0].numpy()
                if held is None:
                    shape = (self.num, *features.shape)
                    held = np.lib.format.open_memmap(temporary, "w+", np.float16, shape)
                held[index] = features
                targets.append(example.target)
            np.save(path.with_suffix(".targets.npy"), np.stack(targets))
            del held
        return path


@contextmanager
def all_threads() -> Iterator[None]:
    """Torch on all cores; elsewhere the others mix or decode."""
    before = torch.get_num_threads()
    torch.set_num_threads(os.cpu_count() or 1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def rounded(values: Mapping[str, float | None]) -> Record:
    """Five decimals: a stem of a thousand is seen."""
    return {key: None if value is None else round(float(value), 5) for key, value in values.items()}
