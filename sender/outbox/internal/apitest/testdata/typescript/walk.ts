// This program walks through the management API as a customer would, with the
// types that openapi-typescript generates from the OpenAPI document. The test
// generates api.d.ts before it compiles the program.
import createClient from "openapi-fetch";
import type { components, paths } from "./api.js";

declare const process: { env: Record<string, string | undefined> };

type Schema = components["schemas"];

const endpoints = 10;
const deliveries = 1000;

function env(name: string): string {
	const value = process.env[name];
	if (value === undefined) throw new Error(`set ${name}`);
	return value;
}

const app = env("APP");
const headers = { Authorization: `Bearer ${env("TOKEN")}` };
const client = createClient<paths>({ baseUrl: env("API"), headers });

function check(condition: boolean, what: string, seen?: unknown): asserts condition {
	if (!condition) throw new Error(`${what}: ${JSON.stringify(seen)}`);
}

// want returns the answer's body, or throws what the API has answered instead.
function want<T>(what: string, answer: { data?: T; error?: Schema["Problem"]; response: Response }): T {
	check(answer.data !== undefined, `${what}: ${answer.response.status}`, answer.error);
	return answer.data;
}

const sleep = () => new Promise((resolve) => setTimeout(resolve, 50));

// create makes the endpoints. A repetition makes none.
async function create() {
	let first: Schema["EndpointSecret"] | undefined;
	let etag = "";
	for (let i = 0; i < endpoints; i++) {
		const request = {
			params: { path: { app }, header: { "Idempotency-Key": `ts-${i}` } },
			body: { url: `${env("TARGET")}/${app}/${i}`, events: ["deploy.*"], metadata: { made: "by TypeScript" } },
		};
		const answer = await client.POST("/apps/{app}/endpoints", request);
		const made = want("creating", answer);
		const again = want("creating again", await client.POST("/apps/{app}/endpoints", request));
		check(made.secret !== undefined && again.secret === undefined, "the secret is shown once", again);
		check(made.endpoint.id === again.endpoint.id, "the repetition made another endpoint", again);
		if (i === 0) {
			first = made;
			etag = answer.response.headers.get("ETag") ?? "";
		}
	}
	const list = want("listing endpoints", await client.GET("/apps/{app}/endpoints", { params: { path: { app } } }));
	check(list.items.length === endpoints && first?.secret !== undefined, "the list", list);
	return { id: first.endpoint.id, secret: first.secret, etag };
}

// update changes the endpoint. The second change is for an old version.
async function update(endpoint: string, etag: string) {
	const request = { params: { path: { app, endpoint }, header: { "If-Match": etag } }, body: { description: "checkout" } };
	const changed = want("updating", await client.PATCH("/apps/{app}/endpoints/{endpoint}", request));
	check(changed.description === "checkout", "the update", changed);
	const { error, response } = await client.PATCH("/apps/{app}/endpoints/{endpoint}", request);
	check(response.status === 412 && error?.code === "endpoint_changed", "the second update", error);
}

// publish makes the platform publish events. This is not a part of the API.
async function publish() {
	const answer = await fetch(env("PUBLISH"), {
		method: "POST",
		headers: { ...headers, "Content-Type": "application/json" },
		body: env("PUBLISH_BODY"),
	});
	check(answer.ok, `publishing: ${answer.status}`, await answer.text());
}

// live waits for a delivery of deploy.live to the endpoint.
async function live(endpoint: string): Promise<Schema["Delivery"]> {
	for (;;) {
		const query = { endpoint, type: "deploy.live", state: ["delivered" as const] };
		const list = want("listing", await client.GET("/apps/{app}/deliveries", { params: { path: { app }, query } }));
		const [delivery] = list.items;
		if (delivery !== undefined) return delivery;
		await sleep();
	}
}

async function read(delivery: string): Promise<Schema["DeliveryDetail"]> {
	return want("reading", await client.GET("/apps/{app}/deliveries/{delivery}", { params: { path: { app, delivery } } }));
}

async function rotate(endpoint: string): Promise<string> {
	const path = { app, endpoint };
	const answer = await client.POST("/apps/{app}/endpoints/{endpoint}/rotate", { params: { path }, body: { grace_seconds: 3600 } });
	const { secret } = want("rotating", answer);
	check(secret !== undefined, "there is no new secret");
	return secret;
}

// replay sends the delivery again and waits until it has arrived.
async function replay(delivery: Schema["Delivery"]) {
	const filter: Schema["ReplayFilter"] = { endpoint: delivery.endpoint, event_id: delivery.event_id, states: ["delivered"] };
	const params = { path: { app } };
	const count = want("counting", await client.POST("/apps/{app}/replays/count", { params, body: { filter } }));
	check(count.deliveries.n === 1, "the count", count);
	const started = want("replaying", await client.POST("/apps/{app}/replays", { params, body: { filter } }));
	for (;;) {
		const path = { app, replay: started.id };
		const progress = want("reading the replay", await client.GET("/apps/{app}/replays/{replay}", { params: { path } }));
		if (progress.complete && progress.delivered === 1) break;
		await sleep();
	}
	const again = await read(delivery.id);
	check(again.replays === 1 && again.attempt_log.length === 2, "the delivery after the replay", again);
}

// page collects the IDs of all deliveries.
async function page(): Promise<Set<string>> {
	const seen = new Set<string>();
	let cursor: string | undefined;
	do {
		const query = { limit: 90, cursor };
		const list = want("listing", await client.GET("/apps/{app}/deliveries", { params: { path: { app }, query } }));
		for (const { id } of list.items) {
			check(!seen.has(id), "it is on two pages", id);
			seen.add(id);
		}
		cursor = list.next;
	} while (cursor !== undefined);
	return seen;
}

// pages pages through all deliveries. Tests of the endpoint add what is missing.
async function pages(endpoint: string) {
	const before = await page();
	let missing = deliveries - before.size;
	const caller = async () => {
		while (missing-- > 0) {
			const path = { app, endpoint };
			before.add(want("testing", await client.POST("/apps/{app}/endpoints/{endpoint}/test", { params: { path } })).id);
		}
	};
	await Promise.all(Array.from({ length: 8 }, caller));
	const all = await page();
	for (const id of before) check(all.has(id), "no page has it", id);
	check(all.size === deliveries, "the number of deliveries", all.size);
}

// problems reads the codes of errors.
async function problems() {
	const path = { app, delivery: "whk_unknown" };
	const unknown = await client.GET("/apps/{app}/deliveries/{delivery}", { params: { path } });
	check(unknown.error?.code === "unknown_delivery", "an unknown delivery", unknown.error);
	const invalid = await client.POST("/apps/{app}/endpoints", { params: { path: { app } }, body: { url: "ftp://example.com" } });
	check(invalid.error?.errors?.[0]?.field === "url", "a URL with ftp", invalid.error);
}

const first = await create();
await update(first.id, first.etag);
await publish();
const delivery = await live(first.id);
const { body, attempt_log } = await read(delivery.id);
check(body !== undefined && attempt_log.length === 1 && attempt_log[0]?.status === 200, "the attempts", attempt_log);
const secret = await rotate(first.id);
check(secret !== first.secret, "the secret is the old one");
await replay(delivery);
await pages(first.id);
await problems();
console.log(JSON.stringify({ endpoint: first.id, secret }));
