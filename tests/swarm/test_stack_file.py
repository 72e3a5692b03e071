"""stack.yaml says the same as the Compose files of production on one host, where both can."""

import pytest
import yaml

from tests.support.generate import generate


class Loader(yaml.SafeLoader):
    """Reads Compose files: `!reset` removes what another file says."""


Loader.add_constructor("!reset", lambda *_: None)


@pytest.fixture(params=[True, False], ids=["redis", "no redis"])
def files(bake_once, request):
    """The services of both, those of Compose merged as Compose does."""
    on_one_host = bake_once(deployment="compose", media_storage="s3", use_redis=request.param)
    on_swarm = bake_once(deployment="swarm", media_storage="s3", use_redis=request.param)
    merged = {}
    for name in ("compose.yaml", "compose.production.yaml"):
        for service, keys in yaml.load(on_one_host.read(name), Loader)["services"].items():
            into = merged.setdefault(service, {})
            for key, value in keys.items():
                both = isinstance(value, dict) and isinstance(into.get(key), dict)
                into[key] = into[key] | value if both else value
    stack = yaml.safe_load(on_swarm.read("stack.yaml"))["services"]
    return on_swarm, merged, stack


def test_the_services_are_the_same(files):
    _, compose, stack = files
    assert set(stack) == set(compose)


def test_health_checks_rights_and_secrets_are_the_same(files):
    _, compose, stack = files
    for name, service in stack.items():
        for key in ("cap_drop", "cap_add", "read_only", "user", "ulimits", "init"):
            assert service.get(key) == compose[name].get(key), f"{name}: {key}"
        # Swarm would replace a container that is unhealthy, in the middle of a backup. On one host, the
        # folder with the secrets is mounted, because copies contain it.
        if name != "backup":
            found, expected = service.get("healthcheck"), compose[name].get("healthcheck")
            if name in ("app", "db", "nginx", "worker"):
                # Swarm stops a container that is unhealthy, also one that is only busy.
                expected |= {"timeout": "1m"}
                longer = {"timeout=5)": "timeout=55)", "isready -q": "isready -q -t 55"}
                for short, long in longer.items():
                    expected["test"] = [text.replace(short, long) for text in expected["test"]]
            if name == "db":
                expected["start_period"] = "1h"
            assert found == expected, name
            assert service.get("secrets", []) == compose[name].get("secrets", []), name
        assert service["logging"] == compose[name]["logging"]
        limits = service["deploy"]["resources"]["limits"]
        assert limits["pids"] == compose[name]["pids_limit"], name
        assert limits["memory"] == compose[name]["mem_limit"], name
        assert limits.get("cpus") == compose[name].get("cpus"), name
        assert service["deploy"]["endpoint_mode"] == "dnsrr", name


def test_settings_are_the_same(files):
    _, compose, stack = files
    # Emptied where .env may come from development, which it does not on a swarm.
    # APP_USER is for the image's own first start, which production does not use.
    emptied = {
        "APP_USER",
        "EMAIL_URL",
        "SECRET_KEY",
        "POSTGRES_PASSWORD",
        "REDIS_PASSWORD",
        "S3_SECRET_KEY",
    }
    for name in ("app", "migrate", "db", "nginx", "certificates"):
        expected = {k: v for k, v in compose[name]["environment"].items() if k not in emptied}
        if name in ("app", "migrate"):
            expected["ALLOWED_HOSTS"] = "${ALLOWED_HOSTS}"
            # Of development, or the same as in .env, which both read.
            for of_env in ("CONFIGURED_DATA", "POSTGRES_DB", "POSTGRES_USER"):
                expected.pop(of_env, None)
        found = stack[name]["environment"]
        assert found.pop("ALLOW_NEWER_DATABASE", None) is None or name == "migrate"
        assert set(found) == set(expected)
        # One of the two may also say what to do if it is not set.
        same = {k: v.partition(":?")[0].rstrip("}") for k, v in expected.items()}
        assert {k: v.partition(":?")[0].rstrip("}") for k, v in found.items()} == same, name


def test_the_database_is_the_one_of_development(files):
    project, compose, _ = files
    assert f"FROM {compose['db']['image']} AS db\n" in project.read("ops/Dockerfile")
    assert "tmpfs" in project.read("stack.yaml")


@pytest.mark.parametrize(
    "answer",
    [
        "use_wait_for_db=false",
        "media_storage=volume",
        "postgres_storage=tmpfs",
        "postgres_storage=bind_mount",
    ],
)
def test_answers_that_cannot_work_on_a_swarm_are_refused(tmp_path, answer):
    status, printed = generate(tmp_path, "deployment=swarm", "media_storage=s3", answer)
    (line,) = [line for line in printed.splitlines() if line.startswith("Not rendered: ")]
    assert status == 1
    assert line.startswith(f"Not rendered: deployment 'swarm' needs {answer.partition('=')[0]}=")
    assert not list(tmp_path.iterdir())
