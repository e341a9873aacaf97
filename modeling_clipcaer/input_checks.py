"""What a forward pass may be given, said in one line when it is something else."""

import torch


def check_streams(streams: dict[str, tuple[torch.Tensor | None, torch.Tensor | None]], projection_dim: int) -> None:
    """Check the pixels or the frame embeddings of each stream, and that the streams fit each other.

    Raises:
        ValueError: naming the argument, what was found and what was expected.
    """
    for name, (pixels, embeds) in streams.items():
        _check_stream(name, pixels, embeds, projection_dim)
    sizes = {name: tuple(given.shape[:2]) for name, pair in streams.items() for given in pair if given is not None}
    size = next(iter(sizes.values()))
    if size[1] == 0:
        raise ValueError("clips must have at least one frame, got none")
    # Keep: no sets of sizes, which `torch.export` may not know yet.
    if any(other != size for other in sizes.values()):
        raise ValueError(f"the streams must agree in (batch_size, num_frames), got {sizes}")
    images = [tuple(pixels.shape[2:]) for pixels, _ in streams.values() if pixels is not None]
    if any(image != images[0] for image in images):
        raise ValueError(f"the streams' frames must agree in (num_channels, height, width), got {images}")


def _check_stream(name: str, pixels, embeds, projection_dim: int) -> None:
    argument = "pixel_values" if name == "context" else "face_pixel_values"
    if (pixels is None) == (embeds is None):
        raise ValueError(f"the {name} stream takes exactly one of `{argument}` and `{name}_embeds`")
    if pixels is not None and pixels.ndim != 5:
        raise ValueError(
            f"`{argument}` must be (batch_size, num_frames, num_channels, height, width), got {tuple(pixels.shape)}"
        )
    if pixels is not None and not pixels.is_floating_point():
        raise ValueError(f"`{argument}` must be normalised pixels of a floating-point type, got {pixels.dtype}")
    if embeds is not None and (embeds.ndim != 3 or embeds.shape[-1] != projection_dim):
        raise ValueError(
            f"`{name}_embeds` must be (batch_size, num_frames, {projection_dim}), got {tuple(embeds.shape)}"
        )
