"""The flags of `app`, beside those of timelines, which its settings begin with."""

from dataclasses import MISSING, dataclass

from modeling_clipcaer.common.flags import check_ranges, option


@dataclass
class AppArguments:
    """What answers, and who may ask."""

    model: str = option(MISSING, "Checkpoint: a folder, or an id on the Hub. With --labels a plain CLIP checkpoint.")
    labels: str | None = option(
        None, "YAML file of labels and sentences to begin with, for zero-shot answers of a plain CLIP model."
    )
    host: str = option("127.0.0.1", "Address to listen on; 0.0.0.0 is open to the network, which is not protected.")
    port: int | None = option(
        None, "Port to listen on; the first free one from 7860 on by default.", least=1, most=65535
    )
    at_once: int = option(1, "Recordings that are read at the same time; the others wait their turn.", least=1)
    device: str | None = option(None, "cpu, cuda, cuda:1, ...; the accelerator where there is one by default.")

    def __post_init__(self):
        check_ranges(self)
