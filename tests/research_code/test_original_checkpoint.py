"""Files that are no checkpoint of tensors are told apart in our words, and none of their code is run."""

import argparse
import collections
import io
import zipfile

import pytest
import torch

from modeling_clipcaer.errors import InputError
from modeling_clipcaer.research_code.checkpoint import read_original_checkpoint


STATE = {"w": torch.ones(2)}


class OwnDict(dict):
    """Filled item by item when it is unpickled, by code that is not torch's."""


def saved(content, **kwargs) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer, **kwargs)
    return buffer.getvalue()


def packed() -> bytes:
    """60 MB of zeros in 60 kB."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(60_000_000))
    return buffer.getvalue()


def flip_bit(content):
    """Another number, in the middle of a tensor of twos."""
    place = content.index(b"\0\0\0@" * 32)
    return content[: place + 2] + bytes([content[place + 2] ^ 1]) + content[place + 3 :]


FILES = {
    "torn": (lambda: saved(STATE)[:-200], "the file is torn, its end is missing"),
    "one bit": (lambda: flip_bit(saved({"w": torch.full((64,), 2.0)})), "the file is damaged, in archive/data/0"),
    "empty": (lambda: b"", "no file of torch.save begins with b''"),
    "web page": (lambda: b"<html>404</html>", "no file of torch.save begins with b'<html>40'"),
    "pointer": (lambda: b"version https://git-lfs", "no file of torch.save begins with b'version '"),
    "packed": (packed, "a packed archive, which torch.save does not write"),
    "larger than the file": (lambda: saved({"w": torch.ones(1).expand(10**12)}), "found fewer"),
    "sparse": (lambda: saved({"w": torch.eye(2).to_sparse()}), "`w`: expected all numbers of its shape (2, 2)"),
    "without numbers": (lambda: saved({"w": torch.ones(2, device="meta")}), "`w`: expected all numbers"),
    "not finite": (lambda: saved({"w": torch.tensor([torch.nan])}), "`w`: holds NaN or infinite numbers"),
    "list": (lambda: saved([1]), "expected a checkpoint or a state dict, found: list"),
}


@pytest.mark.parametrize(("make", "message"), FILES.values(), ids=FILES)
@pytest.mark.parametrize("trust", [False, True])
def test_what_is_no_checkpoint_of_tensors_is_named(tmp_path, make, message, trust):
    path = tmp_path / "model.pth"
    path.write_bytes(make())
    with pytest.raises(InputError) as caught:
        read_original_checkpoint(path, trust)
    assert message in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "content",
    [
        {"state_dict": STATE, "meter": OwnDict(a=1)},
        {"state_dict": STATE, "meter": collections.defaultdict(list, a=[1])},
    ],
    ids=["a class of its own", "defaultdict"],
)
def test_a_file_that_needs_code_is_refused_in_our_words_where_it_is_trusted(tmp_path, content):
    path = tmp_path / "model.pth"
    path.write_bytes(saved(content))
    with pytest.raises(InputError, match="holds objects that only their own code can fill") as caught:
        read_original_checkpoint(path, trust=True)
    told = str(caught.value)
    assert "--trust-checkpoint runs no code of a file" in told and 'torch.save({"state_dict"' in told
    assert "weights_only" not in told and "PyTorch 2.6" not in told


def test_objects_in_the_form_of_before_pytorch_1_6_are_refused_in_our_words(tmp_path):
    path = tmp_path / "model.pth"
    path.write_bytes(saved(STATE, _use_new_zipfile_serialization=False))
    assert list(read_original_checkpoint(path).state) == ["w"]
    path.write_bytes(saved({"state_dict": STATE, "args": argparse.Namespace()}, _use_new_zipfile_serialization=False))
    with pytest.raises(InputError, match=r"in the form that PyTorch wrote before 1\.6"):
        read_original_checkpoint(path, trust=True)
