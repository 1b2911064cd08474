// Everything here is a convenience. Each page works without it.
"use strict";

(function () {
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";
  const clock = new Intl.DateTimeFormat("sv-SE", {
    year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit", second: "2-digit",
  });

  // Times are in the viewer's zone. Their title stays in UTC.
  function times(root) {
    for (const element of root.querySelectorAll("time[datetime]:not([data-relative])")) {
      const at = new Date(element.dateTime);
      if (!isNaN(at)) element.textContent = clock.format(at);
    }
  }
  times(document);
  for (const element of document.querySelectorAll("[data-zone]")) element.textContent = zone;

  // Fields for times are in the viewer's zone, too, and sent in UTC.
  const minutes = (at) => at.toISOString().slice(0, 16);
  for (const input of document.querySelectorAll("input[data-utc]")) {
    const at = new Date(input.value + "Z");
    if (!isNaN(at)) input.value = minutes(new Date(at - 60000 * at.getTimezoneOffset()));
    for (const label of input.labels) label.textContent = label.textContent.replace(" (UTC)", "");
    input.form.addEventListener("formdata", (event) => {
      const entered = new Date(input.value);
      if (!isNaN(entered)) event.formData.set(input.name, minutes(entered));
    });
  }

  // A form is sent once, and says that it is being worked on.
  addEventListener("submit", (event) => {
    const form = event.target;
    if (form.method !== "post") return;
    if (form.ariaBusy === "true") event.preventDefault();
    form.ariaBusy = "true";
    if (event.submitter) event.submitter.textContent = "Working…";
  });
  addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });

  const box = document.querySelector("[data-refresh]");
  if (!box) return;
  box.hidden = false;
  const every = 1000 * Number(box.dataset.refresh);
  const button = box.querySelector("[data-live-toggle]");
  const state = box.querySelector("[data-live-state]");
  let paused = false, acted = Date.now(), running = false;

  for (const kind of ["keydown", "pointerdown", "wheel", "touchmove", "scroll"]) {
    addEventListener(kind, () => { acted = Date.now(); }, { passive: true });
  }
  button.addEventListener("click", () => {
    paused = !paused;
    button.textContent = paused ? "Resume" : "Pause";
    button.setAttribute("aria-pressed", String(paused));
    state.textContent = paused ? "Does not refresh" : "Refreshes by itself";
  });

  // busy says whether a person reads or types something that would be replaced.
  function busy() {
    const active = document.activeElement;
    if (document.hidden || Date.now() - acted < 5000) return true;
    if (active && active.closest("[data-live], form")) return true;
    const selection = getSelection();
    if (selection && !selection.isCollapsed) return true;
    return document.querySelector("[data-live] details[open], [data-live]:hover") !== null;
  }

  async function refresh() {
    if (paused || running || busy()) return;
    running = true;
    try {
      const answer = await fetch(location.href, { headers: { Accept: "text/html" }, redirect: "error", cache: "no-store" });
      if (!answer.ok) throw new Error(String(answer.status));
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
      if (paused || busy()) return;
      for (const part of document.querySelectorAll("[data-live][id]")) {
        const other = fresh.getElementById(part.id);
        if (!other) continue;
        times(other);
        if (other.innerHTML !== part.innerHTML) part.replaceChildren(...document.importNode(other, true).childNodes);
      }
      state.textContent = "Refreshes by itself";
    } catch {
      state.textContent = "Could not refresh. Reload the page.";
    } finally {
      running = false;
    }
  }
  setInterval(refresh, every);
})();
