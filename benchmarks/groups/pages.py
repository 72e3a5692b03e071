"""The pages of the production stack."""

from pathlib import Path

from benchmarks.figures import OURS, Group
from benchmarks.measuring import released, requests_per_second, wait_for_page

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
    with released(folder / "pages") as project:

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

        taken = [
            [measure(None), over_https(), *(measure(command) for command in others.values())]
            for _ in range(3)
        ]
        columns = [list(column) for column in zip(*taken, strict=True)]
        names = [OURS, f"{OURS} over HTTPS, behind nginx", *others]
        samples = dict(zip(names, columns, strict=True))
        group.add("pages that read a row, per second", "", samples, more_is_better=True)
