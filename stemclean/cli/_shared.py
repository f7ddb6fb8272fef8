"""What all commands share: output, errors and exit codes; ``_options`` has their options.

stdout is for data: tables, or one JSON object with ``--json``. stderr is for messages: progress, remarks, errors.
Exit codes: 0 done; 1 findings, with ``--fail-on``; 2 usage or configuration error; 3 finished, but some inputs failed;
130 interrupted, 143 terminated, 129 hung up; 141 the reader of the output is gone (``… | head``), without a message;
70 (``EX_SOFTWARE``) a bug in stemclean, so that no caller takes it for a finding. Codes above 128 are 128 plus the
number of the signal, as is customary.
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
from typing import TYPE_CHECKING, Any

import typer
from typer.core import TyperGroup

from stemclean import __version__, progress, stopping
from stemclean.cli._command import Command, expanded
from stemclean.disk import FULL
from stemclean.errors import OutputError, SkipReason, StemcleanError, in_plain_words, visible
from stemclean.progress import waiting

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

__all__ = [
    "BUG",
    "CLOSED_PIPE",
    "FAILED_INPUTS",
    "FINDINGS",
    "INTERRUPTED",
    "USAGE",
    "Edge",
    "add",
    "clock",
    "data",
    "example",
    "misfits",
    "new_app",
    "passed_over",
    "place",
    "reading",
    "register",
    "remark",
    "report_failures",
    "report_findings",
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
"""Failed inputs that are listed on stderr; the manifest and ``--json`` contain all."""

CLASSES = ("vocals", "bass", "drums", "other")
"""The default classes, by which file names are read."""

HINTS = {
    SkipReason.CLASS_UNKNOWN: "to give a file a class, put one of {labels} into its name or that of its folder "
    '("stem 4 {first}.wav"),\nor list the files in a CSV with the columns instrum,path',
}
"""Skip reason -> what to do about such files, printed once below the list."""

NAMELESS = "temporary files (TMPDIR) or shared memory (/dev/shm)"
"""The likely location of a full disk if the error names no file."""

ISSUES = "https://github.com/stemclean/stemclean/issues"


class _PipeClosedError(BrokenPipeError):
    """Raised when the reader of stdout or stderr has closed its pipe.

    It has no ``errno``: with one, Click would exit with 1, the code for findings.
    """


class Edge(TyperGroup):
    """The outermost group, which turns every failure into a message on stderr and an exit code."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        """Run; with ``standalone_mode``, this raises :class:`SystemExit`. Without arguments, it prints the help."""
        args = list(sys.argv[1:] if args is None else args) or ["--help"]
        run = functools.partial(super().main, args, prog_name, complete_var, False, windows_expand_args, **extra)
        if not standalone_mode:
            return run()
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")  # a character that the code page lacks must not end a run
        try:
            with _closed_pipes_as_errors():
                code = _exit_code(run)
        except _PipeClosedError:
            _discard_closed_pipes()
            code = CLOSED_PIPE
        finally:
            progress.use_json(False)
        sys.exit(code if isinstance(code, int) else 0)

    def make_context(self, *args: Any, **extra: Any) -> Any:
        """Parse the options before the command; ``--help`` and ``--version`` print here."""
        with _closed_pipes_as_errors():
            return super().make_context(*args, **extra)

    def invoke(self, ctx: Any) -> Any:
        """Run the command. The context is that of vendored Click, whose name is private."""
        with _closed_pipes_as_errors():
            try:
                return super().invoke(ctx)
            except (typer.TyperException, typer.Exit, typer.Abort):
                raise
            except KeyboardInterrupt as error:
                raise typer.Exit(_stopped(error)) from None
            except Exception as error:
                if isinstance(error, BrokenPipeError) and _reader_is_gone():
                    raise
                if (signal := stopping.received()) is not None:  # the cause of the error
                    raise typer.Exit(_stopped(signal)) from None
                if ctx.params.get("debug"):
                    traceback.print_exc()
                raise typer.Exit(_explain(error)) from None


def new_app(*, completion: bool = False, **options: Any) -> typer.Typer:
    """A Typer group in the house style; the outermost one has the options that install completion in the shell."""
    return typer.Typer(
        add_completion=completion,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
        **options,
    )


def add(app: typer.Typer, module: ModuleType) -> None:
    """Register ``module.command`` under the module's name; its ``EXAMPLE`` ends the help."""
    name = module.__name__.rpartition(".")[2].replace("_", "-")
    register(app, name, module.command, module.EXAMPLE)


def register(app: typer.Typer, name: str, command: Callable[..., None], shown: str) -> None:
    """Register a command; ``shown``, a command to copy, ends its help."""
    app.command(name, epilog=example(shown), cls=Command)(expanded(command))


def example(command: str) -> str:
    """The end of a help text: a command to copy."""
    return f"\b\nExample:\n  {command}"  # \b: do not rewrap the lines below


def data(report: Mapping[str, Any], tables: Iterable[Table | str] = (), *, as_json: bool) -> None:
    """Print a report on stdout, as JSON or as tables. Of several processes, only the first prints."""
    if not _is_first():
        return
    if as_json:
        # A pipe on Windows only takes the characters of its code page; JSON can escape the others.
        plain = codecs.lookup(sys.stdout.encoding or "ascii").name != "utf-8"
        typer.echo(json.dumps(report, sort_keys=True, indent=1, ensure_ascii=plain, allow_nan=False))
        return
    console = _console()
    for index, shown in enumerate(tables):
        if index:
            console.print()
        if not isinstance(shown, str) and shown.title:
            console.print(visible(str(shown.title)), style="bold", markup=False, highlight=False)
            shown.title = None  # rich would wrap it to the width of the table
        console.print(_lines(shown) if isinstance(shown, str) else shown, markup=False, highlight=False)


def remark(*lines: str, quiet: bool = False) -> None:
    """Print lines on stderr; a name cannot break its line. Of several processes, only the first prints."""
    if not lines or quiet or not _is_first():
        return
    if progress.as_json():
        for line in lines:
            progress.tell("remark", line)
    else:
        _console(stderr=True).print("\n".join(map(visible, lines)), markup=False, highlight=False, soft_wrap=True)


def named(names: Sequence[str]) -> str:
    """The first few of the names; a table, the manifest or ``--json`` contains all."""
    return ", ".join(names[:NAMES]) + (", …" if len(names) > NAMES else "")


def softer(gains_db: Mapping[str, float]) -> list[str]:
    """A line on the songs that were turned down, with the gain of each in dB; empty if there are none."""
    songs = [f"{song or 'the songs'} ({gain_db:g} dB)" for song, gain_db in gains_db.items()]
    return [f"turned down to avoid clipping: {named(songs)}"] if songs else []


def kept_in_float(names: Sequence[str]) -> list[str]:
    """A line on the files that were written in float; empty if there are none."""
    return [f"written in float, since they exceed full scale: {named(names)}"] if names else []


def _is_first() -> bool:
    """Whether this is the first process that ``torchrun`` started, or the only one."""
    return int(os.environ.get("RANK") or 0) == 0


@contextmanager
def reading(path: Path, *, layout: str | None = None, quiet: bool = False) -> Iterator[None]:
    """Check a dataset, and show on a terminal that it is being read while the block imports the verb.

    Raises:
        ConfigError: the dataset does not exist, does not have the layout, or contains no audio file.
    """
    with waiting(f"reading {path} …", quiet=quiet):
        from stemclean import layouts

        layouts.check(path, layout=layout)
        yield


def typed(*words: str | Path) -> str:
    """A stemclean command, quoted for a shell.

    >>> typed("refine", Path("my stems"))
    "stemclean refine 'my stems'"
    """
    return visible(shlex.join(["stemclean", *map(str, words)]))


def place(output: Path, root: str, path: str) -> str:
    """The shortest path by which a file of a manifest can be opened from the working directory.

    Args:
        output: the manifest.
        root: its ``root``, relative to its folder.
        path: relative to ``root``.
    """
    file = output.parent / root / path
    candidates = (os.path.normpath(file), os.path.abspath(file))  # noqa: PTH100 - resolve() follows links
    # After a linked folder, ".." does not lead where the names suggest.
    correct = [name for name in candidates if file.exists() and Path(name).exists() and file.samefile(name)]
    return visible(min([str(file), *correct], key=len))


def passed_over(report: Mapping[str, Any]) -> list[str]:
    """Lines on the files that were passed over without a failure; see :func:`stemclean.report.skips`."""
    lines = []
    if report["mixtures"]:
        lines.append(f"passed over {_many(report['mixtures'], 'mixture')}")
    if report["skipped_before"]:
        lines.append(f"earlier runs passed over {_many(report['skipped_before'], 'file')}")
    return lines


def misfits(decided: Mapping[str, Any] | None) -> list[str]:
    """Lines on people's decisions: how many fit, and those that do not; see :func:`stemclean.decisions.applied`."""
    if decided is None:
        return []
    lines = [f"{_many(decided['fit'], 'stem')} as decided by listeners"]
    if decided["unfit"]:
        from stemclean.decisions import MISFITS

        unfit = decided["unfit"]
        lines.append(f"{_many(len(unfit), 'decision')} no longer fit{'s' if len(unfit) == 1 else ''}:")
        lines += [f"  {decision['id']}: {MISFITS[decision['reason']]}" for decision in unfit[:ROWS]]
        lines += [f"  and {len(unfit) - ROWS} more; --json lists all"] if len(unfit) > ROWS else []
    return lines


def report_findings(failing: Sequence[Mapping[str, Any]], *, quiet: bool = False) -> None:
    """List the stems that meet ``--fail-on`` and exit with code 1; do nothing if there are none.

    Args:
        failing: see :func:`stemclean.gate.failing`.
        quiet: print nothing.

    Raises:
        typer.Exit: with :data:`FINDINGS`, if there are any.
    """
    if not failing:
        return
    lines = [f"{stem['id']}: {', '.join(stem['reasons'])}" for stem in failing[:ROWS]]
    if len(failing) > ROWS:
        lines.append(f"and {len(failing) - ROWS} more; --json lists all")
    remark(f"failed: {_many(len(failing), 'stem')} by --fail-on", *(f"  {line}" for line in lines), quiet=quiet)
    raise typer.Exit(FINDINGS)


def report_failures(
    failures: Sequence[Mapping[str, str]], *, quiet: bool = False, labels: Sequence[str] = CLASSES
) -> None:
    """List the inputs that failed, one per line, and exit with code 3; do nothing if there are none.

    ``quiet`` prints only their number; a long list is cut. ``labels`` are the classes that file names are read by.

    Raises:
        typer.Exit: with :data:`FAILED_INPUTS`, if an input failed.
    """
    if not failures:
        return
    heading = f"skipped {_many(len(failures), 'file')} that could not be used"
    if progress.as_json():
        progress.tell("warning", heading, failures=[dict(failure) for failure in ([] if quiet else failures)])
        raise typer.Exit(FAILED_INPUTS)
    console = _console(stderr=True)
    console.print(heading.replace("skipped", "[yellow]skipped[/]"), highlight=False)
    for line in () if quiet else _listed(failures, labels):
        console.print(f"  {visible(line)}", markup=False, highlight=False, soft_wrap=True)
    raise typer.Exit(FAILED_INPUTS)


def table(title: str, *columns: str, numbers: Sequence[str] = ()) -> Table:
    """An empty table; the columns in ``numbers`` are right-aligned."""
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
    """A duration as h:mm:ss or m:ss.

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
    """One line per failed input, up to :data:`ROWS`, and what to do about them."""
    for failure in failures[:ROWS]:
        yield f"{failure['path']}: {failure['reason']}" + (f" ({failure['detail']})" if failure.get("detail") else "")
    if len(failures) > ROWS:
        yield f"and {len(failures) - ROWS} more; --json lists all"
    for reason, hint in HINTS.items():
        if any(failure["reason"] == reason for failure in failures):
            yield from hint.format(labels=", ".join(labels), first=labels[0]).splitlines()


@contextmanager
def _closed_pipes_as_errors() -> Iterator[None]:
    """Turn the error of a closed pipe into one that Click does not handle."""
    try:
        yield
    except _PipeClosedError:
        raise
    except BrokenPipeError:
        raise _PipeClosedError from None


def _reader_is_gone() -> bool:
    """Whether the reader of our output is gone, rather than a pipe between our own processes broken."""
    if not hasattr(select, "poll"):
        return True
    poll = select.poll()
    for stream in (sys.stdout, sys.stderr):
        try:
            poll.register(stream, 0)
        except (OSError, ValueError):  # not a file
            continue
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))


def _discard_closed_pipes() -> None:
    """Discard what is buffered for a closed pipe; otherwise, the interpreter would report an error at exit."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _exit_code(run: Callable[[], Any]) -> Any:
    """Run, print usage errors, and return the exit code."""
    try:
        return run()
    except typer.TyperException as error:
        subject, colon, problem = error.format_message().rstrip(".").partition(": ")
        _complain(f"{subject}{colon}{in_plain_words(problem)}", _usage(error))
        return error.exit_code
    except typer.Abort:
        return INTERRUPTED


def _console(*, stderr: bool = False) -> Console:
    """The console to print on. If it is not a terminal, there is no colour and lines are not wrapped."""
    from rich.console import Console

    class PipeConsole(Console):
        def on_broken_pipe(self) -> None:  # rich would exit with 1
            raise BrokenPipeError

    console = PipeConsole(stderr=stderr, emoji=False)  # ":x:" in a file name is no emoji
    if not console.is_terminal:
        console.width = 10_000
    return console


def _stopped(error: KeyboardInterrupt) -> int:
    """Print what ended the run, and return its exit code."""
    _complain(str(error) if isinstance(error, stopping.Stopped) else "interrupted", stopping.HINT)
    return stopping.exit_code(error)


def _explain(error: Exception) -> int:
    """Print an error, and return its exit code."""
    if isinstance(error, StemcleanError):
        _complain(error.message, error.hint)
        return error.exit_code
    if isinstance(error, OSError) and (error.filename is not None or error.errno in FULL):
        path = NAMELESS if error.filename is None else os.fsdecode(error.filename)
        full = OutputError(path, error) if error.errno in FULL else None
        message = full.message if full else f"{path}: {error.strerror or error}"
        _complain(message, full.hint if full else "check the path and its permissions")
        return USAGE
    if isinstance(error, FileNotFoundError) and "temporary directory" in str(error):  # the message of Python's tempfile
        _complain("no folder for temporary files is writable", "set TMPDIR to a writable folder")
        return USAGE
    _complain(
        f"{type(error).__name__}: {error}",
        "this is a bug in stemclean; run the command again as `stemclean --debug COMMAND …` and\n"
        f"report the output, with version {__version__}, at {ISSUES}",
    )
    return BUG


def _complain(message: str, hint: str = "") -> None:
    if progress.as_json():
        progress.tell("error", message, hint=hint)
        return
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
