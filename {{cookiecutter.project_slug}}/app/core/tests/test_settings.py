"""Settings are read once, at start: each case is a process of its own with its own environment."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from django.conf import settings
from django.test import SimpleTestCase

PRINT_SETTINGS = """
import json
from config import settings
default = settings.DATABASES["default"]
print(json.dumps({"engine": default["ENGINE"].rsplit(".")[-1], "secret_key": settings.SECRET_KEY,
                  **{name.lower(): str(default.get(name)) for name in ("HOST", "NAME", "PASSWORD")}}))
"""


def read_settings(**environment):
    """Return the settings as a dict, or the last line of the error as a str."""
    # An empty value is set for all that, and what the .env of this machine says does not count.
    cleared = dict.fromkeys(["DEBUG", "DATABASE_URL", "POSTGRES_HOST"], "")
    process = subprocess.run(
        [sys.executable, "-c", PRINT_SETTINGS],
        cwd=settings.BASE_DIR,
        env=os.environ | cleared | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if process.returncode:
        return process.stderr.strip().splitlines()[-1]
    return json.loads(process.stdout)


class SettingsTests(SimpleTestCase):
    def test_sqlite_is_for_debug_only(self):
        self.assertEqual(read_settings(DEBUG="true", SECRET_KEY="x")["engine"], "sqlite3")
        self.assertIn("DATABASE_URL", read_settings(DEBUG="false", SECRET_KEY="x"))

    def test_database_url_wins_over_the_service(self):
        found = read_settings(
            SECRET_KEY="x",
            POSTGRES_HOST="db",
            DATABASE_URL="postgres://user:p%23ss@managed.example/shop",
        )

        self.assertEqual(found["engine"], "postgresql")
        self.assertEqual(found["host"], "managed.example")
        self.assertEqual(found["password"], "p#ss")

    def test_a_secret_can_be_a_file(self):
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "secret_key"
            file.write_text("from a file", encoding="utf-8")
            found = read_settings(SECRET_KEY_FILE=str(file), DATABASE_URL="postgres://db/shop")

        self.assertEqual(found["secret_key"], "from a file")
