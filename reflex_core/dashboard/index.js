"use strict";
const $ = (id) => document.getElementById(id);
const MAX_ROWS = 100;

// ------------------------------------------------------------------ words

const STATUS = {
  "hit-l1-exact": ["exact", "exact hit"],
  "hit-l3-verified": ["verified", "verified hit"],
  "hit-l2-semantic": ["semantic", "similar hit"],
  coalesced: ["shared", "shared"],
  continued: ["shared", "continued"],
  stale: ["shared", "stale"],
  miss: ["miss", "miss"],
  bypass: ["miss", "bypass"],
};
const LATENCY = {
  hit: "Hit, whole answer",
  upstream: "Upstream, whole answer",
  first_token: "Upstream, first token",
  lookup: "Lookup beyond memory",
  embed: "Embedding",
  search: "Index search",
  verify: "Verifying",
};
const number = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const compact = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
const clock = new Intl.DateTimeFormat("en-GB", { timeStyle: "medium" });

function duration(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  if (seconds < 0.001) return `${(seconds * 1e6).toFixed(0)} µs`;
  if (seconds < 0.01) return `${(seconds * 1e3).toFixed(1)} ms`;
  if (seconds < 1) return `${(seconds * 1e3).toFixed(0)} ms`;
  if (seconds < 120) return `${seconds.toFixed(1)} s`;
  if (seconds < 7200) return `${(seconds / 60).toFixed(0)} min`;
  if (seconds < 172800) return `${(seconds / 3600).toFixed(1)} h`;
  return `${(seconds / 86400).toFixed(0)} days`;
}
function money(usd) {
  if (usd === null || usd === undefined) return "–";
  if (usd === 0) return "$0";
  return usd < 0.1 ? `$${usd.toPrecision(2)}` : `$${usd.toFixed(2)}`;
}
function bytes(n) {
  for (const unit of ["B", "kB", "MB", "GB"]) {
    if (n < 1000 || unit === "GB") return `${n < 10 && unit !== "B" ? n.toFixed(1) : n.toFixed(0)} ${unit}`;
    n /= 1000;
  }
}
const plural = (n, word) => `${number.format(n)} ${word}${n === 1 ? "" : "s"}`;

// ------------------------------------------------------------------ elements

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "onclick") made.addEventListener("click", value);
    else if (value !== null && value !== undefined) made.setAttribute(key, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}
const cell = (content, attributes = {}) => element("td", attributes, content);
const button = (text, label, onclick, kind) => element("button", { type: "button", "aria-label": label, class: kind, onclick }, text);
function badge(status, code) {
  const [kind, words] = STATUS[status] ?? ["miss", status];
  const failed = code >= 400;
  return element("span", { class: `badge ${failed ? "error" : kind}` }, failed ? `${words} ${code}` : words);
}
function named(row) {
  const key = element("span", { class: "key quiet", title: row.key }, row.key.slice(0, 16));
  return row.question ? element("div", {}, element("div", {}, row.question), key) : key;
}

// ------------------------------------------------------------------ numbers

function showNumbers(stats) {
  const { requests, saved, spent, latency, storage } = stats;
  $("hit-rate").textContent = stats.hit_rate === null ? "–" : `${(stats.hit_rate * 100).toFixed(stats.hit_rate < 0.995 ? 1 : 0)}%`;
  $("hit-note").textContent = plural(requests.total, "request");
  const known = saved.answers > saved.unpriced_answers || !saved.answers;
  $("usd").textContent = known ? money(saved.usd) : "–";
  const unpriced = Object.keys(stats.unpriced_models);
  $("usd-note").textContent = `spent ${money(spent.usd)}` + (unpriced.length ? `; no price: ${unpriced.slice(0, 2).join(", ")}${unpriced.length > 2 ? "…" : ""}` : "");
  $("time").textContent = duration(saved.seconds);
  $("time-note").textContent = latency.hit.count ? `hits take ${duration(latency.hit.p50)}` : "";
  $("tokens").textContent = compact.format(saved.prompt_tokens + saved.completion_tokens);
  $("tokens-note").textContent = `${compact.format(saved.completion_tokens)} of them written`;
  showMix(requests.by_status);
  $("latency").replaceChildren(...Object.entries(LATENCY).filter(([name]) => latency[name]?.count).map(([name, words]) => {
    const { p50, p95, count } = latency[name];
    return element("tr", {}, cell(words), cell(duration(p50), { class: "num" }), cell(duration(p95), { class: "num" }), cell(number.format(count), { class: "num" }));
  }));
  const kept = storage.store ?? storage.memory;
  const semantic = storage.semantic?.state ?? "off";
  $("store-note").textContent = `${plural(kept.entries ?? 0, "answer")}, ${bytes(kept.bytes ?? 0)}. Similar questions: ${semantic}.`
    + (storage.writer?.queued ? ` ${number.format(storage.writer.queued)} being written.` : "")
    + (stats.in_flight ? ` ${number.format(stats.in_flight)} in flight.` : "");
  $("about").textContent = `Reflex ${stats.version}, up ${duration(stats.uptime)}.`;
}

function showMix(byStatus) {
  const sums = {};
  for (const [status, count] of Object.entries(byStatus)) {
    const [kind, words] = STATUS[status] ?? ["miss", status];
    (sums[words] ??= { kind, count: 0 }).count += count;
  }
  const order = Object.values(STATUS).map(([, words]) => words);
  const rows = Object.entries(sums).sort(([a], [b]) => order.indexOf(a) - order.indexOf(b));
  const total = rows.reduce((sum, [, { count }]) => sum + count, 0);
  $("mix").replaceChildren(...rows.map(([, { kind, count }]) => {
    const bar = element("i", { class: kind });
    bar.style.flexGrow = String(count / total);
    return bar;
  }));
  $("mix").setAttribute("aria-label", rows.map(([words, { count }]) => `${words} ${count}`).join(", ") || "No requests");
  $("mix-legend").replaceChildren(...rows.map(([words, { kind, count }]) => element("li", { class: kind }, `${words} ${number.format(count)}`)));
}

function showTimeline(all, uptime) {
  const seconds = 1800 / all.length;
  const shown = Math.min(all.length, Math.max(all.length / 6, Math.ceil(uptime / seconds)));
  const rows = all.slice(-shown);
  $("since").textContent = `${Math.round((shown * seconds) / 60)} min ago`;
  const chart = $("timeline");
  const height = 96, width = 6;
  const top = Math.max(4, ...rows.map(([hits, others]) => hits + others));
  chart.setAttribute("viewBox", `0 0 ${rows.length * width} ${height}`);
  const bars = [];
  const bar = (kind, i, from, count) => {
    if (!count) return;
    const rect = document.createElementNS("http://www.w3.org/2000/svg", "rect");
    const size = (count / top) * (height - 4);
    for (const [name, value] of Object.entries({ class: kind, x: i * width, y: height - from - size, width: width - 1, height: size })) rect.setAttribute(name, value);
    bars.push(rect);
  };
  rows.forEach(([hits, others], i) => {
    bar("exact", i, 0, hits);
    bar("miss", i, (hits / top) * (height - 4), others);
  });
  chart.replaceChildren(...bars);
  const hits = rows.reduce((sum, [n]) => sum + n, 0), others = rows.reduce((sum, [, n]) => sum + n, 0);
  chart.setAttribute("aria-label", `Requests since ${$("since").textContent}: ${hits} hits, ${others} others`);
}

// ------------------------------------------------------------------ lists

let topShown = "";
function showTop(rows) {
  const told = JSON.stringify(rows);
  if (told === topShown) return;
  topShown = told;
  const focused = $("top").contains(document.activeElement) ? document.activeElement.getAttribute("aria-label") : null;
  $("top").replaceChildren(...rows.map((row) => element("tr", {},
    cell(named(row)), cell(row.gone ? "no longer stored" : row.model), cell(number.format(row.served), { class: "num" }),
    cell(element("div", { class: "actions" }, row.gone ? null : button("Purge", `Purge answer ${row.key.slice(0, 16)}`, () => purgeKey(row.key), "danger"))),
  )));
  if (focused) $("top").querySelector(`[aria-label="${focused}"]`)?.focus();
  $("top-empty").hidden = rows.length > 0;
}

function recentRow(row) {
  const hit = row.status.startsWith("hit-");
  const price = row.usd === null ? "–" : money(row.usd);
  return element("tr", { id: `r-${row.id}` },
    cell(clock.format(row.at * 1000), { class: "quiet in-time" }),
    cell(badge(row.status, row.code), { class: "in-status" }),
    cell(row.model, { class: "in-model" }),
    cell(row.question ? element("div", {}, element("div", {}, row.question), element("div", { class: "quiet" }, row.explanation)) : row.explanation, { class: "in-why" }),
    cell(duration(row.ms / 1000), { class: "num in-took" }),
    cell(hit && row.usd !== null ? `saved ${price}` : price, { class: "num in-price" }),
    cell(element("div", { class: "actions" },
      button("Why", `Why: request ${row.id}`, () => showWhy(row.id)),
      hit ? button("Wrong", `Mark the answer to request ${row.id} as wrong`, () => markWrong(row)) : null), { class: "in-actions" }),
  );
}

function showRecent(rows, first) {
  const body = $("recent-rows");
  if (first) body.replaceChildren();
  for (const row of rows.toReversed()) {
    const made = recentRow(row);
    if (!first) made.classList.add("fresh");
    body.prepend(made);
  }
  while (body.children.length > MAX_ROWS) body.lastElementChild.remove();
  $("recent-empty").hidden = body.children.length > 0;
}

// ------------------------------------------------------------------ actions

async function call(path, body) {
  const options = body === undefined ? {} : {
    method: "POST",
    headers: { "content-type": "application/json", "x-reflex-admin": "1" },
    body: JSON.stringify(body),
  };
  let response;
  try {
    response = await fetch(path, options);
  } catch {
    throw new Error("The proxy does not answer.");
  }
  if (response.status === 401) location.reload();
  const value = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(value.error?.message ?? `Refused (${response.status}).`);
  return value;
}

let toastTimer;
function toast(text) {
  $("toast").textContent = text;
  $("toast").hidden = false;
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => { $("toast").hidden = true; }, 6000);
}

// A browser may tell of a closed dialog late, even when the next question is already open.
let leave = () => {};
function ask(title, text, yes) {
  leave();
  $("ask-title").textContent = title;
  $("ask-text").textContent = text;
  $("ask-yes").textContent = yes;
  const dialog = $("ask");
  dialog.showModal();
  return new Promise((resolve) => {
    const answered = new AbortController();
    const answer = (sure) => { answered.abort(); resolve(sure); };
    leave = () => answer(false);
    dialog.addEventListener("submit", (event) => answer(event.submitter === $("ask-yes")), { signal: answered.signal });
    dialog.addEventListener("close", () => { if (!dialog.open) leave(); }, { signal: answered.signal });
  });
}

async function attempt(action) {
  try {
    await action();
  } catch (error) {
    toast(error.message);
  }
}

async function purge(what, value, text) {
  if (!await ask("Purge", text, "Purge")) return;
  await attempt(async () => {
    const { deleted } = await call("/reflex/purge", { what, value });
    toast(`${plural(deleted, "answer")} deleted.`);
    if (!$("found").hidden || !$("found-empty").hidden) await search();
  });
}
const purgeKey = (key) => purge("key", key, `Delete the stored answer ${key.slice(0, 16)}? The next request asks the provider.`);

async function markWrong(row) {
  const text = "The stored answer is never served for this question again. Where the question's text is known, the pair is kept in a local file for the evaluation.";
  if (!await ask("Mark as wrong", text, "Mark as wrong")) return;
  await attempt(async () => {
    const done = await call("/reflex/wrong", { id: row.id });
    const more = done.also.length ? ` ${plural(done.also.length, "neighbour")} with it.` : "";
    toast((done.banned ? "It is not served for this question again." : "It was deleted.") + more);
  });
}

async function search() {
  const { entries } = await call(`/reflex/search?q=${encodeURIComponent($("q").value)}`);
  $("found-rows").replaceChildren(...entries.map((row) => element("tr", {},
    cell(named(row), { class: "wide" }), cell(`${row.provider}::${row.model}${row.namespace ? ` (${row.namespace})` : ""}`),
    cell(number.format(row.hits), { class: "num", "data-label": "uses" }), cell(duration(row.age), { class: "num", "data-label": "age" }), cell(bytes(row.bytes), { class: "num", "data-label": "size" }),
    cell(element("div", { class: "actions" }, button("Purge", `Purge answer ${row.key.slice(0, 16)}`, () => purgeKey(row.key), "danger"))),
  )));
  $("found").hidden = entries.length === 0;
  $("found-empty").hidden = entries.length > 0;
}

// ------------------------------------------------------------------ why

function showWhy(id) {
  return attempt(async () => {
    const told = await call(`/reflex/why?id=${encodeURIComponent(id)}`);
    $("why-body").replaceChildren(...whyParts(told));
    $("why").showModal();
  });
}

function whyParts(told) {
  const parts = [
    element("p", {}, badge(told.status, told.code), ` ${told.explanation}`),
    element("p", { class: "quiet" }, `${told.provider}::${told.model}, ${duration(told.ms / 1000)}, `, element("span", { class: "key" }, told.key.slice(0, 16))),
  ];
  if (told.question) parts.push(element("p", {}, `“${told.question}”`));
  parts.push(element("h3", {}, "What was tried"), element("ol", {}, ...told.tiers.map((row) => element("li", {}, `${row.tier}: ${row.outcome}`))));
  if (told.neighbours.length) {
    parts.push(element("h3", {}, "Nearest stored questions"), table(["Question", "Distance", "Cosine", "Score", "Threshold", "Verdict"], told.neighbours.map((row) => [
      row.gone ? "no longer stored" : named(row), row.distance, row.cosine.toFixed(3), row.score?.toFixed(3) ?? "–", row.threshold?.toFixed(3) ?? "–", row.reason,
    ])));
  }
  if (told.nearest) {
    parts.push(element("h3", {}, "Nearest stored request"), element("p", { class: "key quiet" }, told.nearest.key.slice(0, 16)));
    parts.push(told.nearest.differences.length
      ? table(["Field", "Stored", "Asked"], told.nearest.differences.map((row) => [row.path, row.change === "order" ? "another order" : row.stored || "–", row.asked || "–"]))
      : element("p", {}, "The same request, for another provider, model or base URL."));
  }
  return parts;
}

function table(heads, rows) {
  return element("table", {},
    element("thead", {}, element("tr", {}, ...heads.map((head) => element("th", { scope: "col" }, head)))),
    element("tbody", {}, ...rows.map((row) => element("tr", {}, ...row.map((value) => cell(typeof value === "number" ? String(value) : value))))));
}

// ------------------------------------------------------------------ live

let paused = false;
let source;
function connection(state, text) {
  $("state").className = state;
  $("state-text").textContent = text;
}
function connect() {
  source?.close();
  source = new EventSource("/reflex/events");
  source.addEventListener("snapshot", (event) => {
    const told = JSON.parse(event.data);
    connection("live", "live");
    showNumbers(told.stats);
    showTimeline(told.timeline, told.stats.uptime);
    showTop(told.top);
    showRecent(told.recent, told.first);
    $("q-more").textContent = told.prompts ? ", or words of the question" : "";
    document.body.dataset.ready = "yes";
  });
  source.addEventListener("error", () => {
    connection("lost", "the proxy does not answer; trying again");
    if (source.readyState !== EventSource.CLOSED) return;
    call("/reflex/stats").catch(() => {}).then(() => setTimeout(connect, 3000));
  });
}

$("pause").addEventListener("click", () => {
  paused = !paused;
  $("pause").setAttribute("aria-pressed", String(paused));
  if (paused) {
    source.close();
    connection("", "paused");
  } else connect();
});
// A browser gives a host six connections: a tab that nobody sees needs none.
document.addEventListener("visibilitychange", () => {
  if (document.hidden) source.close();
  else if (!paused) connect();
});
const THEMES = { light: "dark", dark: "light" };
function theme(chosen) {
  const current = chosen ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
  if (chosen) document.documentElement.dataset.theme = chosen;
  $("theme").textContent = THEMES[current] === "dark" ? "Dark" : "Light";
  $("theme").onclick = () => {
    try { localStorage.setItem("reflex-theme", THEMES[current]); } catch { /* not kept, then */ }
    theme(THEMES[current]);
  };
}
let chosen = null;
try { chosen = localStorage.getItem("reflex-theme"); } catch { /* storage may be off */ }
theme(chosen in THEMES ? chosen : null);

$("search").addEventListener("submit", (event) => {
  event.preventDefault();
  attempt(search);
});
$("purge-all").addEventListener("click", () => purge("all", "", "Delete every stored answer, of all clients? This cannot be undone."));
document.addEventListener("keydown", (event) => {
  if (event.key === "/" && !event.ctrlKey && !event.metaKey && !/^(INPUT|TEXTAREA)$/.test(event.target.tagName)) {
    event.preventDefault();
    $("q").focus();
  }
});
connect();
