"""The network. Importing this package first checks that torch and torchvision fit each other."""

from nets.torch_pair import check_torch_pair

try:
    check_torch_pair()
except ImportError as error:
    raise SystemExit(f"error: {error}") from None
