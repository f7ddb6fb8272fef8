"""The Hugging Face Hub, through its own library: files come and go, and whatever fails is one clear line.

The library says what it tries again and what went wrong in many lines, and raises the errors of whichever HTTP library
it is built on. Here its log is silent but for errors of its own, and every failure is a
:class:`~stemclean.errors.WeightsError`. The server is the one that ``HF_ENDPOINT`` names.
"""

from __future__ import annotations

import logging
import re
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath

from stemclean.errors import ConfigError, WeightsError

__all__ = ["PICKLES", "check_publishing", "fetch", "publish"]

PICKLES = frozenset({".pt", ".pth", ".ckpt", ".bin", ".pkl", ".th"})
"""Endings of files that can run any code when they are loaded."""
DEFAULT_FILE = "model.safetensors"
REPO = r"(?=.{1,96}$)(?!.*(--|\.\.))(?!.*\.git$)\w([\w.-]*\w)?/\w([\w.-]*\w)?"
"""What the hub takes as ORG/REPO."""
TIMEOUT = 10.0
"""Seconds in which the hub must answer whether it has a file."""


def fetch(address: str) -> Path:
    """A file from the hub's cache, or from the hub; with it the card beside it, where there is one.

    Args:
        address: ``ORG/REPO[@REVISION][/FILE]``.

    Raises:
        WeightsError: no such address, a pickle, or it cannot be had.
    """
    name = f"hub:{address}"
    match = re.fullmatch(r"(?P<repo>[^/@]+/[^/@]+)(@(?P<revision>[^/]+))?(/(?P<file>.+))?", address)
    if not match:
        raise WeightsError(
            f'"{name}" is no hub address', "write hub:ORG/REPO, hub:ORG/REPO@REVISION or hub:ORG/REPO/FILE"
        )
    repo, revision, file = match["repo"], match["revision"], match["file"] or DEFAULT_FILE
    if Path(file).suffix in PICKLES:
        raise WeightsError(
            f"{name}: pickled weights are not loaded: they can run any code", "ask for a .safetensors file"
        )
    from huggingface_hub import constants, get_hf_file_metadata, hf_hub_download, hf_hub_url, try_to_load_from_cache

    with _one_line(name, "check organisation, repository, revision and file"):
        if not constants.HF_HUB_OFFLINE and not isinstance(try_to_load_from_cache(repo, file, revision=revision), str):
            # One try, so that nobody waits half a minute to learn that there is no network.
            get_hf_file_metadata(hf_hub_url(repo, file, revision=revision), timeout=TIMEOUT)
        path = Path(hf_hub_download(repo, file, revision=revision))
        card = PurePosixPath(file).with_suffix(".json").as_posix()
        commit = path.parents[len(PurePosixPath(file).parts) - 1].name  # …/snapshots/COMMIT/FILE
        if try_to_load_from_cache(repo, card, revision=commit) is None:  # neither there nor known to be missing
            with suppress(Exception):  # weights need no card beside them
                hf_hub_download(repo, card, revision=commit)
    return path


def check_publishing(repo: str) -> None:
    """Refuse at once what would fail after hours of training: a name that cannot be, no token, offline mode.

    Raises:
        ConfigError: ``repo`` is no ``ORG/REPO``.
        WeightsError: nobody is logged in, or the hub may not be asked.
    """
    if not re.fullmatch(REPO, repo, re.ASCII):
        raise ConfigError(f'"{repo}" is no repository of the hub', "write ORG/REPO, as --push-to-hub my_name/my_stems")
    from huggingface_hub import constants, get_token

    if constants.HF_HUB_OFFLINE:
        raise WeightsError(f"hub:{repo}: HF_HUB_OFFLINE forbids to ask the hub", "unset it, or train without pushing")
    if not get_token():
        raise WeightsError(f"hub:{repo}: nobody is logged in to the hub", _LOG_IN)


def publish(repo: str, files: Mapping[str, Path | bytes], message: str, *, quiet: bool = False) -> str:
    """Put files into a model repository, in one commit; it is created where it does not exist.

    Args:
        repo: ``ORG/REPO``.
        files: name in the repository -> what it holds.
        message: of the commit.

    Returns:
        The commit's hash.

    Raises:
        ConfigError, WeightsError: as :func:`check_publishing`; or the hub cannot be reached, or refuses.
    """
    check_publishing(repo)
    from huggingface_hub import CommitOperationAdd, HfApi

    with _one_line(f"hub:{repo}", "try again later", quiet=quiet):
        api = HfApi()
        api.create_repo(repo, exist_ok=True)
        operations = [CommitOperationAdd(name, content) for name, content in files.items()]
        return str(api.create_commit(repo, operations, commit_message=message).oid)


_LOG_IN = "log in with `hf auth login`, or set HF_TOKEN to a token that may write there"


@contextmanager
def _one_line(name: str, hint: str, *, quiet: bool = False) -> Iterator[None]:
    """Hush the hub's library, and turn what it raises into one line.

    Args:
        name: what the error is about.
        hint: the next step where nothing better is known.
        quiet: no bars either; there are none where no terminal shows them.
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
            f"{name}: the hub cannot be reached and the file is not in the cache", "download it once while online"
        ) from None
    except Exception as error:  # noqa: BLE001  of httpx, requests or the uploader, whichever the library stands on
        why, next_step = _why(error, hint)
        raise WeightsError(f"{name}: {why}", next_step) from None
    finally:
        hub_logging.set_verbosity(verbosity)
        if bars_go:
            enable_progress_bars()


def _why(error: Exception, hint: str) -> tuple[str, str]:
    """What went wrong, in a line, and the next step."""
    from huggingface_hub import errors

    while isinstance(error, RuntimeError) and isinstance(error.__cause__, Exception):
        error = error.__cause__  # the uploader wraps what went wrong
    line = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
    if isinstance(error, errors.GatedRepoError):
        return "access must be asked for on its page", _LOG_IN
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
    return f"the hub cannot be reached: {line}", "is there a network, and is HF_ENDPOINT right? try again later"
