"""The same as `clipcaer build daisee`."""

from modeling_clipcaer.commands.main import start


if __name__ == "__main__":
    raise SystemExit(start("build", "daisee"))
