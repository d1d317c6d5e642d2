"""The web page in a real browser: headless Chromium, one session, one broker; skipped where there is none."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest

pytest.importorskip("selenium", reason="selenium is not installed: pip install .[browser]")

from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import Select, WebDriverWait

PROJECT = Path(__file__).parents[2]
DEADLINE_S = 20.0
DRIVER = shutil.which("chromedriver")
CHROME = shutil.which("chromium") or shutil.which("google-chrome")
HOSTILE = "<script>alert(1)</script>"

pytestmark = pytest.mark.skipif(not (DRIVER and CHROME), reason="there is no chromium, or no chromedriver")


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """Where the page of a running broker is."""
    process = subprocess.Popen(
        [sys.executable, "-m", "amqp_broker", "--port", "0", "--memory"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=os.environ | {"PYTHONPATH": f"{PROJECT}:{PROJECT / 'codec'}"},
    )
    assert process.stdout is not None
    yield process.stdout.readline().split()[2] + "/"
    process.terminate()  # while the page listens to live figures
    assert process.wait(timeout=8) == 0
    process.stdout.close()


@pytest.fixture(scope="module")
def api(url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"{url}api/", auth=("guest", "guest"), timeout=DEADLINE_S) as client:
        yield client


@pytest.fixture(scope="module")
def browser(url: str) -> Iterator[webdriver.Chrome]:
    """A browser that is logged in."""
    options = webdriver.ChromeOptions()
    options.binary_location = CHROME or ""
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    driver.set_window_size(1280, 900)
    driver.get(url)
    yield driver
    driver.quit()


class Page:
    """What a person sees and does; everything is waited for."""

    def __init__(self, browser: webdriver.Chrome) -> None:
        self.browser = browser
        self._wait = WebDriverWait(browser, DEADLINE_S, 0.05, ignored_exceptions=[StaleElementReferenceException])

    def until(self, holds: Callable[[], object]) -> None:
        self._wait.until(lambda _: holds())

    def find(self, selector: str) -> WebElement:
        self.until(lambda: self.browser.find_elements(By.CSS_SELECTOR, selector))
        return self.browser.find_element(By.CSS_SELECTOR, selector)

    def texts(self, selector: str) -> list[str]:
        return [element.text for element in self.browser.find_elements(By.CSS_SELECTOR, selector)]

    def go(self, *segments: str, heading: str) -> None:
        path = "/".join(quote(segment, safe="") for segment in segments)
        self.browser.execute_script("location.hash = arguments[0]", f"/{path}")
        self.until(lambda: self.texts("main h1") == [heading])

    def click(self, text: str, within: str = "main") -> None:
        """Press a button, or open a fold, with this text."""
        wanted = f"normalize-space()={json.dumps(text, ensure_ascii=False)}"
        root = self.find(within)

        def button() -> WebElement | None:
            there = root.find_elements(By.XPATH, f".//button[{wanted}] | .//summary[{wanted}]")
            return next((each for each in there if each.is_displayed() and each.is_enabled()), None)

        self.until(button)
        found = button()
        assert found is not None
        self.browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", found)
        found.click()

    def type(self, name: str, text: str, within: str = "main") -> None:
        fields = self.find(within).find_elements(By.NAME, name)
        field = next(each for each in fields if each.is_displayed())
        field.clear()
        field.send_keys(text)

    def expect_note(self, text: str) -> None:
        self.until(lambda: any(text in note for note in self.texts(".note")))


def console_of(browser: webdriver.Chrome) -> list[str]:
    """What the console has said since the last look: errors, and what the policy has forbidden."""
    return [entry["message"] for entry in browser.execute("getLog", {"type": "browser"})["value"]]


@pytest.fixture
def page(browser: webdriver.Chrome) -> Iterator[Page]:
    """The page, logged in; afterwards nothing has gone wrong in it."""
    page = Page(browser)
    if browser.find_elements(By.ID, "password"):
        page.find("#name").send_keys("guest")
        page.find("#password").send_keys("guest", Keys.ENTER)
    page.find("nav.side")
    yield page
    assert console_of(browser) == []


def test_a_wrong_password_is_told(browser: webdriver.Chrome) -> None:
    page = Page(browser)
    page.find("#name").send_keys("guest")
    page.find("#password").send_keys("wrong", Keys.ENTER)
    page.until(lambda: page.texts("[role=alert]") == ["Name or password is wrong."])
    console_of(browser)  # the 401 that was asked for
    browser.refresh()


def test_a_broker_that_nobody_uses_yet_says_how_to_begin(page: Page) -> None:
    page.until(lambda: any(text.startswith("Nobody is here yet") for text in page.texts("section.card")))
    assert "amqp://guest:guest@127.0.0.1:" in page.find("section.card pre").text


def test_declare_bind_publish_peek_and_purge(page: Page, api: httpx.Client) -> None:
    page.go("exchanges", heading="Exchanges")
    page.click("Add an exchange")
    page.type("name", "orders")
    Select(page.find("[name=type]")).select_by_value("topic")
    page.click("Add exchange")
    page.until(lambda: page.texts("main h1") == ["orders"])

    page.go("queues", heading="Queues and streams")
    page.click("Add a queue or stream")
    page.type("name", HOSTILE)
    page.click("Add queue")
    page.until(lambda: page.texts("main h1") == [HOSTILE])  # as text, not as what it says

    page.go("exchange", "/", "orders", heading="orders")
    page.click("Add a binding")
    page.type("destination", HOSTILE)
    page.type("routing_key", "eu.#", "details")
    page.click("Bind")
    page.until(lambda: HOSTILE in page.texts("table[aria-label=Bindings] a"))
    page.type("routing_key", "eu.de")
    page.click("Test")
    page.until(lambda: any(text.startswith("It would reach 1 queue") for text in page.texts("[role=status]")))

    page.go("queue", "/", HOSTILE, heading=HOSTILE)
    page.click("Publish a message to this queue")
    page.type("payload", '{"total": 17}')
    page.type("headers", "tenant = acme")
    page.click("Publish")
    page.expect_note("Published.")
    page.click("Peek")
    page.until(lambda: page.texts(".message pre") == ['{\n  "total": 17\n}'])
    assert "acme" in page.find(".message .facts").text
    queue = api.get(f"queues/%2F/{quote(HOSTILE, safe='')}").json()
    assert (queue["messages_ready"], queue["message_stats"]["redeliver"]) == (1, 0)

    for _ in range(100):
        message = {"properties": {}, "routing_key": HOSTILE, "payload": "x", "payload_encoding": "string"}
        api.post("exchanges/%2F/amq.default/publish", json=message).raise_for_status()
    page.click("Purge")
    assert not page.find("dialog .main").is_enabled()
    page.find("#confirm-name").send_keys(HOSTILE)
    page.click("Purge", "dialog")
    page.expect_note("The queue is empty.")
    assert api.get(f"queues/%2F/{quote(HOSTILE, safe='')}").json()["messages_ready"] == 0


def test_the_chart_moves_while_messages_are_published(page: Page, api: httpx.Client) -> None:
    page.go("", heading="Overview")

    def published() -> float:
        shown = page.texts(".chart .legend b")
        return float(shown[0].removesuffix("/s").replace(",", "")) if shown and shown[0] != "–" else 0.0

    message = {"properties": {}, "routing_key": "nowhere", "payload": "x", "payload_encoding": "string"}

    def publish_and_look() -> bool:
        api.post("exchanges/%2F/amq.default/publish", json=message).raise_for_status()
        return published() > 0

    page.until(publish_and_look)
    line = page.find(".chart .c0").get_attribute("d")
    page.until(lambda: page.find(".chart .c0").get_attribute("d") != line)


def test_dead_letters_are_sent_back(page: Page, api: httpx.Client) -> None:
    arguments = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"}
    api.put("queues/%2F/jobs", json={"durable": True, "arguments": arguments}).raise_for_status()
    api.put("queues/%2F/dead", json={"durable": True}).raise_for_status()
    message = {"properties": {}, "routing_key": "jobs", "payload": "x", "payload_encoding": "string"}
    api.post("exchanges/%2F/amq.default/publish", json=message).raise_for_status()
    taken = {"count": 1, "ackmode": "reject_requeue_false", "encoding": "auto"}
    api.post("queues/%2F/jobs/get", json=taken).raise_for_status()
    page.go("queue", "/", "dead", heading="dead")
    page.click("Peek")
    page.until(lambda: page.texts(".path li") == ["jobs\nrejected", "dead"] or page.texts(".path li a") == ["jobs"])
    page.click("Send back")
    page.expect_note("1 message sent back.")
    assert api.get("queues/%2F/jobs").json()["messages_ready"] == 1


def test_messages_are_got_and_moved(page: Page, api: httpx.Client) -> None:
    for name in ("from", "to"):
        api.put(f"queues/%2F/{name}", json={"durable": True}).raise_for_status()
    for payload in ("1", "2", "3"):
        message = {"properties": {}, "routing_key": "from", "payload": payload, "payload_encoding": "string"}
        api.post("exchanges/%2F/amq.default/publish", json=message).raise_for_status()
    page.go("queue", "/", "from", heading="from")
    page.click("Get messages (takes them out)")
    page.click("Get")
    page.expect_note("Got 1 message.")
    assert page.texts(".message pre") == ["1"]
    page.click("Move messages to another queue")
    page.type("destination", "nowhere")
    page.click("Move")
    page.until(lambda: any("nowhere" in text or "not_found" in text for text in page.texts("form .error")))
    page.type("destination", "to")
    page.click("Move")
    page.expect_note("2 messages moved to to.")
    assert [api.get(f"queues/%2F/{name}").json()["messages_ready"] for name in ("from", "to")] == [0, 2]
    console_of(page.browser)  # the 404 of the queue that is not there


def test_definitions_are_taken_over(page: Page, api: httpx.Client, tmp_path: Path) -> None:
    file = tmp_path / "definitions.json"
    queue = {"name": "imported", "vhost": "/", "durable": True, "auto_delete": False, "arguments": {}}
    file.write_text(json.dumps({"queues": [queue]}))
    page.go("admin", "definitions", heading="Admin")
    page.find("[name=file]").send_keys(str(file))
    page.click("Upload definitions")
    page.expect_note("The definitions are taken over.")
    assert api.get("queues/%2F/imported").status_code == 200


def test_every_view_opens(page: Page) -> None:
    for name, heading in (
        ("connections", "Connections"),
        ("channels", "Channels"),
        ("bindings", "Bindings"),
        ("consumers", "Consumers"),
        ("topology", "Topology of /"),
    ):
        page.go(name, heading=heading)
    for section in ("users", "vhosts", "policies", "limits", "definitions"):
        page.go("admin", section, heading="Admin")
        page.until(lambda: len(page.texts("main .card")) > 1)
        assert page.texts("main .error:not(:empty)") == []


def test_what_is_gone_is_said_to_be(page: Page, browser: webdriver.Chrome) -> None:
    page.go("queue", "/", "no-such", heading="Not found")
    assert page.texts("main p") == ["There is no queue no-such, or no longer.", "All queues"]
    assert len(console_of(browser)) == 1  # the 404 that was asked for


def test_a_picture_of_nothing_and_edges_that_go_around_nodes(page: Page, api: httpx.Client) -> None:
    api.put("vhosts/picture", json={}).raise_for_status()
    page.go("", heading="Overview")
    page.browser.refresh()  # the list of vhosts is as old as the login
    page.find("#name").send_keys("guest")
    page.find("#password").send_keys("guest", Keys.ENTER)
    Select(page.find("[aria-label='Virtual host']")).select_by_value("picture")
    page.go("topology", heading="Topology of picture")
    page.until(lambda: any(text.startswith("There is nothing to draw") for text in page.texts(".topology p")))
    for name in ("first", "second"):
        api.put(f"exchanges/picture/{name}", json={"type": "fanout"}).raise_for_status()
    for name in ("near", "far"):
        api.put(f"queues/picture/{name}", json={"durable": True}).raise_for_status()
    api.post("bindings/picture/e/first/e/second", json={}).raise_for_status()
    api.post("bindings/picture/e/second/q/near", json={}).raise_for_status()
    api.post("bindings/picture/e/first/q/far", json={}).raise_for_status()
    page.until(lambda: len(page.texts(".topology .node")) == 4)
    ways = [path.get_attribute("d") or "" for path in page.browser.find_elements(By.CSS_SELECTOR, ".edge path")]
    assert sorted(way.count("C") for way in ways) == [1, 1, 2]
    Select(page.find("[aria-label='Virtual host']")).select_by_visible_text("All vhosts")


def test_the_main_part_is_reached_by_keyboard(page: Page, browser: webdriver.Chrome) -> None:
    page.go("queues", heading="Queues and streams")
    browser.execute_script("document.body.focus(); document.activeElement.blur()")
    skip = page.find(".skip")
    browser.execute_script("arguments[0].focus()", skip)
    skip.send_keys(Keys.ENTER)
    page.until(lambda: browser.switch_to.active_element.get_attribute("id") == "main")


def test_ten_thousand_queues_are_paged_quickly(page: Page, api: httpx.Client) -> None:
    queues = [
        {"name": f"many-{number:05}", "vhost": "/", "durable": True, "auto_delete": False, "arguments": {}}
        for number in range(10_000)
    ]
    api.post("definitions", json={"queues": queues}).raise_for_status()
    page.go("queues", heading="Queues and streams")
    page.until(lambda: "many-00000" in page.find("tbody").text)
    page.click("Next →")
    page.until(lambda: page.texts(".tools .num")[0].startswith("2 / "))
    page.find("[type=search]").send_keys("MANY-09999")
    page.until(lambda: page.texts("tbody td a") == ["many-09999"])
    answer = api.get("queues?page=3&page_size=50")
    assert answer.elapsed.total_seconds() < 0.5
