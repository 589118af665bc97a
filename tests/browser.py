"""A browser for tests of the status page, and a stand-in for the daemon that serves the page with any document."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest

from worker.telemetry.http import Health, Views, listening
from worker.telemetry.page.joined import joined_page

_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
)

_PATIENCE = 300_000.0
"""How many milliseconds the browser may take: only what hangs takes as long."""

SIDEWAYS = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
"""How far the page can be scrolled sideways, in pixels."""
FAINT = """() => {
  const parse = (color) => (color.match(/[\\d.]+/g) ?? []).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((part) => part / 255)
    .map((part) => (part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4))
    .reduce((sum, part, index) => sum + part * [0.2126, 0.7152, 0.0722][index], 0);
  const behind = (node) => {
    for (; node; node = node.parentElement) {
      const color = parse(getComputedStyle(node).backgroundColor);
      if (color.length === 3 || color[3] === 1) return color;
    }
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), faint = new Set();
  while (walker.nextNode()) {
    const node = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !node.checkVisibility() || node.closest("script, style, noscript")) continue;
    const [one, other] = [light(parse(getComputedStyle(node).color)), light(behind(node))].sort((a, b) => b - a);
    const ratio = (one + 0.05) / (other + 0.05);
    if (ratio < 4.5) faint.add(`${node.textContent.slice(0, 20)}: ${ratio.toFixed(2)}`);
  }
  return [...faint];
}"""
"""Which texts have a contrast of less than 4.5 to what is behind them."""
NAMELESS = """() => [...document.querySelectorAll(
    "a, button, input, summary, meter, progress, [role=group], section, table")]
  .filter((node) => node.checkVisibility())
  .filter((node) => {
    const by = node.getAttribute("aria-labelledby");
    const name = node.ariaLabel || (by && document.getElementById(by).textContent) || node.closest("label")?.textContent
      || (node.matches("a, button, summary") && node.textContent)
      || (node.matches(".scroll > table") && node.parentElement.ariaLabel);
    return !name?.trim();
  }).map((node) => node.outerHTML.slice(0, 120))"""
"""Which of those that need a name have none."""


@dataclass
class Watched:
    """A page in a browser, with all that it complained about and asked for.

    `page` is playwright's; it is typed loosely, as playwright is an extra of the tests.
    """

    page: Any
    complaints: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    async def text(self, selector: str) -> str:
        """Return the text of one element, as it is seen."""
        return str(await self.page.locator(selector).inner_text())

    async def until(self, condition: str, argument: Any = None) -> None:
        """Wait until a JavaScript condition holds on the page."""
        await self.page.wait_for_function(condition, arg=argument, timeout=_PATIENCE)


_running: list[Any] = []


@asynccontextmanager
async def chromium() -> AsyncIterator[None]:
    """Run a headless Chromium for `browsing` on the same loop; skip the tests where there is none."""
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("there is no chromium on this system")
    playwright = pytest.importorskip("playwright.async_api", reason="playwright is not installed")
    async with playwright.async_playwright() as driver:
        _running.append(await driver.chromium.launch(executable_path=program, args=list(_FLAGS), timeout=_PATIENCE))
        try:
            yield
        finally:
            await _running.pop().close()


@asynccontextmanager
async def browsing(address: str, **options: Any) -> AsyncIterator[Watched]:
    """Open an address in the browser that runs, which knows nothing of other pages that it has shown.

    `options` are those of playwright's browser context, which is private to this page and ends with it.
    """
    context = await _running[-1].new_context(**options)
    try:
        page = await context.new_page()
        page.set_default_timeout(_PATIENCE)
        watched = Watched(page)
        page.on("console", lambda message: watched.complaints.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: watched.complaints.append(f"uncaught: {error}"))
        page.on("requestfailed", lambda request: watched.complaints.append(f"failed: {request.url}"))
        page.on("request", lambda request: watched.asked.append(request.url))
        await page.goto(address)
        yield watched
    finally:
        await context.close()


@dataclass
class StandIn:
    """What the daemon's server shows in place of a daemon: `document` as its status; without one the view breaks."""

    document: dict[str, Any] | None
    url: str = ""
    polls: int = 0

    async def status(self) -> bytes:
        """Return the document as JSON."""
        self.polls += 1
        if self.document is None:
            raise LookupError("there is no document")
        return msgspec.json.encode(self.document)

    def health(self) -> Health:
        """Return that all is well."""
        return Health(ok=True, document={})

    async def ready(self) -> Health:
        """Return that all is well."""
        return self.health()

    async def metrics(self, _: str) -> tuple[bytes, str]:
        """Return no metrics."""
        return b"", "text/plain"


@asynccontextmanager
async def stand_in(document: dict[str, Any] | None) -> AsyncIterator[StandIn]:
    """Serve the page and a document on loopback, as the daemon does."""
    shown = StandIn(document)
    views = Views(shown.health, shown.ready, shown.metrics, shown.status, joined_page())
    async with listening("127.0.0.1", 0, views, lambda _request, _error: None) as address:
        shown.url = f"http://{address}/"
        yield shown
