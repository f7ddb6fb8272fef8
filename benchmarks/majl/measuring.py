"""Evaluate a cascade on clips that it was not trained on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from stemclean.audio import files
from stemclean.audio.loudness import integrated_lufs
from stemclean.data.sources import loudness_gain
from stemclean.layouts import f0_labels
from stemclean.manifest import Manifest, Stem
from stemclean.metrics import pitch
from stemclean.models.cascade import Cascade
from stemclean.models.decoding import decode

Record = dict[str, Any]


def measure(model: Cascade, manifest: Manifest, root: Path, *, loudness_lufs: float, threshold: float) -> Record:
    """Return figures over the test clips, each processed as a whole.

    ``sdr``, ``sdr_accompaniment`` and ``gnsdr`` are in dB; ``rpa``, ``rca`` and ``oa`` shares, of the f0 found in the
    mixture; ``rpa_clean`` that of the f0 found in the clean voice. SDR is 10 log10 of the mean-square ratio over the
    clip, the mean of the clips. GNSDR is the SDR of the estimate over that of the mixture, both of the voice, clips
    weighted by their length. Pitch is mir_eval.melody's, the mean of the clips.
    """
    model.eval()
    tracks: dict[str, list[Stem]] = {}
    for stem in manifest.stems:
        if stem.split == "test":
            tracks.setdefault(stem.track, []).append(stem)
    clips = [_clip(model, stems, root, loudness_lufs, threshold) for stems in tracks.values()]
    weights = np.array([clip["num_samples"] for clip in clips], np.float64)
    figures: dict[str, float] = {
        key: float(np.mean([clip[key] for clip in clips])) for key in ("sdr", "sdr_accompaniment")
    }
    figures["gnsdr"] = float(np.average([clip["nsdr"] for clip in clips], weights=weights))
    for suffix, part in (("", "heard"), ("_clean", "clean")):
        means = pitch.mean([clip[part] for clip in clips])
        names = {"rpa": "raw_pitch_accuracy", "rca": "raw_chroma_accuracy", "oa": "overall_accuracy"}
        figures |= {
            f"{name}{suffix}": float(means[key] or 0) for name, key in names.items() if not suffix or name == "rpa"
        }
    return {"clips": len(clips), **{key: round(value, 5) for key, value in figures.items()}}


def _clip(model: Cascade, stems: list[Stem], root: Path, loudness_lufs: float, threshold: float) -> Record:
    sounds = {stem.labels[0]: files.read(root / stem.path) for stem in stems}
    voice = next(stem for stem in stems if stem.f0 is not None)
    sources = np.stack([sounds[label] for label in model.spec.labels])  # (stem, channel, time)
    mixture = sources.sum(0)
    gain = loudness_gain(integrated_lufs(mixture, model.spec.sample_rate), loudness_lufs)
    with torch.inference_mode():
        estimates, logits = model(torch.from_numpy(mixture * np.float32(gain))[None])
        clean = model.track(torch.from_numpy(sources[model.pitched_row] * np.float32(gain))[None])
    ratios = [_sdr(source, estimate) for source, estimate in zip(sources, estimates[0].numpy() / gain, strict=True)]
    truth = f0_labels.read(root / voice.f0.path, voice.f0.format)  # type: ignore[union-attr]
    tracker = model.tracker
    f0_estimates = [
        decode(rows[0].sigmoid().numpy(), tracker.cents.numpy(), tracker.hop, tracker.spec.sample_rate, at)
        for rows, at in ((logits, threshold), (logits, 0.0), (clean, 0.0))
    ]
    # Raw pitch counts guesses in unvoiced frames too, which is the f0 from threshold 0 on.
    raw, scores = pitch.evaluate(truth, f0_estimates[1]), pitch.evaluate(truth, f0_estimates[0])
    scores |= {key: raw[key] for key in ("raw_pitch_accuracy", "raw_chroma_accuracy")}
    row = model.pitched_row
    return {
        "num_samples": mixture.shape[1],
        "sdr": ratios[row],
        "sdr_accompaniment": float(np.mean([ratio for index, ratio in enumerate(ratios) if index != row])),
        "nsdr": ratios[row] - _sdr(sources[row], mixture),
        "heard": scores,
        "clean": pitch.evaluate(truth, f0_estimates[2]),
    }


def _sdr(source: np.ndarray, estimate: np.ndarray) -> float:
    return float(10 * np.log10(np.mean(source**2) / max(np.mean((estimate - source) ** 2), 1e-12)))
