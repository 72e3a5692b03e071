"""How gunicorn serves the project; it reads this file by itself from the working directory."""

# All addresses of the container: what is published, and where, is said in the Compose files.
bind = "0.0.0.0:8000"
worker_class = "gthread"
threads = 4
# A heartbeat file on a disk can block a worker for seconds; /dev/shm is memory.
worker_tmp_dir = "/dev/shm"  # noqa: S108
accesslog = "-"
control_socket_disable = True
# With --reload, in development, every module is watched. Alone, gunicorn watches those imported so
# far, and Django imports the views at the first request: an edit soon after it would be missed.
reload_extra_files = ["**/*.py"]
