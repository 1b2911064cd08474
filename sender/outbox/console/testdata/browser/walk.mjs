// Walks through every screen and action of the console in a real browser. The
// settings come from browser_test.go in the variable WALK.
import { createRequire } from "node:module";
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

const s = JSON.parse(process.env.WALK);
const require = createRequire(join(s.modules, "package.json"));
const { chromium } = require("playwright-core");
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

const browser = await chromium.launch({ executablePath: s.chromium, args: ["--no-sandbox", "--disable-dev-shm-usage"] });
const faults = [];
let where = "", screens = 0;
const fault = (text) => faults.push(`${where}: ${text}`);

// visitor opens a browser that is logged in.
async function visitor(who) {
  const context = await browser.newContext({
    javaScriptEnabled: s.script, colorScheme: s.color, viewport: { width: s.width, height: 900 }, timezoneId: "Asia/Tokyo", locale: "en-GB",
  });
  await context.addCookies([{ name: "who", value: encodeURIComponent(who), url: s.url }]);
  const page = await context.newPage();
  page.setDefaultTimeout(60000);
  page.on("pageerror", (error) => fault(`script error: ${error.message}`));
  page.on("console", (message) => {
    if (/Failed to load resource.*(404|422)/.test(message.text())) return; // a page that explains a mistake
    if (message.type() === "error" || /Content.Security.Policy/i.test(message.text())) fault(`console: ${message.text()}`);
  });
  page.on("dialog", (dialog) => { fault(`a script ran: ${dialog.message()}`); dialog.dismiss(); });
  page.on("response", (answer) => { if (answer.status() >= 500) fault(`${answer.url()} answered ${answer.status()}`); });
  return page;
}

// look checks the page that is open.
async function look(page, name) {
  await page.waitForLoadState("load"); // the script has run
  where = `${name} (${page.url()})`;
  screens++;
  const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  if (wide > 0) fault(`the page is ${wide} px too wide`);
  if (s.script) {
    const zone = await page.evaluate(() => document.querySelector("[data-zone]")?.textContent);
    if (zone !== "Asia/Tokyo") fault(`times are in ${zone}`);
  }
  if (s.axe) {
    const found = await page.evaluate(`${axe}; axe.run(document, { resultTypes: ["violations"] })`);
    for (const v of found.violations) fault(`axe ${v.id}: ${v.help}: ${v.nodes.slice(0, 3).map((n) => n.html.slice(0, 160)).join(" | ")}`);
  }
  if (s.shots) {
    mkdirSync(s.shots, { recursive: true });
    await page.screenshot({ path: join(s.shots, `${String(screens).padStart(2, "0")}-${name}.png`), fullPage: true });
  }
}

const open = async (page, path, name) => { await page.goto(s.url + path); await look(page, name); };
const follow = async (page, text, name) => { await page.getByRole("link", { name: text, exact: true }).first().click(); await page.waitForLoadState(); await look(page, name); };
const press = async (page, text, name) => { await page.getByRole("button", { name: text, exact: true }).first().click(); await page.waitForLoadState(); await look(page, name); };

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
  await follow(page, "Delete", "delete");
  await press(page, "Delete", "deleted");
  await open(page, "/apps/shop/deliveries?deployment=none", "deliveries-none");
  await follow(page, "Event types", "types");
  await follow(page, "deploy.rolled_back", "type");
  await open(page, "/apps/shop/endpoints/ep_none", "not-found");
  await page.context().close();
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
  where = "refreshing";
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
  await pass();
  await page.waitForFunction(() => !document.querySelector("[data-mark]"));
  await page.context().close();
}

try {
  await customer();
  await others();
  await refreshing();
} catch (error) {
  fault(`the walk ended: ${error.message}`);
}
await browser.close();
console.log(JSON.stringify({ screens, faults }));
