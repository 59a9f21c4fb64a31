// The kiosk page. It shows what /api/events tells, and hands commands in at /api/command.
// Bounds: CARDS commands stay on the page; a sensor keeps POINTS points.
"use strict";

const CARDS = 30;
const POINTS = 240;
const HOURS = 24;
const STALE_SECONDS = 600;

const byId = (id) => document.getElementById(id);
const cards = new Map();
const sensors = new Map();
let units = {};
let token = "";

function make(tag, className, text) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  return node;
}

// Talking to the daemon

async function call(path, options = {}) {
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  const response = await fetch(path, { cache: "no-store", ...options, headers });
  if (response.status === 401) {
    await askForToken();
    return call(path, options);
  }
  return response;
}

async function json(path, options) {
  const response = await call(path, options);
  const body = await response.json();
  if (!response.ok && !body.status) throw new Error(body.error?.message ?? `HTTP ${response.status}`);
  return body;
}

let asking = null;
function askForToken() {
  asking ??= new Promise((resolve) => {
    const dialog = byId("key");
    byId("token").value = "";
    dialog.oncancel = (event) => event.preventDefault();
    dialog.onclose = () => {
      token = byId("token").value.trim();
      remember(token);
      asking = null;
      resolve();
    };
    dialog.showModal();
  });
  return asking;
}

// A browser in private mode may refuse to store; the page then asks again after a reload.
function remember(value) {
  try { localStorage.setItem("token", value); } catch { /* not kept */ }
}

function recall() {
  const given = new URLSearchParams(location.hash.slice(1)).get("token");
  if (given) {
    history.replaceState(null, "", location.pathname);
    remember(given);
    return given;
  }
  try { return localStorage.getItem("token") ?? ""; } catch { return ""; }
}

// EventSource cannot send the token, so the stream is read by hand.
async function watch() {
  let pause = 500;
  for (;;) {
    try {
      const response = await call("/api/events");
      if (!response.ok) throw new Error(`HTTP ${response.status}`);
      pause = 500;
      gone(false);
      await Promise.all([refreshHealth(), refreshReadings(), refreshCapabilities(), catchUp(), showRecent()]);
      await read(response.body);
    } catch (error) {
      console.warn(error);
    }
    gone(true);
    await new Promise((resolve) => setTimeout(resolve, pause));
    pause = Math.min(pause * 2, 8000);
  }
}

async function read(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const blocks = (rest + value).split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) {
      const data = block.split("\n").find((line) => line.startsWith("data: "));
      if (data) heard(JSON.parse(data.slice(6)));
    }
  }
}

function heard(notice) {
  switch (notice.notice) {
    case "accepted": return accepted(notice);
    case "routed": return step(notice.id, ROUTES[notice.route] ?? notice.route);
    case "token": return written(notice);
    case "call_started": return step(notice.id, null, { code: notice.call });
    case "call_ended": return callEnded(notice);
    case "finished": return finished(notice.outcome);
    case "reading": return reading(notice.sensor, notice.value);
    case "health": return refreshHealth();
    default: return notice.missed ? catchUp() : undefined;
  }
}

const ROUTES = {
  reflex: "understood as a known sentence",
  model: "understood by the model on this board",
  remote: "understood by a remote model",
  direct: "spelled out by a program",
};

const SOURCES = { http: "here", local: "on the board", mqtt: "over MQTT", wyoming: "by voice" };

// Commands

function card(id, text) {
  const known = cards.get(id);
  if (known) return known;
  byId("hello").hidden = true;
  const root = make("li", "command busy");
  const head = make("h3");
  head.append(make("q", "", text));
  const time = make("time", "", clock(new Date()));
  head.append(time);
  const details = make("details");
  details.open = true;
  const summary = make("summary", "", "Steps");
  const steps = make("ol", "steps");
  details.append(summary, steps);
  const choices = make("div", "choices");
  const reply = make("p", "reply");
  root.append(head, reply, choices, details);
  for (const older of cards.values()) if (!older.open) older.details.open = false;
  byId("commands").prepend(root);
  byId("talk").scrollTop = 0;
  const made = { id, text, root, time, details, summary, steps, choices, reply, began: performance.now(), open: true, ended: false };
  cards.set(id, made);
  for (const [key, old] of cards) {
    if (cards.size <= CARDS) break;
    if (old === made) continue;
    old.root.remove();
    cards.delete(key);
  }
  offerToTakeBack(made);
  return made;
}

function line(to, text, { code, mark, at } = {}) {
  const item = make("li", mark);
  const what = make("span");
  if (text) what.append(text);
  if (code) what.append(make("code", "", code));
  const when = at ?? Math.round(performance.now() - to.began);
  item.append(what, make("span", "when", milliseconds(when)));
  to.steps.append(item);
  return item;
}

const milliseconds = (ms) => (ms < 1000 ? `${ms} ms` : `${(ms / 1000).toFixed(1)} s`);

function step(id, text, more) {
  const found = cards.get(id);
  if (!found) return;
  withdrawTakeBack(found, more?.code);
  line(found, text, more);
}

function accepted({ id, text, source }) {
  const made = card(id, text);
  made.began = performance.now();
  line(made, `accepted ${SOURCES[source] ?? source} and stored`);
}

function written({ id, text }) {
  const found = cards.get(id);
  if (!found || found.ended) return;
  if (!found.writing) {
    found.writing = make("code");
    const item = line(found, "the model writes ");
    item.firstChild.append(found.writing);
  }
  found.writing.textContent = (found.writing.textContent + text).slice(-400);
}

function callEnded({ id, record, wire }) {
  const found = cards.get(id);
  if (!found) return;
  found.writing = null;
  const result = Object.entries(record.result ?? {}).map(([k, v]) => `${k} = ${typeof v === "string" ? v : JSON.stringify(v)}`);
  const answer = `${wire.length ? "the device answered" : "it came back"} in ${milliseconds(record.ms)}`;
  const text = record.ok ? [answer, ...result].join(" · ") : record.error ?? "it failed";
  const item = line(found, text, { mark: record.ok ? "good" : "bad" });
  for (const frame of wire) {
    const row = make("span", "wire");
    row.append(make("b", "", frame.sent ? "→" : "←"), make("code", "", frame.text));
    row.firstChild.setAttribute("aria-label", frame.sent ? "sent" : "received");
    item.append(row);
  }
}

function finished(outcome) {
  const found = cards.get(outcome.id) ?? card(outcome.id, "(asked elsewhere)");
  if (found.ended) return;
  const waits = outcome.status === "waiting_approval";
  found.ended = !waits && outcome.status !== "deferred";
  found.root.className = `command ${outcome.status}`;
  found.reply.textContent = outcome.text;
  found.choices.replaceChildren();
  found.writing = null;
  if (waits) {
    line(found, "waits for a person to approve");
    offerChoice(found);
  } else {
    const mark = outcome.status === "done" ? "good" : outcome.status === "failed" || outcome.status === "interrupted" ? "bad" : "";
    line(found, outcome.status.replace("_", " "), { mark, at: outcome.ms });
  }
  if (found.ended) {
    found.open = false;
    found.summary.textContent = `Steps · ${milliseconds(outcome.ms)}`;
    const newest = cards.size === 0 || [...cards.values()].at(-1) === found;
    if (!newest) found.details.open = false;
  }
  byId("said").textContent = `${found.text}: ${outcome.text}`;
}

function offerChoice(to) {
  const choose = async (approve) => {
    for (const button of to.choices.children) button.disabled = true;
    line(to, approve ? "approved here" : "denied here");
    try {
      await json(`/api/command/${encodeURIComponent(to.id)}/approve`, {
        method: "POST",
        body: JSON.stringify({ approve, by: "kiosk" }),
      });
      // The stream may have told the end before this answer came.
      if (approve && !to.ended) {
        to.root.className = "command busy";
        to.choices.replaceChildren();
      }
    } catch (error) {
      line(to, error.message, { mark: "bad" });
      await catchUpOne(to);
      for (const button of to.choices.children) button.disabled = false;
    }
  };
  const yes = make("button", "yes", "Approve");
  const no = make("button", "", "Deny");
  yes.type = no.type = "button";
  yes.setAttribute("aria-label", `Approve: ${to.text}`);
  no.setAttribute("aria-label", `Deny: ${to.text}`);
  yes.onclick = () => choose(true);
  no.onclick = () => choose(false);
  to.choices.replaceChildren(yes, no);
}

// Offered a little later: most commands have ended by then, and a button that flashes up is no help.
function offerToTakeBack(to) {
  setTimeout(() => {
    if (to.ended || to.acting || to.choices.childElementCount) return;
    const back = make("button", "quiet", "Take back");
    back.type = "button";
    back.setAttribute("aria-label", `Take back: ${to.text}`);
    back.onclick = async () => {
      back.disabled = true;
      try {
        await json(`/api/command/${encodeURIComponent(to.id)}`, { method: "DELETE" });
      } catch (error) {
        back.remove();
        line(to, error.message, { mark: "bad" });
      }
    };
    to.choices.append(back);
  }, 1500);
}

function withdrawTakeBack(from, acting) {
  if (!acting) return;
  from.acting = true;
  from.choices.querySelector(".quiet")?.remove();
}

// A page that was just opened shows what is not over, so that an approval is not lost with a reload.
async function showRecent() {
  for (const { id, text, source, received_at: at, outcome } of (await json("/api/commands")).reverse()) {
    if (cards.has(id) || (outcome && outcome.status !== "waiting_approval" && outcome.status !== "deferred")) continue;
    const shown = card(id, text);
    shown.began = performance.now() - Math.max(Date.now() - new Date(at), 0);
    shown.time.textContent = clock(new Date(at));
    line(shown, `accepted ${SOURCES[source] ?? source} and stored`, { at: 0 });
    if (outcome) finished(outcome);
  }
}

const clock = (date) => date.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });

// After a pause of the stream: what ended meanwhile.
async function catchUp() {
  await Promise.all([...cards.values()].filter((known) => !known.ended).map(catchUpOne));
}

async function catchUpOne(to) {
  const response = await call(`/api/command/${encodeURIComponent(to.id)}`);
  if (!response.ok) return;
  const outcome = await response.json();
  if (!to.root.classList.contains(outcome.status)) finished(outcome);
}

function freshId() {
  const bytes = crypto.getRandomValues(new Uint8Array(12));
  return `kiosk-${Array.from(bytes, (b) => b.toString(16).padStart(2, "0")).join("")}`;
}

async function send(text) {
  const id = freshId();
  const shown = card(id, text);
  try {
    const answer = await json("/api/command?wait=0", { method: "POST", body: JSON.stringify({ id, text }) });
    if (answer.status) finished(answer);
  } catch (error) {
    shown.ended = true;
    shown.root.className = "command failed";
    shown.choices.replaceChildren();
    shown.reply.textContent = `This was not sent: ${error.message}`;
    byId("said").textContent = shown.reply.textContent;
  }
}

// Readings

function series(name) {
  const known = sensors.get(name);
  if (known) return known;
  const root = make("li");
  const head = make("div", "name");
  const note = make("small");
  head.append(make("span", "", name), note);
  const now = make("div", "now");
  const value = make("div", "value");
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 100 36");
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("role", "img");
  const [under, trace] = ["under", "trace"].map((kind) => {
    const path = document.createElementNS(svg.namespaceURI, "path");
    path.setAttribute("class", kind);
    svg.append(path);
    return path;
  });
  now.append(value, svg);
  root.append(head, now);
  const made = { name, root, note, value, svg, under, trace, points: [], last: [0, 0] };
  sensors.set(name, made);
  byId("sensors").append(root);
  byId("readings").hidden = false;
  return made;
}

async function refreshReadings() {
  const { sensors: all } = await json(`/api/readings?hours=${HOURS}`);
  for (const { sensor, last, points } of all) {
    Object.assign(series(sensor), { last, points });
    draw(series(sensor));
  }
}

function reading(name, value) {
  const at = Math.floor(Date.now() / 1000);
  const of = series(name);
  of.last = [at, value];
  // Live readings come oftener than the spans of the drawing: one a span stays, the rest only show.
  const span = (HOURS * 3600) / 120;
  if (!of.points.length || at - of.points.at(-1)[0] >= span) of.points.push([at, value]);
  of.points = of.points.slice(-POINTS);
  draw(of);
}

const decimals = (value) => (Math.abs(value) >= 1000 ? 0 : Math.abs(value) >= 10 || value === 0 ? 1 : 2);
// A sensor that counts has no decimals; one that measures keeps them at 61.0 too.
const pretty = (value, counts) => value.toLocaleString([], {
  maximumFractionDigits: counts ? 0 : decimals(value),
  minimumFractionDigits: counts || Math.abs(value) >= 1000 ? 0 : 1,
});

function draw(of) {
  const [at, value] = of.last;
  const counts = Number.isInteger(value) && of.points.every(([, v]) => Number.isInteger(v));
  of.value.replaceChildren(pretty(value, counts));
  const unit = units[of.name];
  if (unit) of.value.append(make("small", "", unit));
  const points = [...of.points.filter(([t]) => t < at), [at, value]];
  const values = points.map(([, v]) => v);
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const now = Date.now() / 1000;
  const age = now - at;
  of.root.classList.toggle("stale", age > STALE_SECONDS);
  of.note.textContent = age > STALE_SECONDS ? ago(age) : `${pretty(low, counts)} – ${pretty(high, counts)}`;
  of.svg.setAttribute("aria-label", `${of.name}: lowest ${pretty(low, counts)}, highest ${pretty(high, counts)} in ${HOURS} hours`);
  // A sensor that has only just begun fills the drawing, and one that hardly moves stays flat.
  const from = Math.max(points[0][0], now - HOURS * 3600);
  const span = Math.max(now - from, 60);
  const height = Math.max(high - low, Math.abs(high) * 0.01, 1e-9);
  const middle = (high + low) / 2;
  const x = (t) => (Math.max(t - from, 0) / span) * 100;
  const y = (v) => 18 - ((v - middle) / height) * 30;
  const path = points.map(([t, v], i) => `${i ? "L" : "M"}${x(t).toFixed(2)} ${y(v).toFixed(2)}`).join("");
  of.trace.setAttribute("d", path);
  of.under.setAttribute("d", `${path}L${x(at).toFixed(2)} 36L${x(points[0][0]).toFixed(2)} 36Z`);
}

function ago(seconds) {
  const minutes = Math.round(seconds / 60);
  return minutes < 60 ? `${minutes} min ago` : minutes < 2880 ? `${Math.round(minutes / 60)} h ago` : `${Math.round(minutes / 1440)} days ago`;
}

// The board

async function refreshHealth() {
  const health = await json("/health");
  byId("device").textContent = health.device;
  document.title = health.device;
  const lost = new Map(health.degraded.map((entry) => [entry.component, entry]));
  const chips = [];
  const chip = (text, kind, title) => {
    const item = make("li", kind, text);
    if (title) item.title = title;
    chips.push(item);
  };
  const model = health.model ?? {};
  const words = { off: "No model", loading: "Model loads", ready: model.name, asleep: `${model.name} rests`, down: "No model" };
  const canBeAsked = model.state === "ready" || model.state === "asleep";
  chip(words[model.state] ?? "Model", lost.has("model") || model.state === "down" ? "lost" : canBeAsked ? "" : "off", model.cause ?? lost.get("model")?.cause);
  chip(lost.has("link") ? "Offline" : "Online", lost.has("link") ? "lost" : "", lost.get("link")?.cause);
  const waits = health.outbox?.pending ?? 0;
  if (waits > 0) chip(`${waits} to send`, "off", "Waits for the network");
  for (const component of lost.keys()) {
    if (component !== "model" && component !== "link") chip(component.replace(/^port:/, ""), "lost", lost.get(component).cause);
  }
  byId("state").replaceChildren(...chips);
  const causes = health.degraded.map(({ component, cause }) => `${component.replace(/^port:/, "")}: ${cause}`);
  if (!away) trouble(causes.join(" · "), false);
}

let away = false;
function gone(isGone) {
  away = isGone;
  if (isGone) trouble("The daemon does not answer. What you type is not carried out.", true);
  else trouble("", false);
}

function trouble(text, severe) {
  const bar = byId("trouble");
  bar.hidden = !text;
  bar.classList.toggle("gone", severe);
  if (bar.textContent !== text) bar.textContent = text;
}

async function refreshCapabilities() {
  const capabilities = await json("/api/capabilities");
  units = capabilities.units ?? {};
  for (const of of sensors.values()) draw(of);
  const examples = (capabilities.examples ?? []).slice(0, 8).map((text) => {
    const button = make("button", "", text);
    button.type = "button";
    button.onclick = () => send(text);
    const item = make("li");
    item.append(button);
    return item;
  });
  byId("examples").replaceChildren(...examples);
  if (examples.length) byId("words").placeholder = capabilities.examples[0];
}

byId("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = byId("words").value.trim();
  if (!text) return;
  byId("words").value = "";
  send(text);
});

setInterval(() => {
  if (away) return;
  refreshHealth().catch(() => {});
  for (const of of sensors.values()) draw(of);
}, 30000);

token = recall();
watch();
