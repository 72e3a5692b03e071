"""A Docker Swarm of nested engines, and a site on it."""

import os
import re
import secrets
import shutil
import ssl
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.support.embedded_postgres import free_port
from tests.support.processes import wait_until
from tests.support.project import Project
from tests.support.store import Store

IMAGE = "swarm-nodes"
BASE_IMAGES = ("python:3.14-slim-trixie", "postgres:18-trixie", "caddy:2")


class Swarm:
    """Three nodes, all managers: node1 has the ports of the site, node2 is for the database.

    Each node is a container on the engine of this machine, with an engine of its own.
    """

    def __init__(self, ports: tuple[int, ...]):
        self.name = f"swarm-{secrets.token_hex(3)}"
        # Short, because the path of a socket has 107 characters at most.
        self.folder = Path(tempfile.mkdtemp(prefix="swarm-", dir="/tmp"))
        self.nodes = {f"node{number}": f"{self.name}-node{number}" for number in (1, 2, 3)}
        self.ports = ports

    def outside(self, *words: object, check: bool = True, env: dict[str, str] | None = None) -> str:
        """Run docker on the engine of this machine, unless env names another; return what it prints."""
        process = subprocess.run(
            ["docker", *map(str, words)],
            env=os.environ | (env or {}),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=300,
        )
        assert not check or process.returncode == 0, f"{words}\n{process.stdout}"
        return process.stdout.strip()

    def gateway(self) -> str:
        """Return the address of this machine in the network of the nodes."""
        template = "{{(index .IPAM.Config 0).Gateway}}"
        return self.outside("network", "inspect", "--format", template, self.name)

    def host(self, node: str = "node1") -> dict[str, str]:
        """Return the environment in which docker uses the engine of a node."""
        return {"DOCKER_HOST": f"unix://{self.folder}/{node}/docker.sock"}

    def docker(self, *words: object, node: str = "node1", check: bool = True) -> str:
        """Run docker on a node; return what it prints."""
        return self.outside(*words, check=check, env=self.host(node))

    def wait_for_engine(self, node: str) -> None:
        """Return when the engine of a node answers."""

        def answers() -> bool:
            self.outside(
                "exec", self.nodes[node], "chmod", "666", "/run/host/docker.sock", check=False
            )
            return "Server Version" in self.docker("info", node=node, check=False)

        wait_until(answers, 120, lambda: self.outside("logs", "--tail=30", self.nodes[node]))

    def up(self) -> None:
        """Start the registry and the nodes, and join them."""
        self.outside("network", "create", self.name)
        # The engine of a node cannot use the DNS server of a network that is made for it.
        resolvers = self.outside("run", "--rm", IMAGE, "cat", "/etc/resolv.conf")
        dns = [
            f"--dns={address}"
            for address in re.findall(r"^nameserver (\S+)", resolvers, re.MULTILINE)
        ]
        self.outside(
            *("run", "--detach", "--name", f"{self.name}-registry", "--network", self.name),
            *("--network-alias", "registry", IMAGE, "docker-registry", "serve"),
            "/etc/registry.yml",
        )
        for node, container in self.nodes.items():
            (self.folder / node).mkdir()
            published = [f"--publish=127.0.0.1:{port}:{port}" for port in self.ports]
            self.outside(
                *("run", "--detach", "--privileged", "--name", container, "--hostname", node),
                *("--network", self.name, f"--volume={self.folder / node}:/run/host"),
                *(published if node == "node1" else []),
                *(IMAGE, "dockerd", "--host=unix:///run/host/docker.sock", *dns),
                "--insecure-registry=registry:5000",
            )
        for node in self.nodes:
            self.wait_for_engine(node)
        self.docker("swarm", "init", "--advertise-addr", "eth0")
        token = self.docker("swarm", "join-token", "--quiet", "manager")
        manager = self.docker("info", "--format", "{{.Swarm.NodeAddr}}")
        for node in ("node2", "node3"):
            self.docker("swarm", "join", "--token", token, f"{manager}:2377", node=node)
        self.docker("node", "update", "--label-add", "edge=true", "node1")
        self.docker("node", "update", "--label-add", "db=true", "node2")
        # Images are built on node1. The other nodes get theirs from the registry.
        save = subprocess.Popen(["docker", "save", *BASE_IMAGES], stdout=subprocess.PIPE)
        load = ["docker", "load", "--quiet"]
        subprocess.run(load, env=os.environ | self.host(), stdin=save.stdout, check=True)
        assert save.wait() == 0

    def encrypts(self) -> bool:
        """Return whether the kernel has the cipher of encrypted overlay networks."""
        key = "0x" + "00" * 20
        add = f"ip xfrm state add src 192.0.2.1 dst 192.0.2.2 proto esp spi 1 aead 'rfc4106(gcm(aes))' {key} 64"
        tried = self.outside(
            "run", "--rm", "--privileged", IMAGE, "sh", "-c", f"{add} && echo yes", check=False
        )
        return tried.endswith("yes")

    def kill(self, node: str) -> None:
        """End a node at once, as a power cut does."""
        self.outside("kill", self.nodes[node])

    def start(self, node: str) -> None:
        """Start a node again, and wait until it is back in the swarm."""
        self.outside("start", self.nodes[node])
        self.wait_for_engine(node)
        self.wait_for_status(node, "Ready")

    def wait_for_status(self, node: str, status: str) -> None:
        """Return when the managers give a node this status."""

        def has_it() -> bool:
            listed = self.docker("node", "ls", "--format", "{{.Hostname}} {{.Status}}")
            return f"{node} {status}" in listed.splitlines()

        wait_until(has_it, 120, lambda: self.docker("node", "ls"))

    def down(self) -> None:
        """Remove everything from the engine of this machine."""
        containers = (*self.nodes.values(), f"{self.name}-registry")
        self.outside("rm", "--force", "--volumes", *containers, check=False)
        self.outside("network", "rm", self.name, check=False)
        # Sockets belong to root.
        shutil.rmtree(self.folder, ignore_errors=True)


class SwarmSite(Project):
    """A project whose commands run on a manager of a swarm."""

    swarm: Swarm

    def to_swarm(self, swarm: Swarm, store: Store, **settings: str) -> None:
        """Set the project up for a swarm, on localhost and the ports that its node1 publishes."""
        self.swarm = swarm
        http_port, self.port = swarm.ports
        env = self.read(".env.production.example").replace("\nDOMAIN=\n", "\nDOMAIN=localhost\n")
        settings |= store.settings() | {
            "STACK": "site",
            "REGISTRY": "registry:5000/team",
            "HTTP_PORT": str(http_port),
            "HTTPS_PORT": str(self.port),
            "AWS_CA_BUNDLE": "/app/authority.pem",
        }
        for name, value in settings.items():
            env = re.sub(rf"^{name}=.*\n", "", env, flags=re.MULTILINE) + f"{name}={value}\n"
        (self.path / ".env").write_text(env, encoding="utf-8")
        self.run(sys.executable, "scripts/make_secrets.py")
        (self.path / "secrets/s3_secret_key").write_text(f"{store.secret}\n")
        (self.path / "app/authority.pem").write_bytes(store.authority.read_bytes())

    def run(self, *command, env: dict[str, str] | None = None, timeout: float = 600, **options):
        """Run a command on node1."""
        return super().run(
            *command, env=self.swarm.host() | (env or {}), timeout=timeout, **options
        )

    def start(self, *command, env: dict[str, str], cwd: str = "."):
        """Start a command on node1; return while it runs."""
        return super().start(*command, env=self.swarm.host() | env, cwd=cwd)

    def container(self, service: str, node: str) -> str:
        """Return the id of a running container of a service on a node."""
        name = f"label=com.docker.swarm.service.name=site_{service}"
        (id, *_) = self.swarm.docker("ps", "--quiet", "--filter", name, node=node).split()
        return id

    def sql(self, statement: str) -> str:
        """Run a statement on the database; return the rows, unaligned."""
        psql = 'psql -XAt -v ON_ERROR_STOP=1 -U "$POSTGRES_USER" -d "$POSTGRES_DB" -c "$0"'
        db = self.container("db", "node2")
        return self.swarm.docker("exec", db, "sh", "-c", psql, statement, node="node2")

    def trusting(self) -> ssl.SSLContext:
        """Return a TLS context that trusts Caddy's own authority."""
        certificate = "/data/caddy/pki/authorities/local/root.crt"
        caddy = self.container("caddy", "node1")
        pem = self.swarm.docker("exec", caddy, "cat", certificate)
        return ssl.create_default_context(cadata=pem)

    def tasks(self, service: str) -> list[tuple[str, str]]:
        """Return node and image of each running task of a service."""
        listed = self.swarm.docker(
            *("service", "ps", "--no-trunc", "--filter", "desired-state=running", "--format"),
            *("{{.Node}} {{.Image}} {{.CurrentState}}", f"site_{service}"),
        )
        rows = [line.split() for line in listed.splitlines()]
        return [(node, image) for node, image, state, *_ in rows if state == "Running"]

    def logs(self, *_: str) -> str:
        """Return what runs, and the output of all services."""
        names = self.swarm.docker("service", "ls", "--format", "{{.Name}}", check=False).split()
        texts = [self.swarm.docker("stack", "ps", "--no-trunc", "site", check=False)]
        texts += [self.swarm.docker("service", "logs", "--tail=30", n, check=False) for n in names]
        return "\n".join(texts)


def site_ports() -> tuple[int, int]:
    """Return two free ports, for HTTP and for HTTPS."""
    return free_port(), free_port()
