"""Redis is a cache that may be lost."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.support.production import inside
from tests.support.project import Project

pytestmark = [pytest.mark.stack, pytest.mark.xdist_group("production")]


@contextmanager
def stopped(site: Project, service: str) -> Iterator[None]:
    """Stop a service for a while."""
    site.compose("stop", service)
    try:
        yield
    finally:
        site.compose("start", service)


def test_the_site_goes_on_without_its_cache(site):
    shell = ("python", "manage.py", "shell", "-v0", "-c")
    remember = "from django.core.cache import cache; print(cache.set('a', 1), cache.get('a'))"
    health = {"status": "ok", "database": "ok", "cache": "ok"}
    assert inside(site, "app", *shell, remember) == "True 1"
    assert json.loads(site.request("/health/ready").text) == health
    asked = "REDISCLI_AUTH=$(cat /run/secrets/redis_password) redis-cli CONFIG GET 'maxmemory*'"
    limits = inside(site, "redis", "sh", "-c", asked)
    assert "67108864" in limits and "allkeys-lru" in limits
    assert "NOAUTH" in inside(site, "redis", "redis-cli", "ping", check=False)

    (redis,) = site.containers("redis")
    for away in (stopped(site, "redis"), site.paused(redis)):
        with away:
            began = time.monotonic()
            answer = site.request("/health/ready")
            assert answer.status == 200
            assert json.loads(answer.text) == {
                **health,
                "status": "degraded",
                "cache": "unavailable",
            }
            assert site.request("/").status == 200
            # Without a timeout, gunicorn would end a worker that waits for 30 s.
            assert time.monotonic() - began < 25
            assert inside(site, "app", *shell, remember) == "None None"
            assert site.inspect("app", "{{.State.Health.Status}}") == ["healthy"]
        site.wait_until(lambda: json.loads(site.request("/health/ready").text) == health)
    site.wait_until(lambda: site.inspect("redis", "{{.State.Health.Status}}") == ["healthy"])
