"""The limit of failed logins: 10 for a user at an address, 100 for an address, within an hour.

Users are locked out at one address only, so that nobody can lock out a user who is elsewhere.
"""

import logging
from ipaddress import IPv6Address, ip_address

from axes.attempts import get_cool_off_threshold
from axes.backends import AxesBackend
from axes.handlers.database import AxesDatabaseHandler
from axes.models import AccessAttempt
from django.contrib.auth import get_user_model
from django.contrib.auth.backends import BaseBackend, ModelBackend
from django.db.models import Sum
from django.http import HttpRequest

log = logging.getLogger(__name__)

# An address, such as that of an office, is locked out after this many times AXES_FAILURE_LIMIT.
USERS_PER_ADDRESS = 10


def network(request: HttpRequest) -> str:
    """Return the client's IPv4 address or IPv6 network of 64 bits, which one client may own."""
    try:
        address = ip_address(request.META["REMOTE_ADDR"])
    except ValueError:
        # A Unix socket has no address.
        return "::"
    if address.version == 4:
        return str(address)
    return str(address.ipv4_mapped or IPv6Address(int(address) >> 64 << 64))


def username(request: HttpRequest, credentials: dict | None) -> str:
    """Return the user name of a login, whatever its field is called."""
    credentials = credentials or {}
    name = credentials.get("username") or credentials.get(get_user_model().USERNAME_FIELD) or ""
    # The database column has 255 characters.
    return str(name)[:255]


class LimitHandler(AxesDatabaseHandler):
    """Count failures by user and address, and by address; log each."""

    def get_failures(self, request: HttpRequest, credentials: dict | None = None) -> int:
        """Return the failures to compare with the limit."""
        of_address = AccessAttempt.objects.filter(
            ip_address=request.axes_ip_address,
            attempt_time__gte=get_cool_off_threshold(request),
        ).aggregate(count=Sum("failures_since_start", default=0))["count"]
        return max(super().get_failures(request, credentials), of_address // USERS_PER_ADDRESS)

    def user_login_failed(self, sender, credentials, request=None, **kwargs) -> None:
        """Log the failure, and count it unless the user is locked out already."""
        user = username(request, credentials)
        client = request.META["REMOTE_ADDR"] if request else "code without a request"
        locked_out = " (locked out)" if getattr(request, "axes_locked_out", False) else ""
        extra = {"fields": {"user": user, "client": client}}
        log.warning("failed login for %r from %s%s", user, client, locked_out, extra=extra)
        super().user_login_failed(sender, credentials, request, **kwargs)


class LimitedBackend(AxesBackend):
    """Django's backend with the limit. As the only one, it lets `login(request, user)` work."""

    def authenticate(self, request, username=None, password=None, **kwargs):
        """Return the user with this password; raise PermissionDenied if locked out."""
        super().authenticate(request, username=username, password=password, **kwargs)
        return ModelBackend.authenticate(self, request, username, password, **kwargs)

    # ModelBackend's own would not check the limit.
    aauthenticate = BaseBackend.aauthenticate
