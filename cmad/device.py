"""Where tensors live."""

import torch

from cmad.errors import UserError


def choose_device(name: str) -> torch.device:
    """The device that the params name; "auto" takes a GPU where there is one.

    Raises:
        UserError: cuda is asked for and absent.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name == "cuda" and not torch.cuda.is_available():
        raise UserError("params.yaml: device is cuda, but torch finds no GPU here; set device to auto or cpu")
    return torch.device(name)
