"""The same as `clipcaer build ravdess`."""

from modeling_clipcaer.commands.main import start


if __name__ == "__main__":
    raise SystemExit(start("build", "ravdess"))
