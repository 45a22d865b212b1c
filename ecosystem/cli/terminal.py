"""Runs `curium top` in a pseudo terminal, as a user does: it draws, sorts, cancels, and leaves the
terminal as it was on every way out. Arguments: the folder with the programs, and where the picture
of the screen goes (a file of SVG)."""

import fcntl
import html
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time

import pyte

BUILT, PICTURE = sys.argv[1:3]
COLUMNS, LINES = 110, 24
FRONT, BACK = "#dddddd", "#111111"


def colour(name, default):
    """Of the palette of 256 colours the screen has the value in place of a name."""
    return f"#{name}" if len(name) == 6 else default


class Top:
    """One `curium top`, and the screen that it draws on."""

    def __init__(self, target):
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
        self.before, self.slave, self.raw = termios.tcgetattr(slave), slave, b""
        self.screen = pyte.Screen(COLUMNS, LINES)
        self.stream = pyte.ByteStream(self.screen)
        self.process = subprocess.Popen(
            [f"{BUILT}/curium", "top", target], stdin=slave, stdout=slave, stderr=slave,
            start_new_session=True, env=dict(os.environ, TERM="xterm-256color"))

    def read(self):
        while select.select([self.master], [], [], 0.05)[0]:
            data = os.read(self.master, 65536)
            self.raw += data
            self.stream.feed(data)

    def until(self, wanted, what):
        limit = time.monotonic() + 20
        while not wanted():
            if time.monotonic() > limit:
                sys.exit(f"no {what}; the screen:\n" + "\n".join(self.screen.display))
            self.read()

    def shows(self, text):
        self.until(lambda: any(text in line for line in self.screen.display), repr(text))

    def press(self, keys):
        os.write(self.master, keys.encode())

    def selected(self):
        rows = [y for y in range(LINES) if self.screen.buffer[y][0].reverse]
        return rows[0] if rows else None

    def select_row(self, text):
        """From the first row down, one after the other."""
        self.press("\x1b[H")
        self.read()
        while True:
            at = self.selected()
            if at is not None and text in self.screen.display[at]:
                return
            self.press("j")
            self.until(lambda: self.selected() != at, f"row {text!r}")

    def ends(self, code, said=""):
        """It has ended with that code, said that after its screen, and restored the terminal."""
        self.until(lambda: self.process.poll() is not None, "end")
        self.read()
        assert self.process.returncode == code, (self.process.returncode, self.raw[-400:])
        last = self.raw.rsplit(b"\x1b[?1049l", 1)
        assert len(last) == 2 and b"\x1b[?1049h" not in last[1], "the screen is left"
        assert self.raw.rfind(b"\x1b[?25h") > self.raw.rfind(b"\x1b[?25l"), "the cursor is shown"
        assert termios.tcgetattr(self.slave) == self.before, "the modes are those from before"
        assert said.encode() in last[1], last[1]
        os.close(self.master)
        os.close(self.slave)

    def picture(self, path):
        """The screen as SVG."""
        wide, high = 8, 18
        parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{COLUMNS * wide + 16}" '
                 f'height="{LINES * high + 16}" font-family="monospace" font-size="13">',
                 '<rect width="100%" height="100%" rx="6" fill="#111111"/>']
        for y in range(LINES):
            x = 0
            while x < COLUMNS:
                cell, start, text = self.screen.buffer[y][x], x, ""
                style = cell[1:]
                while x < COLUMNS and self.screen.buffer[y][x][1:] == style:
                    text, x = text + self.screen.buffer[y][x].data, x + 1
                front, back = colour(cell.fg, FRONT), colour(cell.bg, BACK)
                if cell.reverse:
                    front, back = back, front
                left, top = 8 + start * wide, 8 + y * high
                if back != BACK:
                    parts.append(f'<rect x="{left}" y="{top}" width="{(x - start) * wide}" '
                                 f'height="{high}" fill="{back}"/>')
                if text.strip():
                    weight = ' font-weight="bold"' if cell.bold else ""
                    parts.append(f'<text x="{left}" y="{top + 13}" fill="{front}"{weight} '
                                 f'textLength="{(x - start) * wide}" xml:space="preserve">'
                                 f'{html.escape(text)}</text>')
        with open(path, "w", encoding="utf-8") as file:
            file.write("\n".join(parts + ["</svg>\n"]))


def program(how, folder):
    socket = f"{folder}/{how}.sock"
    started = subprocess.Popen([f"{BUILT}/examples/hanging", socket, how], stdout=subprocess.PIPE)
    started.stdout.readline()
    return started, socket


def main():
    with tempfile.TemporaryDirectory() as folder:
        programs = {}
        try:
            for how in ["calm", "joins"]:
                programs[how], _ = program(how, folder)
            tour(programs, folder)
        finally:
            for started in programs.values():
                started.kill()
                started.wait()
    print("top draws, sorts and cancels, and restores the terminal on every way out")


def tour(programs, folder):
    top = Top(f"{folder}/joins.sock")
    top.shows("(!) deadlock: ")
    top.shows("writer\\u{1b}[2J")
    top.select_row("#1 reader")
    top.press("\r")
    top.shows(", for ")
    top.picture(PICTURE)
    top.press("cy")
    top.shows("does not allow")
    top.press("q")
    top.ends(0)

    top = Top(f"{folder}/calm.sock")
    top.shows("kid")
    top.press("n")
    top.shows("TASK ▼")
    top.select_row(" kid")
    top.press("cy")
    top.shows("was cancelled, and has ended")
    top.press("\x03")
    top.ends(0)

    for number in [signal.SIGTERM, signal.SIGHUP]:
        top = Top(f"{folder}/calm.sock")
        top.shows("clock")
        top.process.send_signal(number)
        top.ends(-number)

    # It is not the controlling terminal, so that no signal comes when it is gone.
    top = Top(f"{folder}/calm.sock")
    top.shows("clock")
    os.close(top.slave)
    os.close(top.master)
    assert top.process.wait(timeout=20) == -signal.SIGHUP, top.process.returncode

    top = Top(f"{folder}/calm.sock")
    top.shows("clock")
    programs["calm"].kill()
    top.ends(1, "the program has ended")


main()
