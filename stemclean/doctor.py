"""Check the installation: versions, decoders, devices, weights, folders. The ``doctor`` verb."""

from __future__ import annotations

import os
import platform
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

from stemclean import __version__

__all__ = ["Finding", "doctor"]

PACKAGES = ("torch", "torchaudio", "timm", "soundfile", "av", "soxr", "pyloudnorm", "pedalboard", "huggingface-hub")
ROOM_GB = 5.0
"""Free space, in 10^9 bytes, below which a folder is reported."""


@dataclass(frozen=True)
class Finding:
    """The result of a check.

    Args:
        name: what was checked.
        state: ``ok``, ``warning`` (works, but not everything) or ``error`` (does not work).
        detail: in one line.
        hint: what to do; empty if nothing.
    """

    name: str
    state: Literal["ok", "warning", "error"]
    detail: str
    hint: str = ""


def doctor() -> dict[str, Any]:
    """Check the installation.

    Returns:
        ``version`` of stemclean, and ``findings``, one for each check, with ``name``, ``state``, ``detail``, ``hint``.
    """
    checks: tuple[Callable[[], Iterator[Finding]], ...] = (
        _python, _packages, _decoders, _devices, _weights, _folders,
    )  # fmt: skip
    findings: list[Finding] = []
    for check in checks:
        try:
            findings += check()
        except Exception as error:  # noqa: BLE001  a check that fails is a finding, too
            detail = f"{type(error).__name__}: {error}".splitlines()[0]
            name = check.__name__.strip("_")
            findings.append(Finding(name, "error", detail, "install stemclean again in a new environment"))
    return {"version": __version__, "findings": [asdict(finding) for finding in findings]}


def _python() -> Iterator[Finding]:
    yield Finding("python", "ok", f"{platform.python_version()} on {platform.system()} {platform.machine()}")


def _packages() -> Iterator[Finding]:
    versions = []
    for name in PACKAGES:
        try:
            versions.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            optional = name == "pedalboard"
            effect = "effects in training mixtures do not work" if optional else "stemclean needs it"
            hint = f"python -m pip install {name}"
            yield Finding(name, "warning" if optional else "error", f"not installed: {effect}", hint)
    yield Finding("packages", "ok", ", ".join(versions))


def _decoders() -> Iterator[Finding]:
    from stemclean.audio import libraries

    versions = ", ".join(f"{name} {version}" for name, version in libraries.versions().items())
    broken = {ending: error for ending, error in libraries.decodes().items() if error}
    if broken:
        detail = "; ".join(f"{ending}: {error}" for ending, error in broken.items())
        yield Finding("decoders", "error", f"{versions}; {detail}", "python -m pip install --upgrade soundfile av")
    else:
        yield Finding("decoders", "ok", f"{versions}; wav, flac, ogg and mp3 are read as they were written")


def _devices() -> Iterator[Finding]:
    from stemclean.models import devices

    cores = os.cpu_count() or 1
    names = [name for name in devices.names() if ":" in name]
    detail = f"{cores} cores; " + (f"GPUs: {', '.join(names)}" if names else "no GPU")
    if names:
        yield Finding("devices", "ok", detail)
    else:
        yield Finding("devices", "ok", detail, "refine runs well without a GPU; training of large models does not")


def _weights() -> Iterator[Finding]:
    from stemclean.models import addresses, weights

    for name in addresses.bundled():
        card = weights.load(f"bundled:{name}").card
        default = " (default)" if f"bundled:{name}" == addresses.DEFAULT_CLASSIFIER else ""
        yield Finding(f"weights {name}", "ok", f"{card['architecture']}, {', '.join(card['spec']['labels'])}{default}")


def _folders() -> Iterator[Finding]:
    from stemclean.data import pool_cache

    for name, folder, variable in (
        ("temporary files", Path(tempfile.gettempdir()), "TMPDIR"),
        ("cache", pool_cache.cache_folder(), "XDG_CACHE_HOME"),
    ):
        there = next(parent for parent in (folder, *folder.parents) if parent.exists())
        free = shutil.disk_usage(there).free / 1e9
        if not os.access(there, os.W_OK):
            yield Finding(
                name, "error", f"{folder} cannot be written", f"set {variable} to a folder that can be written"
            )
        elif free < ROOM_GB:
            hint = f"free some space, or set {variable} to another folder"
            yield Finding(name, "warning", f"{folder}: only {free:.1f} GB are free", hint)
        else:
            yield Finding(name, "ok", f"{folder}: {free:.0f} GB are free")
