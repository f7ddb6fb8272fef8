"""Read datasets that describe their songs in JSON or YAML files."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

from stemclean.documents import FlawError, json_of, yaml_of
from stemclean.errors import ConfigError, in_plain_words
from stemclean.labels import Profile
from stemclean.layouts.base import Found
from stemclean.layouts.naming import unclear
from stemclean.layouts.walk import audio_files

__all__ = ["Document", "FileName", "any_song", "claimed", "read", "unlisted"]

TRIED = 20
"""Number of files that are tried to recognise a dataset."""


class Document(BaseModel):
    """Base of the metadata; keys that are not needed are ignored."""

    model_config = ConfigDict(extra="ignore", frozen=True)


def _one_part(name: str) -> str:
    if not name or name in (".", "..") or any(letter in name for letter in "/\\\0"):
        raise ValueError("must be the name of a file or folder, without a path")
    return name


FileName = Annotated[str, AfterValidator(_one_part)]
"""Name of a file or folder from metadata, which cannot lead out of the folder that it is in."""

Song = TypeVar("Song", bound=Document)


def read(path: Path, kind: type[Song]) -> Song:
    """Read the metadata of a song.

    Raises:
        ConfigError: the file cannot be read, or does not have the expected keys.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
        return kind.model_validate(json_of(text) if path.suffix == ".json" else yaml_of(text))
    except OSError as error:
        problem = error.strerror or str(error)
    except (UnicodeDecodeError, FlawError) as error:
        problem = str(error)
    except ValidationError as error:
        first = error.errors()[0]
        problem = f"{'.'.join(map(str, first['loc']))}: {in_plain_words(first['msg'])}".removeprefix(": ")
    raise ConfigError(f"{path}: {problem}", "restore the file, or list the stems in a CSV instrum,path")


def any_song(paths: Iterable[Path], kind: type[Document]) -> bool:
    """Return whether one of the first files is metadata of a kind."""
    for path, _ in zip(paths, range(TRIED), strict=False):
        try:
            read(path, kind)
        except ConfigError:
            continue
        return True
    return False


def claimed(file: Path, name: str, track: str, profile: Profile, **declared: object) -> Found:
    """Return a file whose class is the name of an instrument.

    Args:
        file: the file.
        name: instrument, as in the metadata.
        track: its song.
        profile: the classes.
        declared: further declarations of the dataset, kept in ``extra`` of the stem; None: it makes none.
    """
    reading = profile.read(name)
    detail = "" if reading.label else f'its metadata says "{name}", which {unclear(name, profile)}'
    extra = {"instrument": name, **{key: value for key, value in declared.items() if value is not None}}
    return Found(file, reading.label, track, detail=detail, reading=reading, extra=extra)


def unlisted(path: Path, listed: Collection[Path], ignored: Collection[Path] = ()) -> Iterator[Found]:
    """Yield the audio files of a dataset that no metadata names, without a class.

    Args:
        path: the dataset.
        listed: files that were found.
        ignored: folders whose files are not reported.
    """
    for file in audio_files(path):
        if file not in listed and not any(folder in file.parents for folder in ignored):
            yield Found(file, None, detail="no metadata of the dataset names it")
