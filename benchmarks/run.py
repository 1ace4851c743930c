"""The benchmark suite; writes ``reports/benchmark.md``, ``.json`` and the figure of growth.

``python -m benchmarks.run [--repeats 5] [--threads 1] [--only SECTION]``

A new section is a module with a ``SECTION``, and its place in ``SUITE``.
"""

from pathlib import Path

from benchmarks import against, growth, parts, precision, rate, startup, systems
from benchmarks.suite import Suite, main

SUITE = Suite(
    module="benchmarks.run",
    title="Benchmark",
    sections=(
        against.SECTION,
        rate.SECTION,
        parts.SECTION,
        growth.SECTION,
        startup.SECTION,
        systems.SECTION,
        precision.SECTION,
    ),
    report=Path("reports/benchmark.md"),
    numbers=Path("reports/benchmark.json"),
)

if __name__ == "__main__":
    main(SUITE)
