"""A site on three nodes."""

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.figures import OURS, Group
from benchmarks.measuring import (
    ROUNDS,
    milliseconds,
    render,
    requests_per_second,
    seconds,
    under_load,
)
from tests.support.project import ROOT
from tests.support.store import Store
from tests.support.swarm import HOME, Swarm, SwarmSite, site_ports

# The tier of the tests whose service it needs.
NEEDS = "swarm"


@contextmanager
def released_on_swarm(folder: Path) -> Iterator[SwarmSite]:
    """Release a project on three nodes, with nginx and the database on the first; remove all afterwards."""
    swarm = Swarm(site_ports())
    try:
        swarm.up()
        swarm.docker("node", "update", "--label-rm", "db", "node2")
        swarm.docker("node", "update", "--label-add", "db=true", "node1")
        with Store(folder / "store", host=swarm.gateway()) as store:
            site = SwarmSite(render(ROOT, folder / "site", "deployment=swarm", "media_storage=s3"))
            site.add_views()
            settings = {"APP_CPUS": "2", "DB_CPUS": "2", "APP_REPLICAS": "3"}
            site.to_swarm(swarm, store, swarm.ports, **settings)
            site.encrypt_if_possible()
            site.deploy()
            yield site
    finally:
        swarm.down()


def place(site: SwarmSite, replicas: int, *options: str) -> list[str]:
    """Run so many containers of app; return their nodes. With options, none of the old ones stays."""
    update = ("service", "update", "--detach")
    if options:
        site.swarm.docker(*update, "--replicas=0", "site_app")
        site.wait_until(lambda: not site.tasks("app"), 120)
    site.swarm.docker(*update, f"--replicas={replicas}", *options, "site_app")
    site.wait_until(lambda: len(site.tasks("app")) == replicas, 120)
    # nginx asks for their addresses each second.
    time.sleep(2)
    return [node for node, _ in site.tasks("app")]


def pages_on_swarm(site: SwarmSite) -> Iterator[tuple[str, float, float]]:
    """Measure a page with each number of replicas: pages per second, milliseconds for one page."""
    trust = site.trusting()
    front = f"https://localhost:{site.port}/read"
    direct = f"http://{site.swarm.docker('info', '--format', '{{.Swarm.NodeAddr}}')}:8000/read"
    # Only one container can have the port of the node.
    port = "mode=host,published=8000,target=8000"
    first = "node.hostname==node1"
    changes = {
        ("1 node", 1): [f"--constraint-add={first}", f"--publish-add={port}"],
        ("1 node", 2): [f"--publish-rm={port}"],
        ("1 node", 4): [],
        ("3 nodes", 1): [f"--constraint-rm={first}"],
        ("3 nodes", 2): [],
        ("3 nodes", 4): [],
    }
    for (where, replicas), options in changes.items():
        nodes = set(place(site, replicas, *options))
        if where == "1 node":
            expected = nodes == {"node1"}
        else:
            # The first ones start where nothing else runs.
            expected = len(nodes) == min(replicas, 3) and ("node1" in nodes) == (replicas > 2)
        if not expected:
            raise RuntimeError(f"{replicas} on {where}: {nodes}")
        name = f"{OURS}, {replicas} on {where}"
        yield name, requests_per_second(front, trust), milliseconds(front, trust)
        if (where, replicas) == ("1 node", 1):
            yield "1 on 1 node, without nginx", requests_per_second(direct), milliseconds(direct)


def replaced(site: SwarmSite) -> tuple[float, float]:
    """Kill a node; return the seconds until Swarm notices, and until all replicas run again."""
    start = time.perf_counter()
    site.swarm.kill("node3")
    site.swarm.wait_for_status("node3", "Down")
    noticed = time.perf_counter() - start

    def all_run() -> bool:
        nodes = [node for node, _ in site.tasks("app")]
        return len(nodes) == 3 and "node3" not in nodes

    site.wait_until(all_run, 180)
    return noticed, time.perf_counter() - start


def measure(group: Group, folder: Path) -> None:
    """Measure a site on three nodes: its pages, a release, and the loss of a node."""
    rates, times, runs = defaultdict(list), defaultdict(list), defaultdict(list)
    with released_on_swarm(folder / "swarm") as site:
        for _ in range(ROUNDS):
            for name, rate, time_of_one in pages_on_swarm(site):
                rates[name].append(rate)
                times[name].append(time_of_one)
        for number in range(3):
            place(site, 3, "--force")
            runs["a killed node"].append(under_load(site, lambda: replaced(site)))
            site.swarm.start("node3")
            with open(site.path / HOME, "a", encoding="utf-8") as page:
                page.write(f"{{# {number} #}}\n")
            runs["make deploy"].append(under_load(site, lambda: seconds(site.deploy)))
            back = under_load(site, lambda: seconds(lambda: site.run("make", "rollback")))
            runs["make rollback"].append(back)
    group.add("pages that read a row, per second", "", rates, more_is_better=True)
    group.add("the same page for one client, p50", "ms", times)
    killed, deploy, rollback = ([result for result, *_ in taken] for taken in runs.values())
    group.add(
        "make deploy of a changed page, under load",
        "s",
        {OURS: deploy, "make rollback, which only replaces containers": rollback},
    )
    noticed, complete = zip(*killed, strict=True)
    group.add(
        "a killed node under load, until all replicas run",
        "s",
        {OURS: complete, "Swarm sees that the node is down": noticed},
    )
    lost = {name: [lost for _, lost, _ in taken] for name, taken in runs.items()}
    notes = {
        name: f"{sum(lost[name])} of {sum(lost + answered for _, lost, answered in taken):,}"
        for name, taken in runs.items()
    }
    group.add("requests lost", "", lost, notes=notes)
