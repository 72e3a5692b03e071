"""The pages of the production stack."""

import functools
from contextlib import ExitStack
from pathlib import Path

from benchmarks.figures import OURS, Group
from benchmarks.measuring import released, requests_per_second, wait_for_page
from benchmarks.peers import SITE_PEERS

# The tier of the tests whose service it needs.
NEEDS = "stack"


def measure(group: Group, folder: Path) -> None:
    """Measure the pages of the production stack."""
    # The same image, settings and database, with other servers.
    others = {
        "runserver": "python manage.py runserver 0.0.0.0:8000",
        "gunicorn with its own defaults": "gunicorn --config /dev/null --forwarded-allow-ips * "
        "--worker-tmp-dir /dev/shm --bind 0.0.0.0:8000 config.wsgi",
    }
    with ExitStack() as stacks:
        project = stacks.enter_context(released(folder / "pages"))

        def measure(command: str | None) -> float:
            if command is None:
                (id,) = project.compose("ps", "--quiet", "app").stdout.split()
            else:
                project.compose("stop", "app")
                # Neither reads X-Forwarded-Proto, so both would redirect to HTTPS.
                plain = ("--env", "SECURE_SSL_REDIRECT=false")
                run = ("run", "--detach", "--no-deps", *plain, "app")
                id = project.compose(*run, *command.split()).stdout.split()[-1]
            network = (
                f'{{{{(index .NetworkSettings.Networks "{project.stack}_frontend").IPAddress}}}}'
            )
            address = project.run("docker", "inspect", "-f", network, id).stdout.strip()
            try:
                wait_for_page(f"http://{address}:8000/health/live")
                return requests_per_second(f"http://{address}:8000/read")
            finally:
                if command is not None:
                    project.run("docker", "rm", "--force", id)
                    project.compose("start", "app")

        def over_https() -> float:
            url = f"https://localhost:{project.port}/read"
            return requests_per_second(url, project.trusting())

        measures = {OURS: functools.partial(measure, None)}
        measures[f"{OURS} over HTTPS, behind nginx"] = over_https
        measures |= {name: functools.partial(measure, others[name]) for name in others}
        for peer in SITE_PEERS:
            group.add_peer(peer.subject, peer.commit, peer.answers)
            stack = stacks.enter_context(peer.in_production(folder / "pages"))
            direct = functools.partial(requests_per_second, stack.page_of_gunicorn("/read"))
            measures[f"{peer.subject}, its gunicorn"] = direct
            if stack.site.front:
                name = f"{peer.subject} over HTTPS, behind {stack.site.front}"
                through = (stack.page("/read"), stack.trusting())
                measures[name] = functools.partial(requests_per_second, *through)
        taken = [[measure() for measure in measures.values()] for _ in range(3)]
        columns = [list(column) for column in zip(*taken, strict=True)]
        samples = dict(zip(measures, columns, strict=True))
        group.add("pages that read a row, per second", "", samples, more_is_better=True)
