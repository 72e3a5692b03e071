"""Naming another PostgreSQL in the files of a project, as its documentation says."""

import re

from tests.support.project import Project

FILES = ("compose.yaml", "compose.production.yaml", "ops/Dockerfile")


def name_postgres(project: Project, version: str) -> None:
    """Write the image, the place of the data and the target of its mount of a version into the files."""
    target = "" if int(version) >= 18 else "/data"
    for name in FILES:
        path = project.path / name
        text = re.sub(r"\bpostgres:\d+-", f"postgres:{version}-", path.read_text())
        text = re.sub(r"\b(db_data_|postgres_data/)\d+", rf"\g<1>{version}", text)
        text = re.sub(
            r"(\d:/var/lib/postgresql)(/data)?$", rf"\g<1>{target}", text, flags=re.MULTILINE
        )
        path.write_text(text)
