"""Check pages in a real browser: nothing sticks out, overlaps or fails."""

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from html import unescape
from pathlib import Path
from typing import Any

import pytest

# This runs in the page. It finds what sticks out of the page or a picture, and text that lies on other text.
PROBE = """<script>
addEventListener('load', () => {
  const out = [], hit = [];
  for (const svg of document.querySelectorAll('svg.chart')) {
    const frame = svg.getBoundingClientRect();
    const boxes = [...svg.querySelectorAll('text')].map(text => [text.textContent, text.getBoundingClientRect()]);
    boxes.forEach(([name, a], i) => {
      if (a.left < frame.left - 1 || a.right > frame.right + 1 || a.bottom > frame.bottom + 1) out.push(name);
      for (const [other, b] of boxes.slice(i + 1))
        if (a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 3 && b.top < a.bottom - 3)
          hit.push(name + ' / ' + other);
    });
  }
  const page = document.documentElement;
  parent.postMessage({width: innerWidth, beyond: page.scrollWidth - page.clientWidth, out, hit}, '*');
});
</script>"""
FRAME = """<!DOCTYPE html><body><pre></pre><script>
addEventListener('message', event => document.querySelector('pre').textContent = JSON.stringify(event.data));
</script><iframe src="page.html" style="width:{width}px;height:900px;border:0"></iframe></body>"""


@pytest.fixture
def browse(tmp_path: Path) -> Callable[[str, int], tuple[dict[str, Any], str]]:
    """Open the page at a width. Return what the probe finds, and the messages of the browser's console."""
    browser = shutil.which("chromium")
    if browser is None:
        pytest.skip("needs the browser chromium (Debian: apt-get install chromium)")

    def run(page: str, width: int) -> tuple[dict[str, Any], str]:
        (tmp_path / "page.html").write_text(page.replace("</body>", f"{PROBE}</body>"), encoding="utf-8")
        # A window cannot be as narrow as a phone, but a frame in it can.
        (tmp_path / "frame.html").write_text(FRAME.format(width=width), encoding="utf-8")
        command = [
            browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync",
            "--disable-dev-shm-usage", f"--user-data-dir={tmp_path / 'profile'}", "--window-size=1400,1000",
            "--enable-logging=stderr", "--virtual-time-budget=5000", "--dump-dom", f"file://{tmp_path}/frame.html",
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
        found = re.search(r"<pre>(.+?)</pre>", done.stdout)
        assert found, f"The page did not answer: {done.stderr}"
        console = "\n".join(line for line in done.stderr.splitlines() if "CONSOLE" in line)
        answer: dict[str, Any] = json.loads(unescape(found.group(1)))
        return answer, console

    return run
