"""Take the client's address from a trusted proxy."""

from collections.abc import Callable
from contextlib import suppress
from ipaddress import ip_address, ip_network

from django.conf import settings
from django.http import HttpRequest, HttpResponse


class ProxyMiddleware:
    """Set REMOTE_ADDR to the client's address if FORWARDED_ALLOW_IPS contains the proxy.

    gunicorn logs REMOTE_ADDR, and failed logins are counted by it. Only the last address of
    X-Forwarded-For is used: the proxy added it, while the client may have sent the others.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]):
        self.get_response = get_response
        proxies = [proxy.strip() for proxy in settings.FORWARDED_ALLOW_IPS]
        self.trusts_all = "*" in proxies
        self.networks = [ip_network(proxy) for proxy in proxies if proxy != "*"]

    def __call__(self, request: HttpRequest) -> HttpResponse:
        last = request.META.get("HTTP_X_FORWARDED_FOR", "").rpartition(",")[2].strip()
        # Ignore what is not an address.
        with suppress(ValueError):
            client = ip_address(last)
            if self.trusts_all or self.is_proxy(request.META["REMOTE_ADDR"]):
                request.META["REMOTE_ADDR"] = str(client)
        return self.get_response(request)

    def is_proxy(self, address: str) -> bool:
        """Return whether a trusted network contains this address; may raise ValueError."""
        return any(ip_address(address) in network for network in self.networks)
