"""Packed samples give what they give alone, and do not see each other."""

from __future__ import annotations

import copy

import pytest
import torch

from ndino.formats.prompts import Turn, encode_llama3
from ndino.train.batches import Collator
from ndino.train.dataset import TrainingSample
from ndino.train.loss import last_hidden_state, supervised_loss
from ndino.train.packing.model import stops_early, use_packing
from tests.train.samples import collate, image, make_sample


@pytest.fixture(scope="module")
def packing(built):
    """A model that can pack, with grouped key and value heads, and its processor."""
    model, processor = built
    model = copy.deepcopy(model)
    use_packing(model)
    return model, processor


@pytest.fixture(scope="module")
def samples(built):
    _, processor = built
    encoded = encode_llama3(processor.tokenizer, [Turn("user", "Ciao"), Turn("assistant", "sì")], images=0)
    text = TrainingSample(
        row=7, input_ids=torch.tensor(encoded.input_ids), labels=torch.tensor(encoded.labels), tiles=[]
    )
    return [
        make_sample(processor, image((112, 112)), answer="un cerchio"),
        text,
        make_sample(processor, image((200, 50)), image((60, 150)), answer="due"),
        make_sample(processor, image((30, 200)), answer="un quadrato rosso e un cerchio blu"),
    ]


def pack(built, *samples):
    model, processor = built
    return Collator(model.config.image_token_id, processor.tokenizer.pad_token_id, packing=True)(samples)


def test_one_row_without_padding(built, samples):
    padded, packed = collate(built, *samples), pack(built, *samples)
    assert packed["sample_lengths"].tolist() == padded["attention_mask"].sum(dim=1).tolist()
    assert packed["input_ids"].shape == (1, int(padded["attention_mask"].sum()))
    assert packed["rows"].tolist() == padded["rows"].tolist()
    counted = [(batch["labels"][:, 1:] != -100).sum() for batch in (padded, packed)]
    assert counted[0] == counted[1] > 0


def test_loss_and_gradients_equal_those_of_padded_samples(built, packing, samples):
    results = []
    for model, batch in ((built, collate(built, *samples)), (packing, pack(built, *samples))):
        model[0].zero_grad()
        loss = supervised_loss(model[0], batch)
        loss.backward()
        gradients = {
            name: parameter.grad
            for name, parameter in model[0].named_parameters()
            if parameter.grad is not None
        }
        results.append((loss.item(), gradients))
    (loss, gradients), (packed_loss, packed_gradients) = results
    assert packed_loss == pytest.approx(loss, rel=1e-5)
    assert gradients.keys() == packed_gradients.keys()
    for name, gradient in gradients.items():
        torch.testing.assert_close(packed_gradients[name], gradient, rtol=1e-4, atol=1e-6)


def test_the_last_layers_mlp_runs_at_supervised_positions_only(packing, samples):
    model, _ = packing
    assert stops_early(model)
    batch = pack(packing, *samples)
    seen = []
    layers = model.model.language_model.layers
    hooks = [
        layers[place].mlp.register_forward_hook(lambda _, given, __: seen.append(given[0].shape[:-1].numel()))
        for place in (0, -1)
    ]
    with torch.no_grad():
        loss = supervised_loss(model, batch)
        supervised = int((batch["labels"][:, 1:] != -100).sum())
        assert seen == [batch["input_ids"].numel(), supervised]
        # The same logits as of a last layer that runs everywhere.
        logits = model.lm_head(last_hidden_state(model, batch))
        assert seen[2:] == [batch["input_ids"].numel()] * 2
    for hook in hooks:
        hook.remove()
    full = torch.nn.functional.cross_entropy(logits[0, :-1], batch["labels"][0, 1:])
    assert loss.item() == pytest.approx(full.item(), rel=1e-5)


@pytest.mark.parametrize("changed", range(4))
def test_a_sample_does_not_see_the_others(packing, samples, changed):
    model, processor = packing
    others = list(samples)
    others[changed] = make_sample(processor, image((301, 97)), answer="tutt'altra risposta")
    with torch.no_grad():
        before, after = (pack(packing, *each) for each in (samples, others))
        hidden = [last_hidden_state(model, batch)[0] for batch in (before, after)]
    parts = [
        states.split(batch["sample_lengths"].tolist())
        for states, batch in zip(hidden, (before, after), strict=True)
    ]
    for number, (one, other) in enumerate(zip(*parts, strict=True)):
        if number == changed:
            assert one.shape != other.shape
        else:
            torch.testing.assert_close(model.lm_head(one), model.lm_head(other), rtol=1e-5, atol=1e-5)


def test_gradient_checkpointing_keeps_the_samples_apart(packing, samples):
    model, _ = packing
    batch = pack(packing, *samples)
    norms = []
    for checkpointing in (False, True):
        trained = copy.deepcopy(model).train()
        if checkpointing:
            trained.gradient_checkpointing_enable()
        supervised_loss(trained, batch).backward()
        norms.append(torch.cat([p.grad.flatten() for p in trained.parameters() if p.grad is not None]).norm())
    assert norms[1].item() == pytest.approx(norms[0].item(), rel=1e-5)


def test_unpacked_calls_and_saved_settings_are_unchanged(built, packing, samples, tmp_path):
    batch = collate(built, *samples)
    with torch.no_grad():
        ordinary, ours = (last_hidden_state(model, batch) for model, _ in (built, packing))
    assert torch.equal(ordinary, ours)
    packing[0].config.save_pretrained(tmp_path)
    assert "ndino_packed" not in (tmp_path / "config.json").read_text(encoding="utf-8")
