"""Checks vectors.json with nothing but Python's standard library: python3 check_vectors.py [vectors.json]

A second implementation of every scheme, by hand: HMAC and hashes are Python's, Ed25519 is RFC 8032, section 5.1.7, in
plain integers. Each case must come out as it says, the invalid ones for their reason.
"""

import base64
import binascii
import hashlib
import hmac
import json
import pathlib
import re
import sys

MAX_HEADER, MAX_SIGNATURES, MAX_PAIRS = 8192, 16, 2


class Refused(Exception):
    """The reason is the first argument."""


def need(condition, reason):
    if not condition:
        raise Refused(reason)


# Ed25519. Points are (x, y) pairs: slow, short and easy to compare with the RFC.

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
ROOT = pow(2, (P - 1) // 4, P)


def recover_x(y, sign):
    if y >= P:
        return None
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * ROOT % P
    if (x * x - square) % P or (x == 0 and sign):
        return None
    return P - x if x % 2 != sign else x


def decode_point(data):
    n = int.from_bytes(data, "little")
    y, sign = n & (1 << 255) - 1, n >> 255
    x = recover_x(y, sign)
    return None if x is None else (x, y)


def add(a, b):  # in extended coordinates (X, Y, Z, T)
    p, q = (a[1] - a[0]) * (b[1] - b[0]) % P, (a[1] + a[0]) * (b[1] + b[0]) % P
    r, s = 2 * a[3] * b[3] * D % P, 2 * a[2] * b[2] % P
    e, f, g, h = q - p, s - r, s + r, q + p
    return (e * f % P, g * h % P, f * g % P, e * h % P)


def multiply(n, point):
    result = (0, 1, 1, 0)
    while n:
        if n & 1:
            result = add(result, point)
        point, n = add(point, point), n >> 1
    return result


def extended(point):
    x, y = point
    return (x, y, 1, x * y % P)


def encode_point(point):
    inverse = pow(point[2], -1, P)
    x, y = point[0] * inverse % P, point[1] * inverse % P
    return (y | (x & 1) << 255).to_bytes(32, "little")


BASE_Y = 4 * pow(5, -1, P) % P
BASE = extended((recover_x(BASE_Y, 0), BASE_Y))


def public_key(seed):
    h = bytearray(hashlib.sha512(seed).digest()[:32])
    h[0], h[31] = h[0] & 248, h[31] & 127 | 64
    return encode_point(multiply(int.from_bytes(h, "little"), BASE))


def ed25519_verify(public, message, signature):
    a, r, s = decode_point(public), signature[:32], int.from_bytes(signature[32:], "little")
    if a is None or s >= ORDER:
        return False
    k = int.from_bytes(hashlib.sha512(r + public + message).digest(), "little") % ORDER
    x, y, z, t = multiply(k, extended(a))
    return encode_point(add(multiply(s, BASE), (-x % P, y, z, -t % P))) == r


# Strict encodings: one spelling for each value.


def from_base64(text, size=None):
    try:
        raw = base64.b64decode(text.encode("ascii"), validate=True)
    except (UnicodeEncodeError, binascii.Error):
        return None
    if base64.b64encode(raw).decode() != text or size is not None and len(raw) != size:
        return None
    return raw


def from_hex(text, size):
    return bytes.fromhex(text) if re.fullmatch(r"[0-9a-f]{%d}" % (2 * size), text) else None


# Keys.


def standard_key(text):
    prefix, raw = text[:6], None
    if text.startswith(("whsk_", "whpk_")):
        prefix, raw = text[:5], from_base64(text[5:])
    elif prefix == "whsec_":
        raw = from_base64(text[6:])
    need(raw is not None, "invalid_secret")
    if prefix == "whsec_":
        need(24 <= len(raw) <= 64, "invalid_secret")
        return ("v1", raw)
    if prefix == "whpk_":
        need(len(raw) == 32, "invalid_secret")
        return ("v1a", raw)
    need(len(raw) in (32, 64), "invalid_secret")
    public = public_key(raw[:32])
    need(raw[32:] in (b"", public), "invalid_secret")
    return ("v1a", public)


def literal_key(text):
    raw = text.encode()
    need(16 <= len(raw) <= 1024 and text == text.strip() and "\0" not in (text[0], text[-1]), "invalid_secret")
    need(not text.startswith(("whsk_", "whpk_")), "invalid_secret")
    return raw


def api_key(text):
    need(re.fullmatch(r"[!-~]{16,4096}", text), "invalid_secret")
    return hashlib.sha256(text.encode()).digest()


def active(case):
    """The case's keys with their places, without those past their end."""
    read = {"Standard": standard_key, "APIKeys": api_key}.get(case["scheme"], literal_key)
    keys = [(i, read(k["text"]), k) for i, k in enumerate(case["keys"])]
    need(len({k[1] for k in keys}) == len(keys), "invalid_config")
    need(case["scheme"] != "Standard" or sum(k[1][0] == "v1a" for k in keys) <= MAX_PAIRS, "invalid_config")
    return [(i, key) for i, key, k in keys if case["now"] <= k.get("not_after", case["now"])]


# Requests.


def values(case, name):
    return [v for n, v in case["headers"] if n.lower() == name.lower()]


def single(case, name):
    found = values(case, name)
    need(found, "missing_header")
    need(len(found) == 1, "malformed")
    return found[0]


def check_time(case, text):
    need(re.fullmatch(r"[1-9][0-9]{0,10}", text), "malformed")
    tolerance, age = case["options"].get("tolerance", 300), case["now"] - int(text)
    need(age <= tolerance, "too_old")
    need(-age <= tolerance, "too_new")
    return int(text)


def sha256_mac(key, message):
    return hmac.new(key, message, hashlib.sha256).digest()


def first(keys, fits):
    for i, key in keys:
        if fits(key):
            return i
    raise Refused("no_match")


def standard(case, keys, body):
    ident, stamp, text = (single(case, n) for n in ("webhook-id", "webhook-timestamp", "webhook-signature"))
    need(re.fullmatch(r"[!-\-/-~]{1,255}", ident), "malformed")
    at = check_time(case, stamp)
    need(len(text.encode()) <= MAX_HEADER, "malformed")
    entries = [e.partition(",") for e in text.split(" ")]
    need(len(entries) <= MAX_SIGNATURES, "malformed")
    found = {"v1": [], "v1a": []}
    for version, _, encoded in entries:
        raw = from_base64(encoded, 32 if version == "v1" else 64)
        if version in found and raw is not None and raw not in found[version]:
            found[version].append(raw)
    del found["v1a"][MAX_PAIRS:]
    message = f"{ident}.{stamp}.".encode() + body

    def fits(key):
        version, raw = key
        if version == "v1":
            return sha256_mac(raw, message) in found["v1"]
        return any(ed25519_verify(raw, message, s) for s in found["v1a"])

    # Shared keys are tried before public ones.
    return ident, at, first(sorted(keys, key=lambda k: k[1][0] == "v1a"), fits)


def timestamped(case, keys, body):
    prefix = case["options"].get("header_prefix", "X-Webhook")
    stamp, text = single(case, prefix + "-Timestamp"), single(case, prefix + "-Signature")
    at = check_time(case, stamp)
    mark = case["options"].get("signature_prefix", "sha256=")
    given = from_hex(text.removeprefix(mark) if text.startswith(mark) else text.removeprefix("sha256="), 32)
    need(given is not None, "malformed")
    return "", at, first(keys, lambda k: sha256_mac(k, stamp.encode() + b"." + body) == given)


def stripe(case, keys, body):
    text = single(case, case["options"].get("header", "Stripe-Signature"))
    need(len(text.encode()) <= MAX_HEADER, "malformed")
    entries = [e.partition("=") for e in text.split(",")]
    time_field, signature_field = case["options"].get("time_field", "t"), case["options"].get("signature_field", "v1")
    stamps = [(n, v) for n, _, v in entries if n.strip(" \t") == time_field]
    need(len(stamps) == 1 and stamps[0][0] == time_field and len(entries) - 1 <= MAX_SIGNATURES, "malformed")
    given = [from_hex(v, 32) for n, _, v in entries if n == signature_field]
    stamp = stamps[0][1]
    at = check_time(case, stamp)
    return "", at, first(keys, lambda k: sha256_mac(k, stamp.encode() + b"." + body) in given)


def body_only(header, prefix, algorithm, decode):
    def verify(case, keys, body):
        text = single(case, case["options"].get("header", header))
        need(text.startswith(prefix), "malformed")
        given = decode(text[len(prefix):], hashlib.new(algorithm).digest_size)
        need(given is not None, "malformed")
        return "", 0, first(keys, lambda k: hmac.new(k, body, algorithm).digest() == given)

    return verify


def any_body_only(case, keys, body):
    options = case["options"]
    decode = from_base64 if options.get("encoding") == "base64" else from_hex
    scheme = body_only(options["header"], options.get("signature_prefix", ""), options.get("hash", "sha256"), decode)
    return scheme(case, keys, body)


def credential(header):
    def verify(case, keys, _):
        name = case["options"].get("header", header)
        found = values(case, name)
        need(len(found) == 1, "invalid_api_key")
        token = found[0]
        if name == "Authorization":
            scheme, blank, token = token.partition(" ")
            need(blank and scheme.lower() == "bearer", "invalid_api_key")
            token = token.lstrip(" ")
        for i, key in keys:
            if re.fullmatch(r"[!-~]+", token) and key in (token.encode(), hashlib.sha256(token.encode()).digest()):
                return "", 0, i
        raise Refused("invalid_api_key")

    return verify


SCHEMES = {
    "Standard": standard,
    "Timestamped": timestamped,
    "Stripe": stripe,
    "GitHub": body_only("X-Hub-Signature-256", "sha256=", "sha256", from_hex),
    "BodyOnly": any_body_only,
    "APIKeys": credential("Authorization"),
    "GitLabToken": credential("X-Gitlab-Token"),
}


def outcome(case):
    body = base64.b64decode(case["body"]["base64"]) * case["body"].get("repeat", 1)
    if "text" in case["body"] and case["body"]["text"].encode() != body:
        return "the body's text and base64 differ"
    for key in case["keys"]:
        if "hash" in key and key["hash"] != "sha256:" + hashlib.sha256(key["text"].encode()).hexdigest():
            return "the hash is not the key's"
    try:
        ident, at, matched = SCHEMES[case["scheme"]](case, active(case), body)
    except Refused as refused:
        return refused.args[0]
    principal = case["keys"][matched].get("principal", case["options"].get("principal", ""))
    return {"id": ident, "timestamp": at, "key": matched, "principal": principal}


def check_primitive(p):
    key, message, result = base64.b64decode(p["key"]), base64.b64decode(p["message"]), bytes.fromhex(p["result"])
    if p["algorithm"] == "ed25519":
        return base64.b64encode(public_key(key)).decode() == p["public"] and ed25519_verify(public_key(key), message, result)
    return hmac.new(key, message, p["algorithm"].removeprefix("hmac-")).digest() == result


def main():
    path = sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).with_name("vectors.json")
    with open(path, encoding="utf-8") as file:
        vectors = json.load(file)
    wrong = [p["source"] for p in vectors["primitives"] if not check_primitive(p)]
    for case in vectors["cases"]:
        got, want = outcome(case), case["expect"] if case["valid"] else case["reason"]
        if got != want:
            wrong.append(f"{case['name']}: want {want}, got {got}")
    for line in wrong:
        print(line)
    print(f"{len(vectors['cases'])} cases and {len(vectors['primitives'])} primitives, {len(wrong)} wrong")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
