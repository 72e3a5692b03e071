"""A real browser."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from tests.support.processes import wait_until
from tests.support.tiers import BROWSER


@contextmanager
def open_browser() -> Iterator[Browser]:
    """Start Chromium; end it afterwards."""
    with sync_playwright() as playwright:
        # Chromium's sandbox does not work for root, and container hosts run tests as root.
        options = [] if os.geteuid() else ["--no-sandbox"]
        browser = playwright.chromium.launch(executable_path=BROWSER, args=options)
        yield browser
        browser.close()


def addresses_are_settled() -> bool:
    """Return whether no address of this machine is tentative (IFA_F_TENTATIVE, 0x40).

    A new container has such addresses for a second or two. When they become final,
    Chromium cancels all that it is loading: ERR_NETWORK_CHANGED.
    """
    addresses = Path("/proc/net/if_inet6")
    lines = addresses.read_text().splitlines() if addresses.exists() else []
    return not any(int(line.split()[4], 16) & 0x40 for line in lines)


def wait_for_settled_addresses() -> None:
    """Return when the browser can load pages without being interrupted."""
    wait_until(addresses_are_settled, 30, lambda: "addresses of this machine keep changing")
