"""The limit of failed logins, by django-axes. Its settings are in settings.py."""

from axes.backends import AxesBackend
from django.contrib.auth.backends import BaseBackend, ModelBackend


class LimitedBackend(AxesBackend):
    """Check the limit of each login that has a request. In tests, `client.login()` has none."""

    def authenticate(self, request, username=None, password=None, **kwargs):
        """Return the user with this password. AxesBackend raises PermissionDenied at the limit."""
        if request:
            super().authenticate(request, username, password, **kwargs)
        return ModelBackend.authenticate(self, request, username, password, **kwargs)

    # ModelBackend has an aauthenticate of its own, which would not check the limit.
    aauthenticate = BaseBackend.aauthenticate


def username(request, credentials):
    """Return the user name that counts, cut to the length of its column in the database."""
    return str((credentials or {}).get("username") or "")[:255]


def describe(username, address, *_):
    """Return how log lines name a client; repr escapes line breaks in what it has sent."""
    return f"{username!r} from {address}"
