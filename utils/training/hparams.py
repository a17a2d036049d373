"""What TensorBoard's HParams page compares runs by."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from utils.config import LoadingConfig, TrainConfig, to_dict
from utils.options import options_of

METRICS = ("segm/AP", "segm/AP50", "segm/AP75", "bbox/AP", "bbox/AP50", "val/loss")
COLUMNS_SHOWN = 5  # that TensorBoard shows of the settings; a click shows another
_FIRST = ("arch", "augment", "epochs", "lr", "weights")
# What the commands share is about files and machines; these name, divide or keep.
_NOT_COMPARED = (
    "name", "val_data", "split_file", "group_by", "folds", "fold", "time_limit", "save_every",
    "keep",
)  # fmt: skip

# Type of a column, field of a cell, and what a value becomes.
_TEXT = ("DATA_TYPE_STRING", "string_value", str)
_KINDS: dict[type, tuple[str, str, type]] = {
    bool: ("DATA_TYPE_BOOL", "bool_value", bool),
    int: ("DATA_TYPE_FLOAT64", "number_value", float),
    float: ("DATA_TYPE_FLOAT64", "number_value", float),
}


def compared_settings(config: TrainConfig) -> dict[str, Any]:
    """What a training depends on, numbers, bools and texts by their names in ``args.json``; those
    that are changed most come first."""
    values = to_dict(config)
    own = options_of(TrainConfig).keys() - options_of(LoadingConfig).keys()
    rest = [name for name in values if name in own.difference(_FIRST, _NOT_COMPARED)]
    return {name: values[name] for name in (*_FIRST, *rest)}


def hparam_summaries(values: Mapping[str, Any], metrics: Sequence[str]) -> list[Any]:
    """The columns of the HParams page and the row of a run, as TensorBoard summaries.

    torch's ``add_hparams`` makes a run of its own for the row, says at once that the run has
    succeeded, and leaves the choice of the columns that are shown to the alphabet.
    """
    from tensorboard.plugins.hparams import api_pb2, metadata
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionStartInfo

    row = SessionStartInfo(start_time_secs=time.time())
    columns = api_pb2.Experiment(
        metric_infos=[api_pb2.MetricInfo(name=api_pb2.MetricName(tag=tag)) for tag in metrics]
    )
    for number, (name, value) in enumerate(values.items()):
        kind, field, plain = _KINDS.get(type(value), _TEXT)
        setattr(row.hparams[name], field, plain(value))
        # Columns whose values differ are shown first, by name; a run cannot know of the others.
        columns.hparam_infos.add(name=name, type=kind, differs=number < COLUMNS_SHOWN)
    return [
        _summary(metadata.EXPERIMENT_TAG, HParamsPluginData(experiment=columns)),
        _summary(metadata.SESSION_START_INFO_TAG, HParamsPluginData(session_start_info=row)),
    ]


def _summary(tag: str, data: Any) -> Any:
    from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
    from tensorboard.plugins.hparams.metadata import PLUGIN_DATA_VERSION, PLUGIN_NAME

    data.version = PLUGIN_DATA_VERSION
    plugin = SummaryMetadata.PluginData(plugin_name=PLUGIN_NAME, content=data.SerializeToString())
    return Summary(value=[Summary.Value(tag=tag, metadata=SummaryMetadata(plugin_data=plugin))])
