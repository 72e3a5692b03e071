#!/usr/bin/env python
"""Django's command-line utility for administrative tasks."""

{% if cookiecutter.django_version == "5.2" and cookiecutter.python_version == "3.14" -%}
import multiprocessing
{% endif -%}
import os
import sys


def main():
    """Run administrative tasks."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
{%- if cookiecutter.django_version == "5.2" and cookiecutter.python_version == "3.14" %}
    if sys.platform == "linux":
        # `test --parallel` of Django 5.2 fails with the way in which Python 3.14 starts processes.
        multiprocessing.set_start_method("fork")
{%- endif %}
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
