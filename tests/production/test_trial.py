"""A project in development shows itself as production serves it, with one command."""

import pytest

from tests.support.embedded_postgres import free_port
from tests.support.project import Project

pytestmark = [pytest.mark.stack]


def test_one_command_shows_the_site_as_production_serves_it(bake_once):
    project = bake_once(project_slug=Project.unused_slug(), deployment="compose", ci="none")
    env, development = project.read(".env"), project.stack
    project.port = free_port()
    ports = (f"HTTP_PORT={free_port()}", f"HTTPS_PORT={project.port}")

    terminal = project.in_terminal("env", *ports, "make", "trial")

    trial = f"{development}-trial"
    project.stacks.add(trial)
    try:
        # It is ready when its containers are there, too: `docker compose -p` finds them without a file.
        read = ("openssl", "x509", "-in", "/certificates/localhost.pem")
        find = ("docker", "exec", f"{trial}-nginx-1", *read)

        def shows_the_admin() -> bool:
            terminal.read()
            project.authority = project.run(*find, check=False).stdout
            return project.status_over_https("/admin/login/") == 200

        project.wait_until(shows_the_admin)
        # With DEBUG on, the page would list the URLs.
        missing = project.request("/missing")
        assert missing.status == 404 and "URLconf" not in missing.text
        # Neither the settings of development nor its data take part.
        assert project.read(".env") == env
        volumes = project.run("docker", "volume", "ls", "--format", "{{.Name}}").stdout.split()
        assert f"{trial}_db_data_18" in volumes and f"{development}_db_data_18" not in volumes
        terminal.wait_for("GET /missing")

        terminal.press_ctrl_c()
        terminal.end()
        running = ("docker", "ps", "--quiet", "--filter", f"name={trial}")
        assert project.run(*running).stdout == ""
    finally:
        project.remove_from_engine()
