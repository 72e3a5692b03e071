"""A real S3 server on this machine, with TLS: `rclone serve s3`."""

import hashlib
import os
import ssl
import subprocess
import urllib.error
import urllib.request
from pathlib import Path
from typing import Self

from tests.support.embedded_postgres import free_port
from tests.support.mail_server import make_certificate
from tests.support.processes import Running, wait_until

BUCKET = "uploads"


class Store:
    """A server with one bucket, whose objects are files in `bucket`.

    public: whoever has the address may read and write, without a key.
    """

    def __init__(self, folder: Path, host: str = "127.0.0.1", public: bool = False):
        self.host, self.port, self.public = host, free_port(), public
        self.url = f"https://{host}:{self.port}"
        self.key, self.secret = "key-of-the-tests", "secret-of-the-tests"
        self.bucket = folder / "objects" / BUCKET
        self.bucket.mkdir(parents=True)
        self.certificate = make_certificate(folder, host)
        # Without the private key.
        self.authority = folder / "public.pem"

    @classmethod
    def on_bridge(cls, folder: Path) -> Self:
        """Return a store that containers reach: at the address of this machine on the bridge."""
        return cls(folder, cls.address_on_bridge())

    @staticmethod
    def address_on_bridge() -> str:
        """Return the address of this machine that containers reach."""
        template = "{{(index .IPAM.Config 0).Gateway}}"
        inspect = ["docker", "network", "inspect", "--format", template, "bridge"]
        return subprocess.run(inspect, capture_output=True, text=True, check=True).stdout.strip()

    def settings(self) -> dict[str, str]:
        """Return the settings of a project that uses the store, without the secret."""
        return {
            "S3_ENDPOINT_URL": self.url,
            "S3_BUCKET": BUCKET,
            "S3_ACCESS_KEY": self.key,
        }

    def start(self, secret: str = "") -> Self:
        """Start the server, and return when it answers."""
        command = ["rclone", "serve", "s3", f"--addr={self.host}:{self.port}"]
        command += [f"--cert={self.certificate}", f"--key={self.certificate}"]
        if not self.public:
            command.append(f"--auth-key={self.key},{secret or self.secret}")
        folder = self.bucket.parent
        home = {"HOME": str(folder.parent), "PATH": os.environ["PATH"]}
        self.server = Running([*command, str(folder)], folder.parent, home)
        wait_until(lambda: self.read(self.url)[0], 120, self.server.printed)
        return self

    def stop(self) -> None:
        """End the server: connections are refused."""
        self.server.process.terminate()
        self.server.end()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *error: object) -> None:
        self.server.process.kill()
        self.server.end()

    def names(self) -> list[str]:
        """Return the names of all objects."""
        files = (path for path in self.bucket.rglob("*") if path.is_file())
        return sorted(path.relative_to(self.bucket).as_posix() for path in files)

    def read(self, url: str) -> tuple[int, bytes, dict[str, str]]:
        """Return status, body and headers of a URL; status 0 without an answer."""
        context = ssl.create_default_context(cafile=self.authority)
        try:
            with urllib.request.urlopen(url, timeout=20, context=context) as answer:
                return answer.status, answer.read(), dict(answer.headers)
        except urllib.error.HTTPError as error:
            return error.code, error.read(), dict(error.headers)
        except OSError:
            return 0, b"", {}

    def digest(self, url: str) -> str:
        """Return the SHA-256 of what is at a URL."""
        return hashlib.sha256(self.read(url)[1]).hexdigest()
