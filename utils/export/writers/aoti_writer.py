"""Writing machine code for this kind of processor, by AOTInductor."""

from __future__ import annotations

import logging
import warnings
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory

import torch._inductor
from torch._inductor.exc import CppCompileError, InductorError, InvalidCxxCompiler
from torch._inductor.utils import fresh_cache

from nets.weights_file import first_line
from utils.config import ConfigError
from utils.export.card import ModelCard
from utils.export.program import export_program
from utils.export.sessions.torch_archive import CARD

# With its own choice of memory layouts masks come out wrong, silently: it lays the mask head's
# weights out channels last, but takes results of a batch of unknown size for channels first.
SETTINGS = {"layout_optimization": False}


def write_aoti(card: ModelCard, path: Path) -> None:
    """Write the network of ``card.weights`` as a ``.pt2`` file for ``aoti_load_package``.

    Raises:
        ConfigError: there is no C++ compiler that works.
    """
    program = export_program(card)
    # What it compiles is of no use again; if it fails, it says that it keeps that, and does.
    logging.getLogger("torch._inductor.utils").setLevel(logging.ERROR)
    try:
        with (
            TemporaryDirectory() as folder,
            fresh_cache(dir=folder),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")
            torch._inductor.aoti_compile_and_package(
                program, package_path=str(path), inductor_configs=dict(SETTINGS)
            )
    except InductorError as error:
        if not isinstance(error.inner_exception, InvalidCxxCompiler | CppCompileError):
            raise
        raise ConfigError(
            f"--format aoti needs a C++ compiler that works ({first_line(error)}); install g++, or "
            "name another one in the environment variable CXX"
        ) from error
    with zipfile.ZipFile(path, "a") as archive:
        root = archive.namelist()[0].partition("/")[0]
        archive.writestr(root + CARD, card.to_json())
