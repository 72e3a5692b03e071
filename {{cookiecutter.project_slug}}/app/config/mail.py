"""Mail: the server that EMAIL_URL names, and what is said where it takes no mail."""

import logging
import smtplib
from urllib.parse import unquote, urlsplit

from django.conf import settings
from django.core import mail
from django.core.checks import Warning as CheckWarning
from django.core.exceptions import ImproperlyConfigured
from django.core.mail.backends.base import BaseEmailBackend
from django.utils import log

NOT_SET = "EMAIL_URL is not set, so no mail can be sent: see docs/troubleshooting.md."
PORTS = {"smtp": 25, "smtp+ssl": 465, "smtp+tls": 587}
# What backends raise: a server's answer (SMTPException) and a network's error are both an OSError,
# a wrong address is a ValueError.
CANNOT_SEND = (OSError, ValueError, ImproperlyConfigured)

logger = logging.getLogger(__name__)


def smtp_options(url: str) -> dict:
    """Return the options of Django's SMTP backend for an EMAIL_URL.

    Raises SystemExit where it cannot be read, with a line that does not show the password.
    """
    try:
        parts = urlsplit(url)
        options = {
            "host": parts.hostname,
            "port": parts.port or PORTS.get(parts.scheme),
            "username": unquote(parts.username or ""),
            "password": unquote(parts.password or ""),
            "use_tls": parts.scheme == "smtp+tls",
            "use_ssl": parts.scheme == "smtp+ssl",
            # Seconds. Without it, a server that does not answer would hold a thread for minutes.
            "timeout": 10,
        }
        rest = parts.path.strip("/") or parts.query or parts.fragment
        # smtplib sends no other characters.
        ascii_only = (options["username"] + options["password"]).isascii()
        if parts.scheme not in PORTS or not parts.hostname or rest or not ascii_only:
            raise ValueError(url)
    except ValueError:
        raise SystemExit(
            "EMAIL_URL cannot be read: write smtp+tls://USER:PASSWORD@HOST:587 (smtp+ssl:// for TLS "
            "from the start, smtp:// for none), with %40 for @, %2F for / and %23 for # in USER and "
            "PASSWORD."
        ) from None
    return options


def reason(error: Exception) -> str:
    """Return in one line why a mail was not sent."""
    if not isinstance(error, OSError):
        return str(error)
{%- if cookiecutter.django_version == "5.2" %}
    server = f"{settings.EMAIL_HOST}:{settings.EMAIL_PORT}"
{%- else %}
    options = settings.MAILERS["default"].get("OPTIONS", {})
    server = f"{options.get('host')}:{options.get('port')}"
{%- endif %}
    said = str(error)
    if isinstance(error, smtplib.SMTPResponseException):
        said = f"{error.smtp_code} {error.smtp_error.decode(errors='replace')}"
    return f"{server}, from EMAIL_URL: {' '.join(said.split())}"


class NotConfigured(BaseEmailBackend):
    """In place of Django's default, which tries port 25 of this very container."""

    def send_messages(self, email_messages):
        """Raise ImproperlyConfigured."""
        raise ImproperlyConfigured(NOT_SET)


class AdminEmailHandler(log.AdminEmailHandler):
    """Mail errors to ADMINS. Whatever prevents that is a line in the log and no second error."""

    def send_mail(self, subject, message, *, html_message=None, **options):
        """Send the mail, or log why not."""
        try:
            mail.mail_admins(subject, message, html_message=html_message)
        except Exception as error:  # noqa: BLE001
            logger.warning("ADMINS did not get this error by mail: %s", reason(error))


def check_mail(app_configs, **kwargs) -> list[CheckWarning]:
    """Warn, in check --deploy, that mail is not configured."""
{%- if cookiecutter.django_version == "5.2" %}
    backend = settings.EMAIL_BACKEND
{%- else %}
    backend = settings.MAILERS["default"].get("BACKEND")
{%- endif %}
    missing = backend == "config.mail.NotConfigured"
    return [CheckWarning(NOT_SET, id="config.W001")] if missing else []
