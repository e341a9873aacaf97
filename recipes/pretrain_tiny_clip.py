"""The same as `clipcaer pretrain-tiny-clip`."""

from modeling_clipcaer.commands.main import start


if __name__ == "__main__":
    raise SystemExit(start("pretrain-tiny-clip"))
