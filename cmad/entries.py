"""What the tables compare: variants of the project's own methods, and comparison systems."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Entry:
    """One row of a table.

    Attributes:
        name: of its folder and in every CSV.
        system: the comparison system behind it; None for a variant.
        customised: one model for each combination (set C of the supplement's Table 6), not one for
            all seven (set U).
    """

    name: str
    system: str | None = None
    customised: bool = False


def unified(system: str) -> Entry:
    """The row of a system trained once for all seven combinations."""
    return Entry(f"{system}_unified", system)


def customised(system: str) -> Entry:
    """The row of a system trained once for each combination."""
    return Entry(f"{system}_customised", system, customised=True)


def entries(
    variants: tuple[str, ...], unified_systems: tuple[str, ...], customised_systems: tuple[str, ...]
) -> tuple[Entry, ...]:
    """All rows of the grid, in the order of the tables: set C, then set U."""
    return (
        *map(customised, customised_systems),
        *map(unified, unified_systems),
        *(Entry(variant) for variant in variants),
    )
