"""The same as `clipcaer build frame-lists`."""

from modeling_clipcaer.commands.main import start


if __name__ == "__main__":
    raise SystemExit(start("build", "frame-lists"))
