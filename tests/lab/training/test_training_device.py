"""Training code keeps its tensors together: shown without a GPU by a device that only pretends.

Tensors "there" are wrappers that say they are on the device "meta" and hold real numbers. An
operation that mixes them with tensors "here" is refused, as CUDA would; so is what would be made
there by an operation that no wrapper takes part in.
"""

import copy
from contextlib import nullcontext

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the extra 'model' is not installed")
pytest.importorskip("transformers", reason="the extra 'model' is not installed")

from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402
from torch.utils._pytree import tree_leaves, tree_map  # noqa: E402

from oryx_scene.lab.synth.scenes import SceneSpec  # noqa: E402
from oryx_scene.lab.synth.words import COLOURS, FURNITURE, SHAPES  # noqa: E402
from oryx_scene.lab.training.attention_init import link_numbers, reserve_head  # noqa: E402
from oryx_scene.lab.training.batch import ready  # noqa: E402
from oryx_scene.lab.training.curriculum import Stage  # noqa: E402
from oryx_scene.lab.training.dataset import fill_pool  # noqa: E402
from oryx_scene.lab.training.distillation import Teacher  # noqa: E402
from oryx_scene.lab.training.drills import make_drill  # noqa: E402
from oryx_scene.lab.training.examples import make_lesson  # noqa: E402
from oryx_scene.lab.training.free_running import write_answers  # noqa: E402
from oryx_scene.lab.training.learner import Learner, Weights  # noqa: E402
from oryx_scene.lab.training.samples import make_sample  # noqa: E402
from oryx_scene.lab.training.small_model import new_model, small_config  # noqa: E402
from oryx_scene.lab.training.trainer import Trainer  # noqa: E402
from oryx_scene.lab.training.vocabulary import lexicon, write_tokenizer  # noqa: E402
from oryx_scene.model.checkpoint.tokenizer import HubTokenizer  # noqa: E402

THERE = torch.device("meta")
KINDS = {"colour": 1.0, "left_right": 1.0, "count": 1.0}


class There(torch.Tensor):
    """A tensor on the pretended device."""

    @staticmethod
    def __new__(cls, held):
        return torch.Tensor._make_wrapper_subclass(
            cls, held.shape, strides=held.stride(), dtype=held.dtype, device=THERE
        )

    def __init__(self, held):
        self.held = held

    def tolist(self):
        return self.held.tolist()

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return compute(func, args, kwargs or {})


def compute(func, args, kwargs):
    """One operation, here or there, never in both places."""
    given = [one for one in tree_leaves((args, kwargs)) if isinstance(one, torch.Tensor)]
    there = [one for one in given if isinstance(one, There)]
    moves = func in (torch.ops.aten._to_copy.default, torch.ops.aten.copy_.default)
    # Scalars in a tensor may stay behind on CUDA too.
    if there and not moves:
        strangers = [one for one in given if not isinstance(one, There) and one.dim()]
        assert not strangers, f"{func} mixes devices: {[tuple(one.shape) for one in strangers]}"
    place = kwargs.get("device")
    if place is not None:
        kwargs = {**kwargs, "device": torch.device("cpu")}
    out = func(*_held(args), **_held(kwargs))
    to_there = bool(there) if place is None else torch.device(place) == THERE
    if not to_there:
        return out
    # What is changed in place stays the tensor that it was.
    same = {id(one.held): one for one in there}
    return tree_map(lambda one: _wrapped(one, same), out)


def _held(tree):
    return tree_map(lambda one: one.held if isinstance(one, There) else one, tree)


def _wrapped(one, same):
    return same.get(id(one), There(one)) if isinstance(one, torch.Tensor) else one


class Pretended(TorchDispatchMode):
    """While it lasts, tensors can be made on the pretended device."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return compute(func, args, kwargs or {})


def send(module):
    """Put the weights of a module there."""
    for one in module.modules():
        for name, p in list(one._parameters.items()):
            if p is not None:
                one._parameters[name] = torch.nn.Parameter(There(p.data), p.requires_grad)
        for name, b in list(one._buffers.items()):
            if b is not None:
                one._buffers[name] = There(b)
    return module


@pytest.fixture(scope="module")
def words(tmp_path_factory):
    path = tmp_path_factory.mktemp("words")
    told = " left right front behind above below ahead at away yes no; 1 Is there a? What colour"
    named = " ".join(f" {word}" for word in (*COLOURS, *SHAPES, FURNITURE))
    write_tokenizer(path, lexicon([told, named]))
    return path


@pytest.fixture(scope="module")
def tokenizer(words):
    return HubTokenizer(words, "qwen2", None)


def make_learner(tokenizer, put=lambda model: model):
    model = put(new_model(small_config(len(tokenizer.hub_tokenizer)), {}, seed=1))
    torch.manual_seed(0)  # of the heads
    return Learner(model.requires_grad_(True))


def make_lessons(tokenizer):
    specs = [SceneSpec(5, views=2), SceneSpec(6, views=1, compression="1")]
    samples = [make_sample(spec) for spec in specs]
    rng = np.random.default_rng(0)
    shown = [make_lesson(sample, tokenizer, KINDS, 8, rng) for sample in samples]
    return [*shown, make_lesson(samples[0], tokenizer, KINDS, 8, rng, pictures=False)]


def test_the_pretended_device_refuses_a_mixture():
    with Pretended():
        there = torch.ones(3, device=THERE)
        assert float((there + 1.0).sum()) == 6.0
        with pytest.raises(AssertionError, match="mixes devices"):
            there + torch.ones(3)


def test_lessons_drills_answers_and_the_link_stay_on_one_device(tokenizer, monkeypatch):
    # Views of wrappers cannot be made in inference mode, and "meta" knows no other precision.
    monkeypatch.setattr(torch, "inference_mode", torch.no_grad)
    monkeypatch.setattr(torch, "autocast", lambda *_: nullcontext())
    teacher = Teacher().eval().requires_grad_(False)
    lessons = make_lessons(tokenizer)
    drill = make_drill(tokenizer, np.random.default_rng(1), 5)
    here = make_learner(tokenizer)
    here.listen_to(teacher)
    wanted = [float(here(one, Weights()).loss.detach()) for one in lessons]
    # A GPU takes all questions of a scene at once.
    whole = [float(here(ready(one, 1), Weights()).loss.detach()) for one in lessons]
    assert whole == pytest.approx(wanted, rel=1e-4)
    answers = [write_answers(here, one, tokenizer, most=3) for one in lessons]
    with Pretended():
        there = make_learner(tokenizer, send)
        there.listen_to(send(copy.deepcopy(teacher)))
        found = []
        for one in lessons:
            seen = there(one, Weights())
            seen.loss.backward()
            found.append(float(seen.loss.detach()))
        seen = there.drill(drill)
        seen.loss.backward()
        assert float(seen.loss.detach()) == pytest.approx(
            float(here.drill(drill).loss.detach()), rel=1e-4
        )
        moved = {name for name, p in there.named_parameters() if isinstance(p.grad, There)}
        assert len(moved) > 150
        told = [write_answers(there, one, tokenizer, most=3) for one in lessons]
        reserve_head(there)
        link_numbers(there, lessons[:1], tokenizer.hub_tokenizer)
    assert found == pytest.approx(wanted, rel=1e-4)
    assert told == answers


@pytest.mark.usefixtures("muon")
@pytest.mark.slow
def test_a_step_of_the_trainer_stays_on_one_device(tokenizer, tmp_path):
    assert len(list(fill_pool(tmp_path / "pool", range(3)))) > 1
    stage = Stage("both", 1, scenes=2, kinds=KINDS, readings=0.3, drills=3, reserve=True)
    # In one precision: a wrapper cannot change its own.
    given = (tokenizer, stage, tmp_path / "pool", tmp_path / "out", 4, torch.float32)
    here = Trainer(new_model(small_config(len(tokenizer.hub_tokenizer)), {}, seed=1), *given)
    wanted = here.one_step()
    # The head that is kept for the link stays silent, whatever other stages had taught it.
    name = "model.language.model.layers.0.self_attn.o_proj.weight"
    silent = here.learner.model.language.model.layers[0].self_attn.head_dim
    here.take({name: torch.ones_like(here.learnt()[name])})
    kept = here.learnt()[name]
    assert not kept[:, :silent].any() and kept[:, silent:].all()
    with Pretended():
        model = send(new_model(small_config(len(tokenizer.hub_tokenizer)), {}, seed=1))
        there = Trainer(model, *given, device=THERE)
        found = there.one_step()
        weights = there.learnt()
        assert all(isinstance(one, There) for one in weights.values())
    for name in ("answers", "dense", "drill", "gradient"):
        assert found[name] == pytest.approx(wanted[name], rel=1e-2), name


CUDA = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


@pytest.mark.usefixtures("muon")
@pytest.mark.slow
@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=CUDA)])
def test_two_fed_steps_in_bfloat16_are_nearly_those_in_float32_on_a_cpu(
    tokenizer, tmp_path, device
):
    assert len(list(fill_pool(tmp_path / "pool", range(4)))) > 1
    stage = Stage("both", 2, scenes=2, kinds=KINDS, readings=0.3, drills=6)

    def losses(place, dtype, workers):
        model = new_model(small_config(len(tokenizer.hub_tokenizer)), {}, seed=1)
        given = (model, tokenizer, stage, tmp_path / "pool", tmp_path / "out", 4, dtype)
        trainer = Trainer(*given, device=place, workers=workers)
        found = [trainer.one_step() for _ in range(2)]
        trainer._fed.close()
        assert next(trainer.learner.parameters()).device.type == place
        return [step[name] for step in found for name in ("answers", "dense", "drill")]

    exact = losses("cpu", torch.float32, 0)
    if device == "cuda":
        assert losses(device, torch.float32, 2) == pytest.approx(exact, rel=2e-3)
    assert losses(device, torch.bfloat16, 2) == pytest.approx(exact, rel=0.05)
