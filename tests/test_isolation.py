"""Decoders in separate processes: a crash on one file affects only that file."""

from __future__ import annotations

import json
import logging
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import soundfile

from stemclean.audio import decoders, files, isolation, worker
from stemclean.audio.worker import SLOT_VALUES, SLOTS
from stemclean.cli import _log, app
from stemclean.errors import AudioError

RATE = 8000

# A worker whose decoder does, on a file of that name, what decoders do when it goes wrong.
WICKED = """
import ctypes, json, os, signal, sys, time
sys.path[:] = json.loads(sys.argv[1])
import numpy as np
from stemclean.audio import decoders, worker

class Closing:
    def __init__(self, decoder): self._decoder, self.info, self.chunks = decoder, decoder.info, decoder.chunks
    def __exit__(self, *_): os.abort()

class Later:
    def __init__(self, decoder): self._decoder, self.info = decoder, decoder.info
    def __exit__(self, *_): self._decoder.__exit__()
    def chunks(self, start, stop):
        for count, chunk in enumerate(self._decoder.chunks(start, stop)):
            yield chunk
            os.kill(os.getpid(), signal.SIGSEGV)

def wicked(path, stream):
    name = path.name
    if name.startswith("crash"): os.kill(os.getpid(), signal.SIGSEGV)
    if name.startswith("abort"): os.abort()
    if name.startswith("exit"): os._exit(3)
    if name.startswith("hang"):
        while True: time.sleep(1)
    if name.startswith("greedy"): np.ones(1 << 32, np.uint8)
    if name.startswith("bug"): 1 << -1
    if name.startswith("chatty"):
        os.write(1, b"to stdout \\x1b[31m\\n")
        os.write(2, b"to stderr\\n")
        ctypes.CDLL(None).puts(b"through stdio")
    decoder = decoders.decoder_of(path, stream)
    kind = Later if name.startswith("later") else Closing if name.startswith("closing") else None
    return kind(decoder) if kind else decoder

worker.serve(int(sys.argv[2]), int(sys.argv[3]), wicked)
"""

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")


@pytest.fixture
def wicked(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Workers that go wrong; those of other tests are left alone."""
    monkeypatch.setattr(isolation, "_state", isolation._State())
    monkeypatch.setattr(isolation, "_START", WICKED)
    monkeypatch.setattr(isolation, "_logged", set())
    monkeypatch.setattr(isolation, "MAX_WORKERS", 2)
    yield
    isolation._state.stop()


def sound_at(path: Path, seconds: float = 1.0) -> Path:
    noise = 0.1 * np.random.default_rng(len(path.name)).standard_normal((2, int(seconds * RATE)))
    return files.write(path, noise, RATE, subtype="PCM_16")


def failure(path: Path) -> tuple[str, str]:
    with pytest.raises(AudioError) as caught:
        files.read(path)
    return caught.value.reason, caught.value.detail


@pytest.mark.usefixtures("wicked")
class TestOneFile:
    @pytest.mark.parametrize(
        ("name", "detail"),
        [
            ("crash", "the decoder was ended by SIGSEGV"),
            ("abort", "the decoder was ended by SIGABRT"),
            ("exit", "the decoder ended with exit code 3"),
            ("later", "the decoder was ended by SIGSEGV"),
            ("greedy", "it needs more memory than one file may have"),
        ],
    )
    def test_a_crashing_decoder_fails_only_its_file(self, tmp_path: Path, name: str, detail: str) -> None:
        assert failure(sound_at(tmp_path / f"{name}.wav")) == ("decoder_crashed", detail)
        assert files.read(sound_at(tmp_path / "good.wav")).shape == (2, RATE)

    def test_a_hanging_decoder_is_killed(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(isolation, "PATIENCE", 0.5)
        reason, detail = failure(sound_at(tmp_path / "hang.wav"))
        assert (reason, detail) == ("decoder_crashed", "the decoder gave no answer within 1 s")

    def test_an_unexpected_error_has_a_code(self, tmp_path: Path) -> None:
        error = failure(sound_at(tmp_path / "bug.wav"))
        assert error == ("unexpected_error", "ValueError: negative shift count")

    def test_other_files_continue_after_a_crash(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(isolation, "MAX_WORKERS", 1)
        path = sound_at(tmp_path / "long.flac", 60)
        whole = files.read(path)
        blocks = files.blocks(path, block_duration=20)
        begun = next(blocks)
        assert failure(sound_at(tmp_path / "crash.wav"))[0] == "decoder_crashed"
        assert np.array_equal(np.concatenate([begun, *blocks], axis=1), whole)

    @pytest.mark.parametrize("workers", [1, 2])
    def test_threads_of_the_same_worker_continue_after_a_crash(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int
    ) -> None:
        """They wait for their turn when it dies: only the file that it was at is to blame."""
        monkeypatch.setattr(isolation, "MAX_WORKERS", workers)
        good = [sound_at(tmp_path / f"{'x' * length}.wav", 40) for length in range(1, 7)]
        bad = [sound_at(tmp_path / name) for name in ("crash.wav", "later.wav")]
        right = {path: soundfile.read(path, dtype="float32", always_2d=True)[0].T for path in good}

        def read_blocks(path: Path) -> str:
            try:
                whole = np.concatenate(list(files.blocks(path, block_duration=9)), axis=1)
            except AudioError as error:
                return error.reason
            return "right" if np.array_equal(whole, right[path]) else "wrong"

        paths = [*good[:3], bad[0], *good[3:], bad[1]]
        expected = ["decoder_crashed" if path in bad else "right" for path in paths]
        with ThreadPoolExecutor(8) as threads:
            for _ in range(5):
                assert list(threads.map(read_blocks, paths)) == expected

    def test_a_crash_while_closing_affects_no_other_file(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(isolation, "MAX_WORKERS", 1)
        path = sound_at(tmp_path / "closing.wav")
        with ThreadPoolExecutor(4) as threads:
            waveforms = list(threads.map(files.read, [path, sound_at(tmp_path / "good.flac", 20)] * 4))
        assert [waveform.shape[1] for waveform in waveforms] == [RATE, 20 * RATE] * 4

    def test_a_killed_worker_is_replaced(self, tmp_path: Path) -> None:
        path = sound_at(tmp_path / "good.wav")
        files.probe(path)
        for process in isolation._state.workers:
            os.kill(process._process.pid, signal.SIGKILL)
            process._process.wait()
        assert files.probe(path).num_samples == RATE

    def test_decoder_output_is_logged_once_with_the_file(
        self, tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
    ) -> None:
        path = sound_at(tmp_path / "chatty.wav")
        for _ in range(3):
            files.read(path)
        assert capfd.readouterr() == ("", "")
        assert [record.getMessage() for record in caplog.records] == [
            f"{path}: {text}" for text in ("to stdout \\x1b[31m", "to stderr", "through stdio")
        ]

    def test_file_names_are_escaped_in_the_log(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        files.read(sound_at(tmp_path / "song\nerror: forged" / "chatty \x1b[31m.wav"))
        messages = [record.getMessage() for record in caplog.records]
        assert messages and all(line.isprintable() for line in messages)
        assert messages[0].endswith(r"song\nerror: forged/chatty \x1b[31m.wav: to stdout \x1b[31m")

    def test_a_run_continues_after_a_crash(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        for name in ("crash drums", "bass", "bug vocals"):
            sound_at(tmp_path / "song" / f"{name}.wav")
        with pytest.raises(SystemExit) as left:
            app(["trim", str(tmp_path / "song"), str(tmp_path / "out"), "--json", "-q"])
        assert left.value.code == 3
        report = json.loads(capsys.readouterr().out)
        assert {(skip["path"], skip["reason"]) for skip in report["failures"]} == {
            ("crash drums.wav", "decoder_crashed"),
            ("bug vocals.wav", "unexpected_error"),
        }


@pytest.mark.parametrize(("options", "expected"), [([], True), (["-q"], False)])
def test_decoder_output_becomes_a_remark(tmp_path: Path, options: list[str], expected: bool) -> None:
    """libmpg123 prints about junk between frames; nothing of it may stand in the JSON."""
    path = tmp_path / "song" / "drums.mp3"
    path.parent.mkdir()
    soundfile.write(path, 0.1 * np.random.default_rng(0).standard_normal((3 * 44100, 2)), 44100)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2] + bytes(600) + content[len(content) // 2 + 600 :])
    command = [sys.executable, "-m", "stemclean", "trim", path.parent, tmp_path / "out", "--json", *options]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode in (0, 3)
    assert json.loads(result.stdout)["output"]
    lines = [line for line in result.stderr.splitlines() if "mpg123" in line or "Note" in line or "Illegal" in line]
    assert bool(lines) is expected
    assert all(line.startswith(str(path)) for line in lines)


def test_any_line_of_the_log_is_escaped(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    logger = logging.getLogger("stemclean")
    for attribute in ("handlers", "propagate"):
        monkeypatch.setattr(logger, attribute, getattr(logger, attribute))
    _log.to_stderr(quiet=False)
    logger.getChild("audio").warning("%s: junk", "a\x1b[2J\r\nerror: b")
    assert capsys.readouterr().err == "a\\x1b[2J\\r\\nerror: b: junk\n"


def test_many_threads_read_the_same_data_as_one(tmp_path: Path) -> None:
    paths = [sound_at(tmp_path / f"{'x' * length}.flac", 5) for length in range(1, 9)]
    with ThreadPoolExecutor(8) as threads:
        waveforms = list(threads.map(files.read, paths))
    for path, waveform in zip(paths, waveforms, strict=True):
        with decoders.decoder_of(path) as decoder:
            assert np.array_equal(waveform, np.concatenate(list(decoder.chunks(0, decoder.info.num_samples)), axis=1))


def test_more_files_than_a_worker_has_slots_are_read_side_by_side(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(isolation, "_state", isolation._State())
    paths = [sound_at(tmp_path / f"{'x' * length}.flac", 8) for length in range(1, 8)]
    together = zip(*(files.blocks(path, block_duration=0.7) for path in paths), strict=True)
    waveforms = [np.concatenate(parts, axis=1) for parts in zip(*together, strict=True)]
    (alone,) = isolation._state.workers
    assert len(paths) > SLOTS == len(alone._slots)
    assert all(np.array_equal(waveform, files.read(path)) for path, waveform in zip(paths, waveforms, strict=True))
    isolation._state.stop()


def test_data_larger_than_a_slot_are_read(tmp_path: Path) -> None:
    noise = 0.1 * np.random.default_rng(0).standard_normal((2, 3 * RATE)).astype(np.float32)
    path = files.write(tmp_path / "x.wav", noise, RATE, subtype="FLOAT")
    chunks = [noise[:, :RATE], noise[:, RATE:]]
    assert not worker._put(chunks, np.zeros(SLOT_VALUES, np.float32), -1)
    assert not worker._put([np.zeros((2, SLOT_VALUES), np.float32)], np.zeros(SLOT_VALUES, np.float32), 0)
    memory = np.zeros(2 * SLOT_VALUES, np.float32)
    assert worker._put([chunk.T.copy().T for chunk in chunks], memory, 1)
    assert np.array_equal(memory[SLOT_VALUES : SLOT_VALUES + noise.size].reshape(2, -1), noise)
    assert np.array_equal(files.read(path), noise)


@pytest.mark.usefixtures("wicked")
def test_another_worker_is_started_when_threads_have_waited(tmp_path: Path) -> None:
    files.probe(sound_at(tmp_path / "good.wav"))
    (first,) = isolation._state.workers
    with first.lock:
        assert isolation._state.worker() is first
        first.waited = isolation.WORTH_A_START
        assert isolation._state.worker() is not first
        assert first.waited == 0
    assert isolation._state.worker() is first


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_process_starts_its_own_workers(tmp_path: Path) -> None:
    path = sound_at(tmp_path / "good.flac")
    blocks = files.blocks(path, block_duration=0.25)
    first = next(blocks)  # opened before the fork, read on after it
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()

    def child() -> None:
        theirs.send((np.concatenate([first, *blocks], axis=1).sum(), files.read(path).sum()))

    process = context.Process(target=child)
    process.start()
    total = files.read(path).sum()
    assert ours.recv() == pytest.approx((total, total))
    process.join()
    assert np.concatenate([first, *blocks], axis=1).sum() == pytest.approx(total)


@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_workers_end_with_their_process(tmp_path: Path, ending: signal.Signals) -> None:
    path = sound_at(tmp_path / "good.wav")
    script = (
        "import sys, time\nfrom stemclean.audio import files, isolation\nfiles.probe(sys.argv[1])\n"
        "print(isolation._state.workers[0]._process.pid, flush=True)\ntime.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, path], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdout is not None
        worker = int(process.stdout.readline())
        assert is_there(worker)
        process.send_signal(ending)
    for _ in range(500):
        if not is_there(worker):
            return
        time.sleep(0.02)
    pytest.fail("the worker outlived its process")


def is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        state = Path(f"/proc/{pid}/stat")
        return not state.exists() or state.read_text().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False


def test_files_are_read_if_no_process_can_be_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(isolation, "_state", isolation._State())
    monkeypatch.setattr(isolation, "_START", "raise SystemExit")
    assert files.probe(sound_at(tmp_path / "good.wav")).num_samples == RATE
    assert "no worker process can be started" in caplog.text


@pytest.mark.usefixtures("wicked")
def test_a_file_is_read_on_in_this_process_if_its_worker_cannot_be_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(isolation, "MAX_WORKERS", 1)
    path = sound_at(tmp_path / "long.flac", 60)
    whole = files.read(path)
    blocks = files.blocks(path, block_duration=20)
    first = next(blocks)
    monkeypatch.setattr(isolation, "_START", "raise SystemExit")
    isolation._state.workers[0].kill()
    assert np.array_equal(np.concatenate([first, *blocks], axis=1), whole)
    assert "no worker process can be started" in caplog.text


@pytest.mark.parametrize(
    "limited",
    [
        "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))",
        "os.memfd_create = no_file; tempfile.TemporaryFile = no_file",
    ],
)
def test_workers_read_files_if_no_shared_memory_can_be_made(tmp_path: Path, limited: str) -> None:
    """A small limit of files, or a system that is read-only altogether."""
    script = (
        "import os, sys, tempfile\n"
        "def no_file(*_): raise FileNotFoundError(2, 'No usable temporary directory found')\n"
        f"{limited}\n"
        "from stemclean.audio import files, isolation\n"
        "print(files.read(sys.argv[1]).shape, len(isolation._state.workers))"
    )
    path = sound_at(tmp_path / "good.flac", 5)
    result = subprocess.run([sys.executable, "-c", script, path], check=True, capture_output=True, text=True)
    assert (result.stdout, result.stderr) == (f"(2, {5 * RATE}) 1\n", "")


def test_a_worker_imports_no_torch() -> None:
    imports = "import sys; from stemclean.audio import decoders, worker"
    script = f"{imports}; print('torch' in sys.modules, 'typer' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert result.stdout.split() == ["False", "False"]
