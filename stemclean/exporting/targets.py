"""Target classes of an export, and the one rule by which audio is assigned to them.

A target has *members*: classes of the manifest. Audio goes to a target only if its labels are a non-empty subset of the
members; of several such targets, to the one with the fewest members. So ``accompaniment`` takes a stem of bass and
drums, ``drums`` does not.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from stemclean.documents import FlawError, json_of, toml_of
from stemclean.errors import ConfigError
from stemclean.labels import class_names

__all__ = ["REST", "Classes", "Targets", "parse_classes"]

REST = ("accompaniment", "instrumental", "rest")
"""Names that mean every class that no other target names, unless the manifest has a class of that name."""

Classes: TypeAlias = Sequence[str] | Mapping[str, Sequence[str]]
"""Names of targets, or target -> members."""

EXAMPLE = 'write a table of targets and their classes, such as accompaniment = ["bass", "drums", "other"]'


@dataclass(frozen=True)
class Targets:
    """The target classes of an export.

    Args:
        members: target -> the classes of the manifest that it may hold, in the order of the export.
    """

    members: Mapping[str, tuple[str, ...]]

    @classmethod
    def of(cls, classes: Classes | None, labels: Sequence[str]) -> Targets:
        """Resolve targets against the classes of a manifest.

        Args:
            classes: names (classes of the manifest, and at most one of :data:`REST`), or target -> members; None: each
                class of the manifest is a target.
            labels: the classes of the manifest, in order.

        Raises:
            ConfigError: an unknown or repeated class, two targets with the same members, or no target.
        """
        if classes is None:
            return cls({label: (label,) for label in labels})
        named = classes if isinstance(classes, Mapping) else _expanded(classes, labels)
        if not named:
            raise ConfigError("--classes: no class is named", f"known: {', '.join(labels)}")
        class_names.check(named)
        targets: dict[str, tuple[str, ...]] = {}
        for target, listed in named.items():
            members = tuple(label for label in labels if label in listed)
            unknown = [label for label in listed if label not in labels]
            if unknown or not members:
                contents = f'"{unknown[0]}", which is not a class of the manifest' if unknown else "no class"
                raise ConfigError(f'--classes: "{target}" holds {contents}', f"known: {', '.join(labels)}")
            same = next((other for other, others in targets.items() if others == members), None)
            if same:
                raise ConfigError(f'--classes: "{target}" and "{same}" hold the same classes', "remove one of them")
            targets[target] = members
        return cls(targets)

    @property
    def names(self) -> list[str]:
        """The targets, in order."""
        return list(self.members)

    def holding(self, labels: Collection[str]) -> str | None:
        """Return the target that audio with these labels goes to; None if there is none.

        >>> two = Targets({"drums": ("drums",), "accompaniment": ("bass", "drums")})
        >>> two.holding(["drums"]), two.holding(["bass", "drums"]), two.holding(["drums", "vocals"]), two.holding([])
        ('drums', 'accompaniment', None, None)
        """
        held = set(labels)
        fitting = [target for target, members in self.members.items() if held and held <= set(members)]
        return min(fitting, key=lambda target: len(self.members[target]), default=None)  # the first of equals

    def touching(self, labels: Collection[str]) -> list[str]:
        """Return the targets with at least one of the labels among their members.

        >>> Targets({"vocals": ("vocals",), "rhythm": ("bass", "drums")}).touching(["drums", "vocals"])
        ['vocals', 'rhythm']
        """
        return [target for target, members in self.members.items() if not set(members).isdisjoint(labels)]


def parse_classes(text: str) -> Classes:
    """Parse the value of ``--classes``: names with commas between, or a TOML or JSON file of targets and members.

    >>> parse_classes("vocals, accompaniment")
    ('vocals', 'accompaniment')

    Raises:
        ConfigError: a file that cannot be read or is no such table.
    """
    path = Path(text)
    if path.suffix.lower() not in (".toml", ".json"):
        return tuple(name.strip() for name in text.split(",") if name.strip())
    try:
        content = path.read_text(encoding="utf-8-sig")
        table = toml_of(content) if path.suffix.lower() == ".toml" else json_of(content)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror or error}", "name a file, or classes with commas between") from None
    except (UnicodeDecodeError, FlawError) as error:
        raise ConfigError(f"{path}: {error}", EXAMPLE) from None
    if not isinstance(table, dict):
        raise ConfigError(f"{path}: not a table of targets", EXAMPLE)
    for target, members in table.items():
        if not isinstance(members, list) or not all(isinstance(member, str) for member in members):
            raise ConfigError(f'{path}: "{target}" is not a list of classes', EXAMPLE)
    return {target: tuple(members) for target, members in table.items()}


def _expanded(names: Sequence[str], labels: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Return the members of targets that are given by name."""
    repeated = next((name for name in names if list(names).count(name) > 1), None)
    if repeated:
        raise ConfigError(f'--classes: "{repeated}" is named twice', "name each class once")
    rest = [name for name in names if name not in labels]
    unknown = next((name for name in rest if name not in REST), None)
    if unknown:
        raise ConfigError(
            f'--classes: the manifest has no class "{unknown}"',
            f"known: {', '.join(labels)}; or {REST[0]} for all classes that are not named",
        )
    if len(rest) > 1:
        raise ConfigError(f"--classes: {' and '.join(rest)} both mean all other classes", "keep one of them")
    others = tuple(label for label in labels if label not in names)
    if rest and not others:
        raise ConfigError(f"--classes: no class is left for {rest[0]}", "leave it out")
    return {name: (name,) if name in labels else others for name in names}
