"""Mail: settings from EMAIL_URL, and one clear line when a mail cannot be sent."""

import logging
import smtplib
from urllib.parse import unquote, urlsplit

from django.conf import settings
from django.core import checks, mail
from django.core.exceptions import ImproperlyConfigured
from django.core.mail.backends.base import BaseEmailBackend
from django.utils import log

NOT_SET = "EMAIL_URL is not set, so no mail can be sent: see docs/troubleshooting.md."
PORTS = {"smtp": 25, "smtp+ssl": 465, "smtp+tls": 587}
# What backends raise: SMTPException is an OSError, like the errors of the network, and a wrong address is
# a ValueError.
CANNOT_SEND = (OSError, ValueError, ImproperlyConfigured)

logger = logging.getLogger(__name__)


def smtp_options(url: str) -> dict:
    """Return the settings of Django's SMTP backend for an EMAIL_URL.

    Raises SystemExit for a wrong EMAIL_URL, with a line that does not show the password.
    """
    try:
        parts = urlsplit(url)
        user, password = unquote(parts.username or ""), unquote(parts.password or "")
        rest = parts.path.strip("/") or parts.query or parts.fragment
        # smtplib accepts ASCII only.
        ascii_only = (user + password).isascii()
        if parts.scheme not in PORTS or not parts.hostname or rest or not ascii_only:
            raise ValueError(url)
        return {
{%- if cookiecutter.django_version == "5.2" %}
            "EMAIL_HOST": parts.hostname,
            "EMAIL_PORT": parts.port or PORTS.get(parts.scheme),
            "EMAIL_HOST_USER": user,
            "EMAIL_HOST_PASSWORD": password,
            "EMAIL_USE_TLS": parts.scheme == "smtp+tls",
            "EMAIL_USE_SSL": parts.scheme == "smtp+ssl",
            # Seconds. Without it, a server that does not answer would block a thread for minutes.
            "EMAIL_TIMEOUT": 10,
{%- else %}
            "host": parts.hostname,
            "port": parts.port or PORTS.get(parts.scheme),
            "username": user,
            "password": password,
            "use_tls": parts.scheme == "smtp+tls",
            "use_ssl": parts.scheme == "smtp+ssl",
            # Seconds. Without it, a server that does not answer would block a thread for minutes.
            "timeout": 10,
{%- endif %}
        }
    except ValueError:
        raise SystemExit(
            "EMAIL_URL cannot be read: write smtp+tls://USER:PASSWORD@HOST:587 (smtp+ssl:// for TLS "
            "from the start, smtp:// for none), with %40 for @, %2F for / and %23 for # in USER and "
            "PASSWORD."
        ) from None


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
    message = str(error)
    if isinstance(error, smtplib.SMTPResponseException):
        message = f"{error.smtp_code} {error.smtp_error.decode(errors='replace')}"
    return f"{server}, from EMAIL_URL: {' '.join(message.split())}"


class NotConfigured(BaseEmailBackend):
    """Refuse to send mail. Django's default would try port 25 of the container."""

    def send_messages(self, email_messages):
        """Raise ImproperlyConfigured."""
        raise ImproperlyConfigured(NOT_SET)


class AdminEmailHandler(log.AdminEmailHandler):
    """Mail errors to ADMINS. If that fails, log one line instead of a second error."""

    def send_mail(self, subject, message, *, html_message=None, **options):
        """Send the mail, or log why not."""
        try:
            mail.mail_admins(subject, message, html_message=html_message)
        except Exception as error:  # noqa: BLE001
            logger.warning("ADMINS did not get this error by mail: %s", reason(error))


@checks.register(deploy=True)
def check_mail(app_configs, **kwargs) -> list[checks.Warning]:
    """Warn, in `manage.py check --deploy`, that mail is not configured."""
{%- if cookiecutter.django_version == "5.2" %}
    backend = settings.EMAIL_BACKEND
{%- else %}
    backend = settings.MAILERS["default"].get("BACKEND")
{%- endif %}
    missing = backend == "config.mail.NotConfigured"
    return [checks.Warning(NOT_SET, id="config.W001")] if missing else []
