"""The benchmark: its figures are kept as JSON, and each plot shows the figures that are kept."""

import json
import os
import subprocess
import sys

import pytest

from tests.support.project import ROOT

RESULTS = ROOT / "benchmarks" / "results"


@pytest.mark.plots
def test_each_plot_shows_the_figures_that_are_kept(tmp_path):
    from benchmarks import plot

    plot.draw_all(tmp_path)

    drawn = {path.name: path.read_text() for path in tmp_path.iterdir()}
    kept = {path.name: path.read_text() for path in plot.PLOTS.iterdir()}
    assert drawn.keys() == kept.keys()
    assert [name for name in drawn if drawn[name] != kept[name]] == [], "run make pictures"


@pytest.mark.plots
def test_figures_are_kept_for_each_group():
    from benchmarks.bench import GROUPS

    assert {path.stem for path in RESULTS.glob("*.json")} == set(GROUPS)
    for path in RESULTS.glob("*.json"):
        group = json.loads(path.read_text(encoding="utf-8"))
        assert group["group"] == path.stem and group["date"]
        for measure in group["measures"]:
            assert measure["samples"] and all(measure["samples"].values())


@pytest.mark.plots
def test_other_templates_are_measured_in_the_same_run(tmp_path, monkeypatch):
    from benchmarks import bench, figures

    peer = bench.Peer(f"{ROOT}/benchmarks/floor_template,name=other")
    monkeypatch.setattr(bench, "PEERS", [peer])
    monkeypatch.setattr(figures, "RESULTS", tmp_path / "results")
    group = figures.Group("rendering")

    bench.bench_rendering(group, tmp_path)

    group.save()
    kept = json.loads((tmp_path / "results/rendering.json").read_text(encoding="utf-8"))
    (measure,) = kept["measures"]
    assert "floor_template" in measure["samples"]
    assert {len(samples) for samples in measure["samples"].values()} == {bench.ROUNDS}
    assert (tmp_path / "rendering2/other").is_dir()


def refusal(group: str, **environment: str) -> str:
    """Return what make bench prints about a group that it refuses."""
    process = subprocess.run(
        [sys.executable, "-m", "benchmarks.bench", group],
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (process.returncode, process.stdout) == (1, "")
    return process.stderr


@pytest.mark.plots
def test_an_unknown_group_is_refused_with_the_names_of_all():
    assert refusal("starts").startswith("No such group: starts. There are: rendering, ")


@pytest.mark.plots
def test_a_group_whose_service_is_missing_is_refused_with_the_way_to_get_it(tmp_path):
    (line,) = refusal("swarm", DOCKER_HOST=f"unix://{tmp_path}/none").splitlines()
    assert line.startswith("swarm cannot be measured: no Docker engine with Compose answers: ")
