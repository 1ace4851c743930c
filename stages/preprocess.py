"""Raw files to the store."""

from cmad.config.stages import PreprocessParams, read
from cmad.preprocessing.prepare import prepare_store
from stages.command import PARAMS, RAW, RUNS, main


def run(dataset: str) -> None:
    """Read, clean and store one data set."""
    params = read(PARAMS, PreprocessParams, dataset=dataset)
    prepare_store(RAW / dataset, params.preprocess, RUNS / dataset / "store")


if __name__ == "__main__":
    main("preprocess", run, "dataset")
