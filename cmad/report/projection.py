"""Figure of representations on two principal axes, by combination."""

from pathlib import Path

from cmad.combinations import COMBINATIONS
from cmad.report.load import Cells
from cmad.report.style import EMPHASISED, legend_below, looks, sheet


def projected_variants(cells: Cells) -> list[str]:
    """The variants of the figure: those that stand out in every figure, or the first unified row."""
    if cells.details.projection.empty:
        return []
    unified = [row.name for row in cells.rows if not row.customised]
    return [name for name in sorted(EMPHASISED, reverse=True) if name in unified] or unified[:1]


def projection_figure(cells: Cells, path: Path) -> None:
    """A panel for each variant; points are samples, colour and marker their combination."""
    variants, found = projected_variants(cells), looks(COMBINATIONS)
    table = cells.details.projection
    n = table["sample"].nunique()
    title = (
        f"{cells.dataset}, test (n = {n} complete samples): E^s on two principal axes (seed {cells.seeds[0]})"
    )
    with sheet(path, title, max(5.5, 0.6 + 3.6 * len(variants)), 4.3) as figure:
        panels = figure.subplots(1, len(variants), squeeze=False)[0]
        for axes, variant in zip(panels, variants, strict=True):
            of_variant = table[table["variant"] == variant]
            for combination, look in found.items():
                points = of_variant[of_variant["combination"] == combination]
                axes.plot(
                    points["x"],
                    points["y"],
                    ls="",
                    marker=look.marker,
                    ms=3,
                    color=look.colour,
                    alpha=0.55,
                    label=combination,
                    # Thousands of points make an SVG that no browser likes.
                    rasterized=True,
                )
            # Centres on top, ringed in white.
            for combination, look in found.items():
                centre = of_variant[of_variant["combination"] == combination][["x", "y"]].mean()
                axes.plot(
                    *centre,
                    marker=look.marker,
                    ms=10,
                    color=look.colour,
                    mec="white",
                    mew=1.4,
                    ls="",
                    zorder=3,
                )
            x, y = (100 * of_variant[name].iloc[0] for name in ("x_share", "y_share"))
            axes.set_xlabel(f"axis 1 ({x:.0f} % of the variance)")
            axes.set_ylabel(f"axis 2 ({y:.0f} %)")
            axes.set_title(variant)
        legend_below(figure, panels, 7)
