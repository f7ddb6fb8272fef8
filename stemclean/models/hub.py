"""Download from and upload to the Hugging Face Hub, with one-line errors.

This uses ``huggingface_hub``, which logs its retries and failures at length and raises the errors of its HTTP library.
Here its log is limited to errors, and every failure is a :class:`~stemclean.errors.WeightsError`. ``HF_ENDPOINT``
selects the server.
"""

from __future__ import annotations

import logging
import re
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from stemclean.errors import ConfigError, WeightsError

__all__ = ["PICKLES", "Download", "check_publishing", "fetch", "look", "publish"]

PICKLES = frozenset({".pt", ".pth", ".ckpt", ".bin", ".pkl", ".th"})
"""Suffixes of pickles, which can run any code when they are loaded."""
DEFAULT_FILE = "model.safetensors"
REPO = r"(?=.{1,96}$)(?!.*(--|\.\.))(?!.*\.git$)\w([\w.-]*\w)?/\w([\w.-]*\w)?"
"""Pattern of valid repository names, ORG/REPO."""
PER_COMMIT = 1000
"""Number of files in a commit; the hub refuses commits of several ten thousand."""
TIMEOUT = 10.0
"""Seconds to wait for the hub's answer whether it has a file."""


def fetch(address: str) -> Path:
    """Return the local path of a file on the hub, downloading it if it is not cached; and its card, if there is one.

    Args:
        address: ``ORG/REPO[@REVISION][/FILE]``.

    Raises:
        WeightsError: The address is invalid, the file is a pickle, or it cannot be downloaded.
    """
    name = f"hub:{address}"
    repo, revision, file = _parsed(address)
    from huggingface_hub import constants, get_hf_file_metadata, hf_hub_download, hf_hub_url, try_to_load_from_cache

    with _one_line(name, "check organisation, repository, revision and file"):
        if not constants.HF_HUB_OFFLINE and not isinstance(try_to_load_from_cache(repo, file, revision=revision), str):
            # A single try, so that a missing network is reported at once and not after half a minute of retries.
            get_hf_file_metadata(hf_hub_url(repo, file, revision=revision), timeout=TIMEOUT)
        path = Path(hf_hub_download(repo, file, revision=revision))
        card = PurePosixPath(file).with_suffix(".json").as_posix()
        commit = path.parents[len(PurePosixPath(file).parts) - 1].name  # …/snapshots/COMMIT/FILE
        if try_to_load_from_cache(repo, card, revision=commit) is None:  # neither cached nor known to be missing
            with suppress(Exception):  # the card beside the weights is optional
                hf_hub_download(repo, card, revision=commit)
    return path


@dataclass(frozen=True)
class Download:
    """A file on the hub that is not cached.

    Args:
        uri: ``hub:`` and its address.
        folder: Folder that it would be downloaded to.
        num_bytes: Its size; None: unknown.
    """

    uri: str
    folder: Path
    num_bytes: int | None


def look(address: str) -> Path | Download:
    """Return the local path of a file on the hub if it is cached, or else what would be downloaded.

    Nothing is downloaded or written; the hub is only asked for the version and the size of the file. If it cannot be
    reached, a cached file will do.

    Args:
        address: ``ORG/REPO[@REVISION][/FILE]``.

    Raises:
        WeightsError: The address is invalid, the file is a pickle, or it is not cached and the hub does not have it or
            cannot be reached.
    """
    name = f"hub:{address}"
    repo, revision, file = _parsed(address)
    from huggingface_hub import constants, get_hf_file_metadata, hf_hub_url, try_to_load_from_cache

    cached = try_to_load_from_cache(repo, file, revision=revision)
    try:
        with _one_line(name, "check organisation, repository, revision and file"):
            if constants.HF_HUB_OFFLINE:
                raise WeightsError(
                    f"{name}: offline, and the file is not in the cache", "download it once while online"
                )
            found = get_hf_file_metadata(hf_hub_url(repo, file, revision=revision), timeout=TIMEOUT)
    except WeightsError:
        if isinstance(cached, str):
            return Path(cached)
        raise
    cached = try_to_load_from_cache(repo, file, revision=found.commit_hash)
    if isinstance(cached, str):
        return Path(cached)
    folder = Path(constants.HF_HUB_CACHE) / constants.REPO_ID_SEPARATOR.join(["models", *repo.split("/")])
    return Download(name, folder, found.size)


def _parsed(address: str) -> tuple[str, str | None, str]:
    """Return the repository, the revision if there is one, and the file of an address.

    Raises:
        WeightsError: The address is invalid, or the file is a pickle.
    """
    name = f"hub:{address}"
    match = re.fullmatch(r"(?P<repo>[^/@]+/[^/@]+)(@(?P<revision>[^/]+))?(/(?P<file>.+))?", address)
    if not match:
        raise WeightsError(
            f'"{name}" is not a hub address', "write hub:ORG/REPO, hub:ORG/REPO@REVISION or hub:ORG/REPO/FILE"
        )
    file = match["file"] or DEFAULT_FILE
    if Path(file).suffix in PICKLES:
        raise WeightsError(
            f"{name}: pickled weights are not loaded, because they can run any code", "give a .safetensors file"
        )
    return match["repo"], match["revision"], file


def check_publishing(repo: str, option: str = "--push-to-hub") -> None:
    """Check before the work that its result can be pushed: a valid name, a token, not offline.

    Args:
        repo: ``ORG/REPO``.
        option: The option that named it.

    Raises:
        ConfigError: ``repo`` is not of the form ``ORG/REPO``.
        WeightsError: There is no token, or offline mode is on.
    """
    if not re.fullmatch(REPO, repo, re.ASCII):
        raise ConfigError(f'"{repo}" is not a hub repository', f"write ORG/REPO, as in {option} my_name/my_stems")
    from huggingface_hub import constants, get_token

    if constants.HF_HUB_OFFLINE:
        raise WeightsError(f"hub:{repo}: HF_HUB_OFFLINE is set", f"unset it, or leave out {option}")
    if not get_token():
        raise WeightsError(f"hub:{repo}: you are not logged in to the hub", _LOG_IN)


def publish(
    repo: str,
    files: Mapping[str, Path | bytes],
    message: str,
    *,
    kind: Literal["model", "dataset"] = "model",
    private: bool | None = None,
    quiet: bool = False,
) -> str:
    """Upload files to a repository. The repository is created if it does not exist.

    There is one commit, or for many files one for every :data:`PER_COMMIT` of them, in order.

    Args:
        repo: ``ORG/REPO``.
        files: Name in the repository -> path or content.
        message: Commit message.
        kind: Kind of the repository.
        private: Whether a new repository is private; None: the default of its owner.
        quiet: Show no progress bars.

    Returns:
        The hash of the last commit.

    Raises:
        ConfigError: As :func:`check_publishing`.
        WeightsError: As :func:`check_publishing`; or the hub cannot be reached, or refuses the upload.
    """
    check_publishing(repo)
    from huggingface_hub import CommitOperationAdd, HfApi

    with _one_line(f"hub:{repo}", "try again later", quiet=quiet):
        api = HfApi()
        api.create_repo(repo, repo_type=kind, private=private, exist_ok=True)
        operations = [CommitOperationAdd(name, content) for name, content in files.items()]
        commit = ""
        for at in range(0, len(operations), PER_COMMIT):
            part = operations[at : at + PER_COMMIT]
            commit = api.create_commit(repo, part, commit_message=message, repo_type=kind).oid
        return commit


_LOG_IN = "log in with `hf auth login`, or set HF_TOKEN to a token with write access"


@contextmanager
def _one_line(name: str, hint: str, *, quiet: bool = False) -> Iterator[None]:
    """Silence ``huggingface_hub``, and turn its errors into one-line errors.

    Args:
        name: Subject of the error message.
        hint: Default hint of the error.
        quiet: Show no progress bars; they are hidden in any case if stderr is not a terminal.
    """
    from huggingface_hub.errors import LocalEntryNotFoundError, OfflineModeIsEnabled
    from huggingface_hub.utils import logging as hub_logging
    from huggingface_hub.utils.tqdm import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    verbosity, had_bars = hub_logging.get_verbosity(), not are_progress_bars_disabled()
    hub_logging.set_verbosity(logging.ERROR)
    if bars_go := had_bars and (quiet or not sys.stderr.isatty()):
        disable_progress_bars()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except (LocalEntryNotFoundError, OfflineModeIsEnabled):
        raise WeightsError(
            f"{name}: offline, and the file is not in the cache", "download it once while online"
        ) from None
    except Exception as error:  # noqa: BLE001  of httpx, requests or the uploader, depending on the version
        reason, next_step = _reason(error, hint)
        raise WeightsError(f"{name}: {reason}", next_step) from None
    finally:
        hub_logging.set_verbosity(verbosity)
        if bars_go:
            enable_progress_bars()


def _reason(error: Exception, hint: str) -> tuple[str, str]:
    """Return the reason of an error in one line, and a hint."""
    from huggingface_hub import errors

    while isinstance(error, RuntimeError) and isinstance(error.__cause__, Exception):
        error = error.__cause__  # the uploader wraps its errors
    line = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
    if isinstance(error, errors.GatedRepoError):
        return "the repository is gated: request access on its page", _LOG_IN
    if isinstance(error, errors.RepositoryNotFoundError):
        return "no such repository, or a private one", hint
    if isinstance(error, errors.RevisionNotFoundError):
        return "no such revision", hint
    if isinstance(error, errors.EntryNotFoundError):
        return "no such file in it", hint
    if isinstance(error, errors.HfHubHTTPError):
        status = getattr(error.response, "status_code", None)
        return (f"the hub refuses ({status}): {line}", _LOG_IN) if status in (401, 403) else (line, hint)
    if isinstance(error, errors.HFValidationError):
        return line, hint
    return f"the hub cannot be reached: {line}", "check the network and HF_ENDPOINT, or try again later"
