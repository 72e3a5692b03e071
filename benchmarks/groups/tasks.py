"""Tasks of a project beside Celery with Redis, in the same image, on the same engine, in turns."""

import json
import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from benchmarks.figures import OURS, Group
from benchmarks.measuring import in_turns, released
from tests.support.project import ROOT, Project

# The tier of the tests whose service it needs.
NEEDS = "stack"

CELERY = "Celery with Redis"
CELERY_LOCK = ROOT / "benchmarks" / "celery.txt"
BACKLOG = 2000
LATENCIES = 200
IDLE_SECONDS = 20
# The same task for both: it returns the moment of its start.
CLIENT = '''"""What the benchmark runs in a project; it knows one queue by enqueue(keep) and moment_of(id)."""

import json
import random
import time
from pathlib import Path

from django.db import transaction

IDS = Path("/tmp/ids")


def fill(enqueue, count):
    """Enqueue so many tasks, and remember them."""
    ids = []
    with transaction.atomic():
        for _ in range(count):
            enqueue(ids.append)
    IDS.write_text(json.dumps(ids))


def moments(moment_of, ids):
    """Return when each task has started, after the last one has."""
    while moment_of(ids[-1]) is None:
        time.sleep(0.25)
    found = [moment_of(id) for id in ids]
    while None in found:
        time.sleep(0.25)
        found = [found[n] or moment_of(id) for n, id in enumerate(ids)]
    return found


def rate(moment_of):
    """Return how many of the tasks that fill() has enqueued were started each second."""
    found = moments(moment_of, json.loads(IDS.read_text()))
    return (len(found) - 1) / (max(found) - min(found))


def latencies(enqueue, moment_of, count):
    """Return the milliseconds from each of so many commits to the start of its task."""
    # Its first connections take time.
    enqueue(lambda id: None)
    committed, ids = [], []
    for _ in range(count):
        time.sleep(random.uniform(0.02, 0.18))
        with transaction.atomic():
            transaction.on_commit(lambda: committed.append(time.time()))
            enqueue(ids.append)
    started = moments(moment_of, ids)
    return [(start - commit) * 1000 for commit, start in zip(committed, started)]
'''
OUR_QUEUE = '''"""The project's own tasks."""

import time

from core.tasks import task


@task
def moment():
    return time.time()


def enqueue(keep):
    keep(str(moment.enqueue().id))


def moment_of(id):
    result = moment.get_result(id)
    return result.return_value if result.is_finished else None
'''
CELERY_QUEUE = '''"""The same with Celery, as its documentation says for Django; the results are kept, too."""

import os
import time

from celery import Celery
from django.conf import settings
from django.db import transaction

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
cache = settings.CACHES["default"]
redis = cache["LOCATION"].replace("//", f"//:{cache['OPTIONS']['PASSWORD']}@").removesuffix("/0")
app = Celery("measured", broker=f"{redis}/1", backend=f"{redis}/2")


@app.task
def moment():
    return time.time()


def enqueue(keep):
    transaction.on_commit(lambda: keep(moment.delay().id))


def moment_of(id):
    result = app.AsyncResult(id)
    return result.result if result.ready() else None
'''


class Queue:
    """A queue of the project: its client runs in one container, its workers in others."""

    def __init__(self, project: Project, name: str):
        self.project = project
        self.name = name
        self.client = ""

    def call(self, function: str) -> Any:
        """Return what a function of CLIENT returns; its arguments may name those of the queue's module."""
        code = f"import json; from core.measured_{self.name} import *; from core.measured import *"
        command = ["docker", "exec", self.client, "python", "manage.py", "shell", "-v", "0", "-c"]
        printed = self.project.run(*command, f"{code}; print(json.dumps({function}))", timeout=900)
        return json.loads(printed.stdout.splitlines()[-1])

    def workers(self) -> list[str]:
        """Return the containers of the workers."""
        raise NotImplementedError

    def start(self, count: int) -> None:
        """Start so many workers."""
        raise NotImplementedError

    def stop(self) -> None:
        """Stop all workers."""
        raise NotImplementedError

    def in_worker(self, script: str) -> str:
        """Return what a shell script prints in the container of the only worker."""
        (worker,) = self.workers()
        return self.project.run("docker", "exec", worker, "sh", "-c", script).stdout


class Ours(Queue):
    """The tasks of the project."""

    def __init__(self, project: Project):
        super().__init__(project, "ours")
        (self.client,) = project.containers("app")

    def workers(self) -> list[str]:
        """Return the containers of the workers."""
        return self.project.containers("worker")

    def start(self, count: int) -> None:
        """Start so many workers."""
        up = ("up", "--detach", "--no-deps", "--no-recreate", "--scale", f"worker={count}")
        self.project.compose(*up, "worker")

    def stop(self) -> None:
        """Stop all workers."""
        self.project.compose("up", "--detach", "--no-deps", "--scale", "worker=0", "worker")


class Celery(Queue):
    """Celery in the image of the project, with its Redis."""

    def __init__(self, project: Project, packages: Path):
        super().__init__(project, "celery")
        self.packages = packages
        self.worker = ""
        self.client = self.run("sleep", "infinity")

    def run(self, *command: str) -> str:
        """Run a command in a container of the image to which Celery's packages are added."""
        volume = ("--volume", f"{self.packages}:/celery:ro", "--env", "PYTHONPATH=/celery")
        run = ("run", "--detach", "--no-deps", *volume, "app", *command)
        return self.project.compose(*run).stdout.split()[-1]

    def workers(self) -> list[str]:
        """Return the container of the workers, which are processes."""
        return [self.worker] if self.worker else []

    def start(self, count: int) -> None:
        """Start a worker with so many processes."""
        command = "python -m celery --app core.measured_celery worker --loglevel WARNING"
        self.worker = self.run(*command.split(), "--concurrency", str(count))

    def stop(self) -> None:
        """Stop all workers."""
        for worker in self.workers():
            self.project.run("docker", "rm", "--force", worker)
        self.worker = ""


def add_queues(project: Project) -> None:
    """Add the measured tasks to a project, before its image is built."""
    for name, code in {"": CLIENT, "_ours": OUR_QUEUE, "_celery": CELERY_QUEUE}.items():
        (project.path / f"app/core/measured{name}.py").write_text(code, encoding="utf-8")


def install_celery(folder: Path) -> Path:
    """Install Celery and what it needs into a folder, for the Python of the project's image."""
    command = ["uv", "pip", "install", "--quiet", "--target", str(folder)]
    command += ["--python-version", "3.14", "--only-binary", ":all:", "--no-deps"]
    subprocess.run([*command, "--require-hashes", "-r", str(CELERY_LOCK)], check=True)
    folder.chmod(0o755)
    return folder


def tasks_per_second(queue: Queue, workers: int) -> float:
    """Return how many tasks of a backlog so many workers start each second."""
    queue.call(f"fill(enqueue, {BACKLOG})")
    queue.start(workers)
    try:
        return queue.call("rate(moment_of)")
    finally:
        queue.stop()


# Prints a file of each process of the container, but not of the shell itself.
OF_EACH = "for p in /proc/[0-9]*; do [ $p = /proc/$$ ] || cat $p/%s; done 2> /dev/null; true"


def megabytes(queue: Queue) -> float:
    """Return the memory of the only worker: of what processes share, each has its part (PSS)."""
    rollups = queue.in_worker(OF_EACH % "smaps_rollup")
    return (
        sum(int(kilobytes) for kilobytes in re.findall(r"^Pss: *(\d+)", rollups, re.MULTILINE))
        / 1024
    )


def processor_share(queue: Queue) -> float:
    """Return how many per cent of a processor the only worker uses while it waits."""

    def used() -> int:
        # The 14th and 15th field: hundredths of a second, of a user and of the kernel.
        stats = queue.in_worker(OF_EACH % "stat").splitlines()
        return sum(int(ticks) for line in stats for ticks in line.rpartition(")")[2].split()[11:13])

    start, before = time.monotonic(), used()
    time.sleep(IDLE_SECONDS)
    return (used() - before) / (time.monotonic() - start)


def one_worker(queue: Queue) -> dict[str, float]:
    """Return the figures of a single worker that has little to do."""
    queue.start(1)
    try:
        # It has started, and has run something.
        queue.call("latencies(enqueue, moment_of, 5)")
        found = {"memory": megabytes(queue), "processor": processor_share(queue)}
        waits = queue.call(f"latencies(enqueue, moment_of, {LATENCIES})")
        return found | {"median": median(waits), "99": quantiles(waits, n=100)[98]}
    finally:
        queue.stop()


def measure(group: Group, folder: Path) -> None:
    """Measure the tasks of a project beside Celery with Redis."""
    answers = ("use_tasks=true", "use_redis=true")
    with released(folder / "tasks", *answers, prepare=add_queues) as project:
        queues: dict[str, Queue] = {
            OURS: Ours(project),
            CELERY: Celery(project, install_celery(folder / "celery")),
        }
        try:
            queues[OURS].stop()
            measure_queues(group, queues)
        finally:
            project.run("docker", "rm", "--force", queues[CELERY].client)


def measure_queues(group: Group, queues: dict[str, Queue]) -> None:
    """Measure each queue in turns."""

    def turns(action: Callable[[Queue], Any]) -> dict[str, list[Any]]:
        taken = in_turns(
            *(lambda queue=queue: action(queue) for queue in queues.values()), rounds=2
        )
        return dict(zip(queues, taken, strict=True))

    for workers in (1, 2):
        samples = turns(lambda queue, workers=workers: tasks_per_second(queue, workers))
        name = f"tasks per second, {workers} worker{'s' if workers > 1 else ''}"
        group.add(name, "", samples, more_is_better=True)
    single = turns(one_worker)
    for measure, unit, key in (
        ("from commit to start, median", "ms", "median"),
        ("from commit to start, 99th percentile", "ms", "99"),
        ("memory of an idle worker", "MB", "memory"),
        ("processor of an idle worker", "%", "processor"),
    ):
        samples = {subject: [turn[key] for turn in taken] for subject, taken in single.items()}
        group.add(measure, unit, samples)
