"""Reads JSON as it arrives, and keeps only what is asked for: a listing of thousands of files takes a few hundred bytes of memory."""

_TEXT = const(300)  # bytes of a text that are kept: more than a path may have
_DEPTH = const(16)
_ESCAPES = {98: 8, 102: 12, 110: 10, 114: 13, 116: 9}


def objects(source, keys):
    """-> (name, {key: value}) of each object as it ends, inner ones first; the name is its key in the object around it, or None.

    `source` has readinto(). Of the values only texts, numbers, true, false and null below one of `keys` are kept. Raises ValueError or EOFError.
    """
    chars = _chars(source)
    stack = []  # [name, object or None for an array]
    key = None
    c = _next(chars)
    while True:
        if c == 123 or c == 91:  # { [
            if len(stack) == _DEPTH:
                raise ValueError
            stack.append((key, {} if c == 123 else None))
            key = None
        elif c == 125 or c == 93:  # } ]
            name, made = stack.pop() if stack else (0, 0)
            if (c == 125) != isinstance(made, dict) or key is not None:
                raise ValueError
            if c == 125:
                yield name, made
            if not stack:
                return
        elif c > 32 and c != 44 and c != 58:  # , :
            if not stack:
                raise ValueError
            inside = stack[-1][1]
            if c == 34:
                value = _text(chars, key is None and inside is not None or key in keys)
                c = _next(chars)
            else:
                value, c = _word(chars, c)
            if inside is None:
                pass
            elif key is None:
                if not isinstance(value, str):
                    raise ValueError
                key = value
            else:
                if key in keys:
                    inside[key] = value
                key = None
            continue
        c = _next(chars)


def _chars(source):
    buf = bytearray(128)
    while True:
        n = source.readinto(buf)
        if not n:
            raise EOFError
        for i in range(n):
            yield buf[i]


def _next(chars):
    for c in chars:
        return c


def _text(chars, kept):
    # -> what is up to the closing quote, or its start
    out = bytearray()
    high = 0
    for c in chars:
        if c == 34:
            break
        if c == 92:
            c = _next(chars)
            if c == 117:
                c = 0
                for _ in "four":
                    c = c << 4 | int(chr(_next(chars)), 16)
                if c >> 10 == 0x36:  # the first half of a pair
                    high = c
                    continue
                if high:
                    c = 0x10000 + ((high & 1023) << 10) + (c & 1023)
                    high = 0
                if kept:
                    out += chr(c).encode()
                continue
            c = _ESCAPES.get(c, c)
        if kept and len(out) < _TEXT:
            out.append(c)
    return str(out, "utf8")


def _word(chars, c):
    # -> a number, True, False or None, and the character after it
    word = ""
    while c not in b" \t\r\n,]}":
        word += chr(c)
        if len(word) > 32:
            raise ValueError
        c = _next(chars)
    if word in ("true", "false", "null"):
        return {"t": True, "f": False, "n": None}[word[0]], c
    return (int(word) if "." not in word and "e" not in word.lower() else float(word)), c
