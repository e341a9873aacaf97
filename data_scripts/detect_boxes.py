"""The same as `clipcaer detect-boxes`."""

from modeling_clipcaer.commands.main import start


if __name__ == "__main__":
    raise SystemExit(start("detect-boxes"))
