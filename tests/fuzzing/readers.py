"""The readers of files, and for each an endless supply of files that deceive them.

A reader may refuse a file with an error of fpsim's or an OSError, or read it; then what it gave must be usable.
"""

import contextlib
import functools
import gzip
import hashlib
import io
import json
import pickle
import sqlite3
import struct
import zipfile

import numpy as np

import fpsim as fp
import fpsim.nn as nn
from fpsim.data.idx_files import TYPES
from fpsim.experiments.packing import pack
from fpsim.experiments.record import Record
from tests.fuzzing.mutating import EDGES, as_json, damaged, with_hostile_parts

#: What a pickle leaves behind that was loaded.
LOADED = []


def note_loaded():
    LOADED.append("here")


class Bomb:
    """Pickled, it tells whether somebody unpickled it."""

    def __reduce__(self):
        return note_loaded, ()


# Results -------------------------------------------------------------------------------------------------------------


@functools.cache
def results(folder):
    run = fp.train("float32", scenario="rounding", steps=3, batch=4)
    compared = fp.compare(["float32", "float16"], "rounding", 2, batch=4)
    swept = fp.sweep({"scale": [1.0, 2.0]}, scenario="rounding", steps=2, batch=4)
    paths = [x.save(folder / f"{i}.json") for i, x in enumerate((run, compared, swept))]
    return [path.read_bytes() for path in paths]


def make_results(rng, folder):
    content = rng.choice(results(folder))
    return damaged(content, rng) if rng.random() < 0.3 else as_json(with_hostile_parts(json.loads(content), rng))


def read_results(path):
    found = fp.load(path)
    if isinstance(found, fp.experiments.Run):
        found = fp.experiments.Comparison([found])
    repr(found), found.table(), found.to_dict()


# Stores of sweeps ----------------------------------------------------------------------------------------------------

COLUMNS = {
    "about": ("value",), "configurations": ("place", "key", "arguments", "part"),
    "results": ("key", "run", "loss", "scale", "exponents", "error", "seconds"),
}  # fmt: skip


#: Views in place of tables, whose rows never end.
ENDLESS = "".join(
    f"CREATE VIEW IF NOT EXISTS {table} AS WITH RECURSIVE t(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM t) "
    f"SELECT {', '.join(f'x AS {column}' for column in columns)} FROM t;"
    for table, columns in COLUMNS.items()
)


@functools.cache
def store(folder):
    fp.sweep({"scale": [1.0, 2.0]}, "serial", scenario="rounding", steps=2, batch=4, out=folder / "swept")
    return (folder / "swept" / "sweep.sqlite").read_bytes()


def make_store(rng, folder):
    content = store(folder)
    if rng.random() < 0.3:
        return damaged(content, rng)
    path = folder / "changed.sqlite"
    path.write_bytes(content)
    with contextlib.closing(sqlite3.connect(path)) as changed, changed:
        changed.execute("PRAGMA synchronous = OFF")
        if rng.random() < 0.02:
            changed.executescript(f"DROP TABLE {rng.choice(list(COLUMNS))};{ENDLESS}")
            return path.read_bytes()
        for _ in range(rng.choice((1, 1, 2))):
            table = rng.choice(list(COLUMNS))
            column = rng.choice(COLUMNS[table])
            row, value = rng.choice(changed.execute(f"SELECT rowid, {column} FROM {table}").fetchall())
            value = hostile_cell(value, rng)
            with contextlib.suppress(sqlite3.IntegrityError):
                changed.execute(f"UPDATE {table} SET {column} = ? WHERE rowid = ?", (value, row))
    return path.read_bytes()


def hostile_cell(value, rng):
    if isinstance(value, str) and value[:1] in "[{" and rng.random() < 0.7:
        with contextlib.suppress(ValueError, RecursionError):  # of one that is hostile already
            return as_json(with_hostile_parts(json.loads(value), rng)).decode()
    if isinstance(value, bytes) and rng.random() < 0.7:
        return damaged(value, rng)
    return rng.choice(
        (None, "", "x" * 5000, "\0", "\x1b[31m", -1, 0, 2**62, 0.5, float("inf"), b"", b"\xff" * 99, "[" * 5000)
    )


# Weights -------------------------------------------------------------------------------------------------------------


def network():
    with fp.seed(0):
        return nn.Sequential(nn.Linear(3, 2), nn.BatchNorm2d(2)).half()


@functools.cache
def weights(folder, ending):
    return fp.save_weights(network(), folder / f"w{ending}").read_bytes()


def read_weights(path):
    net = network()
    fp.load_weights(net, path)
    assert all(np.asarray(v).size < 100 for v in net.state_dict().values())


def make_safetensors(rng, folder):
    content = weights(folder, ".safetensors")
    return damaged(content, rng) if rng.random() < 0.3 else hostile_safetensors(content, rng)


def hostile_safetensors(content, rng):
    (length,) = struct.unpack("<Q", content[:8])
    text = as_json(with_hostile_parts(json.loads(content[8 : 8 + length]), rng))
    length = rng.choice(EDGES) if rng.random() < 0.05 else len(text)
    data = content[8 + struct.unpack("<Q", content[:8])[0] :]
    return struct.pack("<Q", length) + text + (data if rng.random() < 0.9 else data * 2)


SHAPES = (
    "(2,)", "(1099511627776,)", "(1099511627776, 1099511627776)", "(-1,)", "()", "(0,)", "(2, 3)", "(True,)", "2",
    "(1.0,)", "(" * 150 + ")" * 150, "__import__('os')", "(" + "1," * 33 + ")", "(" + "1," * 2000 + ")",
)  # fmt: skip
DESCRIPTIONS = (
    "'<f2'", "'<f4'", "'>f8'", "'|O'", "'<U9'", "'|V2147483647'", "[('a', '<f4')]", "'<f4' * 99", "('<f4', (99,))",
    "'<c16'", "'<M8[s]'", "'f16'", "'|b1'", "'nonsense'", "None", "-" * 3000 + "1",
)  # fmt: skip


def npy(rng):
    """An array's file with a header that may claim anything."""
    if rng.random() < 0.1:
        buffer = io.BytesIO()
        np.lib.format.write_array(buffer, np.array([Bomb()], object), allow_pickle=True)
        return buffer.getvalue()
    columns, extra = rng.choice(("True", "False", "0", "'yes'")), rng.choice(("", "", "'x': 1, ", "'shape': (), "))
    header = (
        f"{{'descr': {rng.choice(DESCRIPTIONS)}, 'fortran_order': {columns}, 'shape': {rng.choice(SHAPES)}, {extra}}}\n"
    )
    header = header.encode() + b" " * rng.choice((0, 0, 0, 20_000))
    version = rng.choice(((1, 0), (1, 0), (2, 0), (3, 0), (9, 9)))
    length = rng.choice(EDGES) if rng.random() < 0.05 else len(header)
    packed = struct.pack("<H", length % 2**16) if version == (1, 0) else struct.pack("<I", length % 2**32)
    return b"\x93NUMPY" + bytes(version) + packed + header + b"\0" * rng.choice((0, 4, 8, 12, 100, 2**16))


def whole_npy(value):
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.asarray(value))
    return buffer.getvalue()


NAMES = (
    "0.weight", "0.bias", "1.weight", "1.bias", "1.running_mean", "../../etc/passwd", "/tmp/x", "a\n", "", "x" * 600,
    "\x1b[31m", "1.running_var", "1.num_batches_tracked",
)  # fmt: skip


def make_npz(rng, folder):
    if rng.random() < 0.4:
        return damaged(weights(folder, ".npz"), rng)
    if rng.random() < 0.02:
        return pickle.dumps({"0.weight": Bomb()})
    buffer = io.BytesIO()
    kinds = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
    entries = [[name, whole_npy(value), zipfile.ZIP_DEFLATED] for name, value in network().state_dict().items()]
    for _ in range(rng.randrange(3)):
        entry = rng.choice(entries)
        kind = rng.randrange(5)
        if kind < 3:
            entry[kind] = (rng.choice(NAMES), npy(rng), rng.choice(kinds))[kind]
        elif kind == 3:
            entries.append([rng.choice(NAMES), npy(rng) if rng.random() < 0.99 else bytes(2**22), rng.choice(kinds)])
        else:
            entries.remove(entry)
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content, kind in entries:
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), content, kind)
    content = buffer.getvalue()
    if rng.random() < 0.3:  # sizes and kinds in the archive's directory
        at = content.rfind(b"PK\1\2") + rng.choice((8, 10, 16, 20, 24, 28, 42))
        content = content[:at] + struct.pack("<I", rng.choice(EDGES) % 2**32) + content[at + 4 :]
    return content


# IDX -----------------------------------------------------------------------------------------------------------------


def make_idx(rng, folder):
    kind = rng.choice((*TYPES, 0, 0x0A, 255))
    ndim = rng.choice((0, 1, 1, 2, 3, 3, 4, 8, 9, 255))
    sizes = [rng.choice((1, 2, 3, 28, *EDGES)) % 2**32 for _ in range(min(ndim, 9))]
    right = int(np.prod(sizes, dtype=object)) * 8 if sizes else 0
    values = bytes(rng.choice((0, 1, 3, 8, min(right, 5000), min(right // 8, 5000))))
    content = bytes((0, 0, kind, ndim)) + b"".join(n.to_bytes(4, "big") for n in sizes) + values
    if rng.random() < 0.02:
        content = bytes((0, 0, 8, 1)) + (2**22).to_bytes(4, "big") + bytes(2**22)  # a real one that packs well
    if rng.random() < 0.3:
        content = gzip.compress(content, 1)
    return damaged(content, rng) if rng.random() < 0.4 else content


def read_idx(path):
    values = fp.data.idx(path)
    assert values.size > 0


FAMILY = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


def make_family(rng, folder):
    """Which of the four files is hostile, and its content; the others are what they should be."""
    n, (h, w) = rng.choice((1, 2, 50)), rng.choice(((28, 28), (28, 28), (1, 1), (32, 32), (33, 1), (1, 30), (8, 8)))
    images = bytes((0, 0, 8, 3)) + b"".join(k.to_bytes(4, "big") for k in (n, h, w)) + bytes(n * h * w)
    labels = bytes((0, 0, 8, 1)) + n.to_bytes(4, "big") + rng.randbytes(n)
    parts = [images, labels, images, labels]
    which = rng.randrange(4)
    parts[which] = make_idx(rng, folder) if rng.random() < 0.5 else damaged(parts[which], rng)
    return json.dumps([part.hex() for part in parts]).encode()


def read_family(path):
    for name, part in zip(FAMILY, json.loads(path.read_bytes()), strict=True):
        (path.parent / name).write_bytes(bytes.fromhex(part))
    images = fp.data.idx(path.parent)
    assert images.train_x.shape[1:] == (1, 32, 32)


# Checkpoints ---------------------------------------------------------------------------------------------------------


def parts():
    net = network()
    optimizer = fp.optim.AdamW(net.parameters(), lr=0.1, master="float32")
    return {
        "net": net, "optimizer": optimizer, "scaler": fp.amp.GradScaler(), "record": Record(),
        "scheduler": fp.optim.lr_scheduler.StepLR(optimizer, 2), "rng": np.random.default_rng(0),
        "batches": fp.data.batches(np.ones((4, 3)), np.zeros(4, int), size=2),
    }  # fmt: skip


@functools.cache
def checkpoints(folder):
    states = []
    for name, part in parts().items():
        extra = (0.0,) if name == "record" else ()
        states.append((name, part.bit_generator.state if name == "rng" else part.state_dict(*extra)))
    fp.train("mixed_float16", scenario="rounding", steps=2, batch=4, checkpoint=folder / "kept")
    whole = (folder / "kept" / "step-000002.checkpoint").read_bytes()
    return [pack({**dict(states), "step": 3}), whole]


def sealed(payload):
    """With a checksum that is right."""
    first = b"fpsim checkpoint 1\n"
    return first + hashlib.sha256(first + payload).hexdigest().encode() + b"\n" + payload


def make_checkpoint(rng, folder):
    content = rng.choice(checkpoints(folder))
    kind = rng.random()
    if kind < 0.25:
        return damaged(content, rng)
    payload = content.split(b"\n", 2)[2]
    if kind < 0.4:
        return sealed(damaged(payload, rng))
    if kind < 0.55:
        return sealed(hostile_safetensors(payload, rng))
    (length,) = struct.unpack("<Q", payload[:8])
    header = json.loads(payload[8 : 8 + length])
    state = as_json(with_hostile_parts(json.loads(header["__metadata__"]["state"]), rng)).decode()
    header["__metadata__"]["state"] = state
    text = json.dumps(header).encode()
    return sealed(struct.pack("<Q", len(text)) + text + payload[8 + length :])


def read_checkpoint(path):
    state = fp.load_checkpoint(path)
    if "training" in state:
        fp.train(resume=path, steps=2, checkpoint=path.parent / "resumed")
    else:
        fp.load_checkpoint(path, **parts())


#: name -> (name of the file, maker of contents, reader)
READERS = {
    "results": ("r.json", make_results, read_results),
    "store": ("sweep.sqlite", make_store, read_results),
    "npz": ("w.npz", make_npz, read_weights),
    "safetensors": ("w.safetensors", make_safetensors, read_weights),
    "idx": ("values", make_idx, read_idx),
    "idx family": ("family", make_family, read_family),
    "checkpoint": ("step-000002.checkpoint", make_checkpoint, read_checkpoint),
}
