"""Options from a file: ``--config FILE`` of every command.

The keys are the long options without dashes in front. Keys outside a section, and those in the section of the command,
such as ``[refine]`` or ``[eval.labels]``, apply to it; sections of other commands are ignored. What is given on the
command line wins, then the section.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any

import typer

from stemclean.documents import FlawError, json_of, toml_of
from stemclean.errors import ConfigError

__all__ = ["Config"]

HIDDEN = frozenset({"config", "help"})
"""Options that a file cannot set."""


def read(ctx: typer.Context, path: Path | None) -> None:
    """Make the options in a file the defaults of a command; called while its options are parsed.

    Raises:
        ConfigError: the file cannot be read, or has a key that is no option of the command, or a value of the wrong
            type.
    """
    if path is None:
        return
    words = ctx.command_path.split()[1:]
    document = _document(path)
    options = {key: parameter for parameter in ctx.command.params for key in _keys(parameter)}
    root = ctx.find_root().command
    found: dict[str, Any] = {}
    for number, section in enumerate(_sections(document, words)):
        place = f"[{'.'.join(words)}] " if number else ""
        commands = [] if number else list(getattr(root, "commands", {}))
        for key, value in section.items():
            name = key.replace("_", "-")
            if isinstance(value, Mapping) and (number or name in commands):
                continue  # the section of a command
            if name not in options:
                raise _unknown(path, f"{place}{key}", name, [*options, *commands], " ".join(words))
            parameter = options[name]
            found[parameter.name] = _checked(parameter, value, f"{path}: {place}{key}", name)
    ctx.default_map = {**(ctx.default_map or {}), **found}


Config = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        is_eager=True,
        expose_value=False,
        callback=read,
        help="Read options from a TOML or JSON file, such as min-quality = 0.5; options on the command line win.",
    ),
]
"""The option; commands do not take it as an argument."""


def _document(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8-sig")
        document = json_of(text) if path.suffix == ".json" else toml_of(text)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror or error}", "give a TOML or JSON file with options") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: not UTF-8 text", "give a TOML or JSON file with options") from None
    except FlawError as error:
        raise ConfigError(f"{path}: {error}", "write options as in TOML: min-quality = 0.5") from None
    if not isinstance(document, dict):
        raise ConfigError(f"{path}: options are an object", 'write options as in JSON: {"min-quality": 0.5}')
    return document


def _sections(document: dict[str, Any], words: list[str]) -> Iterator[dict[str, Any]]:
    """Yield the whole file, then the section of the command, if there is one."""
    yield document
    section: Any = document
    for word in words:
        by_name = {key.replace("_", "-"): value for key, value in section.items()}
        section = by_name.get(word)
        if not isinstance(section, dict):
            return
    if words:
        yield section


def _keys(parameter: Any) -> Iterator[str]:
    """Yield the keys of an option: its long names; of ``--audio/--no-audio``, only the first."""
    if parameter.param_type_name == "option":
        names = [name.removeprefix("--") for name in parameter.opts if name.startswith("--")]
        yield from (name for name in names if name not in HIDDEN)


def _unknown(path: Path, key: str, name: str, known: list[str], command: str) -> ConfigError:
    near = get_close_matches(name, known, 1)
    meant = f"did you mean {near[0]}?\n" if near else ""
    return ConfigError(
        f"{path}: {key} is no option of stemclean {command}",
        f"{meant}all options: stemclean {command} --help; those of another command belong in a section with its name",
    )


def _checked(parameter: Any, value: Any, address: str, name: str) -> Any:
    """Return the value of an option, as a list if it can be given several times."""
    values = value if isinstance(value, list) and parameter.multiple else [value]
    for one in values:
        if parameter.is_flag != isinstance(one, bool):
            should = f"must be {name} = true or {name} = false" if parameter.is_flag else "cannot be true or false"
            raise ConfigError(f"{address}: {should}", "see stemclean COMMAND --help for its values")
        if not isinstance(one, bool | int | float | str):
            raise ConfigError(f"{address}: must be a number or a text", "see stemclean COMMAND --help for its values")
    return [str(one) for one in values] if parameter.multiple else value
