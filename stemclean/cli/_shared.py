"""What every command shares: the way out for data and talk, errors, and exit codes.

stdout carries data: tables, or one JSON object with ``--json``. stderr carries talk: progress, remarks, errors.
Exit codes: 0 done; 1 findings, with ``--fail-on``; 2 usage or configuration; 3 finished, but some inputs
failed; 130 interrupted, 143 terminated, 129 hung up; 141 nobody reads what is printed (``… | head``), without a word;
70 (``EX_SOFTWARE``) a bug of ours, so that no caller takes it for a finding. Those above 128 are 128 and the signal's
number, as of other programs.
"""

from __future__ import annotations

import codecs
import functools
import io
import json
import os
import re
import select
import shlex
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from stemclean import __version__, stopping
from stemclean.disk import FULL
from stemclean.errors import OutputError, StemcleanError, in_plain_words, visible
from stemclean.progress import waiting

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from stemclean.settings import Assignment

__all__ = [
    "BUG",
    "CLOSED_PIPE",
    "FAILED_INPUTS",
    "FINDINGS",
    "INTERRUPTED",
    "USAGE",
    "Edge",
    "Json",
    "License",
    "PushToHub",
    "Quiet",
    "add",
    "by_option",
    "clock",
    "data",
    "example",
    "new_app",
    "passed_over",
    "place",
    "reading",
    "remark",
    "report_failures",
    "table",
    "typed",
]

FINDINGS = 1
NAMES = 5
USAGE = 2
FAILED_INPUTS = 3
BUG = 70
INTERRUPTED = 130
CLOSED_PIPE = 141

ROWS = 20
"""Failed inputs that are listed on stderr; the manifest and ``--json`` hold all."""

CLASSES = ("vocals", "bass", "drums", "other")
"""By which names are read where no others are asked for."""

HINTS = {
    "class_unknown": "to tell a class: put one of {labels} into the name of the file or its folder "
    '("stem 4 {first}.wav"),\nor list the files in a CSV with the columns instrum,path',
}
"""Skip reason -> what to do about such files, told once below their list."""

NAMELESS = "temporary files (TMPDIR) or shared memory (/dev/shm)"
"""Where an error of a full disk comes from that names no file."""

ISSUES = "https://github.com/stemclean/stemclean/issues"

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")]
PushToHub = Annotated[
    str | None,
    typer.Option(metavar="ORG/REPO", help="Publish weights, card and a page on the Hugging Face Hub."),
]
License = Annotated[
    str | None, typer.Option("--license", metavar="NAME", help="Of the weights, for their card; as CC-BY-4.0.")
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no remarks; errors are still told.")]


class _PipeClosedError(BrokenPipeError):
    """Nobody reads our output any more. It bears no ``errno``, at which Click would exit with 1, a finding."""


class Edge(TyperGroup):
    """The outermost group: turns every way to fail into a message on stderr and an exit code."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        """Run; with ``standalone_mode`` it ends in :class:`SystemExit`. Nothing typed is ``--help``."""
        args = list(sys.argv[1:] if args is None else args) or ["--help"]
        run = functools.partial(super().main, args, prog_name, complete_var, False, windows_expand_args, **extra)
        if not standalone_mode:
            return run()
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")  # a letter that a code page lacks ends no run
        try:
            with _noticing_closed_pipes():
                code = _told(run)
        except _PipeClosedError:
            _let_go_of_closed_pipes()
            code = CLOSED_PIPE
        sys.exit(code if isinstance(code, int) else 0)

    def make_context(self, *args: Any, **extra: Any) -> Any:
        """Parse what stands before the command; ``--help`` and ``--version`` print here."""
        with _noticing_closed_pipes():
            return super().make_context(*args, **extra)

    def invoke(self, ctx: Any) -> Any:
        """Run the command; the context is vendored Click's, whose name is private."""
        with _noticing_closed_pipes():
            try:
                return super().invoke(ctx)
            except (typer.TyperException, typer.Exit, typer.Abort):
                raise
            except KeyboardInterrupt as error:
                raise typer.Exit(_stopped(error)) from None
            except Exception as error:
                if isinstance(error, BrokenPipeError) and _reader_is_gone():
                    raise
                if (signal := stopping.received()) is not None:  # which the error is a consequence of
                    raise typer.Exit(_stopped(signal)) from None
                if ctx.params.get("debug"):
                    traceback.print_exc()
                raise typer.Exit(_explain(error)) from None


def new_app(**options: Any) -> typer.Typer:
    """A Typer group in the house style."""
    return typer.Typer(
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
        **options,
    )


def add(app: typer.Typer, module: ModuleType) -> None:
    """Register ``module.command`` under the module's name; its ``EXAMPLE`` ends the help."""
    name = module.__name__.rpartition(".")[2].replace("_", "-")
    app.command(name, epilog=example(module.EXAMPLE))(module.command)


def example(command: str) -> str:
    """The last lines of a help text: a command to copy."""
    return f"\b\nExample:\n  {command}"  # \b: the lines below are not filled


def data(report: Mapping[str, Any], tables: Iterable[Table | str] = (), *, as_json: bool) -> None:
    """Print a report on stdout, as JSON or as tables; of several processes, the first does."""
    if not _is_first():
        return
    if as_json:
        # A pipe of Windows takes what its code page has; JSON can do without.
        plain = codecs.lookup(sys.stdout.encoding or "ascii").name != "utf-8"
        typer.echo(json.dumps(report, sort_keys=True, indent=1, ensure_ascii=plain, allow_nan=False))
        return
    console = _console()
    for index, shown in enumerate(tables):
        if index:
            console.print()
        if not isinstance(shown, str) and shown.title:
            console.print(visible(str(shown.title)), style="bold", markup=False, highlight=False)
            shown.title = None  # rich would fold it to the table's width
        console.print(_lines(shown) if isinstance(shown, str) else shown, markup=False, highlight=False)


def remark(*lines: str, quiet: bool = False) -> None:
    """Say something on stderr, line by line; a name in a line cannot begin another. Of several processes, the first."""
    if lines and not quiet and _is_first():
        _console(stderr=True).print("\n".join(map(visible, lines)), markup=False, highlight=False, soft_wrap=True)


def named(names: Sequence[str]) -> str:
    """The first few of some names; a table, a manifest or ``--json`` holds all."""
    return ", ".join(names[:NAMES]) + (", …" if len(names) > NAMES else "")


def softer(gains_db: Mapping[str, float]) -> list[str]:
    """A line on songs that were turned down, by the gain of each in dB; none where none was."""
    songs = [f"{song or 'the songs'} ({gain_db:g} dB)" for song, gain_db in gains_db.items()]
    return [f"turned down, so that nothing is clipped: {named(songs)}"] if songs else []


def kept_in_float(names: Sequence[str]) -> list[str]:
    """A line on what was written as floating-point numbers; none where nothing was."""
    return [f"beyond full scale, so written in float: {named(names)}"] if names else []


def _is_first() -> bool:
    """Whether this is the first of the processes that ``torchrun`` has started, or the only one."""
    return int(os.environ.get("RANK") or 0) == 0


@contextmanager
def reading(path: Path, *, quiet: bool = False) -> Iterator[None]:
    """Import the verb in here: a terminal says meanwhile that ``path`` is read, and nothing that is not there waits.

    Raises:
        ConfigError: there is no such dataset, or no audio file in it.
    """
    with waiting(f"reading {path} …", quiet=quiet):
        from stemclean import layouts

        layouts.check(path)
        yield


def typed(*words: str | Path) -> str:
    """A command of ours that a shell takes as it stands.

    >>> typed("refine", Path("my stems"))
    "stemclean refine 'my stems'"
    """
    return visible(shlex.join(["stemclean", *map(str, words)]))


def place(output: Path, root: str, path: str) -> str:
    """Where a manifest's file lies, as it can be opened from the working directory; the shortest way to say it.

    Args:
        output: the manifest.
        root: its ``root``, relative to its folder.
        path: relative to ``root``.
    """
    there = output.parent / root / path
    shorter = (os.path.normpath(there), os.path.abspath(there))  # noqa: PTH100 - resolve() follows links
    # After a linked folder, ".." leads elsewhere than the names say.
    right = [name for name in shorter if there.exists() and Path(name).exists() and there.samefile(name)]
    return visible(min([str(there), *right], key=len))


def passed_over(report: Mapping[str, Any]) -> list[str]:
    """Lines that tell what a run left alone though nothing failed; see :func:`stemclean.report.skips`."""
    lines = []
    if report["mixtures"]:
        lines.append(f"passed over {_many(report['mixtures'], 'mixture')}")
    if report["skipped_before"]:
        lines.append(f"earlier runs had passed over {_many(report['skipped_before'], 'file')}")
    return lines


def by_option(given: Mapping[str, tuple[str, Any]], settings: Sequence[str] | None) -> list[str | Assignment]:
    """What options say of settings, then what ``--set`` does.

    Args:
        given: option -> the setting's name and its value, None where it was not typed.
    """
    from stemclean.settings import Assignment  # with pydantic

    typed_ones = [Assignment(key, value, option) for option, (key, value) in given.items() if value is not None]
    return [*typed_ones, *(settings or [])]


def report_failures(
    failures: Sequence[Mapping[str, str]], *, quiet: bool = False, labels: Sequence[str] = CLASSES
) -> None:
    """List the inputs that failed, one a line, and leave with exit code 3; none: go on.

    ``quiet`` keeps the count alone; a long list is cut. ``labels`` are the classes that names are read by.

    Raises:
        typer.Exit: with :data:`FAILED_INPUTS`, if there is any.
    """
    if not failures:
        return
    console = _console(stderr=True)
    console.print(f"[yellow]skipped[/] {_many(len(failures), 'file')} that could not be used", highlight=False)
    for line in () if quiet else _listed(failures, labels):
        console.print(f"  {visible(line)}", markup=False, highlight=False, soft_wrap=True)
    raise typer.Exit(FAILED_INPUTS)


def table(title: str, *columns: str, numbers: Sequence[str] = ()) -> Table:
    """An empty table; the columns named in ``numbers`` are flush right."""
    from rich import box
    from rich.table import Table

    class Visible(Table):
        def add_row(self, *cells: Any, **options: Any) -> None:
            super().add_row(*(visible(cell) if isinstance(cell, str) else cell for cell in cells), **options)

    made = Visible(title=title, box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for column in columns:
        made.add_column(visible(column), justify="right" if column in numbers else "left", overflow="fold")
    return made


def clock(seconds: float) -> str:
    """A duration to be read at a glance.

    >>> clock(7384.4), clock(61.0), clock(0.0)
    ('2:03:04', '1:01', '0:00')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _many(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _lines(text: str) -> str:
    return "\n".join(map(visible, text.split("\n")))


def _listed(failures: Sequence[Mapping[str, str]], labels: Sequence[str]) -> Iterator[str]:
    """One line a failed input, as many as can be read, and what to do about them."""
    for failure in failures[:ROWS]:
        yield f"{failure['path']}: {failure['reason']}" + (f" ({failure['detail']})" if failure.get("detail") else "")
    if len(failures) > ROWS:
        yield f"and {len(failures) - ROWS} more; --json lists all"
    for reason, hint in HINTS.items():
        if any(failure["reason"] == reason for failure in failures):
            yield from hint.format(labels=", ".join(labels), first=labels[0]).splitlines()


@contextmanager
def _noticing_closed_pipes() -> Iterator[None]:
    """Turn the error of writing where nobody reads into one that Click does not know."""
    try:
        yield
    except _PipeClosedError:
        raise
    except BrokenPipeError:
        raise _PipeClosedError from None


def _reader_is_gone() -> bool:
    """Whether it is our own output that nobody reads, and not a pipe between processes of ours that broke."""
    if not hasattr(select, "poll"):
        return True
    poll = select.poll()
    for stream in (sys.stdout, sys.stderr):
        try:
            poll.register(stream, 0)
        except (OSError, ValueError):  # no file at all
            continue
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))


def _let_go_of_closed_pipes() -> None:
    """What is still held back for a closed pipe goes nowhere, or the interpreter would complain at its end."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _told(run: Callable[[], Any]) -> Any:
    """Run, and tell of what was typed wrong; the exit code."""
    try:
        return run()
    except typer.TyperException as error:
        what, colon, why = error.format_message().rstrip(".").partition(": ")
        _complain(f"{what}{colon}{in_plain_words(why)}", _usage(error))
        return error.exit_code
    except typer.Abort:
        return INTERRUPTED


def _console(*, stderr: bool = False) -> Console:
    """Where rich prints; not a terminal: no colour, and no line is ever cut to a width."""
    from rich.console import Console

    class OursAlone(Console):
        def on_broken_pipe(self) -> None:  # rich would exit with 1
            raise BrokenPipeError

    console = OursAlone(stderr=stderr, emoji=False)  # ":x:" in a file's name stays what it is
    if not console.is_terminal:
        console.width = 10_000
    return console


def _stopped(error: KeyboardInterrupt) -> int:
    """Tell what ended the run and say which exit code it has."""
    _complain(str(error) if isinstance(error, stopping.Stopped) else "interrupted", stopping.HINT)
    return stopping.exit_code(error)


def _explain(error: Exception) -> int:
    """Tell an error and say which exit code it has."""
    if isinstance(error, StemcleanError):
        _complain(error.message, error.hint)
        return error.exit_code
    if isinstance(error, OSError) and (error.filename is not None or error.errno in FULL):
        path = NAMELESS if error.filename is None else os.fsdecode(error.filename)
        told = OutputError(path, error) if error.errno in FULL else None
        message = told.message if told else f"{path}: {error.strerror or error}"
        _complain(message, told.hint if told else "is the path right, and may you read and write there?")
        return USAGE
    if isinstance(error, FileNotFoundError) and "temporary directory" in str(error):  # as Python's tempfile says it
        _complain("no folder for temporary files can be written", "set TMPDIR to one where you may write")
        return USAGE
    _complain(
        f"{type(error).__name__}: {error}",
        "this is a bug in stemclean: run the command again as `stemclean --debug COMMAND …` and\n"
        f"send what it prints with version {__version__} to {ISSUES}",
    )
    return BUG


def _complain(message: str, hint: str = "") -> None:
    console = _console(stderr=True)
    console.print("[bold red]error:[/] ", end="")
    console.print(visible(message), markup=False, highlight=False, soft_wrap=True)
    for line in hint.split("\n") if hint else ():
        console.print(f"  {visible(line)}", markup=False, highlight=False, soft_wrap=True)


def _usage(error: Exception) -> str:
    ctx = getattr(error, "ctx", None)
    if ctx is None:
        return ""
    usage = re.sub(r"\s+", " ", ctx.get_usage()).removeprefix("Usage: ").strip()
    return f"usage: {usage}\nhelp: {ctx.command_path} --help"
