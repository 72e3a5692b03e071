"""Django's runserver, which also says at which address Compose publishes the site."""

import os

from django.core.management.commands.runserver import Command as BaseCommand


class Command(BaseCommand):
    def on_bind(self, server_port):
        """Print the address to open: in a container, the base class knows that of the container only."""
        port = os.environ.get("PUBLISHED_PORT")
        if not port:
            return super().on_bind(server_port)
        # Of a range, `docker compose ps` shows the one that Docker chose.
        at = f"http://127.0.0.1:{port}/" if port.isdigit() else f"a port of 127.0.0.1:{port}"
        self.stdout.write(f"Open {at} - Ctrl-C stops the server.")
