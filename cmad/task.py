"""What is predicted: one score, one of K classes, or J binary labels (spec sections 1 and 4)."""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["regression", "classes", "binary"]


@dataclass(frozen=True)
class Task:
    """A prediction task.

    A *record* is one decision of one sample: regression and classes have one record a sample,
    binary has one per label, sample-major (spec section 4, "IEMOCAP").

    Attributes:
        kind: "regression" (one real score), "classes" (one of K), "binary" (J yes/no labels).
        names: class names for "classes", label names for "binary", empty for "regression".
    """

    kind: Kind
    names: tuple[str, ...] = ()

    @property
    def outputs(self) -> int:
        """K, the width of the classifier's output."""
        return {"regression": 1, "classes": len(self.names), "binary": 2 * len(self.names)}[self.kind]

    @property
    def records(self) -> int:
        """Records per sample."""
        return len(self.names) if self.kind == "binary" else 1

    @property
    def classes(self) -> int:
        """Classes per record; 2 for "binary", 1 for "regression"."""
        return {"regression": 1, "classes": len(self.names), "binary": 2}[self.kind]
