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
    from benchmarks import figures, measuring
    from benchmarks.groups import rendering
    from benchmarks.peers import Peer

    peer = Peer(f"{ROOT}/benchmarks/floor_template,name=other")
    monkeypatch.setattr(rendering, "PEERS", [peer])
    monkeypatch.setattr(figures, "RESULTS", tmp_path / "results")
    group = figures.Group("rendering")

    rendering.measure(group, tmp_path)

    group.save()
    kept = json.loads((tmp_path / "results/rendering.json").read_text(encoding="utf-8"))
    (measure,) = kept["measures"]
    assert "floor_template" in measure["samples"]
    assert {len(samples) for samples in measure["samples"].values()} == {measuring.ROUNDS}
    assert (tmp_path / "rendering2/other").is_dir()


@pytest.mark.git
@pytest.mark.plots
def test_the_commit_of_another_template_and_its_answers_are_kept(tmp_path, monkeypatch):
    from benchmarks import figures
    from benchmarks.peers import Peer

    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@example.com"]
    for words in (["init", "-q"], ["commit", "-q", "--allow-empty", "-m", "First"]):
        subprocess.run([*git, *words], check=True)
    command = [*git, "rev-parse", "HEAD"]
    commit = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    peer = Peer(f"{tmp_path},name=other")
    monkeypatch.setattr(figures, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(figures, "NOTE", "A busy machine.")
    group = figures.Group("start")

    group.add_peer(peer.subject, peer.commit, peer.answers)

    group.save()
    kept = json.loads((tmp_path / "results/start.json").read_text(encoding="utf-8"))
    assert kept["note"] == "A busy machine."
    assert kept["peers"] == {
        f"{tmp_path.name} {commit[:7]}": {"commit": commit, "answers": ["name=other"]}
    }


@pytest.mark.plots
@pytest.mark.stack
def test_another_project_publishes_only_its_page_and_only_on_this_machine(tmp_path):
    from benchmarks.peers import PeerStack

    (tmp_path / "compose.yaml").write_text(
        """services:
  web:
    build: .
    image: named
    ports: ["8000:8000", "3000:3000"]
  db:
    image: postgres
    ports: ["5432:5432"]
""",
        encoding="utf-8",
    )
    project = PeerStack(tmp_path)

    project.resolve()

    config = json.loads(project.compose("config", "--format", "json").stdout)
    web, db = config["services"]["web"], config["services"]["db"]
    assert [(port["host_ip"], port["target"], port["published"]) for port in web["ports"]] == [
        ("127.0.0.1", 8000, str(project.port))
    ]
    assert "ports" not in db and db["image"] == "postgres" and "image" not in web

    project.resolve("compose.yaml", target=3000)

    config = json.loads(project.compose("config", "--format", "json").stdout)
    (port,) = config["services"]["web"]["ports"]
    assert (port["host_ip"], port["target"]) == ("127.0.0.1", 3000)


@pytest.mark.plots
def test_a_bar_has_the_colour_of_this_template_unless_it_is_of_a_peer(tmp_path):
    from benchmarks import plot

    samples = {"release of code": [1], "other 1234567, code": [2]}
    measure = {"measure": "m", "unit": "", "more_is_better": False, "samples": samples}
    group = {"measures": [measure | {"notes": {}}], "peers": {"other 1234567": {}}}

    plot.draw(group, "light", tmp_path / "plot.svg")

    drawn = (tmp_path / "plot.svg").read_text()
    _, _, own, other = plot.SCHEMES["light"]
    assert (drawn.count(f"fill: {own}"), drawn.count(f"fill: {other}")) == (1, 1)


@pytest.mark.plots
def test_a_project_for_production_has_the_values_that_its_example_names_for_that(tmp_path):
    from benchmarks.peers import for_production

    example = "#export DEBUG=false\nexport DEBUG=true\n\n#A=\nexport A=1\n#B=2\nexport C=3\n"

    assert for_production(example) == "export DEBUG=false\n\nA=\n#B=2\nexport C=3\n"


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
