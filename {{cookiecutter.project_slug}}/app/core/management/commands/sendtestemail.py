"""Django's sendtestemail, with one line instead of a traceback if the mail cannot be sent."""

from django.core.management.base import CommandError
from django.core.management.commands import sendtestemail

from config.mail import CANNOT_SEND, reason


class Command(sendtestemail.Command):
    """Exit 0 if the mail server accepts the mails, else 1."""

    def handle(self, *args, **options):
        """Send the mails."""
        try:
            super().handle(*args, **options)
        except CANNOT_SEND as error:
            raise CommandError(f"Not sent: {reason(error)}") from error
