"""docs/kubernetes.md: its manifests are valid, and the image works with what they say."""

import re
import subprocess

import kubernetes_validate
import pytest
import yaml

from tests.support.answers import WAITING, name_of
from tests.support.processes import wait_until
from tests.support.project import ROOT, Project

KUBERNETES = "1.37"


PAGE = (ROOT / "docs/kubernetes.md").read_text(encoding="utf-8")


def manifests(answers: dict) -> dict[str, dict]:
    """Return the objects of docs/kubernetes.md by kind, changed as it says for a project."""
    blocks = re.findall(r"^```yaml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    objects = [item for block in blocks for item in yaml.safe_load_all(block)]
    (s3,) = [item for item in objects if "S3_BUCKET" in item]
    (waiting,) = [item for item in objects if set(item) == {"args"}]
    kinds = {item["kind"]: item for item in objects if "kind" in item}
    if answers.get("media_storage") == "s3":
        kinds["ConfigMap"]["data"] |= s3
    if answers.get("use_wait_for_db", True) and not answers.get("use_entrypoint", True):
        kinds["Deployment"]["spec"]["template"]["spec"]["containers"][0] |= waiting
    return kinds


SWARM = {"deployment": "swarm", "media_storage": "s3"}
PROJECTS = [{"deployment": "none", **answers} for answers in WAITING]
PROJECTS += [
    {"deployment": "none", "media_storage": "s3"},
    SWARM,
    SWARM | {"use_entrypoint": False},
]


@pytest.mark.parametrize("answers", PROJECTS, ids=name_of)
def test_the_manifests_are_valid_and_agree_with_the_project(answers):
    objects = manifests(answers)
    assert set(objects) == {"ConfigMap", "Job", "Deployment", "Service", "PodDisruptionBudget"}
    for item in objects.values():
        kubernetes_validate.validate(item, KUBERNETES, strict=True)

    labels = objects["Deployment"]["spec"]["template"]["metadata"]["labels"]
    assert objects["Deployment"]["spec"]["selector"]["matchLabels"] == labels
    assert objects["Service"]["spec"]["selector"] == labels
    assert objects["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"] == labels
    # The Secret that the page creates has the files that the settings name.
    created = re.search(r"create secret generic app (.*)", PAGE)[1].split()
    created += re.findall(r"^`(--from-file=s3_secret_key)`", PAGE, re.MULTILINE)
    for name, value in objects["ConfigMap"]["data"].items():
        if name.endswith("_FILE"):
            assert f"--from-file={value.rpartition('/')[2]}" in created


@pytest.mark.openssl
def test_the_command_for_the_secret_key_makes_one_that_django_accepts(tmp_path):
    (command,) = re.findall(r"`(openssl .* > secret_key)`", PAGE)
    subprocess.run(["sh", "-c", command], cwd=tmp_path, check=True)
    # The check security.W009 of Django.
    assert len((tmp_path / "secret_key").read_text(encoding="utf-8").strip()) >= 50


def test_the_namespace_is_a_valid_name():
    name = re.search(r"create namespace (.*)", PAGE)[1]
    assert re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", name) and len(name) <= 63


def options(project: Project, objects: dict, pod: dict, secrets: str) -> list[str]:
    """Return the arguments of `docker run` for the first container of a pod."""
    container = pod["containers"][0]
    security = container["securityContext"]
    assert security["readOnlyRootFilesystem"] and security["capabilities"] == {"drop": ["ALL"]}
    words = ["--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges:true"]
    words += [f"--user={security['runAsUser']}", f"--network={project.stack}_default"]
    for name, value in objects["ConfigMap"]["data"].items():
        words.append(f"--env={name}={value}")
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    for mount in container["volumeMounts"]:
        is_empty = "emptyDir" in volumes[mount["name"]]
        folder = f"--tmpfs={mount['mountPath']}"
        words.append(folder if is_empty else f"--volume={secrets}:{mount['mountPath']}:ro")
    return [*words, project.stack, *container.get("args", [])]


@pytest.mark.stack
@pytest.mark.parametrize(
    "answers",
    [{"deployment": "none"}, {"deployment": "none", "use_entrypoint": False}, SWARM],
    ids=name_of,
)
def test_the_image_works_as_the_manifests_run_it(make_stack, tmp_path, answers):
    project = make_stack(**answers)
    project.run("make", "build")
    project.compose("up", "--detach", "--wait", "db")
    user, password, name = (
        project.setting(f"POSTGRES_{part}") for part in ("USER", "PASSWORD", "DB")
    )
    # Kubernetes lets every user of a container read a Secret.
    secrets = tmp_path / "secrets"
    secrets.mkdir(mode=0o755)
    for file, value in {
        "secret_key": "for this test\n",
        "database_url": f"postgres://{user}:{password}@db:5432/{name}\n",
        "email_url": "",
        "s3_secret_key": "unused",
    }.items():
        (secrets / file).write_text(value, encoding="utf-8")
    objects = manifests(answers)
    job, deployment = (objects[kind]["spec"]["template"]["spec"] for kind in ("Job", "Deployment"))

    def run(pod: dict, *words: str, **how) -> subprocess.CompletedProcess[str]:
        return project.run(
            *("docker", "run", *words, *options(project, objects, pod, str(secrets))), **how
        )

    def logs() -> str:
        return project.run("docker", "logs", container, check=False).stdout

    container = run(deployment, "--detach", "--init").stdout.strip()
    try:
        # As replicas do that start before the Job has ended.
        wait_until(lambda: "migrations are not applied" in logs(), 120, logs)
        assert "Applying core.0001_initial... OK" in run(job, "--rm").stdout

        def status(path: str, *headers: str) -> str:
            script = (
                "import http.client, sys\n"
                "connection = http.client.HTTPConnection('127.0.0.1', 8000)\n"
                "headers = dict(header.split(': ') for header in sys.argv[2:])\n"
                "connection.request('GET', sys.argv[1], headers=headers)\n"
                "print(connection.getresponse().status)\n"
            )
            command = ["docker", "exec", container, "python", "-c", script, path, *headers]
            return project.run(*command, check=False).stdout.strip()

        probes = deployment["containers"][0]
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            path = probes[probe]["httpGet"]["path"]
            wait_until(lambda path=path: status(path) == "200", 120, logs)
        host = f"Host: {objects['ConfigMap']['data']['ALLOWED_HOSTS']}"
        assert status("/", host, "X-Forwarded-Proto: https") == "200"
        assert status("/", "Host: other.example.org", "X-Forwarded-Proto: https") == "400"
        project.run("docker", "stop", "--time", "30", container)
        stopped = ["docker", "inspect", "--format", "{{.State.ExitCode}}", container]
        assert project.run(*stopped).stdout.strip() == "0"

        (secrets / "secret_key").unlink()
        refused = run(job, "--rm", check=False)
        assert refused.returncode != 0 and "SECRET_KEY_FILE cannot be read" in refused.stdout
    finally:
        project.run("docker", "rm", "--force", "--volumes", container)
