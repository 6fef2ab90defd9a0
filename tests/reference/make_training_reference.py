"""Makes, or checks, the reference files of training: tests/reference/training/CASE.

    python3 make_training_reference.py           writes them
    python3 make_training_reference.py --check   makes them again and compares; exit code 1 if they
                                                 differ, 77 without PyTorch

README.md here says what they hold. Everything is computed in double precision, so that the files
tell what is right and not how one build of PyTorch rounds.
"""
import argparse
import json
import pathlib
import random
import sys

import hf_models
from hf_models import Batch, F, torch

HERE = pathlib.Path(__file__).resolve().parent / "training"
STEPS = 10
SMOOTHING = 0.1
PEAK, WARMUP, DECAY = 5e-3, 3, 0.01
TOLERANCE = 1e-6
VOCAB, POSITIONS, WIDTH, HEADS, INNER, LAYERS, LABELS = 61, 24, 18, 3, 38, 2, 3

# Widths that no vector divides and a head of 6: a kernel's loose ends are in every product.
BERT = {"model_type": "bert", "vocab_size": VOCAB, "hidden_size": WIDTH,
        "num_hidden_layers": LAYERS, "num_attention_heads": HEADS, "intermediate_size": INNER,
        "hidden_act": "gelu", "layer_norm_eps": 1e-12, "max_position_embeddings": POSITIONS,
        "type_vocab_size": 2, "num_labels": LABELS}
GPT2 = {"model_type": "gpt2", "vocab_size": VOCAB, "n_embd": WIDTH, "n_layer": LAYERS,
        "n_head": HEADS, "n_inner": INNER, "n_positions": POSITIONS,
        "activation_function": "gelu_new", "layer_norm_epsilon": 1e-5,
        "tie_word_embeddings": True}
# name: configuration, head, where gradients are clipped, seed. Language models clip where some steps
# are clipped and some are not.
CASES = {
    "bert-classify": ({**BERT, "architectures": ["BertForSequenceClassification"]}, "classify", 1.0, 1),
    "bert-masked": (BERT, "masked", 5.0, 2),
    "gpt2-causal": ({**GPT2, "architectures": ["GPT2LMHeadModel"]}, "causal", 1.5, 3),
    "gpt2-classify": ({**GPT2, "architectures": ["GPT2ForSequenceClassification"],
                       "num_labels": LABELS}, "classify", 1.0, 4),
}


def shapes(config, head):
    """HuggingFace's names and shapes of one model's parameters."""
    d, out = WIDTH, {}

    def vector_pair(name, n):
        out[name + ".weight"] = out[name + ".bias"] = (n,)

    def linear(name, rows, cols, bias):
        out[name + ".weight"] = (rows, cols)
        out[name + ".bias"] = (bias,)

    if config["model_type"] == "bert":
        out["bert.embeddings.word_embeddings.weight"] = (VOCAB, d)
        out["bert.embeddings.position_embeddings.weight"] = (POSITIONS, d)
        out["bert.embeddings.token_type_embeddings.weight"] = (2, d)
        vector_pair("bert.embeddings.LayerNorm", d)
        for layer in range(LAYERS):
            at = f"bert.encoder.layer.{layer}."
            for part in ("self.query", "self.key", "self.value", "output.dense"):
                linear(at + "attention." + part, d, d, d)
            vector_pair(at + "attention.output.LayerNorm", d)
            linear(at + "intermediate.dense", INNER, d, INNER)
            linear(at + "output.dense", d, INNER, d)
            vector_pair(at + "output.LayerNorm", d)
        if head == "classify":
            linear("bert.pooler.dense", d, d, d)
            linear("classifier", LABELS, d, LABELS)
        else:
            linear("cls.predictions.transform.dense", d, d, d)
            vector_pair("cls.predictions.transform.LayerNorm", d)
            out["cls.predictions.bias"] = (VOCAB,)
        return out
    out["transformer.wte.weight"] = (VOCAB, d)
    out["transformer.wpe.weight"] = (POSITIONS, d)
    for layer in range(LAYERS):
        at = f"transformer.h.{layer}."
        vector_pair(at + "ln_1", d)
        linear(at + "attn.c_attn", d, 3 * d, 3 * d)
        linear(at + "attn.c_proj", d, d, d)
        vector_pair(at + "ln_2", d)
        linear(at + "mlp.c_fc", d, INNER, INNER)
        linear(at + "mlp.c_proj", INNER, d, d)
    vector_pair("transformer.ln_f", d)
    if head == "classify":
        out["score.weight"] = (LABELS, d)
    return out


def is_norm(name):
    return "LayerNorm" in name or ".ln_" in name


def draw_weights(config, head, rng):
    """Values that half precision holds, large enough that attention chooses and GELU bends."""
    weights = {}
    for name, shape in shapes(config, head).items():
        middle, spread = (1, 0.3) if is_norm(name) and name.endswith("weight") else (0, 0.2)
        if len(shape) == 2:
            embedding = name.startswith(("bert.embeddings.", "transformer.w"))
            spread = 0.6 if embedding else (3 / WIDTH) ** 0.5
        n = 1
        for size in shape:
            n *= size
        values = [middle + spread * (2 * rng.random() - 1) for _ in range(n)]
        weights[name] = torch.tensor(values).half().view(shape)
    return weights


def draw_batch(head, rng, lengths):
    """Random sequences; the answers are the head's: a class of each, hidden or next tokens."""
    sequences = [[rng.randrange(VOCAB) for _ in range(n)] for n in lengths]
    if head == "classify":
        # What decides is in the tokens, so that there is something to learn.
        return Batch(sequences, None, [sum(s[:3]) % LABELS for s in sequences])
    rows, targets, row = [], [], 0
    for s in sequences:
        for at, token in enumerate(s):
            if head == "causal" and at + 1 < len(s):
                rows.append(row + at)
                targets.append(s[at + 1])
            elif head == "masked" and rng.random() < 0.3:
                rows.append(row + at)
                targets.append(token)
                s[at] = VOCAB - 1
        row += len(s)
    return Batch(sequences, rows, targets)


def draw_batches(head, rng):
    """The first has the shortest and the longest sequence that there can be."""
    batches = [draw_batch(head, rng, [7, 1, POSITIONS, 13, 5])]
    for _ in range(STEPS - 1):
        lengths = [rng.randrange(1, POSITIONS + 1) for _ in range(rng.randrange(3, 7))]
        batches.append(draw_batch(head, rng, [*lengths, 11]))
    return batches


def loss_of(weights, config, head, batch, smoothing):
    """(mean cross-entropy, logits)."""
    logits = hf_models.logits(weights, config, head, batch)
    return F.cross_entropy(logits, torch.tensor(batch.targets), label_smoothing=smoothing), logits


def parameters(weights, dtype):
    return {name: w.to(dtype).requires_grad_(True) for name, w in weights.items()}


def gradients(weights, config, head, batch, out):
    """Losses of one batch, by its logits the gradient without and by its parameters the one with
    label smoothing (the other two are combinations of what these and the steps test)."""
    w = parameters(weights, torch.float64)
    loss, logits = loss_of(w, config, head, batch, 0.0)
    out["loss/plain"] = loss
    out["dlogits/plain"] = torch.autograd.grad(loss, logits)[0].float()
    loss, _ = loss_of(w, config, head, batch, SMOOTHING)
    loss.backward()
    out["loss/smoothed"] = loss
    for name, tensor in w.items():
        out["gradient/" + name] = tensor.grad.float()


def train(weights, config, head, clip, batches, dtype):
    """Ten steps. @return losses, gradient norms before clipping, learning rates, final weights."""
    w = parameters(weights, dtype)
    no_decay = [n for n in w if n.endswith("bias") or is_norm(n)]
    groups = [{"params": [w[n] for n in w if n not in no_decay], "weight_decay": DECAY},
              {"params": [w[n] for n in no_decay], "weight_decay": 0.0}]
    optimiser = torch.optim.AdamW(groups, lr=PEAK, betas=(0.9, 0.999), eps=1e-8)

    def rate(step):  # transformers.get_linear_schedule_with_warmup
        if step < WARMUP:
            return step / max(1, WARMUP)
        return max(0.0, (STEPS - step) / max(1, STEPS - WARMUP))

    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, rate)
    losses, norms, rates = [], [], []
    for batch in batches:
        optimiser.zero_grad()
        loss, _ = loss_of(w, config, head, batch, 0.0)
        loss.backward()
        losses.append(float(loss))
        norms.append(float(torch.nn.utils.clip_grad_norm_(w.values(), clip)))
        rates.append(schedule.get_last_lr()[0])
        optimiser.step()
        schedule.step()
    return losses, norms, rates, w


def make_case(config, head, clip, seed):
    """@return the tensors of a case's two files: the model's, and what is expected of it."""
    rng = random.Random(seed)
    weights = draw_weights(config, head, rng)
    batches = draw_batches(head, rng)
    out = {}
    gradients(weights, config, head, batches[0], out)
    losses, norms, rates, final = train(weights, config, head, clip, batches, torch.float64)
    for name, values in (("losses", losses), ("norms", norms), ("rates", rates),
                         ("options", [PEAK, WARMUP, STEPS, DECAY, clip, SMOOTHING])):
        out["train/" + name] = torch.tensor(values, dtype=torch.float64)
    for name, tensor in final.items():
        out["final/" + name] = tensor.detach().float()
    out.update(hf_models.batch_tensors(batches))
    in_float, _, _, rounded = train(weights, config, head, clip, batches, torch.float32)
    describe(losses, norms, in_float, final, rounded)
    return weights, out


def describe(losses, norms, in_float, final, rounded):
    """How the run went, and how far PyTorch in single precision is from it."""
    print("  losses", *(f"{x:.4f}" for x in losses))
    print("  norms ", *(f"{x:.3f}" for x in norms))
    # The key's bias is left out: see README.md.
    names = [n for n in final if "key.bias" not in n and "c_attn.bias" not in n]
    apart = max(float((final[n] - rounded[n].double()).norm() / final[n].norm()) for n in names)
    print(f"  PyTorch in float32: losses within {max(map(abs, map(float.__sub__, losses, in_float))):.1e},"
          f" final weights within {apart:.1e}")


def difference(ours, theirs):
    """Relative to the whole tensor; 0 for equal ones, also empty and zero ones."""
    if ours.dtype != theirs.dtype or ours.shape != theirs.shape:
        return float("inf")
    if torch.equal(ours, theirs):
        return 0.0
    ours, theirs = ours.double(), theirs.double()
    # A gradient that is zero but for rounding (the key's bias) has no digits to compare.
    return float((ours - theirs).norm() / max(float(theirs.norm()), 1e-9))


def compare(path, made):
    """@return the largest difference between a file and what was made again."""
    stored = hf_models.read_safetensors(path)
    if stored.keys() != made.keys():
        print(f"{path}: other tensors: {sorted(stored.keys() ^ made.keys())}")
        return float("inf")
    worst = max(stored, key=lambda name: difference(made[name].detach(), stored[name]))
    apart = difference(made[worst].detach(), stored[worst])
    print(f"  {path.relative_to(HERE)}: {len(stored)} tensors within {apart:.1e} ({worst})")
    return apart


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    torch.set_num_threads(1)
    apart = 0.0
    for name, (config, head, clip, seed) in CASES.items():
        print(name)
        weights, expected = make_case(config, head, clip, seed)
        folder = HERE / name
        files = {folder / "model.safetensors": weights,
                 folder / "expected" / "model.safetensors": expected}
        for path, tensors in files.items():
            if check:
                apart = max(apart, compare(path, tensors))
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            hf_models.write_safetensors(path, tensors)
        text = json.dumps(config, indent=1) + "\n"
        if not check:
            (folder / "config.json").write_text(text)
        elif (folder / "config.json").read_text() != text:
            print(f"{folder}/config.json differs")
            apart = float("inf")
    if not apart <= TOLERANCE:
        sys.exit(f"the reference files differ by {apart:.1e}, more than {TOLERANCE:g}")


if __name__ == "__main__":
    main()
