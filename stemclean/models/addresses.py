"""Where weights lie: URIs become files. No torch is needed for that, so a wrong name is told at once."""

from __future__ import annotations

import re
from importlib import resources
from pathlib import Path

from stemclean.errors import ConfigError, WeightsError
from stemclean.models import hub

__all__ = ["DEFAULT_CLASSIFIER", "bundled", "check_output", "resolve"]

DEFAULT_CLASSIFIER = "bundled:atto.v2"


def check_output(path: str | Path) -> Path:
    """Refuse a name that weights must not have, before hours of training go into them.

    Raises:
        ConfigError: it does not end in ``.safetensors``.
    """
    path = Path(path)
    if path.suffix != ".safetensors":
        raise ConfigError(f"{path}: weights are safetensors", f"name it {path.with_suffix('.safetensors')}")
    return path


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
