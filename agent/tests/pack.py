"""Makes zlib streams and patches for the tests: fixed Huffman codes and a window of 1 KiB. MicroPython builds rarely can compress."""


def zlib_pack(data):
    """-> zlib stream of `data` (RFC 1950, 1951)."""
    bits = _Bits()
    bits.put(1, 1)  # last block
    bits.put(1, 2)  # fixed codes
    seen = {}
    at = 0
    while at < len(data):
        was = seen.get(data[at : at + 3], -1024)
        seen[data[at : at + 3]] = at
        n = 0
        if at - was <= 1000 and at + 3 <= len(data):
            while n < 10 and at + n < len(data) and data[was + n] == data[at + n]:
                n += 1
        if n >= 3:
            bits.code(n - 2, 7)  # lengths 3..10 are the codes 257..264, without extra bits
            _distance(bits, at - was)
            at += n
        else:
            c = data[at]
            if c < 144:
                bits.code(0x30 + c, 8)
            else:
                bits.code(0x190 + c - 144, 9)
            at += 1
    bits.code(0, 7)  # end
    a, b = 1, 0
    for c in data:
        a = (a + c) % 65521
        b = (b + a) % 65521
    return b"\x28\x15" + bits.end() + (b << 16 | a).to_bytes(4, "big")


def patch(old, new):
    """-> the delta that makes `new` of `old` (docs/release-format.md, "Deltas"), with inserts and copies only."""
    places = {}
    for i in range(len(old) - 7, -1, -1):
        places[old[i : i + 8]] = i
    out = bytearray()
    literal = b""
    at = shift = 0  # where in `new`; where in `old`, from there
    while at < len(new):
        i = places.get(new[at : at + 8])
        if i is None:
            literal += new[at : at + 1]
            at += 1
            continue
        n = 8
        while i + n < len(old) and at + n < len(new) and old[i + n] == new[at + n]:
            n += 1
        if literal:
            out += _number(len(literal) << 2) + literal
            literal = b""
        move = i - at - shift
        shift = i - at
        out += _number(n << 2 | 1) + _number(move << 1 if move >= 0 else (-move << 1) - 1)
        at += n
    if literal:
        out += _number(len(literal) << 2) + literal
    return deflated(bytes(out))


def deflated(data):
    """-> raw deflate stream of `data`: a zlib stream without its header and checksum."""
    return zlib_pack(data)[2:-4]


def _number(n):
    out = bytearray()
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    out.append(n)
    return bytes(out)


def _distance(bits, d):
    base, extra, code = 1, 0, 0
    while d >= base + (1 << extra):
        base += 1 << extra
        code += 1
        extra = max(0, code // 2 - 1)
    bits.code(code, 5)
    bits.put(d - base, extra)


class _Bits:
    def __init__(self):
        self.out = bytearray()
        self.word = self.n = 0

    def put(self, value, n):
        self.word |= value << self.n
        self.n += n
        while self.n > 7:
            self.out.append(self.word & 255)
            self.word >>= 8
            self.n -= 8

    def code(self, value, n):
        # Huffman codes go in with the highest bit first
        for i in range(n - 1, -1, -1):
            self.put(value >> i & 1, 1)

    def end(self):
        if self.n:
            self.put(0, 8 - self.n)
        return bytes(self.out)
