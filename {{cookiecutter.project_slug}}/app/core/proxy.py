"""The client's address, which a proxy has to say."""

from collections.abc import Callable
from contextlib import suppress
from ipaddress import ip_address, ip_network

from django.conf import settings
from django.http import HttpRequest, HttpResponse


class ProxyMiddleware:
    """Let REMOTE_ADDR be the client where FORWARDED_ALLOW_IPS names who sent the request.

    That is what gunicorn logs and what logins are counted by. A proxy that is named sets or appends
    to X-Forwarded-For, so its last address is the proxy's own word. From others it counts nothing.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]):
        self.get_response = get_response
        proxies = [proxy.strip() for proxy in settings.FORWARDED_ALLOW_IPS]
        self.trusts_all = "*" in proxies
        self.networks = [ip_network(proxy) for proxy in proxies if proxy != "*"]

    def __call__(self, request: HttpRequest) -> HttpResponse:
        last = request.META.get("HTTP_X_FORWARDED_FOR", "").rpartition(",")[2].strip()
        # What is no address changes nothing.
        with suppress(ValueError):
            client = ip_address(last)
            if self.trusts_all or self.is_proxy(request.META["REMOTE_ADDR"]):
                request.META["REMOTE_ADDR"] = str(client)
        return self.get_response(request)

    def is_proxy(self, address: str) -> bool:
        """Return whether one of the networks has this address; ValueError where it is none."""
        return any(ip_address(address) in network for network in self.networks)
