"""One way of training a cascade, and the trained cascade; each finished step is reused after a kill."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.majl import material, sharp
from stemclean.audio import files
from stemclean.data.aligned import AlignedMixing, Frames
from stemclean.data.pool import content
from stemclean.layouts import f0_labels
from stemclean.manifest import F0, Estimated, Manifest, Stem
from stemclean.models import registry, weights
from stemclean.models.cascade import Cascade
from stemclean.models.contract import ModelSpec
from stemclean.refining.pseudo import pseudo_f0, pseudo_vocals
from stemclean.running import Running
from stemclean.training.joint import JointConfig
from stemclean.training.joint_run import fit_joint
from stemclean.training.loop import fit
from stemclean.training.recipe import SeparatorRecipe, TrackerRecipe
from stemclean.training.separate import SeparateTask
from stemclean.training.songs import Songs, Start
from stemclean.training.tracker_run import fit_tracker

FULL_ROWS = ("pipeline", "sum", "dwa", "majl", "majl_sharp")
STRIPPED_ROWS = (
    "stripped_pipeline",
    "stripped_majl1",
    "stripped_majl2",
    "stripped_majl2_uniform",
    "stripped_majl2_plain",
    "stripped_majl2_uniform_plain",
)
ROWS = (*FULL_ROWS, *STRIPPED_ROWS)
"""``plain``: without confidences, so that estimates count like ground truth."""
WEIGHTINGS = {"sum": "uniform", "dwa": "dwa", "majl": "dwhs", "majl_sharp": sharp.NAME}


@dataclass(frozen=True)
class Trained:
    """A cascade, with the loudness of its input and its voicing threshold."""

    model: Cascade
    loudness_lufs: float
    threshold: float


@dataclass
class Trial:
    """One draw of the removed labels, and every training on it.

    Args:
        manifest, root: the clips.
        work: folder for what is made on the way.
        recipe, tracker_recipe: of both models; examples in the separator's loop are those of each row in all.
        sep_weight: of separation in joint training.
        seed: of everything.
    """

    manifest: Manifest
    root: Path
    work: Path
    recipe: SeparatorRecipe
    tracker_recipe: TrackerRecipe
    sep_weight: float
    seed: int

    def __post_init__(self) -> None:
        self.recipe = self.recipe.changed(seed=self.seed)
        loop = self.tracker_recipe.loop.changed(examples=self.recipe.loop.examples)
        self.tracker_recipe = self.tracker_recipe.changed(seed=self.seed, loop=loop)
        self.half = self.recipe.changed(loop=self.recipe.loop.changed(examples=self.recipe.loop.examples // 2))
        self.running = Running(cache=self.work / "pools", workers=0)
        self.work.mkdir(parents=True, exist_ok=True)

    def run(self, row: str) -> Trained:
        """Train what a row asks for."""
        if row == "pipeline":
            return self._pipeline(row, self.manifest, self.manifest)
        if row == "majl_sharp":
            sharp.register()
        if row in WEIGHTINGS:
            return self._joint(row, self.manifest, self.recipe, WEIGHTINGS[row])
        everything, full = self.stripped
        if row == "stripped_pipeline":
            with_stems = [stem for stem in everything.stems if len(stem.labels) == 1]
            with_f0 = [stem for stem in with_stems if "vocals" not in stem.labels or stem.f0 is not None]
            return self._pipeline(row, everything.with_stems(with_stems), everything.with_stems(with_f0))
        first = self._joint("stripped_majl1", full, self.half, "dwhs")
        if row == "stripped_majl1":
            return self._joint("stripped_majl1_long", full, self.recipe, "dwhs")
        del first
        config = JointConfig(
            weighting="uniform" if "uniform" in row else "dwhs",
            sep_weight=self.sep_weight,
            confidences="plain" not in row,
        )
        start = self._path("stripped_majl1")
        return self._fitted(row, self.completed, self.half, config, Start(start, start))

    @cached_property
    def stripped(self) -> tuple[Manifest, Manifest]:
        """All of the half-labelled clips, and the fully labelled ones among them."""
        return material.stripped(self.manifest, self.root, self.seed)

    @cached_property
    def completed(self) -> Manifest:
        """The half-labelled clips with the pseudo labels of the first stage."""
        stage1 = self._path("stripped_majl1")
        joint, tracker = weights.load(stage1, kind="cascades"), weights.load(stage1, kind="pitch")
        folder = Path("pseudo") / f"{self.work.name}"
        stems: list[Stem] = []
        for stem in self.stripped[0].stems:
            if stem.split == "test" or stem.labels == ["accompaniment"]:
                stems.append(stem)
            elif stem.f0 is None:
                track = pseudo_f0(tracker, files.read(self.root / stem.path), device="cpu")
                path = folder / f"{stem.track}.f0.csv"
                f0_labels.write(track, _made(self.root / path), "stemclean")
                mean = float(np.mean(track.confidence)) if track.confidence is not None else 1.0
                f0 = F0(path=path.as_posix(), format="stemclean", by=tracker.uri, confidence=mean)
                stems.append(stem.model_copy(update={"f0": f0}))
            else:
                stems.append(stem)
                if len(stem.labels) > 1:
                    stems.append(self._estimated(stem, joint, folder))
        return self.manifest.with_stems(stems)

    def _estimated(self, stem: Stem, joint: weights.Weights, folder: Path) -> Stem:
        """Return the estimated voice of a mixture as a stem, attenuated to full scale if it would clip."""
        known = f0_labels.read(self.root / stem.f0.path, stem.f0.format)  # type: ignore[union-attr]
        sound, confidence = pseudo_vocals(joint, files.read(self.root / stem.path), known, device="cpu")
        path = folder / f"{stem.track}.wav"
        sound = sound / max(1.0, float(np.abs(sound).max()))
        files.write(_made(self.root / path), sound, joint.model.spec.sample_rate)
        changes = {
            "id": f"{stem.track}/estimated",
            "path": path.as_posix(),
            "claimed": ["vocals"],
            "labels": ["vocals"],
            "f0": None,
            "estimated": Estimated(by=joint.uri, confidence=round(confidence, 4)),
        }
        return stem.model_copy(update=changes)

    def _path(self, name: str) -> Path:
        return self.work / f"{name}.safetensors"

    def _joint(self, name: str, manifest: Manifest, recipe: SeparatorRecipe, weighting: str) -> Trained:
        return self._fitted(
            name, manifest, recipe, JointConfig(weighting=weighting, sep_weight=self.sep_weight), Start()
        )

    def _fitted(
        self, name: str, manifest: Manifest, recipe: SeparatorRecipe, config: JointConfig, start: Start
    ) -> Trained:
        path = self._path(name)
        fit_joint(manifest, self.root, path, recipe, self.tracker_recipe, config, start=start, running=self.running)
        loaded = weights.load(path, kind="cascades")
        return Trained(loaded.model, loaded.card["loudness_lufs"], loaded.card["threshold"])

    def _pipeline(self, name: str, of_separator: Manifest, of_tracker: Manifest) -> Trained:
        """Return a separator trained alone, on the excerpts of the joint models, followed by a tracker of clean vocals.

        The threshold is the best one for the separated validation songs.
        """
        separator = self._separator(f"{name}_separator", of_separator)
        path = self._path(f"{name}_tracker")
        fit_tracker(of_tracker, self.root, path, self.tracker_recipe, running=self.running)
        joined = Cascade(separator, weights.load(path, kind="pitch").model).eval()
        return Trained(joined, self.recipe.mixing.loudness_lufs, self._threshold(joined))

    def _separator(self, name: str, manifest: Manifest) -> Any:
        """Return a separator trained alone, reused only for the same recipes and stems."""
        path = self._path(f"{name}-{self._key(manifest)}")
        if path.exists():
            return weights.load(path, kind="separators").model
        recipe, labels = self.recipe, tuple(self.manifest.labels)
        songs = self._songs(manifest)
        torch.manual_seed(self.seed)
        spec = ModelSpec(labels=labels, **recipe.spec)
        model = registry.build("separators", recipe.architecture, spec, dict(recipe.options))
        frames = Frames(self.tracker_recipe.options.get("hop", 320) / self.tracker_recipe.spec["sample_rate"], 1)
        mixing = AlignedMixing(loudness_lufs=recipe.mixing.loudness_lufs, gain_db=recipe.mixing.gain_db)
        train, held_out = (
            songs.mixer(songs.train, mixing, frames, 0),
            songs.mixer(songs.validation, mixing.plain(), frames, 1),
        )
        mixtures = [torch.from_numpy(train.example(number).targets.sum(0)) for number in range(64)]
        model.standardise(torch.stack(mixtures))
        task = SeparateTask(
            model,
            train,  # type: ignore[arg-type]
            held_out,  # type: ignore[arg-type]
            recipe.loss,
            recipe.loop.batch_size,
            recipe.loop.examples,
            seed=self.seed,
            workers=0,
            validation_examples=recipe.validation_examples,
        )
        fitted, _ = fit(task, model, recipe.loop, path.with_suffix(".checkpoint"))
        card = {"kind": "separators", "architecture": recipe.architecture, "spec": spec.to_dict()}
        weights.save(path, fitted, {**card, "options": dict(recipe.options)}, dtype=torch.float32)
        return fitted

    def _key(self, manifest: Manifest) -> str:
        """Return what a separator depends on: both recipes, because the tracker's frames determine where excerpts
        begin.
        """
        stems = [[*content(stem, self.root), stem.track, stem.split, stem.labels] for stem in manifest.stems]
        identity = [self.recipe.to_dict(), self.tracker_recipe.to_dict(), self.manifest.labels, self.seed, stems]
        return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:8]

    def _threshold(self, model: Cascade) -> float:
        from stemclean.training import track

        songs = self._songs(self.manifest)
        frames = Frames(
            model.tracker.hop / model.tracker.spec.sample_rate, model.num_frames(self.recipe.spec["segment"])
        )
        mixer = songs.mixer(songs.validation, AlignedMixing(loudness_lufs=self.recipe.mixing.loudness_lufs), frames, 1)
        posteriors = []
        for numbers in track.groups(self.recipe.validation_examples):
            sources, _, _, f0_hz, f0_trust, _ = track.stacked(mixer, numbers)
            with torch.inference_mode():
                posteriors.append((model(sources.sum(1))[1], f0_hz, f0_trust))
        return track.accuracies(posteriors, model.tracker)["threshold"]

    def _songs(self, manifest: Manifest) -> Songs:
        kept = manifest.with_stems([stem for stem in manifest.stems if stem.split != "test"])
        return Songs(kept, self.root, self.manifest.labels, self.recipe.spec, self.running, share=0.1, seed=self.seed)


def _made(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def architectures(pair: str) -> Sequence[str]:
    """Return the names of the separator's and the tracker's recipe; a name alone means the small one."""
    separator, tracker = pair.split("+")
    known = {"unet": "unet-vocals"}
    return [f"{known.get(name, name)}-small" if "-" not in name else name for name in (separator, tracker)]
