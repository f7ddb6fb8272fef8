"""Manifests and disks may write é in different Unicode forms (NFC, NFD); the names mean the same file."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from stemclean import layouts, manifest
from stemclean.cli import app
from stemclean.export import export
from stemclean.manifest import Created, Manifest, Stem

RATE = 22050


def form(name: str, text: str) -> str:
    return unicodedata.normalize(name, text)  # type: ignore[arg-type]


def put(path: Path, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.random.default_rng(seed).uniform(-0.3, 0.3, (RATE, 2)), RATE)
    return path


def named(*paths: str, root: str = ".") -> Manifest:
    stems = [
        Stem(
            id=path,
            track="song",
            path=path,
            sample_rate=RATE,
            channels=2,
            num_samples=RATE,
            claimed=["bass"],
            labels=["bass"],
        )
        for path in paths
    ]
    return Manifest(created=Created(by="x", command="scan"), labels=["bass"], root=root, stems=stems)


@pytest.mark.parametrize(("written", "on_disk"), [("NFC", "NFD"), ("NFD", "NFC")])
class TestManifests:
    def test_accented_file_names_are_scanned(self, tmp_path: Path, written: str, on_disk: str) -> None:
        file = put(tmp_path / form(on_disk, "Café/Bähn/é.wav"))
        path = manifest.write(named(form(written, "Café/Bähn/é.wav")), tmp_path / "m.json")
        (stem,) = layouts.load(path)[0].stems
        assert tmp_path / stem.path == file
        assert stem.id == form(written, "Café/Bähn/é.wav")

    def test_manifest_in_an_accented_folder_finds_its_root(self, tmp_path: Path, written: str, on_disk: str) -> None:
        put(tmp_path / form(on_disk, "Café/x.wav"))
        path = manifest.write(named("x.wav", root=form(written, "Café")), tmp_path / "m.json")
        data, folder = layouts.load(path)
        assert (folder / data.stems[0].path).is_file()

    def test_manifest_beside_its_stems_names_them(self, tmp_path: Path, written: str, on_disk: str) -> None:
        put(tmp_path / form(on_disk, "é.wav"))
        manifest.write(named(form(written, "é.wav")), tmp_path / "manifest.json")
        assert layouts.load(tmp_path)[0].skipped == []

    def test_manifest_with_accented_paths_is_exported(self, tmp_path: Path, written: str, on_disk: str) -> None:
        put(tmp_path / "in" / form(on_disk, "é.wav"))
        path = manifest.write(named(form(written, "é.wav")), tmp_path / "in" / "m.json")
        export(path, "zfturbo", tmp_path / "out", quiet=True)
        rows = (tmp_path / "out" / "zfturbo.csv").read_text(encoding="utf-8").splitlines()[1:]
        assert len(rows) == 1
        assert Path(rows[0].partition(",")[2]).is_file()

    def test_manifest_with_accented_paths_is_trimmed(self, tmp_path: Path, written: str, on_disk: str) -> None:
        put(tmp_path / "in" / form(on_disk, "é.wav"))
        path = manifest.write(named(form(written, "é.wav")), tmp_path / "in" / "m.json")
        result = CliRunner().invoke(app, ["trim", str(path), str(tmp_path / "out"), "--quiet"])
        assert result.exit_code == 0, result.output
        assert len(manifest.read(tmp_path / "out" / "manifest.json").stems) == 1


def test_composed_and_decomposed_names_are_two_files(tmp_path: Path) -> None:
    names = [form("NFC", "é.wav"), form("NFD", "é.wav")]
    for seed, name in enumerate(names):
        put(tmp_path / name, seed)
    if len(list(tmp_path.iterdir())) < 2:
        pytest.skip("a disk on which both are one")
    path = manifest.write(named(*names), tmp_path / "m.json")
    assert [stem.path for stem in layouts.load(path)[0].stems] == names
    (tmp_path / names[0]).unlink()
    assert [stem.path for stem in layouts.load(path)[0].stems] == names  # the other one is not its stand-in
