"""A Docker Swarm of nested engines, and a site on it."""

import json
import os
import re
import secrets
import shutil
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.support.embedded_postgres import free_port
from tests.support.load import Load
from tests.support.processes import InTerminal, Running, wait_until
from tests.support.project import Project
from tests.support.store import Store

IMAGE = "swarm-nodes"
BASE_IMAGES = (
    "python:3.14-slim-trixie",
    "postgres:17-trixie",
    "nginx:stable-trixie",
    "certbot/certbot:v5.5.0",
    "redis:8",
)


HOME = "app/core/templates/core/home.html"
# Pages that store a file, and that read one.
UPLOADS = """

import socket  # noqa: E402

from django.core.files.base import ContentFile  # noqa: E402
from django.core.files.storage import default_storage  # noqa: E402
from django.http import JsonResponse  # noqa: E402


@csrf_exempt
def upload(request):
    name = default_storage.save("note.txt", ContentFile(request.body))
    return JsonResponse({"name": name, "container": socket.gethostname()})


def uploaded(request):
    with default_storage.open(request.GET["name"]) as file:
        text = file.read().decode()
    return JsonResponse({"text": text, "container": socket.gethostname()})


urlpatterns += [path("upload", upload), path("uploaded", uploaded)]
"""


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
        # Images are built on node1. The other nodes get theirs from the registry.
        self.wait_for_engine("node1")
        loading = self.loading(*BASE_IMAGES)
        for node in ("node2", "node3"):
            self.wait_for_engine(node)
        self.docker("swarm", "init", "--advertise-addr", "eth0")
        token = self.docker("swarm", "join-token", "--quiet", "manager")
        manager = self.docker("info", "--format", "{{.Swarm.NodeAddr}}")
        for node in ("node2", "node3"):
            self.docker("swarm", "join", "--token", token, f"{manager}:2377", node=node)
        self.docker("node", "update", "--label-add", "edge=true", "node1")
        self.docker("node", "update", "--label-add", "db=true", "node2")
        assert [process.wait() for process in loading] == [0, 0]
        # Outside, nodes get these from the registry of the images. One is for the documented commands that
        # run tar; db has its layers, too.
        images = {image: f"registry:5000/{image}" for image in ("redis:8", "postgres:17-trixie")}
        for image, copy in images.items():
            self.docker("tag", image, copy)
            self.docker("push", "--quiet", copy)

        def pull(node: str) -> None:
            for image, copy in images.items():
                self.docker("pull", "--quiet", copy, node=node)
                self.docker("tag", copy, image, node=node)

        with ThreadPoolExecutor() as pool:
            list(pool.map(pull, ("node2", "node3")))

    def loading(self, *images: str) -> tuple[subprocess.Popen, subprocess.Popen]:
        """Begin to load images of this machine into the engine of node1; return the processes, which end with 0."""
        save = subprocess.Popen(["docker", "save", *images], stdout=subprocess.PIPE)
        load = ["docker", "load", "--quiet"]
        return save, subprocess.Popen(load, env=os.environ | self.host(), stdin=save.stdout)

    def encrypts(self) -> bool:
        """Return whether the kernel has the cipher of encrypted overlay networks."""
        key = "0x" + "00" * 20
        add = f"ip xfrm state add src 192.0.2.1 dst 192.0.2.2 proto esp spi 1 aead 'rfc4106(gcm(aes))' {key} 64"
        tried = self.outside(
            "run", "--rm", "--privileged", IMAGE, "sh", "-c", f"{add} && echo yes", check=False
        )
        return tried.endswith("yes")

    @contextmanager
    def cut_off(self, node: str) -> Iterator[None]:
        """Let a node reach no other node, and none reach it. Its engine still answers this machine."""
        rules = [
            (chain, *way, "--jump=DROP")
            for chain, way in (
                ("INPUT", ("--in-interface=eth0",)),
                ("OUTPUT", ("--out-interface=eth0",)),
            )
        ]
        for rule in rules:
            self.outside("exec", self.nodes[node], "iptables", "--insert", *rule)
        try:
            yield
        finally:
            for rule in rules:
                self.outside("exec", self.nodes[node], "iptables", "--delete", *rule)

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
            names = ("node", "ls", "--format", "{{.Hostname}} {{.Status}}")
            listed = self.docker(*names, check=False)
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

    stack_name = "site"

    def to_swarm(self, swarm: Swarm, store: Store, ports: tuple[int, int], **settings: str) -> None:
        """Set the project up for a swarm, on localhost and ports that its node1 publishes."""
        self.swarm = swarm
        http_port, self.port = ports
        env = self.read(".env.production.example").replace("\nDOMAIN=\n", "\nDOMAIN=localhost\n")
        settings |= store.settings() | {
            "STACK": self.stack_name,
            "REGISTRY": "registry:5000/team",
            "HTTP_PORT": str(http_port),
            "HTTPS_PORT": str(self.port),
            "AWS_CA_BUNDLE": "/app/authority.pem",
        }
        for name, value in settings.items():
            env = re.sub(rf"^{name}=.*\n", "", env, flags=re.MULTILINE) + f"{name}={value}\n"
        (self.path / ".env").write_text(env, encoding="utf-8")
        self.run(sys.executable, "scripts/make_secrets.py")
        use_store(self, store)

    def encrypt_if_possible(self) -> None:
        """Leave out the encryption of the networks, if the kernel has no cipher for it."""
        if not self.swarm.encrypts():
            self.replace("stack.yaml", '    driver_opts:\n      encrypted: "true"\n', "")

    def run(self, *command, env: dict[str, str] | None = None, timeout: float = 600, **options):
        """Run a command on node1."""
        return super().run(
            *command, env=self.swarm.host() | (env or {}), timeout=timeout, **options
        )

    def start(self, *command, env: dict[str, str], cwd: str = "."):
        """Start a command on node1; return while it runs."""
        return super().start(*command, env=self.swarm.host() | env, cwd=cwd)

    def in_terminal(self, *command: str) -> InTerminal:
        """Start a command on node1, in a terminal of its own."""
        host = [f"{name}={value}" for name, value in self.swarm.host().items()]
        return super().in_terminal("env", *host, *command)

    def interrupt(self, *command: str, when: str | Callable[[], object]) -> str:
        """Press Ctrl-C when a command shows a text, or when something holds; return what it shows."""
        terminal = self.in_terminal(*command)
        shown = (lambda: when in terminal.read()) if isinstance(when, str) else when
        wait_until(shown, 120, terminal.read)
        terminal.press_ctrl_c()
        assert terminal.end() != 0, terminal.shown
        return terminal.shown

    def in_background(self, statement: str) -> None:
        """Start a statement in a session of its own on the database."""
        self.in_db("psql", statement, "--detach")

    @property
    def db_node(self) -> str:
        """Return the node of the database."""
        ((node, _),) = self.tasks("db")
        return node

    def container(self, service: str, node: str) -> str:
        """Return the id of a running container of a service on a node."""
        name = f"label=com.docker.swarm.service.name={self.stack_name}_{service}"
        (id, *_) = self.swarm.docker("ps", "--quiet", "--filter", name, node=node).split()
        return id

    def sql(self, statement: str) -> str:
        """Run a statement on the database; return the rows, unaligned."""
        return self.in_db("exec psql -XAt -v ON_ERROR_STOP=1", statement)

    def in_db(self, psql: str, statement: str, *options: str) -> str:
        """Run a statement as the role of app, which needs its password, in the container of the database."""
        command = f"""export PGPASSWORD="$(cat "$POSTGRES_PASSWORD_FILE")"
            {psql} -U "$POSTGRES_USER" -d "$POSTGRES_DB" -c "$0\""""
        node = self.db_node
        db = self.container("db", node)
        return self.swarm.docker("exec", *options, db, "sh", "-c", command, statement, node=node)

    def trusting(self) -> ssl.SSLContext:
        """Return a TLS context that trusts the certificate that the site has signed itself."""
        read = ("openssl", "x509", "-in", "/certificates/localhost.pem")
        pem = self.swarm.docker("exec", self.container("nginx", "node1"), *read)
        return ssl.create_default_context(cadata=pem)

    def tasks(self, service: str) -> list[tuple[str, str]]:
        """Return node and image of each running task of a service."""
        listed = self.swarm.docker(
            *("service", "ps", "--no-trunc", "--filter", "desired-state=running", "--format"),
            *("{{.Node}} {{.Image}} {{.CurrentState}}", f"{self.stack_name}_{service}"),
        )
        rows = [line.split() for line in listed.splitlines()]
        return [(node, image) for node, image, state, *_ in rows if state == "Running"]

    def logs(self, *_: str) -> str:
        """Return what runs, and the output of all services."""
        names = self.swarm.docker("service", "ls", "--format", "{{.Name}}", check=False).split()
        texts = [self.swarm.docker("stack", "ps", "--no-trunc", self.stack_name, check=False)]
        texts += [self.swarm.docker("service", "logs", "--tail=30", n, check=False) for n in names]
        return "\n".join(texts)


def documented(site: SwarmSite, words: str) -> str:
    """Return the command in ops/swarm.md or ops/backups.md that contains these words."""
    lines = (site.read("ops/swarm.md") + site.read("ops/backups.md")).splitlines()
    (line,) = [line for line in lines if line.startswith("    ") and words in line]
    return line.strip().replace(f"{site.slug}_", f"{site.stack_name}_")


def unpack(site: SwarmSite, name: str, node: str) -> None:
    """Unpack NAME.tar of a backup on a node."""
    command = documented(site, "tar -C /backups -x").replace("NAME", name)
    site.run("sh", "-c", command, env=site.swarm.host(node))


def use_store(project: Project, store: Store) -> None:
    """Give a project the secret of the store, and the authority of its certificate."""
    (project.path / "secrets/s3_secret_key").write_text(f"{store.secret}\n")
    (project.path / "app/authority.pem").write_bytes(store.authority.read_bytes())


def uploaded(project: Project, name: str) -> dict[str, str]:
    """Return the text of an upload, and the container that has read it."""
    return json.loads(project.request(f"/uploaded?name={name}").text)


def site_ports() -> tuple[int, int]:
    """Return two free ports, for HTTP and for HTTPS."""
    return free_port(), free_port()


@contextmanager
def load(site: SwarmSite, *, slow: float = 2) -> Iterator[tuple[Load, ...]]:
    """Request pages, POST bodies and pages that take so many seconds; yield the loads."""
    trust = site.trusting()
    url = f"https://localhost:{site.port}"
    # Three engines take much of the two processors.
    pause = 0.1
    loads = (
        Load(f"{url}/read", threads=2, context=trust, pause=pause),
        Load(f"{url}/", threads=1, keep_alive=True, context=trust, pause=pause),
        Load(f"{url}/receive", threads=1, method="POST", context=trust, pause=pause),
        Load(f"{url}/slow?seconds={slow}", threads=2, method="POST", context=trust),
    )
    with ExitStack() as stack:
        for each in loads:
            stack.enter_context(each)
        yield loads


def nothing_was_lost(loads: tuple[Load, ...]) -> bool:
    """Return whether every request of every load was answered with 200."""
    assert all(set(each.answers) == {200} for each in loads), [each.answers for each in loads]
    return True


def last_line(process: subprocess.CompletedProcess[str]) -> str:
    """Return the last line that a command printed."""
    return process.stdout.strip().splitlines()[-1]


def containers(site: SwarmSite, *services: str) -> dict[str, set[str]]:
    """Return the ids of the running tasks of each service."""
    listed = {}
    for service in services:
        ps = ("service", "ps", "--quiet", "--filter", "desired-state=running", f"site_{service}")
        listed[service] = set(site.swarm.docker(*ps).split())
    return listed


def change_page(site: SwarmSite, title: str) -> None:
    """Change the home page, which makes another image."""
    text = re.sub(r"(?<=>)(Admin|Office \d+)(?=<)", title, site.read(HOME), count=1)
    (site.path / HOME).write_text(text, encoding="utf-8")


def running(command: Running) -> bool:
    """Return whether a command has not ended."""
    return command.process.poll() is None
