"""The page of the server in a real browser: with a mouse, by keyboard, narrow, and by the rules for accessibility."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.conftest import ROOT
from tests.serving.conftest import SCRIPT
from tests.serving.test_server import Running
from widedeep.serving.export import export
from widedeep.serving.limits import KEY

pytestmark = pytest.mark.slow
WIDTHS = (1280, 390)


@pytest.fixture(scope="module")
def shop(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An export of the model, with the card and the report of the committed results."""
    out = tmp_path_factory.mktemp("exported") / "shop"
    reports = ROOT / "reports"
    export(folder, {"README.md": reports / "model_card.md", "report.html": reports / "report.html"}, out)
    return out


@pytest.fixture(scope="module")
def running(shop: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    found = Running(shop, tmp_path_factory.mktemp("log") / "events.sqlite")
    yield found
    found.end()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if (chromium := shutil.which("chromium")) is None:
        pytest.skip("needs the browser chromium (Debian: apt-get install chromium)")
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        yield found
        found.close()


@pytest.fixture
def page(browser: Browser, running: Running) -> Iterator[Page]:
    """A page that asks no other host and writes no error to the console."""
    found = browser.new_page()
    hosts, errors = set(), []
    found.on("request", lambda request: hosts.add(request.url.split("/")[2]))
    found.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    found.on("pageerror", lambda error: errors.append(str(error)))
    found.goto(running.url)
    yield found
    found.close()
    assert hosts == {running.url.split("/")[2]}
    assert not errors


def check_look(page: Page) -> None:
    """Nothing is wider than the page, and axe finds nothing."""
    assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") == 0
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()


def titles(page: Page, section: str) -> list[str]:
    return page.locator(f"{section} li button").all_inner_texts()


@pytest.mark.parametrize("width", WIDTHS)
def test_everyone_can_read_every_part(page: Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    expect(page.locator("#popular li")).to_have_count(10)
    expect(page.get_by_label("Key of this server")).to_be_hidden()
    check_look(page)
    page.get_by_label("User id").fill("1")
    page.get_by_role("button", name="Recommend").click()
    expect(page.locator("#ours li")).to_have_count(10)
    expect(page.locator("#before li").first).to_be_visible()
    page.locator("#ours li button").first.click()
    expect(page.locator("#similar li").first).to_be_visible()
    page.get_by_text("How good is this model?").click()
    expect(page.get_by_role("heading", name="Model card: Wide & Deep on movielens-small")).to_be_visible()
    expect(page.get_by_role("cell", name="recent popularity").first).to_be_visible()
    check_look(page)


@pytest.mark.parametrize("width", WIDTHS)
def test_everyone_can_read_the_report(page: Page, running: Running, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    page.get_by_text("How good is this model?").click()
    with page.context.expect_page() as opened:
        page.get_by_role("link", name="The whole report").click()
    opened.value.wait_for_load_state()
    opened.value.set_viewport_size({"width": width, "height": 900})
    check_look(opened.value)
    opened.value.close()


def test_a_keyboard_is_enough(page: Page) -> None:
    expect(page.locator("#popular li")).to_have_count(10)
    page.keyboard.press("Tab")
    page.keyboard.type("1")
    page.keyboard.press("Enter")
    expect(page.locator("#ours li")).to_have_count(10)
    ours = titles(page, "#ours")
    page.locator("#ours li button").first.focus()
    page.keyboard.press("Enter")
    expect(page.locator("#similar h2")).to_have_text(f"Similar to {ours[0]}")


def test_titles_that_are_liked_make_a_list_and_can_be_removed(page: Page) -> None:
    page.get_by_label("Or titles you like").fill("script alert")
    page.get_by_role("button", name="Add").click()
    expect(page.locator("#likes button")).to_have_text(f"{SCRIPT} ✕")  # text, and no script
    expect(page.locator("#ours li")).to_have_count(10)
    check_look(page)
    page.get_by_role("button", name=f"Remove {SCRIPT}").click()
    expect(page.locator("#ours")).to_be_hidden()
    page.get_by_label("Or titles you like").fill("Film 3")
    page.get_by_role("button", name="Add").click()
    expect(page.locator("#ours li")).to_have_count(10)
    assert "Film 3" not in titles(page, "#ours")


def test_nobody_is_told_what_is_popular_and_that_nothing_is_known(page: Page) -> None:
    page.get_by_label("User id").fill("nobody")
    page.get_by_role("button", name="Recommend").click()
    expect(page.locator("#ours p")).to_have_text("Nothing is known of this user, so this is what is popular lately.")
    assert titles(page, "#ours") == titles(page, "#popular")


def test_ids_of_users_are_suggested(page: Page) -> None:
    expect(page.locator("#ids option")).to_have_count(8)
    page.get_by_label("User id").press_sequentially("1")
    expect(page.locator("#ids option").first).to_have_attribute("value", "1")


def test_a_server_with_a_key_asks_for_it(
    shop: Path, browser: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEY, "secret")
    running = Running(shop, tmp_path / "events.sqlite", 1)
    try:
        page = browser.new_page()
        page.goto(running.url)
        page.get_by_label("Key of this server").fill("secret")
        page.get_by_role("button", name="Go on").click()
        expect(page.locator("#popular li")).to_have_count(10)
        expect(page.get_by_label("Key of this server")).to_be_hidden()
    finally:
        running.end()
