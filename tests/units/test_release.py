"""What a release makes of names and of what the engine says."""

import pytest

KNOWN = {
    "name": "shop-production",
    "services": {
        "app": {"image": "shop-production", "build": {}},
        "backup": {"image": "shop-production-backup", "build": {}},
        "search": {"build": {}},
        "other": {"image": "ghcr.example/other:1", "build": {}},
        "db": {"image": "postgres:18"},
    },
}


def test_images_have_the_name_and_the_tag_of_the_one_of_app(ops, monkeypatch):
    monkeypatch.setenv("IMAGE", "registry.example:5000/team/shop:1.4")
    assert ops.release.images(KNOWN) == {
        "registry.example:5000/team/shop:1.4": "shop-production",
        "registry.example:5000/team/shop-backup:1.4": "shop-production-backup",
        "registry.example:5000/team/shop-search:1.4": "shop-production-search",
        "registry.example:5000/team/shop-other:1.4": "ghcr.example/other:1",
    }


@pytest.mark.parametrize("image", ["", "shop", "registry.example:5000/shop"])
def test_an_image_without_a_tag_is_refused(ops, monkeypatch, image):
    monkeypatch.setenv("IMAGE", image)
    with pytest.raises(ops.process.Refused, match=f"not '{image}'"):
        ops.release.images(KNOWN)


@pytest.mark.parametrize(
    ("state", "policy", "expected"),
    [
        ({"Status": "running", "ExitCode": 0}, "unless-stopped", True),
        (
            {"Status": "running", "ExitCode": 0, "Health": {"Status": "starting"}},
            "unless-stopped",
            False,
        ),
        (
            {"Status": "running", "ExitCode": 0, "Health": {"Status": "healthy"}},
            "unless-stopped",
            True,
        ),
        ({"Status": "restarting", "ExitCode": 1}, "unless-stopped", False),
        # A job has done its work; a server was stopped.
        ({"Status": "exited", "ExitCode": 0}, "no", True),
        ({"Status": "exited", "ExitCode": 1}, "no", False),
        ({"Status": "exited", "ExitCode": 0}, "unless-stopped", False),
    ],
)
def test_a_container_is_well_when_it_is_healthy_or_its_work_is_done(ops, state, policy, expected):
    container = {"State": state, "HostConfig": {"RestartPolicy": {"Name": policy}}}
    assert ops.release.is_well(container) is expected
