"""The files about all pictures of a run, made from the journal: now and then, and in the end."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from utils.prediction.config import PredictConfig
from utils.prediction.contact_map import write_bedpe
from utils.prediction.counts import write_counts
from utils.prediction.journal import Journal
from utils.prediction.measurements import write_measurements
from utils.prediction.predictions_json import write_predictions

SHORTEST_PAUSE = 2.0  # seconds between two times that the tables are written
MOST_SHARE = 0.05  # of the time that writing them may take


class Tables:
    """Writes ``predictions.json`` and the tables; whoever stops the run finds them valid.

    Args:
        folder: of the run.
        config: says which tables are wanted.
        classes: names in label order.
        order: the names of all pictures, as they are listed.
    """

    def __init__(
        self, folder: Path, config: PredictConfig, classes: Sequence[str], order: Sequence[str]
    ) -> None:
        self.folder = folder
        self.config = config
        self.classes = tuple(classes)
        self.order = order
        self.due = time.monotonic() + SHORTEST_PAUSE

    def write_if_due(self, journal: Journal) -> None:
        """Write them if it is worth the time by now."""
        if time.monotonic() > self.due:
            self.write(journal)

    def write(self, journal: Journal) -> Counter[str]:
        """Write them all; how many objects there are of each class.

        Raises:
            OSError: the disk is full; names the file, which is as it was before.
        """
        started = time.monotonic()
        journal.catch_up()
        write_predictions(
            self.folder / "predictions.json", self.classes, lambda: journal.records(self.order)
        )
        total = write_counts(self.folder / "counts.csv", self.classes, journal.records(self.order))
        config, records = self.config, journal.records
        if config.measurements:
            write_measurements(
                self.folder / "measurements.csv", self.classes, records(self.order),
                config.pixel_size, config.bin_size, config.origin,
            )  # fmt: skip
        if config.bin_size:
            write_bedpe(
                self.folder / "objects.bedpe", self.classes, records(self.order),
                config.bin_size, config.origin,
            )  # fmt: skip
        now = time.monotonic()
        self.due = now + max(SHORTEST_PAUSE, (now - started) / MOST_SHARE)
        return total
