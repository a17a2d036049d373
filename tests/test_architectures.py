"""The networks that the command line offers are those that can be built."""

from nets import architectures, mask_rcnn


def test_the_names_are_those_of_the_builders():
    assert tuple(mask_rcnn.ARCHITECTURES) == architectures.ARCHITECTURES
