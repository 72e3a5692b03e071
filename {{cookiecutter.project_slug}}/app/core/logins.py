"""Logins, and how many may fail: 10 for a user at an address, 100 at an address, then none for an hour.

A user is locked out at one address only, so nobody can lock out somebody who is elsewhere.
"""

import logging
from ipaddress import IPv6Address, ip_address

from axes.attempts import get_cool_off_threshold
from axes.backends import AxesBackend
from axes.handlers.database import AxesDatabaseHandler
from axes.models import AccessAttempt
from django.contrib.auth import get_user_model
from django.contrib.auth.backends import BaseBackend, ModelBackend
from django.contrib.auth.models import AbstractBaseUser
from django.db.models import Sum
from django.http import HttpRequest

log = logging.getLogger(__name__)

# So many users of one address, such as an office, may be locked out before the address is.
USERS_PER_ADDRESS = 10


def network(request: HttpRequest) -> str:
    """Return the client's address; of IPv6, the network of 64 bits, which is what one client has."""
    try:
        address = ip_address(request.META["REMOTE_ADDR"])
    except ValueError:
        # A Unix socket has none.
        return "::"
    if address.version == 4:
        return str(address)
    return str(address.ipv4_mapped or IPv6Address(int(address) >> 64 << 64))


def username(request: HttpRequest, credentials: dict | None) -> str:
    """Return the name that somebody logs in with, by whatever name the form sends it."""
    credentials = credentials or {}
    name = credentials.get("username") or credentials.get(get_user_model().USERNAME_FIELD) or ""
    # So wide is the column.
    return str(name)[:255]


class LimitHandler(AxesDatabaseHandler):
    """Count the failures of a user at an address, and those of the address; log each."""

    def get_failures(self, request: HttpRequest, credentials: dict | None = None) -> int:
        """Return the failures that count for the limit."""
        of_address = AccessAttempt.objects.filter(
            ip_address=request.axes_ip_address,
            attempt_time__gte=get_cool_off_threshold(request),
        ).aggregate(count=Sum("failures_since_start", default=0))["count"]
        return max(super().get_failures(request, credentials), of_address // USERS_PER_ADDRESS)

    def user_login_failed(
        self, sender: str, credentials: dict, request: HttpRequest | None = None, **kwargs
    ) -> None:
        """Log what failed, and count it unless it was refused."""
        user = username(request, credentials)
        client = request.META["REMOTE_ADDR"] if request else "code without a request"
        refused = " (locked out)" if getattr(request, "axes_locked_out", False) else ""
        extra = {"fields": {"user": user, "client": client}}
        log.warning("failed login for %r from %s%s", user, client, refused, extra=extra)
        super().user_login_failed(sender, credentials, request, **kwargs)


class LimitedBackend(AxesBackend):
    """Django's own backend, which asks first whether the limit is reached.

    One backend in place of two: `login(request, user)` need not say which.
    """

    def authenticate(
        self,
        request: HttpRequest | None,
        username: str | None = None,
        password: str | None = None,
        **kwargs,
    ) -> AbstractBaseUser | None:
        """Return the user with this password; raise PermissionDenied where the limit is reached."""
        super().authenticate(request, username=username, password=password, **kwargs)
        return ModelBackend.authenticate(self, request, username, password, **kwargs)

    # The one of ModelBackend would not ask.
    aauthenticate = BaseBackend.aauthenticate
