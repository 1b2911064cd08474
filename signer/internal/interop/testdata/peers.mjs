// Runs the npm packages: reads an array of calls from standard input, and writes an array of their outcomes. The test copies
// it beside the installed packages.
import { createPublicKey, createPrivateKey, createHmac, sign as ed25519, verify as ed25519Verify, timingSafeEqual } from "node:crypto";
import { httpbis } from "http-message-signatures";
import { Webhook as StandardWebhook } from "standardwebhooks";
import { Webhook as SvixWebhook } from "svix";

const webhooks = { "standardwebhooks (npm)": StandardWebhook, "svix (npm)": SvixWebhook };

// A key of http-message-signatures, from the raw bytes in base64.
function signingKey({ alg, secret, keyid }) {
  const raw = Buffer.from(secret, "base64");
  if (alg === "hmac-sha256") {
    return { id: keyid, alg, sign: async (data) => createHmac("sha256", raw).update(data).digest() };
  }
  const pkcs8 = Buffer.concat([Buffer.from("302e020100300506032b657004220420", "hex"), raw]);
  const key = createPrivateKey({ key: pkcs8, format: "der", type: "pkcs8" });
  return { id: keyid, alg, sign: async (data) => ed25519(null, data, key) };
}

function verifyingKey({ alg, secret, keyid }) {
  const raw = Buffer.from(secret, "base64");
  if (alg === "hmac-sha256") {
    return { id: keyid, algs: [alg], verify: async (data, signature) => {
      const mac = createHmac("sha256", raw).update(data).digest();
      return mac.length === signature.length && timingSafeEqual(mac, signature);
    } };
  }
  const spki = Buffer.concat([Buffer.from("302a300506032b6570032100", "hex"), raw]);
  const key = createPublicKey({ key: spki, format: "der", type: "spki" });
  return { id: keyid, algs: [alg], verify: async (data, signature) => ed25519Verify(null, data, key, signature) };
}

const fields = ["webhook-id", "content-digest", "@target-uri", "content-type", "@method", "@authority"];

async function run(call) {
  const body = Buffer.from(call.body, "base64");
  if (call.lib === "http-message-signatures (npm)") {
    const message = { method: call.method, url: call.url, headers: call.headers };
    if (call.op === "sign") {
      const signed = await httpbis.signMessage(
        { key: signingKey(call), name: "js", fields, params: ["keyid", "alg", "created", "expires"] }, message);
      return { headers: signed.headers };
    }
    const key = verifyingKey(call);
    const ok = await httpbis.verifyMessage({ keyLookup: async ({ keyid }) => (keyid === call.keyid ? key : null),
      requiredFields: fields.slice(0, 5), requiredParams: ["created", "keyid"], maxAge: 300, tolerance: 5 }, message);
    return ok === true ? {} : { error: `verifyMessage returned ${ok}` };
  }
  const webhook = new webhooks[call.lib](call.secret);
  if (call.op === "sign") {
    return { headers: { "webhook-signature": webhook.sign(call.headers["webhook-id"], new Date(Number(call.headers["webhook-timestamp"]) * 1000), body) } };
  }
  webhook.verify(body, call.headers, { jsonParse: false });
  return {};
}

let input = "";
process.stdin.setEncoding("utf8");
for await (const chunk of process.stdin) input += chunk;
const outcomes = [];
for (const call of JSON.parse(input)) {
  try {
    outcomes.push(await run(call));
  } catch (error) {
    outcomes.push({ error: String(error) });
  }
}
process.stdout.write(JSON.stringify(outcomes));
