"""Settings are read once, at start: each test starts a process with its own environment."""

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
                  "https": settings.SECURE_SSL_REDIRECT and settings.SESSION_COOKIE_SECURE,
                  **{name.lower(): str(default.get(name)) for name in ("HOST", "NAME", "PASSWORD")}}))
"""


def read_settings(**environment):
    """Return the settings as a dict, or the last line of the error as a str."""
    # An empty value counts as set, so the .env of this machine is not used.
    names = ["DEBUG", "SECRET_KEY", "ALLOWED_HOSTS", "DATABASE_URL", "POSTGRES_HOST", "EMAIL_URL"]
    cleared = dict.fromkeys(names, "")
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
    def test_development_needs_nothing(self):
        found = read_settings(DEBUG="true")

        self.assertEqual(found["engine"], "sqlite3")
        self.assertFalse(found["https"])

    def test_production_lists_all_missing_settings(self):
        self.assertEqual(
            read_settings(),
            "With DEBUG off, set SECRET_KEY, ALLOWED_HOSTS, DATABASE_URL or POSTGRES_HOST: "
            "see docs/troubleshooting.md.",
        )

    def test_database_url_overrides_the_settings_of_the_service(self):
        found = read_settings(
            SECRET_KEY="x",
            ALLOWED_HOSTS="shop.example",
            POSTGRES_HOST="db",
            DATABASE_URL="postgres://user:p%23ss@managed.example/shop",
        )

        self.assertEqual(found["engine"], "postgresql")
        self.assertEqual(found["host"], "managed.example")
        self.assertEqual(found["password"], "p#ss")
        self.assertTrue(found["https"])

    def test_an_invalid_email_url_is_reported_without_its_password(self):
        error = read_settings(DEBUG="true", EMAIL_URL="smtp+tls://shop:p/ss@mail.example")

        self.assertIn("EMAIL_URL cannot be read: write smtp+tls://", error)
        self.assertNotIn("p/ss", error)

    def test_a_secret_can_be_a_file(self):
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "secret_key"
            file.write_text("from a file\n", encoding="utf-8")
            found = read_settings(DEBUG="true", SECRET_KEY_FILE=str(file))

            self.assertEqual(found["secret_key"], "from a file")
            error = read_settings(DEBUG="true", DATABASE_URL_FILE=folder)
            self.assertIn("DATABASE_URL_FILE cannot be read", error)
