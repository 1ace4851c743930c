"""Slips that could be made in the losses: each must make the tests of its file fail."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Mutant:
    """One slip.

    Attributes:
        module: in ``cmad/losses``.
        old: what stands in it, exactly once.
        new: what the slip makes of it.
    """

    module: str
    old: str
    new: str


def _of(module: str, *slips: tuple[str, str]) -> tuple[Mutant, ...]:
    return tuple(Mutant(module, old, new) for old, new in slips)


TASK = _of(
    "task",
    ("(predicted - true).abs()", "(predicted - true)"),
    ("(predicted - true).abs()", "(predicted - true).square()"),
    ("(predicted - true).abs()", "(predicted + true).abs()"),
    ('reduction="none"', 'reduction="mean"'),
    ("per_sample.repeat_interleave(task.records, dim=0)", "per_sample.repeat(task.records)"),
    ("labels.flatten() if", "labels.T.flatten() if"),
    ("outputs.squeeze(1)", "outputs.squeeze()"),
    (
        "outputs.reshape(len(outputs) * task.records, task.classes)",
        "outputs.reshape(-1, task.classes, task.records).transpose(1, 2).reshape(-1, task.classes)",
    ),
)

CAFD = _of(
    "cafd",
    ("(student - teacher).square().mean(dim=1)", "(student - teacher).square().sum(dim=1)"),
    ("(student - teacher).square().mean(dim=1)", "(student - teacher).square().mean(dim=0)"),
    ("(student - teacher).square().mean(dim=1)", "(student - teacher).abs().mean(dim=1)"),
    ("(student - teacher).square()", "(student.detach() - teacher).square()"),
    ("rows.square().sum(dim=1, keepdim=True)", "rows.square().sum(dim=0, keepdim=True)"),
    ("squares.where(directed, 1.0).sqrt()", "squares.sqrt()"),
    ("values.sum(dim=0) / max(len(values), 1)", "values.mean()"),
    ("NORM_EPS = 1e-12", "NORM_EPS = 1e-2"),
    ("CONTRAST_EPS = 1e-8", "CONTRAST_EPS = 0.0"),
    (
        "_unit_rows(first) @ _unit_rows(second).transpose(0, 1)",
        "_unit_rows(second) @ _unit_rows(first).transpose(0, 1)",
    ),
    ("_unit_rows(first) @", "first @"),
    ("(teacher_teacher - student_teacher).abs()", "(teacher_teacher - student_teacher).square()"),
    ("(teacher_teacher - student_teacher).abs()", "(teacher_teacher - student_teacher)"),
    ("gaps.diagonal(dim1=0, dim2=1).sum(dim=0)", "gaps.diagonal(dim1=0, dim2=1).mean(dim=0)"),
    ("(gaps.sum(dim=(0, 1)) + CONTRAST_EPS)", "(gaps.sum(dim=(0, 1)).detach() + CONTRAST_EPS)"),
    ("(first / tau).log_softmax(dim=1)", "(first / tau).log_softmax(dim=0)"),
    ("(second / tau).log_softmax(dim=1)", "(second * tau).log_softmax(dim=1)"),
    ("(log_p.exp() - log_q.exp())", "(log_p.exp() + log_q.exp())"),
    ("0.5 * ((log_p", "1.0 * ((log_p"),
    (
        "    return row_divergence(cross, own, tau), contrast(cross, own)",
        "    return row_divergence(cross, own, tau), contrast(cross.detach(), own)",
    ),
    (
        "    return row_divergence(cross, own, tau), contrast(cross, own)",
        "    own = similarities(student, student)\n"
        "    return row_divergence(cross, own, tau), contrast(cross, own)",
    ),
    ("feature_mse(student, teacher)) + spread", "feature_mse(student, teacher)) - spread"),
    (
        "_mean(divergences * feature_mse(student, teacher))",
        "_mean(divergences) * _mean(feature_mse(student, teacher))",
    ),
    ("_mean(divergences * feature_mse(", "_mean(divergences.detach() * feature_mse("),
    (
        "row_divergence(similarities(student, student), similarities(teacher, teacher), tau)",
        "row_divergence(similarities(student, teacher), similarities(teacher, teacher), tau)",
    ),
    (
        "return _mean(feature_mse(student, teacher)), _mean(divergences) + spread",
        "return _mean(feature_mse(student, teacher)), _mean(divergences)",
    ),
    ("return consistency_metrics(student, teacher, tau)[1]", "return direct_transfer(student, teacher, tau)"),
)

AUXILIARY = _of(
    "auxiliary",
    ("(p * (log_p - log_q)).sum(dim=1)", "(q * (log_p - log_q)).sum(dim=1)"),
    ("(student / phi - teacher / phi)", "(student / phi + teacher / phi)"),
    (".square() * phi**2", ".square() * phi"),
    ("(p * (log_p - log_q)).sum(dim=1)", "(p * (log_p - log_q)).mean(dim=1)"),
    ("(p * (log_p - log_q)).sum(dim=1)", "(p * (log_p - log_q)).sum(dim=0)"),
    ("x.clamp_min(LEAST_PROBABILITY).log()", "x.log()"),
    ("LEAST_PROBABILITY = 1e-8", "LEAST_PROBABILITY = 1e-3"),
    ("p = logits.softmax(dim=1)", "p = logits.softmax(dim=0)"),
    ("rest = p.masked_fill(target, 0.0).sum(dim=1)", "rest = 1 - p.masked_fill(~target, 0.0).sum(dim=1)"),
    ("logits.masked_fill(target, -torch.inf)", "logits.masked_fill(target, 0.0)"),
    ("_divergence(teacher_binary, student_binary)", "_divergence(student_binary, teacher_binary)"),
    ("_divergence(teacher_rest, student_rest)", "_divergence(student_rest, teacher_rest)"),
    ("_divergence(teacher_rest, student_rest)", "_divergence(teacher_rest, student_rest.detach())"),
    ("_decouple(student / temperature, target)", "_decouple(student, target)"),
    ("_decouple(teacher / temperature, target)", "_decouple(teacher * temperature, target)"),
    ("(alpha * on_target + (1 - alpha) * off_target)", "((1 - alpha) * on_target + alpha * off_target)"),
    ("return temperature**2 * (", "return temperature * ("),
    ("scaled_squared_error(student, teacher, phi)\n", "scaled_squared_error(student, teacher, phi).mean()\n"),
    (
        "decoupled_distillation(student, teacher, record_labels",
        "decoupled_distillation(teacher, student, record_labels",
    ),
)

MAR = _of(
    "mar",
    ("(student_loss - teacher_loss).clamp_min(0.0)", "(teacher_loss - student_loss).clamp_min(0.0)"),
    ("(student_loss - teacher_loss).clamp_min(0.0)", "(student_loss - teacher_loss)"),
    ("(student_loss - teacher_loss).clamp_min(0.0)", "(student_loss - teacher_loss).abs()"),
    ("student_loss.detach().double()", "student_loss.double()"),
    ("teacher_loss.detach().double()", "teacher_loss.double()"),
    ("student_loss.detach().double()", "student_loss.detach()"),
    ("relative[:, None].where(member, 0.0).sum(dim=0)", "relative[:, None].where(member, 0.0).mean(dim=0)"),
    ("self.absolute + absolute[:, None]", "absolute[:, None]"),
    ("self.relative + relative[:, None]", "self.relative + absolute[:, None]"),
    ("self.counts + member.sum(dim=0)", "self.counts + member.any(dim=0)"),
    ("sums / counts.clamp_min(1)", "sums / counts.sum().clamp_min(1)"),
    ("(difficulty / hardest).square()", "(difficulty / hardest)"),
    ("(difficulty / hardest).square()", "(difficulty / difficulty.sum()).square()"),
    ("counts > 0, unseen_weight", "counts > 1, unseen_weight"),
    ("hardest <= LEAST_DIFFICULTY", "hardest < LEAST_DIFFICULTY"),
    ("pairs.max() <= LEAST_DIFFICULTY", "difficulty.max() <= LEAST_DIFFICULTY"),
    ("int(pairs.argmax())", "int(pairs.argmin())"),
    ("(weakest, *weakest)", "(weakest,)"),
    ('("LA", "LV", "AV")', '("AV", "LV", "LA")'),
)

MUTANTS = (*TASK, *CAFD, *AUXILIARY, *MAR)
