"""Where weights lie: URIs become files. No torch is needed for that, so a wrong name is told at once."""

from __future__ import annotations

import re
from importlib import resources
from pathlib import Path

from stemclean.errors import ConfigError, WeightsError
from stemclean.models import hub
from stemclean.outputs import refuse_foreign

__all__ = ["DEFAULT_CLASSIFIER", "bundled", "check_output", "resolve"]

DEFAULT_CLASSIFIER = "bundled:atto.v2"
LARGEST_HEADER = 4 << 20
"""Bytes of a safetensors header, the card in it among them; ours have some 50 000."""


def check_output(path: str | Path) -> Path:
    """Refuse a name that weights must not have, before hours of training go into them.

    Raises:
        ConfigError: it does not end in ``.safetensors``; or there, or where the card will stand, is a file that is not
            ours.
    """
    path = Path(path)
    if path.suffix != ".safetensors":
        raise ConfigError(f"{path}: weights are safetensors", f"name it {path.with_suffix('.safetensors')}")
    refuse_foreign(path, _has_card, "weights of stemclean")
    refuse_foreign(path.with_suffix(".json"), _is_card, "card of such weights")
    return path


def _has_card(path: Path) -> bool:
    """Whether a safetensors file's header holds a card of ours; the rest may be damaged."""
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        return b"stemclean.weights/" in file.read(min(size, LARGEST_HEADER))


def _is_card(path: Path) -> bool:
    return path.stat().st_size <= LARGEST_HEADER and b'"stemclean.weights/' in path.read_bytes()


def bundled() -> list[str]:
    """Names of the weights that come with the package."""
    return sorted(
        p.name.removesuffix(".safetensors")
        for p in (resources.files("stemclean") / "weights").iterdir()
        if p.name.endswith(".safetensors")
    )


def resolve(uri: str | Path) -> tuple[Path, str]:
    """Where weights lie on this disk, and the URI that a manifest may hold.

    Raises:
        WeightsError: with what is known and what to try.
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
            f"{path}: pickled weights are not loaded: they can run any code", "convert them to safetensors"
        )
    if not path.is_file():
        raise WeightsError(f"{path}: no such weights file", "give bundled:NAME, hub:ORG/REPO or a .safetensors file")
    return path, f"file:{path.name}"
