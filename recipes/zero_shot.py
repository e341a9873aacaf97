"""The same as `clipcaer zero-shot`."""

from modeling_clipcaer.commands.main import start


if __name__ == "__main__":
    raise SystemExit(start("zero-shot"))
