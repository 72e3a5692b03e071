from config.proxy import proxy_middleware
from django.http import HttpResponse
from django.test import RequestFactory, SimpleTestCase

PROXY, CLIENT = "172.18.0.5", "203.0.113.7"


class ProxyTests(SimpleTestCase):
    def client_of(self, forwarded, proxies, peer=PROXY):
        """Return the address of the client as a view sees it."""
        request = RequestFactory().get("/", headers={"x-forwarded-for": forwarded})
        request.META["REMOTE_ADDR"] = peer
        with self.settings(FORWARDED_ALLOW_IPS=proxies):
            proxy_middleware(lambda request: HttpResponse())(request)
        return request.META["REMOTE_ADDR"]

    def test_a_listed_proxy_is_trusted(self):
        for proxies in (["*"], [PROXY], ["10.0.0.1", " 172.18.0.0/16"]):
            self.assertEqual(self.client_of(CLIENT, proxies), CLIENT)
        self.assertEqual(self.client_of("2001:DB8::1", ["*"]), "2001:db8::1")
        # A Unix socket has no address.
        self.assertEqual(self.client_of(CLIENT, ["*"], peer=""), CLIENT)

    def test_other_clients_are_not_trusted(self):
        for proxies in ([], ["10.0.0.1", "172.19.0.0/16", "::/0"]):
            self.assertEqual(self.client_of(CLIENT, proxies), PROXY)
        self.assertEqual(self.client_of(CLIENT, [PROXY], peer=""), "")

    def test_the_address_added_by_the_proxy_counts(self):
        self.assertEqual(self.client_of(f"198.51.100.8, {CLIENT}", ["*"]), CLIENT)

    def test_an_invalid_address_is_ignored(self):
        for forwarded in ("", "unknown", f"{CLIENT}:4711", f"{CLIENT},", "1.2.3.4'; DROP"):
            self.assertEqual(self.client_of(forwarded, ["*"]), PROXY)
