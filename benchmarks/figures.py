"""The figures of a run: printed while it runs, and kept as JSON, a file for each group."""

import datetime
import json
import os
import statistics
from pathlib import Path

RESULTS = Path(__file__).parent / "results"
OURS = "this template"
# What the reader of the figures has to know about this run.
NOTE = os.environ.get("BENCH_NOTE", "")


class Group:
    """A group of measures that are taken in one run: `make bench ARGS=rendering`."""

    def __init__(self, name: str):
        self.name = name
        self.measures: list[dict] = []
        self.peers: dict[str, dict] = {}

    def add_peer(self, subject: str, commit: str | None, answers: list[str]) -> None:
        """Keep which version of a peer was measured, and with which answers."""
        self.peers[subject] = {"commit": commit, "answers": answers}

    def add(
        self,
        measure: str,
        unit: str,
        samples: dict[str, list[float]],
        more_is_better: bool = False,
        notes: dict[str, str] | None = None,
    ) -> None:
        """Keep the samples of a measure, by what was measured, and print their medians.

        notes: what a plot writes in place of a median.
        """
        rounded = {
            subject: [round(value, 3) for value in values] for subject, values in samples.items()
        }
        self.measures.append(
            {
                "measure": measure,
                "unit": unit,
                "more_is_better": more_is_better,
                "samples": rounded,
                "notes": notes or {},
            }
        )
        print(measure)
        medians = {subject: statistics.median(values) for subject, values in samples.items()}
        ours = medians.get(OURS)
        for subject, median in medians.items():
            printed = (notes or {}).get(subject, f"{median:.2f} {unit}")
            compared = subject != OURS and ours is not None and median
            ratio = f"{ours / median:8.2f}" if compared else ""
            print(f"  {subject:<48} {printed:>24}{ratio}", flush=True)

    def save(self) -> None:
        """Write the group's file, over the one of an older run."""
        RESULTS.mkdir(exist_ok=True)
        text = json.dumps(
            {
                "group": self.name,
                "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
                "processors": os.cpu_count(),
                **({"peers": self.peers, "note": NOTE} if self.peers else {}),
                "measures": self.measures,
            },
            indent=2,
        )
        (RESULTS / f"{self.name}.json").write_text(text + "\n", encoding="utf-8")
