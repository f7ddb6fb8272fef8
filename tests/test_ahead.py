"""Worker processes that prepare examples in order; a killed worker is noticed at any time."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from itertools import islice

import pytest
import torch

from stemclean.errors import StemcleanError
from stemclean.training.ahead import AHEAD, made_ahead

MUCH = 8 << 20
"""Bytes that no connection takes at once."""


class AwkwardError(Exception):
    def __init__(self, first, two):
        super().__init__(first)
        self.two = two


def raising(error):
    def make(number):
        if number == 1:
            raise error
        return number

    return make


@pytest.mark.parametrize("processes", [1, 2, 3])
def test_examples_of_all_workers_come_in_order(processes):
    stream = made_ahead(lambda number: (number, os.getpid()), 5, processes)
    made = list(islice(stream, 12))
    assert [number for number, _ in made] == list(range(5, 17))
    makers = {pid for _, pid in made}
    assert len(makers) == processes and os.getpid() not in makers
    stream.close()
    assert multiprocessing.active_children() == []


def test_tensors_arrive_unchanged():
    for number, tensor in enumerate(islice(made_ahead(lambda number: torch.full((1000, 100), number), 0, 2), 6)):
        assert tensor.shape == (1000, 100) and bool((tensor == number).all())


def test_tensors_keep_their_strides(tmp_path, monkeypatch):
    """The order of the axes decides how a convolution rounds; and no folder for sockets is needed."""
    monkeypatch.setenv("TMPDIR", str(tmp_path / ("long" * 50)))
    plain = torch.randn(3, 2, 5, 4)
    kinds = [
        plain,
        plain.contiguous(memory_format=torch.channels_last),
        plain.transpose(1, 3),
        torch.tensor(7),
        plain[:0],
    ]
    for sent, got in zip(kinds, islice(made_ahead(lambda number: kinds[number], 0, 1), len(kinds)), strict=True):
        assert torch.equal(got, sent) and got.dtype == sent.dtype
        assert got.stride() == sent.stride() or not got.numel()
        got.add_(1)  # it can be written to


def test_workers_prepare_a_bounded_number_of_examples():
    made = multiprocessing.get_context("fork").Value("i", 0)

    def make(number):
        with made.get_lock():
            made.value += 1

    stream = made_ahead(make, 0, 2)
    next(stream)
    time.sleep(0.5)
    assert made.value <= 2 * AHEAD + 1
    stream.close()


@pytest.mark.parametrize("killed", [0, 1])
def test_a_worker_killed_while_sending_is_noticed(killed):
    """It waits for room in its connection then; the other one has the ends of all that was there when it began."""
    stream = made_ahead(lambda number: bytes(MUCH), 0, 2)
    next(stream)
    time.sleep(0.5)  # both are at it
    multiprocessing.active_children()[killed].kill()
    with pytest.raises(StemcleanError, match="a worker process was killed") as caught:
        list(islice(stream, 8))
    assert "run the same command again" in caught.value.hint
    assert multiprocessing.active_children() == []


def test_a_worker_killed_while_computing_is_noticed_at_once():
    stream = made_ahead(lambda number: time.sleep(1000 * number), 0, 1)
    next(stream)
    (maker,) = multiprocessing.active_children()
    maker.kill()
    with pytest.raises(StemcleanError, match="killed"):
        next(stream)


def test_missing_examples_of_a_dead_worker_raise():
    stream = made_ahead(lambda number: torch.zeros(1000), 0, 1)
    next(stream)
    time.sleep(0.5)  # the next ones are sent
    for maker in multiprocessing.active_children():
        maker.kill()
        maker.join()
    with pytest.raises(StemcleanError, match="killed"):
        list(islice(stream, 4))


def test_errors_in_a_worker_are_raised_unchanged():
    with pytest.raises(StemcleanError, match="no such thing") as caught:
        list(islice(made_ahead(raising(StemcleanError("no such thing", "try another")), 0, 2), 3))
    assert caught.value.hint == "try another"
    assert "raise error" in str(caught.value.__cause__)  # where it came from
    with pytest.raises(RuntimeError, match="AwkwardError: one"):  # cannot be sent
        list(islice(made_ahead(raising(AwkwardError("one", "two")), 0, 2), 3))


def test_workers_ignore_ctrl_c():
    """A terminal sends it to all of them."""
    stream = made_ahead(lambda number: number, 0, 2)
    next(stream)
    for maker in multiprocessing.active_children():
        os.kill(maker.pid, signal.SIGINT)
    assert list(islice(stream, 6)) == [1, 2, 3, 4, 5, 6]
    stream.close()


def test_a_worker_that_does_not_stop_is_killed(monkeypatch):
    monkeypatch.setattr("stemclean.training.ahead.ENDS_SECONDS", 0.2)
    stream = made_ahead(lambda number: time.sleep(1000 * number), 0, 2)
    next(stream)
    stream.close()
    assert multiprocessing.active_children() == []
