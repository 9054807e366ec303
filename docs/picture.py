"""Makes docs/start-to-chat.gif, the page from the click on Start to an answer in the chat, and docs/page.png.

    python docs/picture.py                                # trains the default run: two to five minutes
    python docs/picture.py --frames FOLDER                # keeps every frame as a PNG, to look at

The app runs in a home and on a port of its own and is closed at the end. What is shown is a real run, only its time is
shortened: every picture of the training is shown for the same moment. Needs what the browser tests need (Chromium,
playwright) and Pillow, which Gradio brings. GIF, because GitHub, Hugging Face and every editor show it.
"""

import argparse
import io
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image, ImageChops
from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "browser")]

from conftest import CHROMIUM, FLAGS  # noqa: E402  of the browser tests, which are no package
from visiting import App, Visitor  # noqa: E402

PICTURE = ROOT / "docs" / "start-to-chat.gif"
STILL = "page.png"  # beside it: the page with the finished run
LARGEST = 3_000_000  # bytes; a README that takes longer to load is left before it is read
SIZE = {"width": 1280, "height": 800}  # the desk of the browser tests: Start is above the fold
COLOURS = 64
QUESTION = "Who is Oscar?"
TRAINING_FRAMES = 30  # of a whole training
MOMENT, LOOK, READ = 120, 1400, 4000  # milliseconds a frame is shown: in motion, to be noticed, to be read
LONGEST_TRAINING = 1800  # seconds
ARROW = """([x, y]) => {
  let arrow = document.getElementById('filmed-arrow');
  if (!arrow) {
    arrow = document.createElement('div');
    arrow.id = 'filmed-arrow';
    arrow.style.cssText = 'position:fixed;z-index:99999;pointer-events:none;width:22px;height:28px';
    arrow.innerHTML = '<svg viewBox="0 0 22 28"><path d="M2 1v21l5.5-5 3.5 9 4-1.6-3.6-8.8H19z" fill="#111"'
      + ' stroke="#fff" stroke-width="1.6"/></svg>';
    document.body.append(arrow);
  }
  arrow.style.left = x + 'px';
  arrow.style.top = y + 'px';
}"""


class Film:
    """Frames of one page and how long each is shown, in milliseconds."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.frames: list[Image.Image] = []
        self.times: list[int] = []
        self.arrow = (SIZE["width"] * 0.62, SIZE["height"] * 0.6)

    def take(self, milliseconds: int) -> None:
        """One frame of what stands there now; one that looks like the last only lengthens it."""
        self.page.evaluate(ARROW, list(self.arrow))
        frame = Image.open(io.BytesIO(self.page.screenshot(animations="allow", caret="initial"))).convert("RGB")
        if self.frames and ImageChops.difference(frame, self.frames[-1]).getbbox() is None:
            self.times[-1] += milliseconds
            return
        self.frames.append(frame)
        self.times.append(milliseconds)

    def click(self, selector: str) -> None:
        """Moves the arrow to the middle of an element in a few frames, and clicks there."""
        box = self.page.locator(selector).bounding_box()
        assert box is not None, f"{selector} is not on the page"
        begin, end = self.arrow, (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        for part in (0.35, 0.7, 0.9, 1.0):
            self.arrow = (begin[0] + (end[0] - begin[0]) * part, begin[1] + (end[1] - begin[1]) * part)
            self.take(MOMENT)
        self.take(LOOK // 3)
        self.page.locator(selector).click()

    def thin(self, begin: int, wanted: int) -> None:
        """Keeps `wanted` of the frames from `begin` on, evenly spread, each shown for a moment."""
        frames = self.frames[begin:]
        wanted = min(wanted, len(frames))
        self.frames[begin:] = [frames[place * len(frames) // wanted] for place in range(wanted)]
        self.times[begin:] = [MOMENT] * wanted

    def write(self, path: Path) -> None:
        """All frames as one endless GIF in colours chosen once for all. Raises ValueError above LARGEST."""
        palette = _strip(self.frames).quantize(COLOURS, method=Image.Quantize.MAXCOVERAGE)  # keeps rare ones
        drawn = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in self.frames]
        drawn[0].save(path, save_all=True, append_images=drawn[1:], duration=self.times, loop=0, optimize=True)
        if path.stat().st_size > LARGEST:
            raise ValueError(f"{path.name} has {path.stat().st_size:,} bytes; at most {LARGEST:,} are wanted.")


def _strip(frames: list[Image.Image]) -> Image.Image:
    """First, middle and last frame side by side: every colour of the film is in one of them."""
    chosen = [frames[0], frames[len(frames) // 2], frames[-1]]
    strip = Image.new("RGB", (SIZE["width"] * len(chosen), SIZE["height"]))
    for place, frame in enumerate(chosen):
        strip.paste(frame, (place * SIZE["width"], 0))
    return strip


@contextmanager
def opened_page() -> Iterator[Page]:
    """The app with a fresh home, and its page in Chromium; both are closed afterwards."""
    with tempfile.TemporaryDirectory() as home, sync_playwright() as playwright:
        app = App(Path(home))
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        try:
            app.start()
            yield Visitor(browser, app).open(size=SIZE)
        finally:
            browser.close()
            app.close()


def film_the_training(film: Film, still: Path) -> None:
    """From the click on Start to the proof; of all that is seen in between, so many frames as TRAINING_FRAMES says."""
    film.take(LOOK)
    film.click("#start")
    begin = len(film.frames)
    for _ in range(LONGEST_TRAINING):
        film.page.wait_for_timeout(1000)
        film.take(MOMENT)
        if film.page.locator("#live .card[data-state=done]").count():
            break
    film.thin(begin, TRAINING_FRAMES)
    film.page.locator("#live .proof").wait_for()
    film.page.wait_for_timeout(1000)
    film.page.screenshot(path=still, style="#filmed-arrow { display: none }")
    film.take(READ)


def film_the_chat(film: Film) -> None:
    """From the click on "Chat with it" to both answers."""
    film.click("#live button:has-text('Chat with it')")
    film.page.wait_for_function("document.activeElement.matches('#ask textarea')")
    film.page.wait_for_timeout(500)
    film.take(LOOK)
    for letter in QUESTION:
        film.page.keyboard.type(letter)
        film.take(MOMENT // 2)
    film.page.keyboard.press("Enter")
    for _ in range(40):
        film.page.wait_for_timeout(150)
        film.take(MOMENT)
    film.page.get_by_role("button", name="Ask", exact=True).wait_for()  # it is Stop while something is answered
    film.page.wait_for_timeout(500)
    film.take(READ)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=PICTURE, help=f"another file than {PICTURE.name}")
    parser.add_argument("--frames", type=Path, help="folder for every frame as a PNG")
    asked = parser.parse_args()
    if CHROMIUM is None:
        parser.error("Chromium is not installed (Debian: apt-get install chromium)")
    with opened_page() as page:
        film = Film(page)
        film_the_training(film, asked.out.with_name(STILL))
        film_the_chat(film)
    if asked.frames:
        asked.frames.mkdir(parents=True, exist_ok=True)
        for place, frame in enumerate(film.frames):
            frame.save(asked.frames / f"{place:03}.png")
    film.write(asked.out)
    seconds = sum(film.times) / 1000
    print(f"{asked.out.name}: {len(film.frames)} frames, {seconds:.0f} s, {asked.out.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
