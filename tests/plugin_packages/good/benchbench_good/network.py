"""The network, apart from the card so that the card imports without torch."""

import torch


class Squares(torch.nn.Module):
    """Average colour of 4 x 4 squares."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(()))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.adaptive_avg_pool2d(images, 4).flatten(1) * self.scale
