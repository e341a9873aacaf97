"""Puts into a wheel what a clone has beside the package; everything else of the installation is in setup.cfg."""

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


SHIPPED = {
    "presets": ("recipes/*.yaml", "accelerate_config.yaml", "LICENSE"),
    "presets/tiny_clip": ("tests/fixtures/tiny_clip/*",),
    "metrics/uar_war": ("metrics/uar_war/*",),
}


class Build(build_py):
    def run(self):
        super().run()
        for folder, patterns in {} if self.editable_mode else SHIPPED.items():
            target = Path(self.build_lib, "modeling_clipcaer", folder)
            self.mkpath(str(target))
            for path in (path for pattern in patterns for path in Path().glob(pattern) if path.is_file()):
                self.copy_file(str(path), str(target / path.name))


setup(cmdclass={"build_py": Build})
