"""Take the client's address from a trusted proxy."""

from contextlib import suppress
from ipaddress import ip_address, ip_network

from django.conf import settings


def proxy_middleware(get_response):
    """Set REMOTE_ADDR to the client's address if FORWARDED_ALLOW_IPS contains the proxy.

    Only the last address of X-Forwarded-For counts: the proxy added it, while the client may have
    sent the others.
    """
    proxies = [proxy.strip() for proxy in settings.FORWARDED_ALLOW_IPS]
    networks = [ip_network(proxy) for proxy in proxies if proxy != "*"]

    def middleware(request):
        last = request.META.get("HTTP_X_FORWARDED_FOR", "").rpartition(",")[2].strip()
        # What is not an address is ignored. A Unix socket has none.
        with suppress(ValueError):
            client = ip_address(last)
            peer = request.META["REMOTE_ADDR"]
            if "*" in proxies or any(ip_address(peer) in network for network in networks):
                request.META["REMOTE_ADDR"] = str(client)
        return get_response(request)

    return middleware
