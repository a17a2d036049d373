"""A run over pictures: read ahead, look, write behind, note; ended at a picture's boundary."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import replace
from typing import TypeVar

from PIL import Image
from tqdm import tqdm

from utils.data.records import DataError
from utils.interruption import Interruption, Stopped
from utils.prediction.counts import count, counts_in_words
from utils.prediction.found_picture import FoundPicture, Picture, Unusable
from utils.prediction.journal import Journal, Record
from utils.prediction.outputs import Outputs
from utils.prediction.overlays import overlay
from utils.prediction.pipeline import ahead, ordered
from utils.prediction.predictor import Predictor
from utils.prediction.sources import SourceImage
from utils.prediction.tables import Tables
from utils.prediction.tiling import Tiling, tiled_stream
from utils.prediction.tracks import Tracker
from utils.prediction.video_writer import VideoWriter
from utils.prediction.videos import Footage, Frame, SourceVideo
from utils.processes import Processes

ItemT = TypeVar("ItemT")
READERS, WRITERS = 2, 2  # threads
FRAMES_AHEAD = 4


class Run:
    """What looking at pictures and at videos shares.

    Attributes:
        failures: what could not be used, by name.
    """

    def __init__(
        self,
        predictor: Predictor,
        outputs: Outputs,
        journal: Journal,
        tables: Tables,
        interruption: Interruption,
        processes: Processes,
        tiling: Tiling | None = None,
        strict: bool = False,
    ) -> None:
        self.predictor = predictor
        self.outputs = outputs
        self.journal = journal
        self.tables = tables
        self.interruption = interruption
        self.processes = processes
        self.tiling = tiling
        self.strict = strict
        self.failures: dict[str, str] = {}

    def through(self, sources: Sequence[SourceImage | SourceVideo]) -> Counter[str]:
        """Look at all these pictures, then at the videos, until asked to end; all processes must
        call it. How many objects of each class there are, in the first process; ``failures`` are
        those of all processes then.

        Raises:
            DataError: one cannot be used, and ``strict`` stops at the first.
            OSError: the disk is full; names the file.
        """
        self.write_tables()  # of what was done before; from now on they are always there
        try:
            with suppress(Stopped):  # which ``end`` tells when the others are done as well
                self.look_at([source for source in sources if isinstance(source, SourceImage)])
                for source in sources:
                    if isinstance(source, SourceVideo):
                        self.watch(source)
            self.failures = self.processes.joined(self.failures)
        except BaseException:
            with suppress(OSError):  # the first error is the one to tell
                self.write_tables()
            raise
        return self.write_tables()

    def look_at(self, sources: Sequence[SourceImage]) -> None:
        """Find the objects of all these pictures and write what is wanted of them.

        Raises:
            DataError: a picture cannot be used, and ``strict`` stops at the first.
            OSError: the disk is full; names the file.
            Stopped: the run was asked to end; all that is found by then is written.
        """
        if self.tiling:  # parts are read of huge ones, when they are looked at
            opened, writers = (source.open() for source in sources), 1
        else:
            opened, writers = ordered(SourceImage.load, sources, READERS), WRITERS
        with (
            closing(opened) as pictures,
            closing(ordered(self._write, self._found(pictures), writers)) as written,
        ):
            for result in self.bar(written, len(sources), "image"):
                if isinstance(result, Unusable):
                    self.fail(result)
                else:
                    self.note(result)
                    tqdm.write(f"{result['name']}: {self.counted(result)}")
        self.check()

    def watch(self, video: SourceVideo) -> None:
        """Find the objects in the frames of a video and write what is wanted of them.

        Raises:
            DataError: not all of it can be used, and ``strict`` stops at the first.
            Stopped: the run was asked to end; the overlay ends at the last frame that was done.
        """
        self.journal.drop(video.name)  # it may be another one now, with fewer frames
        try:
            with video.open(self.predictor.channels, self.outputs.config.every) as footage:
                summary = self._watch(video, footage)
        except DataError as error:
            self.fail(Unusable(video.name, str(error)))
            return
        tqdm.write(f"{video.name}: {summary}")
        if footage.problem:
            self.failures[video.name] = footage.problem
            if self.strict:
                raise DataError(f"{video.name}: {footage.problem}")
        elif video.path is not None:  # a camera is never done
            self.journal.add(
                Record(name=video.name, stem=video.stem, stamp=footage.stamp, frames=footage.number)
            )

    def _watch(self, video: SourceVideo, footage: Footage) -> str:
        """What was found, in words."""
        config, classes = self.outputs.config, self.predictor.classes
        tracker = Tracker() if config.track else None
        sound = video.path if config.every == 1 else None
        overlays = self.outputs.folder / "overlays" / f"{video.stem}.mp4"
        counts: Counter[str] = Counter()
        frames = 0
        with (
            closing(ahead(footage.frames(), FRAMES_AHEAD)) as pictures,
            closing(ordered(self._write_frame, self._found(pictures, tracker), WRITERS)) as written,
            VideoWriter(overlays, footage.rate, sound) as writer,
        ):
            for result in self.bar(written, footage.total, "frame"):
                if isinstance(result, Unusable):
                    raise DataError(result.problem)
                record, picture = result
                if picture:
                    writer.add(picture, record["seconds"])
                self.note(record)
                counts += count(record, classes)
                frames += 1
        self.check()
        if tracker:
            counts = Counter({classes[i - 1]: n for i, n in sorted(tracker.counts.items())})
        return f"{counts_in_words(counts)}{' tracked' if tracker else ''} in {frames} frames"

    def bar(self, items: Iterable[ItemT], total: int | None, unit: str) -> Iterator[ItemT]:
        """The items, with a progress bar in the first process."""
        hidden = None if self.processes.is_first else True
        return tqdm(items, "predicting", total, unit=unit, leave=False, disable=hidden)

    def note(self, record: Record) -> None:
        """Remember a picture that is done."""
        self.journal.add(record)
        if self.processes.is_first:
            self.tables.write_if_due(self.journal)

    def fail(self, unusable: Unusable) -> None:
        """Remember one that cannot be used; the others are still wanted, unless ``strict``."""
        self.failures[unusable.name] = unusable.problem
        self.journal.drop(unusable.name)
        if self.strict:
            raise DataError(f"{unusable.name}: {unusable.problem}")
        tqdm.write(f"{unusable.name}: cannot be used")

    def check(self) -> None:
        """Raise ``Stopped`` if the run was asked to end."""
        if self.interruption.urged:
            raise Stopped(self.interruption.urged)

    def until_asked(self, items: Iterable[ItemT]) -> Iterator[ItemT]:
        """The items, none after the run was asked to end."""
        for item in items:
            yield item
            if self.interruption.urged:
                return

    def write_tables(self) -> Counter[str]:
        """Write the tables, in the first process; how many objects there are of each class."""
        return self.tables.write(self.journal) if self.processes.is_first else Counter()

    def end(self) -> None:
        """Raise ``Stopped`` if any of the processes was asked to end; all of them must call it."""
        try:
            self.interruption.check(self.processes)
        except Stopped:
            done, config = len(self.journal.pictures(self.tables.order)), self.outputs.config
            way = "the same command without --overwrite" if config.overwrite else "the same command"
            print(f"{done} images are done in {self.journal.folder}; {way} goes on with the others")
            raise

    def counted(self, record: Record) -> str:
        """``3 person, 1 dog`` or ``nothing``."""
        return counts_in_words(count(record, self.predictor.classes))

    def _write(self, found: FoundPicture | Unusable) -> Record | Unusable:
        return found if isinstance(found, Unusable) else self.outputs.write_all(found)

    def _found(
        self, pictures: Iterable[Picture | Unusable], tracker: Tracker | None = None
    ) -> Iterator[FoundPicture | Unusable]:
        if self.tiling:
            found = tiled_stream(self.predictor, pictures, self.tiling, self.check)
        else:
            found = self.predictor.stream(pictures)
        for item in self.until_asked(found):
            if tracker and isinstance(item, FoundPicture):
                yield replace(item, tracks=tracker.update(item.prediction))
            else:
                yield item

    def _write_frame(
        self, found: FoundPicture | Unusable
    ) -> tuple[Record, Image.Image | None] | Unusable:
        if isinstance(found, Unusable):
            return found
        frame = found.picture
        assert isinstance(frame, Frame)
        place = Record(video=frame.video, frame=frame.number, seconds=frame.seconds)
        record: Record = {**self.outputs.write(found), **place}
        return record, overlay(found) if self.outputs.config.overlays else None
