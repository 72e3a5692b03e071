"""Settings are read once, at start: each test starts a process with its own environment."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

from django.conf import settings
from django.test import SimpleTestCase

PRINT_SETTINGS = """
import json
from config import settings
default = settings.DATABASES["default"]
print(json.dumps({"engine": default["ENGINE"].rsplit(".")[-1], "secret_key": settings.SECRET_KEY,
                  "https": settings.SECURE_SSL_REDIRECT and settings.SESSION_COOKIE_SECURE,
                  "hosts": settings.ALLOWED_HOSTS, "origins": settings.CSRF_TRUSTED_ORIGINS,
                  **{name.lower(): str(default.get(name)) for name in ("HOST", "NAME", "PASSWORD")}}))
"""


def read_settings(**environment):
    """Return the settings as a dict, or the last line of the error as a str."""
    # An empty value counts as set, so the .env of this machine is not used.
    names = ["DEBUG", "SECRET_KEY", "ALLOWED_HOSTS", "DATABASE_URL", "POSTGRES_HOST", "EMAIL_URL"]
    names += ["S3_BUCKET", "S3_ACCESS_KEY", "S3_SECRET_KEY"]
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

    def test_localhost_works_with_debug_on_whatever_the_hosts_are(self):
        found = read_settings(DEBUG="true", ALLOWED_HOSTS="shop.example")
        self.assertEqual(found["hosts"], ["shop.example", ".localhost", "127.0.0.1", "[::1]"])

        production = {"SECRET_KEY": "x", "DATABASE_URL": "postgres://managed.example/shop"}
        found = read_settings(ALLOWED_HOSTS="shop.example", **production)
        if not find_spec("storages"):  # A bucket needs more settings.
            self.assertEqual(found["hosts"], ["shop.example"])

    def test_a_tunnel_can_be_trusted_with_forms(self):
        self.assertEqual(read_settings(DEBUG="true")["origins"], [])
        found = read_settings(
            DEBUG="true", CSRF_TRUSTED_ORIGINS="https://a.example,https://b.example"
        )
        self.assertEqual(found["origins"], ["https://a.example", "https://b.example"])

    def test_production_lists_all_missing_settings(self):
        bucket = "S3_BUCKET, S3_ACCESS_KEY, S3_SECRET_KEY, " if find_spec("storages") else ""
        self.assertEqual(
            read_settings(),
            f"With DEBUG off, set SECRET_KEY, ALLOWED_HOSTS, {bucket}DATABASE_URL or POSTGRES_HOST: "
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

        self.assertIn("EMAIL_URL cannot be read: see", error)
        self.assertNotIn("p/ss", error)

    def test_a_value_may_begin_with_a_dollar_sign(self):
        # Django's own generator makes such keys. `k3y` is no variable, `HOME` is one.
        for value in "$k3y", "$HOME", "$$", r"\$k3y", "a$HOME":
            found = read_settings(
                DEBUG="true",
                SECRET_KEY=value,
                POSTGRES_HOST="db",
                POSTGRES_DB="shop",
                POSTGRES_USER="shop",
                POSTGRES_PASSWORD=value,
            )
            self.assertEqual((found["secret_key"], found["password"]), (value, value))
            with tempfile.TemporaryDirectory() as folder:
                file = Path(folder) / "secret_key"
                file.write_text(f"{value}\n", encoding="utf-8")
                found = read_settings(DEBUG="true", SECRET_KEY_FILE=str(file))
            self.assertEqual(found["secret_key"], value)

    def test_a_value_in_the_file_may_begin_with_a_dollar_sign(self):
        # The settings read the .env beside the folder of the code, which is a copy here.
        with tempfile.TemporaryDirectory() as folder:
            code = Path(folder) / "app"
            shutil.copytree(settings.BASE_DIR / "config", code / "config")
            (code.parent / ".env").write_text("DEBUG=true\nSECRET_KEY=$k3y\n", encoding="utf-8")
            variables = dict.fromkeys(["DATABASE_URL", "POSTGRES_HOST", "EMAIL_URL"], "")
            variables = {**os.environ, **variables}
            for name in "DEBUG", "SECRET_KEY", "DJANGO_SETTINGS_MODULE":
                variables.pop(name, None)
            process = subprocess.run(
                [sys.executable, "-c", PRINT_SETTINGS],
                cwd=code,
                env=variables,
                capture_output=True,
                text=True,
                check=True,
            )

        self.assertEqual(json.loads(process.stdout)["secret_key"], "$k3y")

    def test_a_secret_can_be_a_file(self):
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "secret_key"
            file.write_text("from a file\n", encoding="utf-8")
            found = read_settings(DEBUG="true", SECRET_KEY_FILE=str(file))

            self.assertEqual(found["secret_key"], "from a file")
            error = read_settings(DEBUG="true", DATABASE_URL_FILE=folder)
            self.assertIn("DATABASE_URL_FILE cannot be read", error)
