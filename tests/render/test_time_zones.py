"""The image of a project has the time zones that the hook accepts."""

import subprocess

import pytest

from tests.support.answers import PRE_GEN


@pytest.mark.stack
def test_the_image_has_every_time_zone_that_is_accepted():
    listing = "import zoneinfo; print(*sorted(zoneinfo.available_timezones()))"
    command = ["docker", "run", "--rm", "python:3.14-slim-trixie", "python", "-c", listing]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert PRE_GEN.time_zones()[0] <= set(printed.split())
