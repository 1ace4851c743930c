"""Consistency of the student's representations with the teacher's (CAFD, Eq. 1 to 5, spec section 3).

Shapes: E^s and E^t are [B, D], similarities are [B, B]. A batch of no samples gives 0 and still
carries a graph. A batch of one has no other sample to compare with: its L^Sa is 0, its L^Sp 1 (0 if equal).
"""

from typing import Literal, assert_never

from torch import Tensor

Consistency = Literal["full", "mse", "similarity", "direct", "no_contrast"]

NORM_EPS = 1e-12
CONTRAST_EPS = 1e-8


def _mean(values: Tensor) -> Tensor:
    """Mean of [B], 0 for B = 0."""
    return values.sum(dim=0) / max(len(values), 1)


def feature_mse(student: Tensor, teacher: Tensor) -> Tensor:
    """L^MSE_i, the mean squared difference of each sample's features (Eq. 1).

    Args:
        student: E^s [B, D].
        teacher: E^t [B, D].

    Returns:
        [B].
    """
    return (student - teacher).square().mean(dim=1)


def _unit_rows(rows: Tensor) -> Tensor:
    """Rows [B, D] at length 1; a row no longer than 1e-12 becomes 0 and gets no gradient."""
    squares = rows.square().sum(dim=1, keepdim=True)
    directed = squares > NORM_EPS**2
    # The root's derivative is infinite at 0, so such rows must not reach it, not even to be masked after.
    lengths = squares.where(directed, 1.0).sqrt()
    return (rows / lengths).where(directed, 0.0)


def similarities(first: Tensor, second: Tensor) -> Tensor:
    """R_ij, the cosine of row i of ``first`` and row j of ``second`` (Eq. 2); 0 for a zero row.

    Args:
        first: [B, D].
        second: [B, D].

    Returns:
        [B, B].
    """
    return _unit_rows(first) @ _unit_rows(second).transpose(0, 1)


def contrast(student_teacher: Tensor, teacher_teacher: Tensor) -> Tensor:
    """L^Sp, the diagonal's share of all differences in similarity (Eq. 3).

    Args:
        student_teacher: R^{s,t} [B, B].
        teacher_teacher: R^{t,t} [B, B].

    Returns:
        A scalar in [0, 1]; 0 where nothing differs.
    """
    gaps = (teacher_teacher - student_teacher).abs()
    return gaps.diagonal(dim1=0, dim2=1).sum(dim=0) / (gaps.sum(dim=(0, 1)) + CONTRAST_EPS)


def row_divergence(first: Tensor, second: Tensor, tau: float) -> Tensor:
    """L^Sa_i, the mean of KL(p_i||q_i) and KL(q_i||p_i) (Eq. 4).

    Args:
        first: similarities [B, B] that make p_i = softmax_j(R_ij / tau).
        second: similarities [B, B] that make q_i.
        tau: temperature.

    Returns:
        [B]; the same with ``first`` and ``second`` swapped.
    """
    log_p = (first / tau).log_softmax(dim=1)
    log_q = (second / tau).log_softmax(dim=1)
    # The two directions share their terms: p ln(p/q) + q ln(q/p) = (p - q)(ln p - ln q).
    return 0.5 * ((log_p.exp() - log_q.exp()) * (log_p - log_q)).sum(dim=1)


def _similarity_terms(student: Tensor, teacher: Tensor, tau: float) -> tuple[Tensor, Tensor]:
    """L^Sa_i [B] and L^Sp (scalar), both between R^{s,t} and R^{t,t}."""
    cross, own = similarities(student, teacher), similarities(teacher, teacher)
    return row_divergence(cross, own, tau), contrast(cross, own)


def cafd(student: Tensor, teacher: Tensor, tau: float) -> Tensor:
    """L_CAFD = mean_i(L^Sa_i L^MSE_i) + L^Sp (Eq. 5).

    Args:
        student: E^s [B, D].
        teacher: E^t [B, D].
        tau: temperature of the similarities.

    Returns:
        A scalar.
    """
    divergences, spread = _similarity_terms(student, teacher, tau)
    return _mean(divergences * feature_mse(student, teacher)) + spread


def direct_transfer(student: Tensor, teacher: Tensor, tau: float) -> Tensor:
    """The teacher's R^{t,t} taught to the student's own R^{s,s} (supplement 7.3, case 4).

    Args:
        student: E^s [B, D].
        teacher: E^t [B, D].
        tau: temperature of the similarities.

    Returns:
        A scalar, the mean of ``row_divergence``.
    """
    return _mean(row_divergence(similarities(student, student), similarities(teacher, teacher), tau))


def consistency_metrics(student: Tensor, teacher: Tensor, tau: float) -> tuple[Tensor, Tensor]:
    """The measures of the supplement's Tables 7 and 8, lower is better.

    Args:
        student: E^s [B, D].
        teacher: E^t [B, D].
        tau: temperature of the similarities.

    Returns:
        MSE = mean_i L^MSE_i and SIMS = mean_i L^Sa_i + L^Sp, scalars.
    """
    divergences, spread = _similarity_terms(student, teacher, tau)
    return _mean(feature_mse(student, teacher)), _mean(divergences) + spread


def consistency_loss(kind: Consistency, student: Tensor, teacher: Tensor, tau: float) -> Tensor:
    """CAFD or one of its ablations (supplement 7.3, spec section 3).

    Args:
        kind: "full" is Eq. 5, "mse" mean L^MSE, "similarity" mean L^Sa + L^Sp, "direct" R^{s,s} to
            R^{t,t}, "no_contrast" Eq. 5 without L^Sp.
        student: E^s [B, D].
        teacher: E^t [B, D].
        tau: temperature of the similarities.

    Returns:
        A scalar.
    """
    match kind:
        case "full":
            return cafd(student, teacher, tau)
        case "mse":
            return _mean(feature_mse(student, teacher))
        case "similarity":
            return consistency_metrics(student, teacher, tau)[1]
        case "direct":
            return direct_transfer(student, teacher, tau)
        case "no_contrast":
            cross, own = similarities(student, teacher), similarities(teacher, teacher)
            return _mean(row_divergence(cross, own, tau) * feature_mse(student, teacher))
        case _:
            assert_never(kind)
