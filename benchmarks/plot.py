"""Draw the figures in benchmarks/results: a plot for each group, in light and dark."""

import json
import re
import statistics
from pathlib import Path

import matplotlib

matplotlib.use("svg")
from matplotlib import pyplot

from benchmarks.figures import OURS, RESULTS

PLOTS = Path(__file__).parent / "plots"
# Text, axes, the bar of this template, the other bars.
SCHEMES = {
    "light": ("#1f2328", "#d1d9e0", "#0b6e4f", "#a9b4be"),
    "dark": ("#f0f6fc", "#3d444d", "#3fb68b", "#656c76"),
}
# Text stays text, and the same figures give the same file.
STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "plot",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 10,
}
FONT = "font-size: 10px; font-family: 'DejaVu Sans', sans-serif; "
NO_METADATA = dict.fromkeys(("Date", "Creator", "Format", "Type"))


def draw(group: dict, scheme: str, file: Path) -> None:
    """Draw a group's measures below each other: a bar for each median, a dot for each sample."""
    text, line, own, other = SCHEMES[scheme]
    measures = group["measures"]
    bars = [len(measure["samples"]) for measure in measures]
    with matplotlib.rc_context(STYLE | {"text.color": text, "ytick.color": text}):
        figure, axes = pyplot.subplots(
            len(measures),
            squeeze=False,
            figsize=(8, 0.5 * len(measures) + 0.3 * sum(bars) + 0.3),
            height_ratios=[count + 1 for count in bars],
            layout="constrained",
        )
        for axis, measure in zip(axes.flat, measures, strict=True):
            samples = measure["samples"]
            medians = {subject: statistics.median(values) for subject, values in samples.items()}
            # Where nothing is named after it, all bars but those of peers are of this template.
            peers = tuple(group.get("peers", ()))
            own_bars = [subject for subject in samples if subject.startswith(OURS)]
            own_bars = own_bars or [name for name in samples if not name.startswith(peers)]
            colors = [own if subject in own_bars else other for subject in samples]
            axis.barh(list(samples), list(medians.values()), height=0.7, color=colors)
            for place, (subject, values) in enumerate(samples.items()):
                if len(values) > 1:
                    axis.plot(values, [place] * len(values), ".", color=text, markersize=3)
                label = measure["notes"].get(subject, f"{medians[subject]:.4g} {measure['unit']}")
                axis.annotate(
                    label,
                    (max(*values, medians[subject]), place),
                    (5, 0),
                    textcoords="offset points",
                    va="center",
                )
            better = "more" if measure["more_is_better"] else "less"
            axis.set_title(f"{measure['measure']} ({better} is better)", loc="left", fontsize=10)
            axis.set_xlim(0, max(max(map(max, samples.values())) * 1.25, 1e-9))
            axis.invert_yaxis()
            axis.xaxis.set_visible(False)
            axis.tick_params(left=False)
            for side in ("top", "right", "bottom"):
                axis.spines[side].set_visible(False)
            axis.spines["left"].set_color(line)
        figure.savefig(file, transparent=True, metadata=NO_METADATA)
        pyplot.close(figure)
    svg = file.read_text(encoding="utf-8")
    # A document type is of no use to a browser.
    svg = re.sub(r"<!DOCTYPE.*?>\n", "", svg, flags=re.DOTALL)
    # Each text repeats the font, and a rotation by nothing.
    svg = svg.replace(FONT, "").replace("</style>", f"text{{{FONT}}}</style>")
    svg = re.sub(r' transform="rotate\(-0 [^"]*"', "", svg)
    # All dots have the colour of the first.
    svg = re.sub(r'(<use [^>]*?) style="[^"]*"', r"\1", svg)
    svg = svg.replace(f'style="stroke: {text}"', f'style="fill: {text}; stroke: {text}"')
    # A hundredth of a point is enough.
    svg = re.sub(r"(\d\.\d\d)\d+", r"\1", svg)
    file.write_text("\n".join(line.strip() for line in svg.splitlines()) + "\n", encoding="utf-8")


def draw_all(folder: Path = PLOTS) -> None:
    """Draw all groups."""
    folder.mkdir(exist_ok=True)
    for results in sorted(RESULTS.glob("*.json")):
        group = json.loads(results.read_text(encoding="utf-8"))
        for scheme in SCHEMES:
            draw(group, scheme, folder / f"{group['group']}_{scheme}.svg")


if __name__ == "__main__":
    draw_all()
