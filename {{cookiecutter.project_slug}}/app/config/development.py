"""How gunicorn serves the project in development: compose.override.yaml starts it with --reload."""

import traceback

from django.core.management import call_command
from django.core.signals import request_started
from django.template.autoreload import reset_loaders
from gunicorn.util import make_fail_app
from gunicorn.workers.gthread import ThreadWorker


class Worker(ThreadWorker):
    """Serve like runserver: run Django's checks at each reload, and show edited templates.

    A mistake in the code is the answer to every request until it is corrected. By itself, gunicorn
    would stop, or Django would import the views anew in each request.
    """

    def load_wsgi(self) -> None:
        """Load the project, or what shows why that is not possible."""
        # Start gunicorn's timeout of 30 s, for code that never finishes loading.
        self.notify()
        try:
            self.wsgi = self.app.wsgi()
            call_command("check")
        except (Exception, SystemExit) as error:
            self.log.exception("The project cannot be loaded:")
            self.wsgi = make_fail_app("".join(traceback.format_exception(error)))
        else:
            request_started.connect(lambda **_: reset_loaders(), weak=False)

    def handle_abort(self, sig: int, frame: object) -> None:
        """Raise TimeoutError where the code hangs; gunicorn calls this after its timeout."""
        raise TimeoutError("gunicorn's timeout is over")
