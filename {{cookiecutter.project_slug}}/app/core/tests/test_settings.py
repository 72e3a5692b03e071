"""Settings are read at start, so each test starts a process with its own environment."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from django.conf import settings
from django.test import SimpleTestCase


def read_secret_key(**environment):
    """Return SECRET_KEY, or the message of the process that cannot start."""
    # Empty values hide those of the .env of this machine.
    names = ["DEBUG", "SECRET_KEY", "ALLOWED_HOSTS", "DATABASE_URL", "POSTGRES_HOST"]
{%- if cookiecutter.media_storage == "s3" %}
    names += ["S3_BUCKET", "S3_ACCESS_KEY", "S3_SECRET_KEY"]
{%- endif %}
    return subprocess.run(
        [sys.executable, "-c", "from config import settings; print(settings.SECRET_KEY)"],
        cwd=settings.BASE_DIR,
        env=os.environ | dict.fromkeys(names, "") | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    ).stdout.strip()


class SettingsTests(SimpleTestCase):
    def test_production_names_all_that_are_missing(self):
{%- if cookiecutter.media_storage == "s3" %}
        missing = "SECRET_KEY, ALLOWED_HOSTS, S3_BUCKET, S3_ACCESS_KEY, S3_SECRET_KEY, "
        missing += "DATABASE_URL or POSTGRES_HOST"
{%- else %}
        missing = "SECRET_KEY, ALLOWED_HOSTS, DATABASE_URL or POSTGRES_HOST"
{%- endif %}
        message = f"With DEBUG off, set {missing}: see docs/troubleshooting.md."
        self.assertEqual(read_secret_key(), message)

    def test_a_secret_can_be_a_file(self):
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "secret_key"
            file.write_text("from a file\n", encoding="utf-8")
            secret = read_secret_key(DEBUG="true", SECRET_KEY_FILE=str(file))

        self.assertEqual(secret, "from a file")
