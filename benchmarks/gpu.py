"""What a GPU does for a training; writes ``reports/benchmark_gpu.md`` and ``.json``.

``python -m benchmarks.gpu [--repeats 5] [--threads 1] [--only SECTION]``, on a machine with a GPU.
"""

from pathlib import Path

from benchmarks import gpu_demo, gpu_epochs
from benchmarks.suite import Suite, main

SUITE = Suite(
    module="benchmarks.gpu",
    title="Benchmark on a GPU",
    sections=(gpu_epochs.SECTION, gpu_epochs.LARGE, gpu_demo.SECTION),
    report=Path("reports/benchmark_gpu.md"),
    numbers=Path("reports/benchmark_gpu.json"),
    gpu=True,
)

if __name__ == "__main__":
    main(SUITE)
