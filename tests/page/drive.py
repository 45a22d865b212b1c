"""Drives the page of the monitor in a headless Chromium, by WebDriver: looks, clicks, and cancels.

Arguments: the URL of the page of `examples/monitor_page --open`, and the file for a picture.
"""

import base64
import json
import re
import subprocess
import sys
import time
import urllib.request

LIMIT = 30


class Browser:
    def __init__(self, port):
        self.driver = f"http://127.0.0.1:{port}"
        options = {
            "args": ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                     "--window-size=1280,760"],
        }
        wanted = {"capabilities": {"alwaysMatch": {"goog:chromeOptions": options}}}
        self.session = ""
        self.session = "/session/" + self.call("POST", "/session", wanted)["sessionId"]

    def call(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        url, headers = self.driver + self.session + path, {"content-type": "application/json"}
        request = urllib.request.Request(url, method=method, data=data, headers=headers)
        return json.load(urllib.request.urlopen(request, timeout=120))["value"]

    def run(self, script, *args):
        return self.call("POST", "/execute/sync", {"script": script, "args": args})

    def until(self, what, script, *args):
        """Waits until the script gives something that is true."""
        end = time.monotonic() + LIMIT
        while time.monotonic() < end:
            value = self.run(script, *args)
            if value:
                return value
            time.sleep(0.1)
        text = self.run("return document.body.innerText")
        sys.exit(f"the page does not show {what}:\n{text}")


def driver():
    """Starts the driver, and waits until it says at which port it listens."""
    process = subprocess.Popen(["chromedriver", "--port=0"], stdout=subprocess.PIPE, text=True)
    for line in process.stdout:
        if started := re.search(r"started successfully on port (\d+)", line):
            return process, started[1]
    sys.exit("chromedriver does not listen")


ROW = "return [...document.querySelectorAll('[data-task]')].find(r => r.innerText.includes({}))"


def row(text):
    return ROW.format(json.dumps(text))


def look(page):
    """The tree, the verdict, and names as text."""
    page.until("the kid", row("kid"))
    page.until("a name with markup as text", row("<img src=x> teller"))
    assert not page.run("return document.querySelector('#tree img')"), "markup of a name is used"
    page.until("the verdict", "return document.querySelector('#verdicts li')")
    verdict = page.run("return document.querySelector('#verdicts').innerText")
    for part in ["deadlock", "teller", "monitor_page.rs"]:
        assert part in verdict, f"{part} is missing in: {verdict}"
    page.until("the cycle in red", "return document.querySelectorAll('.edge.bad').length >= 2")
    page.until("the tasks of the cycle in red",
               "return document.querySelectorAll('#tree .bad').length == 2")


def timeline(page):
    """Something is drawn in the lanes."""
    page.until("a lane", """
        const canvas = document.getElementById('time');
        const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
        return data.some(value => value !== 0);""")


CROWD = """
    events.close();
    seen.length = 0;
    const tasks = [{ id: '0', name: 'main', state: 'JOIN', cycles: 1, parked: [
        { kind: 'JOIN', site: 'a.rs:1:1', waits_for: { members: [] } }] }];
    for (let id = 1; id <= 1100; id++) {
        tasks.push({ id: String(id), parent: '0', name: 'one of many', state: 'READY', cycles: 1 });
        tasks[0].parked[0].waits_for.members.push(String(id));
    }
    doc = { kernels: [{ id: 0, tasks }] };
    note();
    show();"""


def crowd(page):
    """Of more tasks than a pane can show, each pane says how many it leaves out."""
    page.run(CROWD)
    said = page.run("return [...document.querySelectorAll('.more, #more')]"
                    ".map(shown => shown.innerText.trim())")
    lanes = "of 14 of 1101 tasks, those in a deadlock and those that are polled most"
    rest = ["101 more tasks are not shown", "1088 more tasks are not shown"]
    assert said == rest + [lanes], said
    page.run("selected = '0'; show()")
    task = page.run("return document.getElementById('task').innerText")
    assert "→ 1, 2, 3, 4, 5, 6, 7, 8 and 1092 more" in task, task


def select(page, text):
    """Clicks on a row with the mouse, where it is at that moment."""
    for _ in range(20):
        place = page.run(row(text) + "?.getBoundingClientRect().toJSON()")
        assert place, f"there is no row with {text}"
        point = {"type": "pointerMove", "x": int(place["x"]) + 20, "y": int(place["y"]) + 8}
        steps = [point, {"type": "pointerDown", "button": 0}, {"type": "pointerUp", "button": 0}]
        mouse = {"type": "pointer", "id": "mouse", "actions": steps}
        page.call("POST", "/actions", {"actions": [mouse]})
        if text in page.run("return document.getElementById('task').innerText"):
            return
    sys.exit(f"a click on {text} selects nothing")


def main():
    url, picture = sys.argv[1:]
    process, port = driver()
    page = Browser(port)
    try:
        page.call("POST", "/url", {"url": url})
        look(page)
        select(page, "kid")
        page.until("where the kid is", "return document.getElementById('task')"
                   ".innerText.includes('monitor_page.rs')")
        time.sleep(3)  # for the picture: so that the timeline has something to show
        timeline(page)
        with open(picture, "wb") as file:
            file.write(base64.b64decode(page.call("GET", "/screenshot")))
        assert page.run("return !document.getElementById('cancel').disabled"), "no cancel"
        page.run("document.getElementById('cancel').click()")
        page.until("the answer", "return /Cancelling|does not answer/.test("
                   "document.getElementById('link').innerText)")
        crowd(page)
    finally:
        # Ends the browser, which outlives its driver otherwise.
        page.call("DELETE", "")
        process.kill()
        process.wait()
    print("the page shows the tree, the verdict and the timeline, cancels, and says what it leaves out")


main()
