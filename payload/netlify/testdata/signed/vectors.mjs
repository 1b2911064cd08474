// Writes vectors.json: signatures of ready.json as Netlify's documentation
// describes them, and others that must be refused. node vectors.mjs
import { createHash, createHmac } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";

const secret = "netlify-webhook-secret-1";
const body = readFileSync("../ready.json");
const sha256 = createHash("sha256").update(body).digest("hex");
const b64 = (v) => Buffer.from(typeof v === "string" ? v : JSON.stringify(v)).toString("base64url");
const jws = (header, claims, key = secret, hash = "sha256") => {
  const input = b64(header) + "." + b64(claims);
  return input + "." + createHmac(hash, key).update(input).digest("base64url");
};
const header = { typ: "JWT", alg: "HS256" };
const claims = { iss: "netlify", sha256 };
const good = jws(header, claims);
const [h, c, s] = good.split(".");

const vectors = [
  ["documented", good, ""],
  ["without typ", jws({ alg: "HS256" }, claims), ""],
  ["further claim", jws(header, { ...claims, iat: 1773325480 }), ""],
  ["not expired", jws(header, { ...claims, exp: 4102444800 }), ""],
  ["expired", jws(header, { ...claims, exp: 946684799 }), "too old"],
  ["not valid yet", jws(header, { ...claims, nbf: 4102444800 }), "too new"],
  ["expiry is a text", jws(header, { ...claims, exp: "4102444800" }), "malformed"],
  ["another key", jws(header, claims, "another-webhook-secret-1"), "no match"],
  ["none", b64({ alg: "none" }) + "." + c + ".", "malformed"],
  ["none with the good signature", b64({ typ: "JWT", alg: "none" }) + "." + c + "." + s, "malformed"],
  ["HS512", jws({ typ: "JWT", alg: "HS512" }, claims, secret, "sha512"), "malformed"],
  ["HS512 claimed", jws({ typ: "JWT", alg: "HS512" }, claims), "malformed"],
  ["lower case", jws({ typ: "JWT", alg: "hs256" }, claims), "malformed"],
  ["RS256", jws({ typ: "JWT", alg: "RS256" }, claims), "malformed"],
  ["crit", jws({ ...header, crit: ["b64"], b64: false }, claims), "malformed"],
  ["another typ", jws({ typ: "JWE", alg: "HS256" }, claims), "malformed"],
  ["alg twice", jws('{"alg":"none","alg":"HS256"}', claims), "malformed"],
  ["header is no object", jws('"HS256"', claims), "malformed"],
  ["another issuer", jws(header, { iss: "other", sha256 }), "no match"],
  ["no issuer", jws(header, { sha256 }), "no match"],
  ["no hash", jws(header, { iss: "netlify" }), "no match"],
  ["hash of another body", jws(header, { iss: "netlify", sha256: "0".repeat(64) }), "no match"],
  ["hash in upper case", jws(header, { iss: "netlify", sha256: sha256.toUpperCase() }), "no match"],
  ["hash is a number", jws(header, { iss: "netlify", sha256: 7 }), "no match"],
  ["claims are no object", jws(header, '["netlify"]'), "malformed"],
  ["hash twice", jws(header, `{"iss":"netlify","sha256":"${"0".repeat(64)}","sha256":"${sha256}"}`), "malformed"],
  ["claims changed", h + "." + b64({ iss: "netlify", sha256, admin: true }) + "." + s, "no match"],
  ["padding", good + "=", "malformed"],
  ["standard base64", h + "." + c + "." + Buffer.from(s, "base64url").toString("base64"), "malformed"],
  ["not canonical", good.slice(0, -1) + String.fromCharCode(good.charCodeAt(good.length - 1) + 1), "malformed"],
  ["two parts", h + "." + c, "malformed"],
  ["four parts", good + ".x", "malformed"],
  ["five parts, as in JWE", good + ".x.y", "malformed"],
  ["a line end", good + "\n", "malformed"],
  ["hex of the body", createHmac("sha256", secret).update(body).digest("hex"), "malformed"],
  ["short signature", h + "." + c + "." + s.slice(0, 20), "malformed"],
  ["empty", "", "malformed"],
  ["too long", jws(header, { ...claims, padding: "x".repeat(8192) }), "malformed"],
];
writeFileSync("vectors.json", JSON.stringify({ secret, vectors: vectors.map(([name, signature, want]) => ({ name, signature, want })) }, null, 1) + "\n");
