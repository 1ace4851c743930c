"""A small world whose language is token ids of a tiny encoder: store, preset, trained teacher."""

from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
import torch

from cmad.config.load import load
from cmad.config.schema import PerModality, Preprocess, Preset, Text
from cmad.methods.method import Method
from cmad.network.network import Network
from cmad.preprocessing import prepare
from cmad.preprocessing.prepare import prepare_store
from cmad.store.store import Store, open_store
from cmad.students.student import create_method, train_student
from cmad.teachers.teacher import train_teacher
from cmad.training.checkpoint import load_network, save_network
from cmad.training.fit import Fitted
from cmad.training.teacher_cache import TeacherCache, save_cache, teacher_cache
from tests.generators.encoders import Kind, write_encoder
from tests.generators.splits import CPU
from tests.generators.words import make_words
from tests.project import small_params, write_params

LONGEST = 16


class TokenWorld:
    """Everything stands in ``folder``: store, teacher/seed-0.pt, teacher/train-0.npz."""

    def __init__(
        self, folder: Path, encoder: str | None = None, kind: Kind = "bert", device: torch.device = CPU
    ) -> None:
        self.folder = folder
        self.device = device
        self.encoder = encoder or str(write_encoder(folder / "encoder", kind))
        write_params(folder, small_params())
        self.preset: Preset = load(folder / "params.yaml").presets["demo"]
        raw = make_words(sizes=(40, 24, 24), context=2)
        params = Preprocess(
            "folder",
            "regression",
            PerModality(LONGEST, LONGEST, LONGEST),
            ("audio", "vision"),
            (),
            Text(self.encoder, True, True),
            None,
            None,
            False,
        )
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(prepare, "read", lambda *_: raw)
            prepare_store(folder / "raw", params, folder / "store")
        self.store: Store = open_store(folder / "store")

    @cached_property
    def teacher(self) -> Network:
        preset, path = self.preset, self.folder / "teacher" / "seed-0.pt"
        fitted = train_teacher(self.store, preset.network, preset.teacher, 0, "teacher", self.device)
        save_network(path, fitted.state, preset.network, self.store)
        return load_network(path, preset.network, self.store, self.device)

    @cached_property
    def cache(self) -> TeacherCache:
        found = teacher_cache(self.teacher, self.store.splits["train"], self.store.task, 16, self.device)
        save_cache(self.folder / "teacher" / "train-0.npz", found)
        return found

    def method(self, name: str, combination: int | None = None, **changes: Any) -> Method:
        return create_method(
            name,
            self.store,
            self.preset.network,
            replace(self.preset.student, **changes),
            self.preset.systems.get(name, {}),
            self.teacher,
            combination,
            0,
            self.device,
        )

    def train(self, name: str, combination: int | None = None, **changes: Any) -> tuple[Method, Fitted]:
        method = self.method(name, combination, **changes)
        student = replace(self.preset.student, **changes)
        return method, train_student(
            method, self.store, student, self.cache, combination, 0, "test", self.device
        )


def without_dropout(network: torch.nn.Module) -> None:
    """Set every dropout of a network to 0, those inside attention too."""
    for module in network.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
        for name in ("dropout", "dropout_prob", "attention_dropout"):
            if isinstance(getattr(module, name, None), float):
                setattr(module, name, 0.0)
