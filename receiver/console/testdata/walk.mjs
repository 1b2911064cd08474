// Walks through every screen and action of the console in a real browser. The
// settings come from browser_test.go in the variable WALK.
const { settings, visitor, look, open, follow, press, fault, at, walk } = await import(JSON.parse(process.env.WALK).walker);
const s = { ...settings, ...settings.world };

async function team() {
  const page = await visitor("ann");
  await open(page, "/", "inbox");
  await follow(page, "the chat room is gone", "dead-by-error");
  await follow(page, "Inbox", "inbox-again");
  await open(page, `/inbox/deliveries/${s.dead}`, "delivery-dead");
  await press(page, "Replay", "replayed-one");
  await open(page, `/inbox/deliveries/${s.handled}`, "delivery-handled");
  await follow(page, "Replay", "replay-handled");
  await press(page, "Replay", "replayed-handled");
  await open(page, `/inbox/deliveries/${s.retried}`, "delivery-retried");
  await open(page, "/inbox", "inbox-later");
  await page.getByRole("link", { name: /^Replay those with the chat room/ }).click();
  await look(page, "replay-all");
  await page.getByRole("button", { name: /^Replay \d+$/ }).click();
  await look(page, "replayed-all");
  await open(page, "/inbox/deliveries", "deliveries");
  await page.getByLabel("State").selectOption("handled");
  await press(page, "Filter", "deliveries-handled");
  await page.getByLabel("Deployment").fill("none");
  await press(page, "Filter", "deliveries-none");
  await follow(page, "Clear the filter", "deliveries-all");
  await open(page, "/inbox/deliveries/99999", "not-found");

  await follow(page, "Recent", "recent");
  await page.getByText("Show the figures").click();
  await look(page, "recent-figures");
  await follow(page, "Last hour", "recent-hour");
  await page.getByLabel("Source").selectOption("github");
  await press(page, "Filter", "recent-none");

  await follow(page, "Deployments", "deployments");
  await follow(page, "api in production", "history");
  await follow(page, "run-failed", "deployment-failed");
  await open(page, "/orgs/acme/deployment?id=run-live", "deployment-live");
  await follow(page, "All of this service", "history-again");
  await follow(page, "Metrics", "metrics");
  await follow(page, "api in production", "report");
  for (const summary of await page.locator("summary").all()) await summary.click();
  await look(page, "report-evidence");
  await follow(page, "4 weeks", "report-4w");
  await page.getByLabel("Time zone").fill("Mars");
  await press(page, "Show", "zone-wrong");
  await page.context().close();
}

async function others() {
  const reader = await visitor("reader");
  await open(reader, "/", "read-only");
  await open(reader, `/inbox/deliveries/${s.dead}`, "read-only-delivery");
  await open(reader, `/inbox/replay?error=x`, "read-only-replay");
  await reader.context().close();
  const olga = await visitor("olga");
  await open(olga, "/deployments", "organizations");
  await follow(olga, "globex", "no-deployments");
  await follow(olga, "Metrics", "organizations-metrics");
  await follow(olga, "globex", "no-metrics");
  await open(olga, "/orgs/globex/metrics/report?service=api&environment=production", "report-empty");
  await olga.context().close();
  const nobody = await visitor("ned");
  await open(nobody, "/", "no-organization");
  await nobody.context().close();
}

// The page refreshes by itself, and not while a person reads.
async function refreshing() {
  if (!s.script || !s.axe) return;
  const page = await visitor("ann");
  await page.clock.install();
  await page.goto(s.url + "/inbox");
  at("refreshing");
  await page.locator("#inbox").evaluate((part) => { const e = document.createElement("i"); e.dataset.mark = ""; part.append(e); });
  await page.mouse.move(1, 1);
  const asked = page.waitForResponse((r) => r.url().endsWith("/inbox"));
  await page.clock.fastForward(20000);
  await asked;
  await page.waitForFunction(() => !document.querySelector("[data-mark]")).catch(() => fault("it was not refreshed"));
  await page.context().close();
}

await walk(team, others, refreshing);
