// Walks through every screen and action of the console in a real browser. The
// settings come from browser_test.go in the variable WALK.
const { settings, visitor, look, open, follow, press, fault, at, walk } = await import(JSON.parse(process.env.WALK).walker);
const s = { ...settings, ...settings.world };

async function customer() {
  const page = await visitor("shop");
  await open(page, "/", "endpoints");
  await follow(page, "Add an endpoint", "form");
  await page.getByLabel("URL", { exact: true }).fill("https://10.0.0.1/");
  await press(page, "Add the endpoint", "form-wrong");
  await page.getByLabel("URL", { exact: true }).fill(s.target + "/new");
  await page.getByLabel("Description").fill("Release notes");
  await page.getByLabel("deploy.live").check();
  await press(page, "Add the endpoint", "secret");
  await follow(page, "Send a test event", "test");
  await page.getByLabel("Event type").selectOption("deploy.failed");
  await press(page, "Show", "test-type");
  await page.getByRole("button", { name: /^Send to/ }).click();
  await look(page, "tested");
  await page.getByLabel("Headers").fill("Webhook-Id: whk_other\nWebhook-Timestamp: 1773325321\nWebhook-Signature: v1,abc");
  await press(page, "Check", "verify");
  await open(page, `/apps/shop/endpoints/${s.failing}`, "endpoint-failing");
  await follow(page, "Failed ones", "deliveries-failed");
  await page.getByRole("link", { name: "deploy.failed", exact: true }).first().click();
  await look(page, "delivery-failed");
  await page.getByText("curl", { exact: true }).click();
  await follow(page, s.deployment, "deployment");
  await open(page, `/apps/shop/deliveries/${s.delivery}`, "delivery-again");
  await press(page, "Send again", "resent");
  await download(page);
  await byTime(page);
  await open(page, "/apps/shop/deliveries?state=failed&range=24h", "deliveries-filtered");
  await follow(page, "Send these again", "resend");
  await page.getByRole("button", { name: /^Send \d+ again$/ }).click();
  await look(page, "replay");
  await follow(page, "Replays", "replays");
  await open(page, `/apps/shop/endpoints/${s.failing}`, "endpoint");
  await follow(page, "Rotate the secret", "rotate");
  await press(page, "Rotate", "rotated");
  await follow(page, "Go to the endpoint", "endpoint-again");
  await follow(page, "Edit", "edit");
  await page.getByLabel("Description").fill("Payments");
  await press(page, "Save", "edited");
  await follow(page, "Disable", "disable");
  await page.getByRole("textbox").fill("under repair");
  await press(page, "Disable", "disabled");
  await follow(page, "Send what was missed", "missed");
  await open(page, `/apps/shop/endpoints/${s.failing}`, "endpoint-disabled");
  await press(page, "Enable", "enabled");
  await follow(page, "Send what was missed", "missed-enabled");
  await page.getByRole("button", { name: /^Send \d+ again$/ }).click();
  await look(page, "missed-sent");
  await open(page, `/apps/shop/endpoints/${s.archive}/missed`, "missed-never-sent");
  await page.getByRole("button", { name: /^Send \d+ events?$/ }).click();
  await look(page, "missed-replay");
  await open(page, `/apps/shop/endpoints/${s.failing}`, "endpoint-resent");
  await follow(page, "Delete", "delete");
  await press(page, "Delete", "deleted");
  await open(page, "/apps/shop/deliveries?deployment=none", "deliveries-none");
  await follow(page, "Event types", "types");
  await follow(page, "deploy.rolled_back", "type");
  await open(page, "/apps/shop/endpoints/ep_none", "not-found");
  await page.context().close();
}

// download gets the exact bytes.
async function download(page) {
  const [file] = await Promise.all([page.waitForEvent("download"), page.getByRole("link", { name: "Download the exact bytes" }).click()]);
  if (!file.suggestedFilename().startsWith("whk_")) fault(`the file is called ${file.suggestedFilename()}`);
}

// byTime filters by times in the viewer's zone, which is Tokyo's, or in UTC
// without the script.
async function byTime(page) {
  const zone = s.script ? 9 * 3600e3 : 0;
  const minute = (from) => new Date(Date.now() + from * 60e3 + zone).toISOString().slice(0, 16);
  await open(page, "/apps/shop/deliveries", "deliveries-all");
  const from = page.getByLabel(s.script ? "From" : "From (UTC)", { exact: true });
  await from.fill(minute(-10));
  await press(page, "Filter", "deliveries-since");
  if (!(await page.getByText(s.deployment).count())) fault("the time is not that of the viewer's zone");
  if ((await from.inputValue()) !== minute(-10) && (await from.inputValue()) !== minute(-11)) fault(`the field has ${await from.inputValue()}`);
  await from.fill(minute(10));
  await press(page, "Filter", "deliveries-future");
  if (await page.getByText(s.deployment).count()) fault("deliveries of the past are after a time in the future");
}

async function others() {
  const reader = await visitor("shop readonly");
  await open(reader, "/", "read-only");
  await open(reader, `/apps/shop/deliveries/${s.delivery}`, "read-only-delivery");
  await reader.context().close();
  const empty = await visitor("nothing");
  await open(empty, "/", "no-endpoints");
  await empty.context().close();
  const olga = await visitor("operator");
  await open(olga, "/", "overview");
  await follow(olga, "Apps", "apps");
  await follow(olga, "All deliveries", "all-deliveries");
  await follow(olga, "All endpoints", "all-endpoints");
  await follow(olga, "All", "all-endpoints-all");
  await follow(olga, "All replays", "all-replays");
  await open(olga, `/apps/blog/replays/${s.replay}`, "operator-replay");
  await press(olga, "Cancel the replay", "replay-canceled");
  await open(olga, `/apps/shop/deliveries/${s.delivery}`, "operator-delivery");
  await follow(olga, "Erase", "erase");
  await press(olga, "Erase", "erased");
  await olga.context().close();
}

// The page refreshes by itself, and not while a person reads or types.
async function refreshing() {
  if (!s.script || !s.axe) return;
  const page = await visitor("shop");
  await page.clock.install();
  await page.goto(s.url + "/apps/shop/deliveries");
  at("refreshing");
  const list = page.locator("#list");
  const marked = () => list.evaluate((part) => part.querySelector("[data-mark]") !== null);
  const mark = () => list.evaluate((part) => { const e = document.createElement("i"); e.dataset.mark = ""; part.append(e); });
  const pass = async () => { const asked = page.waitForResponse((r) => r.url().endsWith("/deliveries")); await page.clock.fastForward(20000); await asked; };
  await mark();
  await page.getByLabel("Deployment").focus();
  await page.clock.fastForward(20000);
  if (!(await marked())) fault("it was replaced while a field had the focus");
  await page.getByLabel("Deployment").blur();
  await page.getByRole("button", { name: "Pause" }).click();
  await page.clock.fastForward(20000);
  if (!(await marked())) fault("it was replaced while paused");
  await page.getByRole("button", { name: "Resume" }).click();
  await page.mouse.move(1, 1);
  await list.evaluate((part) => getSelection().selectAllChildren(part));
  await page.clock.fastForward(20000);
  if (!(await marked())) fault("it was replaced while text was selected");
  await list.evaluate(() => getSelection().removeAllRanges());
  await list.hover();
  await page.clock.fastForward(20000);
  if (!(await marked())) fault("it was replaced while the pointer was on it");
  await page.mouse.move(1, 1);
  await pass();
  await page.waitForFunction(() => !document.querySelector("[data-mark]"));
  await page.context().close();
}

await walk(customer, others, refreshing);
