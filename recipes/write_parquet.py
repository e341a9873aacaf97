"""The same as `clipcaer parquet`."""

from modeling_clipcaer.commands.main import start


if __name__ == "__main__":
    raise SystemExit(start("parquet"))
