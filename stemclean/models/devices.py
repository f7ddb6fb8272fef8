"""The devices that models run on, by name. torch is imported when it is needed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stemclean.errors import ConfigError

if TYPE_CHECKING:
    import torch

__all__ = ["check", "chosen", "names"]


def names() -> list[str]:
    """Return the names of this machine's devices, such as ``["cpu", "cuda", "cuda:0", "cuda:1"]``."""
    import torch

    accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    if accelerator is None:
        return ["cpu"]
    kind = accelerator.type
    return ["cpu", kind, *(f"{kind}:{index}" for index in range(torch.accelerator.device_count()))]


def chosen(name: str | None = None) -> torch.device:
    """Return the device with a name; None: CUDA if available, otherwise the CPU.

    Raises:
        ConfigError: This machine has no such device.
    """
    import torch

    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    check(name)
    return torch.device(name)


def check(name: str | None) -> None:
    """Check that this machine has a device.

    Raises:
        ConfigError: It has not.
    """
    if name is not None and name not in (known := names()):
        raise ConfigError(f'this machine has no device "{name}"', f"known: {', '.join(known)}")
