"""Devices by name: what exists is used, for training too; what does not is refused before the work."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from stemclean.errors import ConfigError
from stemclean.models import devices
from stemclean.pseudo_label import pseudo_label
from stemclean.refine import refine, refine_self
from stemclean.running import Running
from stemclean.train_classifier import train_classifier
from stemclean.train_joint import train_joint
from stemclean.train_separator import train_separator
from stemclean.train_tracker import train_tracker
from stemclean.training import loop, processes
from stemclean.training.loop import LoopConfig, Place

NO_GPU = not torch.accelerator.is_available()
TWO_GPUS = ["cpu", "cuda", "cuda:0", "cuda:1"]


@pytest.mark.skipif(not NO_GPU, reason="this machine has a GPU")
@pytest.mark.parametrize("name", ["cuda", "cuda:0", "mps"])
def test_a_missing_device_is_refused(name):
    with pytest.raises(ConfigError, match=f'this machine has no device "{name}"') as caught:
        devices.chosen(name)
    assert caught.value.hint == "known: cpu" and caught.value.exit_code == 2


@pytest.mark.parametrize("name", ["gpu", "cpuu", "cpu:1", "CPU", "cuda:99", "cuda:-1", "meta", ""])
def test_a_misspelt_device_is_refused(name):
    with pytest.raises(ConfigError, match="this machine has no device"):
        devices.chosen(name)


def test_each_gpu_has_a_name(monkeypatch):
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: torch.device("cuda"))
    monkeypatch.setattr(torch.accelerator, "device_count", lambda: 2)
    assert devices.names() == TWO_GPUS
    assert devices.chosen("cuda:1") == torch.device("cuda", 1) and devices.chosen("cpu") == torch.device("cpu")


@pytest.mark.parametrize("verb", [train_classifier, train_separator, train_joint, train_tracker, refine, refine_self])
def test_every_verb_refuses_a_device_before_it_reads_anything(verb, tmp_path):
    output = tmp_path / ("out.json" if verb in (refine, refine_self) else "out.safetensors")
    with pytest.raises(ConfigError, match='no device "cudaa"'):
        verb(tmp_path / "nowhere", output, running=Running(device="cudaa"))
    assert not list(tmp_path.iterdir())


def test_so_does_pseudo_label(tmp_path):
    (tmp_path / "w.safetensors").touch()
    uri = f"file:{tmp_path}/w.safetensors"
    with pytest.raises(ConfigError, match='no device "cudaa"'):
        pseudo_label(tmp_path / "nowhere", tmp_path / "out.json", weights_uri=uri, running=Running(device="cudaa"))


class TestTraining:
    def test_one_process_trains_on_what_is_given(self, monkeypatch):
        monkeypatch.setattr(devices, "names", lambda: TWO_GPUS)
        monkeypatch.delenv("WORLD_SIZE", raising=False)
        assert processes.place("cuda:1") == torch.device("cuda", 1)

    def test_several_processes_cannot_share_a_gpu(self, monkeypatch):
        monkeypatch.setattr(devices, "names", lambda: TWO_GPUS)
        monkeypatch.setenv("WORLD_SIZE", "2")
        with pytest.raises(ConfigError, match="several processes cannot share the device cuda:1") as caught:
            processes.place("cuda:1")
        assert caught.value.hint == "each takes one of its own: give cuda"

    def test_the_loop_runs_there_and_not_where_accelerate_would(self, monkeypatch, tmp_path):
        elsewhere = SimpleNamespace(device=torch.device("meta"), num_processes=1, process_index=0, is_main_process=True)
        monkeypatch.setattr(processes, "together", lambda **_: elsewhere)
        monkeypatch.setattr(loop.checkpoints, "save", lambda *_: None)
        task, config = Seen(), LoopConfig(examples=4, batch_size=2, validations=1, precision="no")
        model = nn.Linear(3, 1)
        loop.fit(task, model, config, tmp_path / "x", device=processes.place("cpu"), quiet=True)
        assert task.devices == {("cpu", "cpu")}
        with pytest.raises(RuntimeError, match="meta"):
            loop.fit(task, model, config, tmp_path / "x", quiet=True)

    @pytest.mark.parametrize(("precision", "bf16"), [("bf16", True), ("no", False)])
    def test_the_precision_is_that_of_the_device(self, precision, bf16):
        place = Place.of(torch.device("cpu"), precision)
        with place.autocast():
            assert (nn.Linear(2, 2)(torch.ones(1, 2)).dtype is torch.bfloat16) == bf16
        assert not Place.of(torch.device("mps"), "auto").bf16


class Seen:
    """Learns a sum, and notes where model and batch are."""

    def __init__(self):
        self.devices = set()

    def batches(self, rank, start_step):
        while True:
            yield (torch.ones(2, 3),)

    def totals(self, batch):
        return {"examples": torch.tensor(float(len(batch[0])))}

    def losses(self, model, batch, totals=None):
        self.devices.add((next(model.parameters()).device.type, batch[0].device.type))
        return {"loss": (model(batch[0]) - 3).square().mean()}

    def validate(self, model):
        return {"score": 1.0}
