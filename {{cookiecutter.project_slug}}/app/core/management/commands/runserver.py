"""Django's runserver, which also says at which address Compose publishes the site."""

import os

from django.core.management.commands.runserver import Command as BaseCommand


class Command(BaseCommand):
    def on_bind(self, server_port):
        """Print the address to open: in a container, the base class knows that of the container only."""
        if url := os.environ.get("SITE_URL"):
            self.stdout.write(f"Open {url} - Ctrl-C stops the server.")
        else:
            super().on_bind(server_port)
