"""The store and the teachers to one student per seed, of one variant."""

import pandas as pd

from cmad.config.stages import StudentParams, read
from cmad.device import choose_device
from cmad.files import whole_folder
from cmad.randomness import torch_threads
from cmad.store.store import open_store
from cmad.training.checkpoint import load_network, save_network
from cmad.training.student import train_student
from cmad.training.teacher_cache import load_cache
from stages.command import PARAMS, RUNS, main


def run(dataset: str, variant: str) -> None:
    """Train the students of one variant on one data set."""
    params = read(PARAMS, StudentParams, dataset=dataset, variant=variant)
    device = choose_device(params.device)
    store = open_store(RUNS / dataset / "store")
    teachers = RUNS / dataset / "teacher"
    logs = []
    with torch_threads(params.threads), whole_folder(RUNS / dataset / "students" / variant) as folder:
        for seed in params.seeds:
            teacher = load_network(teachers / f"seed-{seed}.pt", params.network, store, device)
            cache = load_cache(teachers / f"train-{seed}.npz", device)
            fitted = train_student(
                params.method,
                store,
                params.network,
                params.student,
                teacher,
                cache,
                seed,
                f"{dataset} {variant}, seed {seed}",
                device,
            )
            save_network(folder / f"seed-{seed}.pt", fitted.state, params.network, store)
            logs.append(pd.DataFrame(fitted.log).assign(seed=seed))
        pd.concat(logs).to_csv(folder / "log.csv", index=False)


if __name__ == "__main__":
    main("student", run, "dataset", "variant")
