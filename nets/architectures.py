"""The networks that there are, by name; ``nets.mask_rcnn`` builds them.

Apart from it, as the command line is read without torch.
"""

ARCHITECTURES = (
    "maskrcnn_resnet50_fpn",
    "maskrcnn_resnet50_fpn_v2",
    "maskrcnn_resnet18_fpn",
    "maskrcnn_resnet18_fpn_small",
    "maskrcnn_resnet34_fpn",
    "maskrcnn_resnet101_fpn",
    "maskrcnn_mobilenet_v3_large_fpn",
)
