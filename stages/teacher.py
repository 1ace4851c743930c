"""The store to one teacher per seed, with its outputs on the train split."""

import pandas as pd

from cmad.config.stages import TeacherParams, read
from cmad.device import choose_device
from cmad.files import whole_folder
from cmad.randomness import torch_threads
from cmad.store.store import open_store
from cmad.training.checkpoint import load_network, save_network
from cmad.training.teacher import train_teacher
from cmad.training.teacher_cache import save_cache, teacher_cache
from stages.command import PARAMS, RUNS, main


def run(dataset: str) -> None:
    """Train the teachers of one data set."""
    params = read(PARAMS, TeacherParams, dataset=dataset)
    device = choose_device(params.device)
    store = open_store(RUNS / dataset / "store")
    logs = []
    with torch_threads(params.threads), whole_folder(RUNS / dataset / "teacher") as folder:
        for seed in params.seeds:
            label = f"{dataset} teacher, seed {seed}"
            fitted = train_teacher(store, params.network, params.teacher, seed, label, device)
            checkpoint = folder / f"seed-{seed}.pt"
            save_network(checkpoint, fitted.state, params.network, store)
            network = load_network(checkpoint, params.network, store, device)
            cache = teacher_cache(network, store.splits["train"], store.task, params.teacher.batch, device)
            save_cache(folder / f"train-{seed}.npz", cache)
            logs.append(pd.DataFrame(fitted.log).assign(seed=seed))
        pd.concat(logs).to_csv(folder / "log.csv", index=False)


if __name__ == "__main__":
    main("teacher", run, "dataset")
