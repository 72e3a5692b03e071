"""How gunicorn serves the project; it reads this file by itself from the working directory."""

import os
from contextlib import suppress
from pathlib import Path


def cpus() -> int:
    """Return how many processors there are: by the container's limit, else of the machine."""
    # There is no such file outside of a control group, and no number in it without a limit.
    with suppress(OSError, ValueError):
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text(encoding="ascii").split()
        return max(1, round(int(quota) / int(period)))
    return os.cpu_count() or 1


# All addresses of the container. The Compose files determine which port is published.
bind = "0.0.0.0:8000"
# A process uses one processor. At least two, so that one serves while the other restarts.
workers = int(os.environ.get("WEB_CONCURRENCY") or max(2, cpus()))
worker_class = "gthread"
threads = int(os.environ.get("GUNICORN_THREADS") or 4)
# A heartbeat file on a disk can block a worker for seconds; /dev/shm is memory.
worker_tmp_dir = "/dev/shm"  # noqa: S108
# Restarts limit memory leaks. With the jitter, workers do not restart at the same time.
max_requests = 10_000
max_requests_jitter = 1_000
control_socket_disable = True
accesslog = "-"
logger_class = "config.logs.GunicornLogger"

if "--reload" in os.environ.get("GUNICORN_CMD_ARGS", ""):
    worker_class = "config.development.Worker"
    # gunicorn watches the modules that were imported; one with a mistake was not.
    reload_extra_files = ["**/*.py"]
else:
    # Load the code once, before the workers start: a mistake in the settings ends gunicorn at once.
    preload_app = True
{%- if cookiecutter.postgres_driver == "psycopg" %}

# The size of the pool that the threads of a process share; see DATABASES in the settings.
raw_env = [f"POSTGRES_POOL_SIZE={threads}"]
{%- endif %}
