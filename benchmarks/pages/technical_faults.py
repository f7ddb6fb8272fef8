"""Which technical faults does ``stemclean check`` find?"""

from __future__ import annotations

from typing import Any

from benchmarks.pages.tables import Read, Record, of, table, unmeasured

PATH = "docs/benchmarks/technical-faults.md"
QUESTION = "Which technical faults does `stemclean check` find?"
HALVES = "halves of one stem"
RESULT, COPIES, SPEED = "check_faults", "planted_copies", "check_speed"

ABOUT = """
Each fault was planted in the loudest {seconds:g} s of every stem with sound of 13 real songs, at several strengths.
Noise and hum were added to excerpts with a pause, because they cannot be measured under music. Stems that were
band-limited before are left out of the row *low-pass by resampling*. The thresholds were set by looking at these songs,
so the figures describe them and are no promise for others.
"""
MIXTURES = """
The mixture of a song is the sum of its stems. Its loudest stem was changed in the mixture, and the stems were compared
with it. *Accused* counts songs in which another stem than the changed one was called absent, inverted or late.
"""
CLEAN = """
Without any planted fault. The songs are Ogg Vorbis files, which have no sound above some frequency: for them,
`band_limited` is right. `dual_mono` is right as well; these stems have two equal channels.
"""
COPIES_ABOUT = """
Copies of the loudest {seconds:g} s of each stem were changed. *Near* are those whose fingerprint selects them for the
comparison, *found* are those whose waveform agrees as well and that get an issue such as `duplicate_across_splits`.
"""
COPIES_PAIRS = """
Of {num} pairs of different stems, {near} are near and {found} are taken for copies. The comparison alone, without
the fingerprint, takes {same} of them for copies.
"""
COPIES_HALVES = """
The two halves of a stem are different sections of a song. {found} pairs of {pairs} are taken for copies, and {same} by
the comparison alone: they agree as a whole, since a sequencer plays the same samples again. A cut copy is missed if its
sound repeats itself, since it agrees with the whole at several places, or if the part has another spectrum than the
whole, so that the fingerprints are not near.
"""
SPEED_ABOUT = """
Processor time of the whole command, with the process that decodes, on a machine that did other work as well, which
makes it longer. The speed is computed from it for {processors} processors. The goal is 300 times real time.
"""


def parts(read: Read) -> list[str]:
    """Return the page."""
    title, result = f"# {QUESTION}", read(RESULT)
    if not result:
        return [title, unmeasured(RESULT)]
    clean = result["clean"]
    return [
        title,
        *answer(read),
        ABOUT.format(seconds=result["seconds"]),
        table(["fault", "strength", "issue", "found"], [_row(row) for row in result["faults"]]),
        "## Stems and their mixture",
        MIXTURES,
        table(["change in the mixture", "issue", "found", "accused"], [_mixture(row) for row in result["mixtures"]]),
        "## Clean stems",
        CLEAN,
        table(["issue", "stems"], [[f"`{code}`", of(count, clean["stems"])] for code, count in clean["found"].items()]),
        "`python -m benchmarks.check_faults SONGS benchmarks/results/check_faults.json`",
        "## Copies",
        *_copies(read(COPIES)),
        "## Speed",
        *_speed(read(SPEED)),
    ]


def answer(read: Read) -> list[str]:
    """Return the answer."""
    result = read(RESULT)
    if not result:
        return [unmeasured(RESULT)]
    found = {(row["fault"], row["strength"]): of(row["found"], row["stems"]) for row in result["faults"]}
    mixtures = {row["change"]: row for row in result["mixtures"]}
    left_out = mixtures["left out"]
    text = (
        f"Clipping by 3 dB: {found['clipping at full scale', 3]} stems; a dropout of 10 ms: "
        f"{found['one dropout', 10]}; MP3 at 128 kbit/s: {found['MP3', 128]}; a stem that the mixture lacks: "
        f"{of(left_out['found'], left_out['songs'])} songs."
    )
    return [text]


def _copies(result: Record) -> list[str]:
    if not result:
        return [unmeasured(COPIES)]
    rows = [
        [
            f"{row['change']} {row['strength']:g} {row['unit']}",
            *(of(row[key], row["stems"]) for key in ("near", "found")),
        ]
        for row in result["changes"]
    ]
    pairs = [counts for kind, counts in result["pairs"].items() if kind != HALVES]
    sums = {key: sum(counts[key] for counts in pairs) for key in ("pairs", "near", "same", "found")}
    return [
        COPIES_ABOUT.format(seconds=result["seconds"]),
        table(["copy", "near", "found"], rows),
        COPIES_PAIRS.format(num=sums["pairs"], **{key: sums[key] or "none" for key in ("near", "same", "found")}),
        COPIES_HALVES.format(**result["pairs"][HALVES]),
        "`python -m benchmarks.planted_copies SONGS benchmarks/results/planted_copies.json`",
    ]


def _speed(result: Record) -> list[str]:
    if not result:
        return [unmeasured(SPEED)]
    rows = [
        [name, f"{row['hours']:.1f} h", f"{row['processor_seconds_per_hour']:.0f} s", row["times_real_time"]]
        for name, row in result["runs"].items()
    ]
    return [
        SPEED_ABOUT.format(processors=result["processors"]),
        table(["files", "sound", "processor time per hour of sound", "times real time"], rows),
        "`python -m benchmarks.check_speed DATA benchmarks/results/check_speed.json`",
    ]


def _row(row: Record) -> list[Any]:
    return [row["fault"], f"{row['strength']:g} {row['unit']}", f"`{row['code']}`", of(row["found"], row["stems"])]


def _mixture(row: Record) -> list[Any]:
    change = f"{row['change']} {row['strength']:g} {row['unit']}" if row["unit"] else row["change"]
    code = f"`{row['code']}`" if row["code"] else "none expected"
    return [change, code, of(row["found"], row["songs"]), of(row["another_stem_accused"], row["songs"])]
