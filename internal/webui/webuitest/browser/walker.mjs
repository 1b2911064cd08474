// Opens a real browser for the walk through a console, and checks each page. The
// settings come from browser.go in the variable WALK.
import { createRequire } from "node:module";
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

export const settings = JSON.parse(process.env.WALK);
const s = settings;
const require = createRequire(join(s.modules, "package.json"));
const { chromium } = require("playwright-core");
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

const browser = await chromium.launch({ executablePath: s.chromium, args: ["--no-sandbox", "--disable-dev-shm-usage"] });
const faults = [];
let where = "", screens = 0;
export const fault = (text) => faults.push(`${where}: ${text}`);
export const at = (place) => { where = place; };

// visitor opens a browser that is logged in.
export async function visitor(who) {
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
export async function look(page, name) {
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

export const open = async (page, path, name) => { await page.goto(s.url + path); await look(page, name); };
export const follow = async (page, text, name) => { await page.getByRole("link", { name: text, exact: true }).first().click(); await page.waitForLoadState(); await look(page, name); };
export const press = async (page, text, name) => { await page.getByRole("button", { name: text, exact: true }).first().click(); await page.waitForLoadState(); await look(page, name); };

// walk runs the parts in order, and prints what was found.
export async function walk(...parts) {
  try {
    for (const part of parts) await part();
  } catch (error) {
    fault(`the walk ended: ${error.message}`);
  }
  await browser.close();
  console.log(JSON.stringify({ screens, faults }));
}
