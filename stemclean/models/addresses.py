"""Resolve URIs of weights to files. This needs no torch, so that a wrong name is reported at once."""

from __future__ import annotations

import re
from importlib import resources
from pathlib import Path

from stemclean.errors import ConfigError, WeightsError
from stemclean.models import hub
from stemclean.outputs import refuse_foreign

__all__ = ["DEFAULT_CLASSIFIER", "bundled", "check_output", "look", "resolve"]

DEFAULT_CLASSIFIER = "bundled:atto.v2"
LARGEST_HEADER = 4 << 20
"""Largest size of a safetensors header in bytes, including the card; those of this package are about 50 kB."""


def check_output(path: str | Path) -> Path:
    """Check the output path of a training before it starts.

    Raises:
        ConfigError: The path does not end in ``.safetensors``; or it, or the path of the card, is a file that was not
            written by stemclean.
    """
    path = Path(path)
    if path.suffix != ".safetensors":
        raise ConfigError(f"{path}: weights are safetensors files", f"name it {path.with_suffix('.safetensors')}")
    refuse_foreign(path, _has_card, "weights of stemclean")
    refuse_foreign(path.with_suffix(".json"), _is_card, "card of such weights")
    return path


def _has_card(path: Path) -> bool:
    """Return whether the header of a safetensors file holds a stemclean card; the rest may be damaged."""
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        return b"stemclean.weights/" in file.read(min(size, LARGEST_HEADER))


def _is_card(path: Path) -> bool:
    return path.stat().st_size <= LARGEST_HEADER and b'"stemclean.weights/' in path.read_bytes()


def bundled() -> list[str]:
    """Return the names of the weights that come with the package."""
    return sorted(
        p.name.removesuffix(".safetensors")
        for p in (resources.files("stemclean") / "weights").iterdir()
        if p.name.endswith(".safetensors")
    )


def look(uri: str | Path) -> Path | hub.Download:
    """Return the local path of weights, or what :func:`resolve` would download; nothing is downloaded.

    Raises:
        WeightsError: As for :func:`resolve`.
    """
    scheme, _, rest = str(uri).partition(":")
    return hub.look(rest) if scheme == "hub" else resolve(uri)[0]


def resolve(uri: str | Path) -> tuple[Path, str]:
    """Return the local path of weights, and their URI as written into manifests.

    Weights on the hub are downloaded. A local path becomes ``file:NAME``, without its folder.

    Raises:
        WeightsError: The weights do not exist or cannot be downloaded, or are a pickle.
    """
    text = str(uri)
    scheme, _, rest = text.partition(":")
    if scheme == "bundled":
        with resources.as_file(resources.files("stemclean") / "weights" / f"{rest}.safetensors") as path:
            if not re.fullmatch(r"[\w.-]+", rest) or not path.exists():
                known = ", ".join(f"bundled:{name}" for name in bundled()) or "none"
                raise WeightsError(
                    f'no weights named "{rest}"', f"known: {known}\nfrom the hub: --weights hub:ORG/REPO"
                )
            return path, text
    if scheme == "hub":
        return hub.fetch(rest), text
    path = Path(rest if scheme == "file" else text)
    if path.suffix in hub.PICKLES:
        raise WeightsError(
            f"{path}: pickled weights are not loaded, because they can run any code", "convert them to safetensors"
        )
    if not path.is_file():
        raise WeightsError(f"{path}: no such weights file", "give bundled:NAME, hub:ORG/REPO or a .safetensors file")
    return path, f"file:{path.name}"
