"""Section: trainings on the demo set on a GPU, in both precisions: scores and times."""

import torch

from benchmarks.precision import demo_figures, demo_rows, demo_table
from benchmarks.section import Measured, Options, Section
from cmad.computing.device import choose_device
from cmad.computing.precision import has_bf16

SEEDS = 3


def measure(options: Options) -> Measured:
    """Both precisions; where the GPU has no bfloat16, a line that says so."""
    del options
    device = choose_device("cuda")
    if not has_bf16(device):
        return Measured("Not measured: this GPU has no arithmetic in bfloat16.\n", {})
    # What a process does at its first product on a GPU belongs to no training.
    with torch.no_grad():
        float(torch.ones(8, 8, device=device).mm(torch.ones(8, 8, device=device)).sum())
    rows = demo_rows(SEEDS, "cuda", "wall")
    text = f"""\
Everything on the GPU, {SEEDS} seeds: average F1 over the seven combinations in percent, with the standard
deviation over seeds; the difference bf16 - float32 with its interval over seeds and test samples; wall
seconds of one training with its evaluations on dev.

{demo_table(rows)}
"""
    return Measured(text, {"demo": demo_figures(rows)})


SECTION = Section("demo", "The demo set", measure)
