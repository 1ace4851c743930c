"""What both implementations are given: shapes, settings and seeds of the benchmark."""

from benchmarks.shapes import DEV, FRAMES, TRAIN
from cmad.combinations import MODALITIES
from cmad.config.schema import Network as Settings
from cmad.config.schema import Optimiser, PerModality, Student
from cmad.network.network import Network
from cmad.randomness import torch_seeded
from cmad.store.store import Store

BATCH = 128
# Whole batches, and the dev samples that go with them at MOSEI's proportions.
TRAIN_SAMPLES = 8 * BATCH
DEV_SAMPLES = round(TRAIN_SAMPLES * DEV / TRAIN)
SEED = 0


def network_settings(depth: int = 5) -> Settings:
    """The spec's network for MOSEI (section 5)."""
    return Settings(
        width=96,
        depth=depth,
        latents=5,
        heads=16,
        head_width=16,
        kernels=PerModality(language=3, audio=1, vision=1),
        fusion_layers=2,
        fusion_feedforward=2048,
        transformer_dropout=0.1,
        fusion_dropout=0.3,
        perceiver_dropout=0.0,
        attend_padding=False,
    )


def student_settings(batch: int = BATCH) -> Student:
    """The spec's student for MOSEI (section 5)."""
    return Student(
        optimiser=Optimiser(
            name="adamw",
            learning_rate=2e-5,
            weight_decay=1e-4,
            milestones=(),
            clip=1.0,
            renew_each_epoch=False,
        ),
        batch=batch,
        micro_batch=None,
        epochs=1,
        dropout_off=False,
        sampler="authors",
        select="average",
        task_weight=1.0,
        sigma=0.1,
        gamma=1.0,
        tau=0.2,
        consistency="full",
        rho=20.0,
        warmup=20,
        weigh="both",
        subtract_teacher=True,
        weights="all",
        unseen_weight=0.0,
        alpha=0.5,
        temperature=2.0,
        phi=7.0,
    )


def fresh_network(store: Store, purpose: str, depth: int = 5) -> Network:
    """A network with the initial weights of this purpose ("teacher", "student")."""
    with torch_seeded(SEED, purpose):
        lengths = dict.fromkeys(MODALITIES, FRAMES)
        return Network(network_settings(depth), store.widths, lengths, store.task.outputs)
