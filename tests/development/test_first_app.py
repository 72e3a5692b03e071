"""A beginner's first app passes the linters and its tests."""

import os
import re

import pytest

from tests.support.answers import DJANGO_ON_THIS_PYTHON

pytestmark = pytest.mark.postgres

# A beginner's code: `startapp shop`, then these files.
FIRST_APP = {
    "models.py": """
from django.conf import settings
from django.db import models

class Product(models.Model):
    name = models.CharField(max_length=100)
    price = models.DecimalField(max_digits=8, decimal_places=2)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE)

    class Meta:
        ordering = ['name']
        indexes = [models.Index(fields=['price'])]

    def __str__(self):
        return self.name
""",
    "admin.py": """
from django.contrib import admin
from .models import Product

@admin.register(Product)
class ProductAdmin(admin.ModelAdmin):
    list_display = ['name', 'price']
    fieldsets = [(None, {'fields': ['name', 'price', 'owner']})]
""",
    "tests.py": """
from django.contrib.auth import get_user_model
from django.test import TestCase
from .models import Product

PASSWORD = 'secret'

class ProductTests(TestCase):
    def test_has_a_name(self):
        owner = get_user_model().objects.create_user('ada', password='secret')
        product = Product.objects.create(name='Tea', price='1.50', owner=owner)
        assert str(product) == 'Tea'
""",
}


def test_the_model_of_the_documentation_works_word_for_word(bake, python_for):
    project = bake()
    python = python_for()
    environment = {"DEBUG": "true", "PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}"}
    environment |= {"POSTGRES_HOST": "", "DATABASE_URL": ""}

    def run(*command):
        return project.run(*command, cwd="app", env=environment).stdout

    run("python", "manage.py", "startapp", "shop")
    project.replace("app/config/settings.py", '    "axes",\n', '    "axes",\n    "shop",\n')
    guide = project.read("docs/development.md").partition("## Add a model")[2]
    (code,) = re.findall(r"```python\n(.*?)```", guide.partition("\n## ")[0], re.DOTALL)
    parts = re.split(r"^# (app/shop/\w+\.py).*\n", code, flags=re.MULTILINE)[1:]
    for name, text in zip(parts[::2], parts[1::2], strict=True):
        path = project.path / name
        path.write_text(f"{path.read_text(encoding='utf-8')}\n{text}", encoding="utf-8")

    assert "Create model Product" in run("python", "manage.py", "makemigrations")
    assert "Applying shop.0001_initial... OK" in run("python", "manage.py", "migrate")
    run("sh", "-c", "ruff check --fix-only . && ruff format . && ruff check .")
    assert "Ran 1 test" in run("python", "manage.py", "test", "shop")
    shown = "from django.contrib import admin; print([str(m) for m in admin.site._registry])"
    assert "shop.models.Product" in run("python", "manage.py", "shell", "-v0", "-c", shown)


@pytest.mark.parametrize("django", DJANGO_ON_THIS_PYTHON)
def test_a_first_app_is_formatted_linted_and_tested(bake, python_for, postgres_servers, django):
    answers = {"django_version": django, "postgres_driver": "psycopg2-binary"}
    project = bake(**answers)
    python = python_for(**answers)
    server = postgres_servers["18"]
    database = f"first_app_{django.replace('.', '_')}"
    server.sql(f"CREATE DATABASE {database}")
    environment = server.environment(database)
    environment["PATH"] = f"{python.parent}{os.pathsep}{os.environ['PATH']}"
    makefile = project.read("Makefile")

    def run(*command, check=True):
        return project.run(*command, cwd="app", env=environment, check=check)

    def make(task):
        """Run here the command that a task of the Makefile runs in the container."""
        (line,) = re.findall(rf"^{task}:.*\n\t.* sh -c '(.*)'$", makefile, re.MULTILINE)
        return run("sh", "-c", line, check=False)

    run("python", "manage.py", "startapp", "shop")
    project.replace("app/config/settings.py", '    "axes",\n', '    "axes",\n    "shop",\n')
    # What Django has written is what the user needs next.
    assert make("format").returncode == 0
    for name, imported in (("models", "models"), ("admin", "admin"), ("views", "render")):
        assert f" import {imported}" in project.read(f"app/shop/{name}.py")
    linted = make("lint")
    assert linted.returncode == 0, linted.stdout
    for name, text in FIRST_APP.items():
        (project.path / "app/shop" / name).write_text(text, encoding="utf-8")
    run("python", "manage.py", "makemigrations")

    # A mistake that no tool can fix does not stop the formatting of the other files.
    views = project.path / "app/shop/views.py"
    views.write_text("def index(request):\n    return undefined\n", encoding="utf-8")
    assert make("format").returncode == 0
    assert '"name"' in project.read("app/shop/models.py")
    assert "F821" in make("lint").stdout
    views.write_text("from django.shortcuts import render\n", encoding="utf-8")

    make("format")
    linted = make("lint")
    assert linted.returncode == 0, linted.stdout
    assert "Ran 1 test in" in run("python", "manage.py", "test", "shop").stdout
    assert " 1 passed" in run("python", "-m", "pytest", "shop").stdout
