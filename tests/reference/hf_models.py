"""BERT and GPT-2 in PyTorch as HuggingFace's transformers define them, for references.

Nothing but PyTorch is needed (1.13 of Debian 12 is enough), neither transformers nor safetensors.
A model is a dict from HuggingFace's tensor names, prefix included, to tensors; a forward pass is a
function of it. A batch is packed: sequences one behind the other, without padding.
"""
import ctypes
import json
import math
import os
import pathlib
import struct
import sys

SKIPPED = 77  # an exit code that ctest knows as "skipped"

try:
    import torch
    import torch.nn.functional as F
except ImportError:
    # The build's python3 may be another one than the one that Debian's python3-torch belongs to.
    if os.path.realpath(sys.executable) != os.path.realpath("/usr/bin/python3"):
        os.execv("/usr/bin/python3", ["/usr/bin/python3", *sys.argv])
    print("skipped: needs PyTorch (Debian: python3-torch)", file=sys.stderr)
    sys.exit(SKIPPED)


class Batch:
    """Sequences of token ids, the packed rows that answer (None: one answer per sequence), and
    what each is to answer."""

    def __init__(self, sequences, rows, targets):
        self.sequences = sequences
        self.rows = rows
        self.targets = targets

    def ids(self):
        return [i for s in self.sequences for i in s]

    def offsets(self):
        at = [0]
        for s in self.sequences:
            at.append(at[-1] + len(s))
        return at

    def padded(self):
        """(ids, valid), both [sequences, longest], padded on the right."""
        longest = max(map(len, self.sequences))
        ids = torch.tensor([s + [0] * (longest - len(s)) for s in self.sequences])
        lengths = torch.tensor([[len(s)] for s in self.sequences])
        return ids, torch.arange(longest)[None, :] < lengths


def activate(x, name):
    if name == "gelu":
        return F.gelu(x)
    if name in ("gelu_new", "gelu_pytorch_tanh"):
        return 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x ** 3)))
    if name == "relu":
        return F.relu(x)
    raise ValueError(f"activation {name}")


def attend(q, k, v, heads, allowed):
    """Softmax attention of [n, length, d]; allowed [n or 1, length, length] says who sees whom."""
    def split(x):
        return x.view(*x.shape[:2], heads, -1).transpose(1, 2)

    scores = split(q) @ split(k).transpose(2, 3) / math.sqrt(q.shape[-1] // heads)
    scores = scores.masked_fill(~allowed[:, None], -math.inf)
    return (torch.softmax(scores, -1) @ split(v)).transpose(1, 2).reshape(q.shape)


def linear(w, name, x):
    """torch's Linear, [out, in]."""
    return F.linear(x, w[name + ".weight"], w[name + ".bias"])


def conv1d(w, name, x):
    """GPT-2's Conv1D, [in, out]."""
    return x @ w[name + ".weight"] + w[name + ".bias"]


def norm(w, name, x, eps):
    return F.layer_norm(x, x.shape[-1:], w[name + ".weight"], w[name + ".bias"], eps)


def bert_states(w, config, ids, valid):
    """[n, length, d] after the last block; every token is of type 0."""
    eps, heads = config["layer_norm_eps"], config["num_attention_heads"]
    act = config.get("hidden_act", "gelu")
    at = "bert.embeddings."
    x = (w[at + "word_embeddings.weight"][ids]
         + w[at + "position_embeddings.weight"][:ids.shape[1]]
         + w[at + "token_type_embeddings.weight"][0])
    x = norm(w, at + "LayerNorm", x, eps)
    for layer in range(config["num_hidden_layers"]):
        at = f"bert.encoder.layer.{layer}."
        q, k, v = (linear(w, at + "attention.self." + part, x) for part in ("query", "key", "value"))
        y = linear(w, at + "attention.output.dense", attend(q, k, v, heads, valid[:, None, :]))
        x = norm(w, at + "attention.output.LayerNorm", x + y, eps)
        y = activate(linear(w, at + "intermediate.dense", x), act)
        x = norm(w, at + "output.LayerNorm", x + linear(w, at + "output.dense", y), eps)
    return x


def gpt2_states(w, config, ids):
    """[n, length, d] after the final norm."""
    eps, d = config["layer_norm_epsilon"], config["n_embd"]
    act = config.get("activation_function", "gelu_new")
    allowed = torch.ones(1, ids.shape[1], ids.shape[1], dtype=torch.bool).tril()
    x = w["transformer.wte.weight"][ids] + w["transformer.wpe.weight"][:ids.shape[1]]
    for layer in range(config["n_layer"]):
        at = f"transformer.h.{layer}."
        q, k, v = conv1d(w, at + "attn.c_attn", norm(w, at + "ln_1", x, eps)).split(d, -1)
        x = x + conv1d(w, at + "attn.c_proj", attend(q, k, v, config["n_head"], allowed))
        y = activate(conv1d(w, at + "mlp.c_fc", norm(w, at + "ln_2", x, eps)), act)
        x = x + conv1d(w, at + "mlp.c_proj", y)
    return norm(w, "transformer.ln_f", x, eps)


def last_row(sequence, config):
    """The row that transformers lets GPT-2 classify by: the last one before padding begins."""
    pad = config.get("pad_token_id")
    return (sequence.index(pad) if pad in sequence else len(sequence)) - 1


def logits(w, config, head, batch):
    """[answers, classes or vocabulary]; head: classify, masked (BERT), causal (GPT-2)."""
    ids, valid = batch.padded()
    offsets = torch.tensor(batch.offsets())
    if config["model_type"] == "bert":
        packed = bert_states(w, config, ids, valid)[valid]
        if head == "classify":
            pooled = torch.tanh(linear(w, "bert.pooler.dense", packed[offsets[:-1]]))
            return linear(w, "classifier", pooled)
        at = "cls.predictions."
        y = linear(w, at + "transform.dense", packed[torch.tensor(batch.rows)])
        y = activate(y, config.get("hidden_act", "gelu"))
        y = norm(w, at + "transform.LayerNorm", y, config["layer_norm_eps"])
        return F.linear(y, w["bert.embeddings.word_embeddings.weight"], w[at + "bias"])
    packed = gpt2_states(w, config, ids)[valid]
    if head == "classify":
        rows = [offsets[i] + last_row(s, config) for i, s in enumerate(batch.sequences)]
        return F.linear(packed[torch.stack(rows)], w["score.weight"])
    decoder = w.get("lm_head.weight", w["transformer.wte.weight"])
    return F.linear(packed[torch.tensor(batch.rows)], decoder)


DTYPES = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16,
          "BF16": torch.bfloat16, "I64": torch.int64}


def batch_tensors(batches):
    """Batches as tests/support/train_batches.h reads them."""
    flat = {"sequences": [len(b.sequences) for b in batches],
            "offsets": [o for b in batches for o in b.offsets()],
            "ids": [i for b in batches for i in b.ids()],
            "outputs": [len(b.targets) for b in batches],
            "rows": [r for b in batches for r in b.rows or []],
            "targets": [t for b in batches for t in b.targets]}
    return {"batch/" + name: torch.tensor(values, dtype=torch.int64)
            for name, values in flat.items()}


def write_safetensors(path, tensors):
    """Writes a dict of tensors; a tensor's dtype is kept."""
    names = {dtype: name for name, dtype in DTYPES.items()}
    header, parts, end = {}, [], 0
    for name in sorted(tensors):
        tensor = tensors[name].detach().contiguous()
        part = ctypes.string_at(tensor.data_ptr(), tensor.numel() * tensor.element_size())
        header[name] = {"dtype": names[tensor.dtype], "shape": list(tensor.shape),
                        "data_offsets": [end, end + len(part)]}
        parts.append(part)
        end += len(part)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    pathlib.Path(path).write_bytes(b"".join([struct.pack("<Q", len(text)), text, *parts]))


def read_safetensors(path):
    """Reads a file of tensors into a dict."""
    raw = pathlib.Path(path).read_bytes()
    size, = struct.unpack("<Q", raw[:8])
    tensors = {}
    for name, entry in json.loads(raw[8:8 + size]).items():
        if name == "__metadata__":
            continue
        first, end = entry["data_offsets"]
        part = bytearray(raw[8 + size + first:8 + size + end])
        dtype = DTYPES[entry["dtype"]]
        flat = torch.frombuffer(part, dtype=dtype) if part else torch.empty(0, dtype=dtype)
        tensors[name] = flat.view(entry["shape"])
    return tensors


def read_model(folder):
    """(configuration, weights) of a HuggingFace folder, in the tensors' own dtypes."""
    folder = pathlib.Path(folder)
    config = json.loads((folder / "config.json").read_text())
    return config, read_safetensors(folder / "model.safetensors")
