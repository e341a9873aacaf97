"""The same as `clipcaer clip-to-video`."""

from modeling_clipcaer.commands.main import start


if __name__ == "__main__":
    raise SystemExit(start("clip-to-video"))
