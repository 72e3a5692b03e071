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


# All addresses of the container: what is published, and where, is said in the Compose files.
bind = "0.0.0.0:8000"
# A process keeps one processor busy; with two, one that starts again leaves the other to serve.
workers = int(os.environ.get("WEB_CONCURRENCY") or max(2, cpus()))
worker_class = "gthread"
threads = int(os.environ.get("GUNICORN_THREADS") or 4)
# A heartbeat file on a disk can block a worker for seconds; /dev/shm is memory.
worker_tmp_dir = "/dev/shm"  # noqa: S108
# A leak is bounded; the jitter keeps the workers from starting again all at once.
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
    # Loaded once, before the workers start: what is wrong with the settings ends it at once.
    preload_app = True
{%- if cookiecutter.postgres_driver == "psycopg" %}

# The threads of a process share so many connections; see DATABASES in the settings.
raw_env = [f"POSTGRES_POOL_SIZE={threads}"]
{%- endif %}
