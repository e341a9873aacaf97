"""The same as `clipcaer view`."""

from modeling_clipcaer.commands.main import start


if __name__ == "__main__":
    raise SystemExit(start("view"))
