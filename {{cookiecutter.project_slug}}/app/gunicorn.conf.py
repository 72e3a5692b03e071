"""How gunicorn serves the project; it reads this file by itself from the working directory."""

import os{% if cookiecutter.deployment == "compose" %}
import time
from contextlib import suppress
from pathlib import Path{% endif %}

# gunicorn listens on all addresses of the container. The Compose files say which port is published.
bind = "0.0.0.0:8000"
# Each worker is a process. With two, one serves while the other restarts.
workers = int(os.environ.get("WEB_CONCURRENCY") or 2)
threads = int(os.environ.get("GUNICORN_THREADS") or 4)
{%- if cookiecutter.deployment != "none" %}
# nginx keeps its connections, and closes them first: see keepalive_timeout in ops/nginx.conf.
keepalive = 75
# Requests in flight may finish; GRACE_PERIOD is also when the engine kills what takes longer.
{%- if cookiecutter.deployment == "swarm" %} stack.yaml
# asks gunicorn to stop after five seconds of it.
graceful_timeout = max(1, int(os.environ.get("GRACE_PERIOD") or 60) - 5)
{%- else %}
graceful_timeout = int(os.environ.get("GRACE_PERIOD") or 60)
{%- endif %}
{%- endif %}
# A heartbeat file on a disk can block a worker for seconds; /dev/shm is memory.
worker_tmp_dir = "/dev/shm"  # noqa: S108
# Restarts limit memory leaks. With the jitter, workers do not restart at the same time.
max_requests = 10_000
max_requests_jitter = 1_000
# Nobody uses gunicorn's control socket here.
control_socket_disable = True
# LOGGING in the settings says where this log goes, and in which format.
accesslog = "-"
# The code is loaded once, before the workers start: a mistake in the settings ends gunicorn at once.
preload_app = True
{%- if cookiecutter.postgres_driver == "psycopg" %}
# The threads of a process share a pool of connections; see DATABASES in the settings.
raw_env = [f"POSTGRES_POOL_SIZE={threads}"]
{%- endif %}
{%- if cookiecutter.deployment == "compose" %}


def on_starting(_server):
    """Remove the files that killed containers left. No request takes a day."""
    for left in Path("/var/tmp").iterdir():  # noqa: S108
        # Another container may remove it, and folders stay.
        with suppress(OSError):
            if left.stat().st_mtime < time.time() - 86_400:
                left.unlink()
{%- endif %}
