"""Damage: bytes changed at random, and trees of JSON with something hostile in a place of theirs."""

import copy
import json
import struct

#: Numbers at which programs that trust them break.
EDGES = (0, 1, 2, 127, 128, 255, 256, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**63 - 1, 2**63, 2**64 - 1)

#: What stands for text that `json.dumps` cannot write.
RAW = {
    "@many digits": "9" * 5000,
    "@deep": "[" * 100_000,
    "@deep and closed": "[" * 3000 + "]" * 3000,
    "@deep dicts": '{"a":' * 3000 + "1" + "}" * 3000,
    "@beyond floats": "1e999",
    "@surrogate": '"\\ud800"',
}

HOSTILE = (
    None, True, False, [], {}, "", "a", "x" * 5000, "\0", "\x1b[31m", "../../../etc/passwd", "nan", "inf", "-inf",
    "float16", -1, 0, 1, 2**31, 2**40, 2**63, 2**64, 10**400, -(10**30), 0.5, -0.0, 1e308, float("nan"), float("inf"),
    [[]], [None], {"a": 1}, [0] * 1000, *RAW,
)  # fmt: skip


def damaged(content, rng):
    """Some bytes changed, left out, moved or put in."""
    content = bytearray(content)
    for _ in range(rng.choice((1, 1, 1, 2, 4, 16))):
        at = rng.randrange(len(content) + 1)
        kind = rng.randrange(7)
        if kind == 0 and content:
            content[min(at, len(content) - 1)] ^= 1 << rng.randrange(8)
        elif kind == 1 and content:
            content[min(at, len(content) - 1)] = rng.randrange(256)
        elif kind == 2:
            del content[at:]
        elif kind == 3:
            del content[at : at + rng.randrange(1, 40)]
        elif kind == 4:
            content[at:at] = content[rng.randrange(len(content) + 1) :][: rng.randrange(1, 200)]
        elif kind == 5:
            size, order = rng.choice("BHIQ"), rng.choice("<>")
            number = struct.pack(order + size, rng.choice(EDGES) % 2 ** (8 * struct.calcsize(size)))
            content[at : at + len(number)] = number
        else:
            content[at:at] = rng.randbytes(rng.randrange(1, 20))
    return bytes(content)


def places(tree, found=None, path=()):
    """The paths of all nodes of a tree."""
    found = [] if found is None else found
    found.append(path)
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, node in items:
        places(node, found, (*path, key))
    return found


def with_hostile_parts(tree, rng):
    """A copy in which one to three nodes are hostile, missing, twice there or under another name."""
    tree = json.loads(json.dumps(tree))
    for _ in range(rng.choice((1, 1, 2, 3))):
        path = rng.choice(places(tree))
        if not path:
            if rng.random() < 0.1:
                return copy.deepcopy(rng.choice(HOSTILE))
            continue
        home = tree
        for key in path[:-1]:
            home = home[key]
        kind, key = rng.randrange(6), path[-1]
        if kind == 0:
            del home[key]
        elif kind == 1 and isinstance(home, dict):
            home[str(rng.choice(HOSTILE))[:50]] = home.pop(key)
        elif kind == 1:
            home.insert(key, home[key])
        elif kind == 2 and isinstance(home[key], int | float) and not isinstance(home[key], bool):
            home[key] = rng.choice((home[key] + 1, -home[key], home[key] * 2, 0, rng.choice(EDGES)))
        else:
            home[key] = copy.deepcopy(rng.choice(HOSTILE))
    return tree


def as_json(tree):
    """As bytes, with what `RAW` stands for."""
    text = json.dumps(tree)
    for name, raw in RAW.items():
        text = text.replace(f'"{name}"', raw)
    return text.encode()
