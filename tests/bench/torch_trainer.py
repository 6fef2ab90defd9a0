"""PyTorch's side of train_speed.py: makes the models and batches, and trains as fast as it can.

    torch_trainer.py make DIR CASE             writes a model and batches for both sides
    torch_trainer.py run DIR THREADS DROPOUT   trains; a line "N" on stdin makes N steps

What PyTorch 1.13 offers for speed is used: one product for query, key and value, batches of
sequences of like length padded to the longest, answers gathered before the head, a mask only where
there is padding, AdamW and clipping by the foreach kernels, subnormal numbers flushed.
"""
import json
import math
import pathlib
import random
import resource
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "reference"))
import hf_models  # noqa: E402
from hf_models import Batch, F, torch  # noqa: E402

LAYERS, WIDTH, HEADS, VOCAB = 4, 256, 4, 8192
BATCHES = 8
RATE, DECAY, CLIP = 1e-4, 0.01, 1.0
SHARED = {"num_labels": 2, "vocab_size": VOCAB}
BERT = {**SHARED, "model_type": "bert", "hidden_size": WIDTH, "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS, "intermediate_size": 4 * WIDTH, "hidden_act": "gelu",
        "layer_norm_eps": 1e-12, "max_position_embeddings": 128, "type_vocab_size": 2}
GPT2 = {**SHARED, "model_type": "gpt2", "n_embd": WIDTH, "n_layer": LAYERS, "n_head": HEADS,
        "n_positions": 256, "activation_function": "gelu_new", "layer_norm_epsilon": 1e-5,
        "architectures": ["GPT2LMHeadModel"]}


def sst2_lengths(rng, count):
    """Like SST-2's sentences and phrases in word pieces: 4 to 66, half of them below 16."""
    return [min(66, max(4, round(math.exp(rng.gauss(2.75, 0.6))))) for _ in range(count)]


def draw_batches(head):
    rng = random.Random(7)

    def sequence(length):
        return [rng.randrange(VOCAB) for _ in range(length)]

    if head == "classify":
        lengths = sorted(sst2_lengths(rng, 32 * BATCHES))
        groups = [lengths[i:i + 32] for i in range(0, len(lengths), 32)]
        rng.shuffle(groups)
        return [Batch([sequence(n) for n in group], None, [rng.randrange(2) for _ in group])
                for group in groups]
    batches = []
    for _ in range(BATCHES):
        length, count = (128, 16) if head == "masked" else (256, 8)
        sequences = [sequence(length) for _ in range(count)]
        tokens = [t for s in sequences for t in s]
        if head == "masked":
            rows = sorted(rng.sample(range(len(tokens)), round(0.15 * len(tokens))))
            targets = [rng.randrange(VOCAB) for _ in rows]
        else:
            rows = [r for r in range(len(tokens)) if (r + 1) % length]
            targets = [tokens[r + 1] for r in rows]
        batches.append(Batch(sequences, rows, targets))
    return batches


def draw_weights(config, head):
    """As transformers start: normal with deviation 0.02, biases 0, gains 1."""
    torch.manual_seed(3)
    weights, d = {}, WIDTH

    def matrix(name, rows, cols):
        weights[name + ".weight"] = torch.randn(rows, cols) * 0.02

    def linear(name, rows, cols, bias):
        matrix(name, rows, cols)
        weights[name + ".bias"] = torch.zeros(bias)

    def norm(name):
        weights[name + ".weight"], weights[name + ".bias"] = torch.ones(d), torch.zeros(d)

    if config["model_type"] == "gpt2":
        matrix("transformer.wte", VOCAB, d)
        matrix("transformer.wpe", config["n_positions"], d)
        for layer in range(LAYERS):
            at = f"transformer.h.{layer}."
            norm(at + "ln_1")
            linear(at + "attn.c_attn", d, 3 * d, 3 * d)
            linear(at + "attn.c_proj", d, d, d)
            norm(at + "ln_2")
            linear(at + "mlp.c_fc", d, 4 * d, 4 * d)
            linear(at + "mlp.c_proj", 4 * d, d, d)
        norm("transformer.ln_f")
        return weights
    at = "bert.embeddings."
    matrix(at + "word_embeddings", VOCAB, d)
    matrix(at + "position_embeddings", config["max_position_embeddings"], d)
    matrix(at + "token_type_embeddings", 2, d)
    norm(at + "LayerNorm")
    for layer in range(LAYERS):
        at = f"bert.encoder.layer.{layer}."
        for part in ("self.query", "self.key", "self.value", "output.dense"):
            linear(at + "attention." + part, d, d, d)
        norm(at + "attention.output.LayerNorm")
        linear(at + "intermediate.dense", 4 * d, d, 4 * d)
        linear(at + "output.dense", d, 4 * d, d)
        norm(at + "output.LayerNorm")
    if head == "classify":
        linear("bert.pooler.dense", d, d, d)
        linear("classifier", 2, d, 2)
    else:
        linear("cls.predictions.transform.dense", d, d, d)
        norm("cls.predictions.transform.LayerNorm")
        weights["cls.predictions.bias"] = torch.zeros(VOCAB)
    return weights


def make(folder, head):
    config = GPT2 if head == "causal" else BERT
    folder = pathlib.Path(folder)
    (folder / "batches").mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "head").write_text(head)
    hf_models.write_safetensors(folder / "model.safetensors", draw_weights(config, head))
    hf_models.write_safetensors(folder / "batches" / "model.safetensors",
                                hf_models.batch_tensors(draw_batches(head)))


class Prepared:
    """A batch as the network wants it: padded, with a mask where there is padding."""

    def __init__(self, batch, head):
        self.ids, valid = batch.padded()
        self.tokens = int(valid.sum())
        self.targets = torch.tensor(batch.targets)
        # Added to the scores of all heads; None where every key is seen.
        self.mask = None
        n, length = self.ids.shape
        if head == "causal":
            self.mask = torch.full((1, length, length), -math.inf).triu(1)
        elif not bool(valid.all()):
            mask = torch.zeros(n, 1, 1, length).masked_fill(~valid[:, None, None], -math.inf)
            self.mask = mask.expand(n, HEADS, 1, length).reshape(n * HEADS, 1, length)
        if batch.rows is not None:
            # The batch's rows are numbered without the padding.
            self.rows = valid.flatten().nonzero().flatten()[torch.tensor(batch.rows)]


class Trainer:
    def __init__(self, config, head, weights, dropout):
        self.config, self.head, self.dropout = config, head, dropout
        self.w = {}
        for name, tensor in weights.items():
            if ".self." not in name:
                self.w[name] = tensor.clone()
            elif ".query." in name:
                parts = [weights[name.replace("query", p)] for p in ("query", "key", "value")]
                self.w[name.replace("query", "qkv")] = torch.cat(parts)
        for tensor in self.w.values():
            tensor.requires_grad_(True)
        still = [n for n in self.w if n.endswith("bias") or "LayerNorm" in n or ".ln_" in n]
        self.values = list(self.w.values())
        self.optimiser = torch.optim.AdamW(
            [{"params": [w for n, w in self.w.items() if n not in still], "weight_decay": DECAY},
             {"params": [self.w[n] for n in still], "weight_decay": 0.0}],
            lr=RATE, foreach=True)

    def drop(self, x):
        return F.dropout(x, self.dropout) if self.dropout > 0 else x

    def linear(self, name, x):
        return F.linear(x, self.w[name + ".weight"], self.w[name + ".bias"])

    def conv1d(self, name, x):
        return torch.addmm(self.w[name + ".bias"], x, self.w[name + ".weight"])

    def norm(self, name, x, eps):
        return F.layer_norm(x, (WIDTH,), self.w[name + ".weight"], self.w[name + ".bias"], eps)

    def attend(self, qkv, n, length, mask):
        """qkv [n * length, 3 * WIDTH] -> [n * length, WIDTH]"""
        size = WIDTH // HEADS
        q, k, v = qkv.view(n, length, 3, HEADS, size).permute(2, 0, 3, 1, 4).reshape(
            3, n * HEADS, length, size).unbind()
        if mask is None:
            scores = torch.bmm(q * size ** -0.5, k.transpose(1, 2))
        else:
            scores = torch.baddbmm(mask, q, k.transpose(1, 2), alpha=size ** -0.5)
        out = torch.bmm(self.drop(torch.softmax(scores, -1)), v)
        return out.view(n, HEADS, length, size).transpose(1, 2).reshape(n * length, WIDTH)

    def bert(self, batch):
        n, length = batch.ids.shape
        eps = self.config["layer_norm_eps"]
        at = "bert.embeddings."
        x = F.embedding(batch.ids, self.w[at + "word_embeddings.weight"])
        x = x + (self.w[at + "position_embeddings.weight"][:length]
                 + self.w[at + "token_type_embeddings.weight"][0])
        x = self.drop(self.norm(at + "LayerNorm", x, eps)).view(n * length, WIDTH)
        for layer in range(LAYERS):
            at = f"bert.encoder.layer.{layer}."
            y = self.attend(self.linear(at + "attention.self.qkv", x), n, length, batch.mask)
            y = self.drop(self.linear(at + "attention.output.dense", y))
            x = self.norm(at + "attention.output.LayerNorm", x + y, eps)
            y = F.gelu(self.linear(at + "intermediate.dense", x))
            y = self.drop(self.linear(at + "output.dense", y))
            x = self.norm(at + "output.LayerNorm", x + y, eps)
        if self.head == "classify":
            pooled = torch.tanh(self.linear("bert.pooler.dense", x.view(n, length, WIDTH)[:, 0]))
            return self.linear("classifier", self.drop(pooled))
        at = "cls.predictions."
        y = F.gelu(self.linear(at + "transform.dense", x.index_select(0, batch.rows)))
        y = self.norm(at + "transform.LayerNorm", y, eps)
        return F.linear(y, self.w["bert.embeddings.word_embeddings.weight"], self.w[at + "bias"])

    def gpt2(self, batch):
        n, length = batch.ids.shape
        eps = self.config["layer_norm_epsilon"]
        x = F.embedding(batch.ids, self.w["transformer.wte.weight"])
        x = self.drop(x + self.w["transformer.wpe.weight"][:length]).view(n * length, WIDTH)
        for layer in range(LAYERS):
            at = f"transformer.h.{layer}."
            qkv = self.conv1d(at + "attn.c_attn", self.norm(at + "ln_1", x, eps))
            y = self.attend(qkv, n, length, batch.mask)
            x = x + self.drop(self.conv1d(at + "attn.c_proj", y))
            y = self.conv1d(at + "mlp.c_fc", self.norm(at + "ln_2", x, eps))
            y = self.conv1d(at + "mlp.c_proj", F.gelu(y, approximate="tanh"))
            x = x + self.drop(y)
        x = self.norm("transformer.ln_f", x.index_select(0, batch.rows), eps)
        return F.linear(x, self.w["transformer.wte.weight"])

    def step(self, batch):
        self.optimiser.zero_grad(set_to_none=True)
        logits = self.bert(batch) if self.config["model_type"] == "bert" else self.gpt2(batch)
        loss = F.cross_entropy(logits, batch.targets)
        loss.backward()
        grads = [w.grad for w in self.values]
        norm = torch.stack(torch._foreach_norm(grads)).norm()
        torch._foreach_mul_(grads, float((CLIP / (norm + 1e-6)).clamp(max=1.0)))
        self.optimiser.step()
        return loss


def run(folder, threads, dropout):
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)
    torch.manual_seed(1)
    folder = pathlib.Path(folder)
    config, weights = hf_models.read_model(folder)
    head = (folder / "head").read_text()
    batches = [Prepared(b, head) for b in draw_batches(head)]
    trainer = Trainer(config, head, weights, dropout)
    done = 0
    for line in sys.stdin:
        start, cpu, tokens = time.perf_counter(), cpu_seconds(), 0
        for _ in range(int(line)):
            batch = batches[done % len(batches)]
            loss = trainer.step(batch)
            tokens += batch.tokens
            done += 1
        print(json.dumps({"seconds": time.perf_counter() - start, "cpu": cpu_seconds() - cpu,
                          "tokens": tokens, "loss": float(loss)}), flush=True)


def cpu_seconds():
    use = resource.getrusage(resource.RUSAGE_SELF)
    return use.ru_utime + use.ru_stime


if __name__ == "__main__":
    if sys.argv[1] == "make":
        make(sys.argv[2], sys.argv[3])
    else:
        run(sys.argv[2], int(sys.argv[3]), float(sys.argv[4]))
