"""PyTorch reads what FlipSweep wrote: logits of a saved HuggingFace folder, by both.

    python3 check_saved_model.py MODEL DATA   a folder, and a TSV (classifier) or a text (GPT-2)
    python3 check_saved_model.py              trains small ones of each kind for a few steps first

A folder is read by hf_models.py, which knows no more of it than transformers would; the token
ids are those of `flipsweep-model tokenize`. A tensor that PyTorch has no use for is an error. Exit code 1 if any logit differs by more than 1e-4 of
the largest one, 77 without PyTorch.
"""
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import hf_models
from hf_models import Batch, torch

TOP = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("FS_BUILD_DIR", TOP / "build"))
DATA = TOP / "experiments" / "data"
PROGRAM = str(BUILD / "bin" / "flipsweep-model")
APART_MAX = 1e-4
INPUTS, BATCH, WINDOWS = 64, 8, 4


def tokenize(model, lines):
    out = subprocess.run([PROGRAM, "tokenize", "--json", str(model)], check=True, text=True,
                         input="\n".join(lines), stdout=subprocess.PIPE).stdout
    return [json.loads(line) for line in out.splitlines()]


def eval_logits(model, data, *options):
    """FlipSweep's logits, one list for each input."""
    with tempfile.TemporaryDirectory(prefix="flipsweep-test-") as folder:
        path = pathlib.Path(folder) / "logits"
        subprocess.run([PROGRAM, "eval", "--json", str(model), "--data", str(data), "--logits",
                        str(path), *map(str, options)], check=True, stdout=subprocess.DEVNULL)
        return [list(map(float, line.split())) for line in path.read_text().splitlines()]


def classifier_logits(config, weights, model, data):
    """(FlipSweep's, PyTorch's), [inputs, classes]; the first inputs of a TSV that fit whole."""
    header, *rows = pathlib.Path(data).read_text().splitlines()
    ids = tokenize(model, [row.rsplit("\t", 1)[0] for row in rows])
    longest = config["max_position_embeddings" if config["model_type"] == "bert" else "n_positions"]
    fitting = [i for i, tokens in enumerate(ids) if len(tokens) <= longest][:INPUTS]
    theirs = []
    for first in range(0, len(fitting), BATCH):
        batch = [ids[i] for i in fitting[first:first + BATCH]]
        theirs.append(hf_models.logits(weights, config, "classify", Batch(batch, None, None)))
    with tempfile.TemporaryDirectory(prefix="flipsweep-test-") as folder:
        path = pathlib.Path(folder) / "data.tsv"
        path.write_text("\n".join([header, *(rows[i] for i in fitting)]) + "\n")
        return torch.tensor(eval_logits(model, path)), torch.cat(theirs)


def next_token_logits(config, weights, model, data):
    """(FlipSweep's, PyTorch's), [tokens, vocabulary]; the first windows of a text."""
    window = min(config["n_positions"], 32)
    # One line, so that `tokenize` sees the text as `eval` does.
    text = " ".join(pathlib.Path(data).read_text().split())[:WINDOWS * window * 12]
    ids = tokenize(model, [text])[0]
    windows = [ids[i:i + window] for i in range(0, len(ids), window)][:WINDOWS]
    with tempfile.TemporaryDirectory(prefix="flipsweep-test-") as folder:
        path = pathlib.Path(folder) / "text"
        path.write_text(text)
        ours = eval_logits(model, path, "--window", window, "--stride", window,
                           "--examples", len(windows))
    tokens = sum(map(len, windows))
    theirs = hf_models.logits(weights, config, "causal",
                              Batch(windows, list(range(tokens)), [0] * tokens))
    return torch.tensor([x for line in ours for x in line]).view(tokens, -1), theirs


class Noted(dict):
    """A dict that knows which of its values were asked for."""

    def __init__(self, *args):
        super().__init__(*args)
        self.seen = set()

    def __getitem__(self, key):
        self.seen.add(key)
        return super().__getitem__(key)

    def get(self, key, default=None):
        return self[key] if key in self else default


def check(model, data):
    """Compares and prints. @return whether they agree."""
    config, weights = hf_models.read_model(model)
    weights = Noted({name: tensor.float() for name, tensor in weights.items()})
    causal = config["architectures"] == ["GPT2LMHeadModel"]
    with torch.no_grad():
        ours, theirs = (next_token_logits if causal else classifier_logits)(
            config, weights, model, data)
    if ours.shape != theirs.shape:
        print(f"{model}: shapes {list(ours.shape)} and {list(theirs.shape)}")
        return False
    apart = float((ours - theirs).abs().max() / theirs.abs().max())
    extra = weights.keys() - weights.seen
    print(f"{model}: {theirs.shape[0]} rows of {theirs.shape[1]} logits, largest"
          f" {float(theirs.abs().max()):.3f}, within {apart:.1e} of it; tensors of no use:"
          f" {sorted(extra) or 'none'}")
    return apart <= APART_MAX and not extra


def check_masked(model):
    """A masked language model, which `eval` cannot run: PyTorch finds all that it needs."""
    config, weights = hf_models.read_model(model)
    noted = Noted(weights)
    with torch.no_grad():
        logits = hf_models.logits(noted, config, "masked", Batch([[2, 7, 8, 3]], [1, 2], [7, 8]))
    extra = weights.keys() - noted.seen
    good = (config["architectures"] == ["BertForMaskedLM"] and not extra
            and bool(torch.isfinite(logits).all()))
    print(f"{model}: {len(weights)} tensors, of no use: {sorted(extra) or 'none'}")
    return good


def learn(verb, out, *options):
    """A few steps, enough that no tensor is as it was first drawn."""
    subprocess.run([PROGRAM, verb, *map(str, options), "--steps", "6", "--batch", "8", "--rate",
                    "0.01", "--threads", "1", str(out)], check=True, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL)
    return out


def check_trained():
    articles = DATA / "articles.txt"
    small = ("--layers", 2, "--width", 36, "--heads", 3, "--inner", 50, "--vocab", 300,
             "--positions", 64)
    with tempfile.TemporaryDirectory(prefix="flipsweep-test-") as folder:
        top = pathlib.Path(folder)
        reviews = top / "reviews.tsv"
        header, *rows = (DATA / "reviews.tsv").read_text().splitlines()
        # Whatever pads a batch of GPT-2's must not be in a sentence: "!" is its first token.
        reviews.write_text("\n".join([header, "!What a film! It moved me.\t1", *rows]) + "\n")
        bert = learn("train", top / "bert", "--model", "bert", *small, "--data", articles)
        gpt2 = learn("train", top / "gpt2", "--model", "gpt2", *small, "--data", articles)
        classify = ("--task", "classification", "--data", reviews)
        return all([
            check_masked(bert),
            check(learn("finetune", top / "bert-tuned", "--from", bert, *classify), reviews),
            check(learn("finetune", top / "bert-lora", "--from", bert, "--lora", 2, *classify),
                  reviews),
            check(gpt2, articles),
            check(learn("finetune", top / "gpt2-tuned", "--from", gpt2, *classify), reviews)])


def main():
    if len(sys.argv) not in (1, 3):
        sys.exit(__doc__)
    sys.exit(0 if (check(*sys.argv[1:]) if len(sys.argv) == 3 else check_trained()) else 1)


if __name__ == "__main__":
    main()
