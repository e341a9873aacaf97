"""The same as `clipcaer synthetic`."""

from modeling_clipcaer.commands.main import start


if __name__ == "__main__":
    raise SystemExit(start("synthetic"))
