"""What the VAE-GAN is trained with."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Config:
    """Settings.

    Attributes:
      side: of the photographs, in pixels; the encoder's maps are a half, a quarter and
        an eighth of it.
      widths: channels of its three convolutions.
      latents: numbers that a photograph becomes.
      batch_size: photographs of a step.
      num_steps: of training.
      learning_rate: of all three networks.
      gamma: weight of the reconstruction against deceiving, in the decoder's loss.
      seed: of everything.
    """

    side: int = 64
    widths: tuple[int, int, int] = (32, 64, 128)
    latents: int = 64
    batch_size: int = 32
    num_steps: int = 3000
    learning_rate: float = 3e-4
    gamma: float = 1e-2
    seed: int = 0
