import pytest

from helpers.small_material import run_main
from modeling_clipcaer.commands.ablate import main
from modeling_clipcaer.errors import InputError
from modeling_clipcaer.experiments.ablations import name_folder, read_recipe
from modeling_clipcaer.experiments.effects import judge
from modeling_clipcaer.experiments.grids import read_flags
from modeling_clipcaer.json_files import read_object


RECIPE = """train_config: {config}
seeds: [0, 1]
datasets: [{dataset}]
tables:
  parts:
    about: Which parts matter?
    flags:
      num_train_epochs: 1
    cells:
      no face stream: {{streams: context}}
      told what it is: {{streams: both}}
      no residual: {{adapter_residual_ratio: 0}}
      always one: {{baseline: majority}}
"""


def write_recipe(folder, material, text=RECIPE):
    flags = list(material.flags)
    pairs = dict(zip(flags[::2], flags[1::2], strict=True))
    dataset = pairs.pop("--dataset")
    lines = [f"{name.lstrip('-')}: {value}" for name, value in pairs.items()]
    lines += ["cache_frame_embeds: true", "logit_adj: true", "learning_rate: 0.01"]
    (folder / "base.yaml").write_text("\n".join(lines))
    recipe = folder / "recipe.yaml"
    recipe.write_text(text.format(config=folder / "base.yaml", dataset=dataset))
    return recipe


def test_an_ablation_tells_effects_failures_and_what_does_nothing(material, tmp_path, capsys):
    recipe, out = write_recipe(tmp_path, material), tmp_path / "out"
    assert run_main(main, "--config", recipe, "--output_dir", out) == 0
    (table,) = read_object(out / "ablation.json")["tables"]
    default, no_face, same, broken, always = table["cells"]
    assert [len(row["runs"]) for row in table["cells"]] == [2, 2, 2, 0, 2]
    assert always["uar"]["mean"] == 20  # one of five labels
    uars = {name: [run["uar"] for run in row["runs"]] for name, row in (("with", default), ("without", no_face))}
    expected = sum(without - with_ for without, with_ in zip(uars["without"], uars["with"], strict=True)) / 2
    assert no_face["effect"]["uar"] == pytest.approx(expected, abs=1e-5) and not no_face["effect"]["same_logits"]
    assert same["effect"]["same_logits"] and judge(same) == "no effect: the default's logits, bit for bit"
    assert "the face adapter can receive no gradient" in broken["errors"][0]
    page = (out / "ablation.md").read_text()
    assert "failed: InputError: the face adapter can receive no gradient" in page
    assert (out / "parts.png").read_bytes().startswith(b"\x89PNG")
    capsys.readouterr()
    first = {path: path.read_bytes() for path in out.glob("ablation.*")}
    assert run_main(main, "--config", recipe, "--output_dir", out) == 0
    assert "10 runs" in capsys.readouterr().out
    assert first == {path: path.read_bytes() for path in out.glob("ablation.*")}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "{{streams: context}}",
            "{{stream: context}}",
            r"recipe.yaml:10: unknown key `stream`; did you mean --streams",
        ),
        ("{{streams: context}}", "{{num_frames: many}}", r"recipe.yaml:10: argument --num-frames.*'many'"),
        ("num_train_epochs: 1", "epoch_count: 1", "recipe.yaml:8: unknown key `epoch_count`"),
        ("majority", "chance", "recipe.yaml:13: `baseline` must be one of majority, zero-shot, linear probe, MLP"),
        ("about:", "abuot:", "recipe.yaml:6: unknown key `abuot`; expected about, imbalance, flags or cells"),
        ("seeds:", "seed:", "recipe.yaml:2: unknown key `seed`; did you mean --seeds"),
        ("told what it is", "no face  stream", "recipe.yaml:11: `no face  stream` has the folder of another cell"),
        ("told what it is", "no face stream", "recipe.yaml:11: `no face stream` is also on line 10"),
    ],
)
def test_what_is_wrong_with_a_recipe_is_told_by_its_line(material, tmp_path, old, new, message):
    recipe = write_recipe(tmp_path, material, RECIPE.replace(old, new))
    with pytest.raises(InputError, match=message):
        read_recipe(["--config", str(recipe), "--output_dir", "out"], "")


def test_every_cell_of_the_recipe_that_comes_with_the_code_has_an_effect_on_a_flag():
    args, tables, path = read_recipe(["--config", "ablation", "--output_dir", "out"], "")
    assert len(args.seeds) >= 5 and len(args.drawings) >= 3 and path.endswith("recipes/ablation.yaml")
    for cell in (cell for table in tables for cell in table.cells):
        flags = read_flags(cell.words)
        assert not flags.unused.keys() & cell.changes.keys(), cell.name
        assert cell.changes or cell.name == "default"


def test_flags_that_do_not_go_together_are_refused_before_any_run(material, tmp_path, capsys):
    text = RECIPE.replace("{{streams: context}}", "{{classification_loss: ldam}}")
    recipe = write_recipe(tmp_path, material, text)
    assert run_main(main, "--config", recipe, "--output_dir", tmp_path / "out") == 2
    assert (
        "cell `no face stream` of table parts: `logit_adj` and `classification_loss` ldam" in capsys.readouterr().err
    )
    assert not (tmp_path / "out" / "runs").exists()


def test_the_folder_of_a_cell_has_nothing_that_a_path_may_not_have():
    assert name_folder("IEC off, temperature 0.14") == "IEC_off_temperature_0.14"
    assert name_folder("../up") == "up" and name_folder("/") == "_"
