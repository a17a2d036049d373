"""The network. Importing this package first checks that torch and torchvision fit each other."""

from nets.torch_pair import check_torch_pair

check_torch_pair()
