import pytest
import torch

import transip_md
from transip_md.common.errors import UsageError
from transip_md.model.checkpoint import load_checkpoint, load_named, save_checkpoint, shipped_names
from transip_md.model.config import ModelConfig
from transip_md.model.network import TransIP


def tiny() -> TransIP:
    torch.manual_seed(0)
    return TransIP(ModelConfig(species=(1, 6), dim=16, layers=1, heads=2, feedforward=16))


def test_round_trip(tmp_path):
    model = tiny()
    model.reference_energies.copy_(torch.tensor([-13.123456789012345, -1000.123456789012]))
    save_checkpoint(tmp_path / "m.ckpt", model, {"data": "none"})
    loaded = load_checkpoint(tmp_path / "m.ckpt")
    assert loaded.config == model.config
    assert loaded.training == {"data": "none"}
    assert len(loaded.sha256) == 64
    for name, value in model.state_dict().items():
        assert torch.equal(value, loaded.model.state_dict()[name]), name
    assert loaded.model.reference_energies.dtype == torch.float64
    assert not loaded.model.training


def test_shipped_model():
    assert "ethanol" in shipped_names()
    ethanol = transip_md.pretrained("ethanol")
    assert ethanol.config.species == (1, 6, 8)
    assert ethanol.training["level_of_theory"].startswith("GFN2-xTB")
    assert load_named("ethanol").sha256 == ethanol.sha256
    with pytest.raises(UsageError, match="No shipped model is called 'methanol'"):
        transip_md.pretrained("methanol")


def write(path, payload):
    torch.save(payload, path)
    return path


def test_refuses_what_it_cannot_read(tmp_path):
    with pytest.raises(UsageError, match="No such checkpoint"):
        load_checkpoint(tmp_path / "none.ckpt")
    text = tmp_path / "text.ckpt"
    text.write_text("hello")
    with pytest.raises(UsageError, match="torch cannot read it"):
        load_checkpoint(text)
    with pytest.raises(UsageError, match="another program"):
        load_checkpoint(write(tmp_path / "other.ckpt", {"weights": {}}))
    with pytest.raises(UsageError, match="format 7"):
        load_checkpoint(write(tmp_path / "new.ckpt", {"transip_checkpoint": 7}))
    save_checkpoint(tmp_path / "m.ckpt", tiny(), {})
    payload = torch.load(tmp_path / "m.ckpt", weights_only=True)
    payload["config"]["dim"] = 32
    with pytest.raises(UsageError, match="does not fit"):
        load_checkpoint(write(tmp_path / "m.ckpt", payload))
    payload["config"]["novel"] = 1
    with pytest.raises(UsageError, match="novel"):
        load_checkpoint(write(tmp_path / "m.ckpt", payload))
