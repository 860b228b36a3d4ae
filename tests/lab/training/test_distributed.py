"""Training over several processes takes the steps that one process takes."""

import os
import signal

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the extra 'model' is not installed")
pytest.importorskip("transformers", reason="the extra 'model' is not installed")

from oryx_scene.cli.main import main  # noqa: E402
from oryx_scene.errors import ConfigError, TrainingError  # noqa: E402
from oryx_scene.lab.synth.words import COLOURS, FURNITURE, SHAPES  # noqa: E402
from oryx_scene.lab.training.curriculum import Stage  # noqa: E402
from oryx_scene.lab.training.dataset import fill_pool  # noqa: E402
from oryx_scene.lab.training.distributed import Group, share_of_drill, together  # noqa: E402
from oryx_scene.lab.training.drills import make_drill  # noqa: E402
from oryx_scene.lab.training.learner import Learner  # noqa: E402
from oryx_scene.lab.training.small_model import new_model, small_config  # noqa: E402
from oryx_scene.lab.training.trainer import Trainer  # noqa: E402
from oryx_scene.lab.training.vocabulary import lexicon, write_tokenizer  # noqa: E402
from oryx_scene.model.checkpoint.load import load_answerer  # noqa: E402
from oryx_scene.model.checkpoint.tokenizer import HubTokenizer  # noqa: E402

# Three lessons and five rows do not split evenly.
STAGE = Stage(
    "both",
    2,
    scenes=3,
    kinds={"colour": 1.0, "left_right": 1.0},
    readings=0.3,
    drills=5,
    collages=0.2,
)


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """A folder with a vocabulary and a few scenes."""
    out = tmp_path_factory.mktemp("start")
    (out / "words").mkdir()
    words = " left right front behind above below ahead at away yes no; 1 Is there a? What colour"
    named = " ".join(f" {word}" for word in (*COLOURS, *SHAPES, FURNITURE))
    write_tokenizer(out / "words", lexicon([words, named]))
    assert len(list(fill_pool(out / "pool", range(4)))) > 1
    return out


def momentum(state):
    return state and state.get("exp_avg", state.get("momentum_buffer"))


def take_one_step(group, start, out):
    """Runs in new processes too: keeps the weights, their gradients and what was logged."""
    tokenizer = HubTokenizer(start / "words", "qwen2", None)
    # Other first weights in every process: those of the first must win.
    model = new_model(small_config(len(tokenizer.hub_tokenizer)), {}, seed=1 + group.rank)
    trainer = Trainer(
        model, tokenizer, STAGE, start / "pool", out, seed=4, dtype=torch.float32, group=group
    )
    group.take_over([p.data for p in trainer.learner.parameters()])
    logged = trainer.one_step()
    states = {p: state for one in trainer.optimisers for p, state in one.state.items()}
    # After one step the momentum of AdamW and of Muon is the gradient, scaled.
    first = {name: momentum(states.get(p)) for name, p in trainer.learner.named_parameters()}
    kept = {"weights": trainer.learnt(), "gradients": first, "logged": logged}
    torch.save(kept, out / f"{group.rank}.pt")


@pytest.mark.usefixtures("muon")
@pytest.mark.slow
def test_a_step_of_two_processes_is_the_step_of_one(start, tmp_path):
    take_one_step(Group(), start, tmp_path / "alone")
    together(2, take_one_step, start, tmp_path / "both")
    alone = torch.load(tmp_path / "alone" / "0.pt")
    both = [torch.load(tmp_path / "both" / f"{rank}.pt") for rank in (0, 1)]
    idle = 0
    for name, gradient in alone["gradients"].items():
        found = both[0]["gradients"][name]
        if gradient is None:
            idle += 1
            assert found is None, name
        else:
            close = 1e-4 * gradient.abs().max() + 1e-9
            assert (found - gradient).abs().max() <= close, name
        # The first steps of the optimiser are as large for the smallest gradients.
        off = (both[0]["weights"][name] - alone["weights"][name]).abs()
        assert off.mean() < 1e-7 + 1e-3 * STAGE.rate / STAGE.warmup, name
        assert torch.equal(both[0]["weights"][name], both[1]["weights"][name]), name
    assert 0 < idle < 12  # outlines are read from patches only, no teacher hints
    for name, value in alone["logged"].items():
        near = 0.3 if "drill" in name else 1e-3  # rows do not split evenly
        assert both[0]["logged"][name] == pytest.approx(value, rel=near, nan_ok=True), name


def test_shares_of_a_drill_add_up_to_the_drill(start):
    tokenizer = HubTokenizer(start / "words", "qwen2", None)
    learner = Learner(new_model(small_config(len(tokenizer.hub_tokenizer)), {}, seed=1))
    drill = make_drill(tokenizer, np.random.default_rng(0), 5)
    whole = learner.drill(drill).loss
    shares = [share_of_drill(drill, Group(rank, 3)) for rank in range(3)]
    assert sum(part for _, part in shares) == pytest.approx(1.0)
    total = sum(part * learner.drill(one).loss for one, part in shares)
    assert torch.allclose(total, whole, rtol=1e-5)
    # More processes than rows: those without a row have no part.
    assert share_of_drill(drill, Group(7, 8))[1] == 0.0


def die(group):
    """One process is gone, the other waits for it."""
    if group.rank == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    group.wait()


def fail(group):
    """One process fails, the other waits for it."""
    if group.rank == 0:
        raise ConfigError("the pool is empty.")
    group.wait()


@pytest.mark.slow
def test_a_lost_process_ends_the_run_and_is_named():
    with pytest.raises(TrainingError, match=r"process 1 of 2 was killed \(SIGKILL\)"):
        together(2, die)
    with pytest.raises(TrainingError, match=r"process \d of 2 failed: .*"):
        together(2, fail)


@pytest.mark.usefixtures("muon")
@pytest.mark.slow
def test_two_processes_make_a_checkpoint_and_go_on(tmp_path, capfd):
    out = tmp_path / "run"
    command = ["train", str(out), "--preset", "tiny"]
    assert main([*command, "--processes", "2"]) == 0
    assert load_answerer(str(out / "checkpoint"), device="cpu").card.synthetic_only
    # One process goes on with what two have made.
    before = (out / "checkpoint" / "model.safetensors").read_bytes()
    assert main(command) == 0
    assert (out / "checkpoint" / "model.safetensors").read_bytes() == before
    assert main([*command, "--processes", "0"]) == 2
    assert "--processes is 0" in capfd.readouterr().err
