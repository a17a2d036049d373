"""The messages of a run, on the console and in ``logs/<name>.log``."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tqdm import tqdm

log = logging.getLogger("maskrcnn")
log.addHandler(logging.NullHandler())  # silent until open_log


def open_log(path: Path) -> None:
    """Send the run's messages to the console and, with times, to the text log."""
    log.setLevel(logging.INFO)
    log.handlers.clear()
    log.addHandler(_ConsoleHandler())
    with only_warning():
        to_file = _FileHandler(path, encoding="utf-8")
        to_file.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
        log.addHandler(to_file)


def close_log() -> None:
    """Go on with the console alone, so that the text log can be removed on every system."""
    for handler in log.handlers:
        if isinstance(handler, _FileHandler):
            handler.close()
    log.handlers = [one for one in log.handlers if not isinstance(one, _FileHandler)]


@contextmanager
def only_warning() -> Iterator[None]:
    """Within, a file that cannot be written is told of and no more: what a run records is not worth
    its training. Weights are, and are not written in here."""
    try:
        yield
    except OSError as error:
        log.warning("warning: %s; training goes on without it", error)


class _ConsoleHandler(logging.Handler):
    """Prints around the progress bar; errors are left to the command, which prints them last."""

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno < logging.ERROR:
            tqdm.write(self.format(record), file=sys.stdout)


class _FileHandler(logging.FileHandler):
    """Gives up with a warning where ``logging`` would print a traceback for every message."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        log.removeHandler(self)
        log.warning("warning: %s: cannot be written (%s); it ends here", self.baseFilename,
                    sys.exception())  # fmt: skip
