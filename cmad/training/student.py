"""Training one system from a teacher."""

import torch

from cmad.config.schema import Network as Settings
from cmad.config.schema import Student
from cmad.methods.method import Context, creator
from cmad.network.network import Network
from cmad.randomness import torch_seeded
from cmad.store.store import Store
from cmad.training.checkpoint import build_network
from cmad.training.fit import Fitted, Plan, fit
from cmad.training.judge import student_judge
from cmad.training.teacher_cache import TeacherCache


def train_student(
    method_name: str,
    store: Store,
    network: Settings,
    student: Student,
    teacher: Network,
    cache: TeacherCache,
    seed: int,
    label: str,
    device: torch.device,
) -> Fitted:
    """Train one student of one seed; the epoch kept is chosen on dev.

    The initial weights depend on the seed alone, so that variants start alike.
    """
    with torch_seeded(seed, "student weights"):
        model = build_network(network, store).to(device)
    method = creator(method_name)(Context(model, teacher, student, store.task))
    if method.trained is None:
        return Fitted(method.network.state_dict(), [])
    dev, train = store.splits["dev"], store.splits["train"]
    judge = student_judge(method.network, dev, store.task, student.select, student.batch, device)
    plan = Plan(student.optimiser, student.batch, student.epochs, student.dropout_off, seed, label)
    rows = torch.arange(len(train)).numpy()
    return fit(method, train, rows, cache, judge, plan, device)
