// Follows the log over Server-Sent Events or a WebSocket, and draws what comes: the newest of it, how late it is, and how far behind.
"use strict";

/** Rows in the table. What is older is counted, and dropped before it is drawn. */
const ROWS_MAX = 500;
/** Live events whose lag is looked at. */
const LAGS_MAX = 200;
const CLIP_CHARACTERS_MAX = 200;
/** How long it waits before it comes again: at first, and at the most. */
const BACKOFF_MS = { first: 500, most: 30_000 };
/** A connection that stood so long was a good one, and the next wait is a first one. */
const GOOD_MS = 10_000;
/** The server says within 16 s how far it is. Whoever hears nothing for so long, while the log grows, has lost it without a word. */
const DEAF_MS = 40_000;
const ANSWER_MS_MAX = 15_000;
const TICK_MS = 1_000;
/** After so many ticks the head is asked for again: sooner while there is history to come through. */
const HEAD_TICKS = { history: 2, live: 5 };
/** Closes after which it would only be the same again: what we say is not understood, or not allowed. */
const CLOSED_FOR_GOOD = [1002, 1003, 1007, 1008, 1009, 1010];
/** What a subscription is refused with for now alone. */
const PASSING = ["too-many-requests", "internal", "unavailable", "position-not-reached"];

const FIELDS = ["streams", "types", "tags", "after", "transport"];
const STATES = {
  connecting: "connecting", history: "history", live: "live", stopped: "stopped", waiting: "waiting to come again",
};
const numbers = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const element = (id) => document.getElementById(id);

/** What is followed, or was at last: what was asked for, and how far it is. One that has ended is not touched any more. */
let run = null;
let state = "stopped";
let count = freshCount();
/** Events that came and are not drawn yet; `timed` when their lag is to be taken. */
let pending = [];
let drawn = 0;
let paused = false;
/** What is to draw next, a frame or a time until then; 0 when nothing is. */
let frame = 0;
/** When it may be drawn again. */
let rested = 0;
const cost = new MessageChannel();
/** Whether the link says that it begins by itself. */
const begins = new URLSearchParams(location.search).get("follow") === "true";
/** The event of each row. */
const events = new WeakMap();

function freshCount() {
  return { received: 0, twice: 0, lags: [], rate: 0, before: 0, ticked: performance.now(), ticks: 0 };
}

/** An element with attributes and children; text stays text. */
function make(name, attributes, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes ?? {})) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

/** A cursor in its parts; `null` when it is none. */
function place(text) {
  const found = /^([a-z0-9]{1,12})-([0-9]{1,15})$/.exec(text ?? "");
  return found && { text, epoch: found[1], position: Number(found[2]) };
}

// The form, and the link to it.

const list = (text) => text.split(",").map((each) => each.trim()).filter(Boolean);

/** What the form asks for. */
function wanted() {
  const [streams, types, tags] = ["streams", "types", "tags"].map((id) => list(element(id).value));
  const [after, token] = ["after", "token"].map((id) => element(id).value.trim());
  return { filter: { streams, types, tags }, after, token, transport: element("transport").value };
}

/** Keeps in the URL what may be shared: never the token, nor a ticket. */
function keep() {
  const { filter, after, transport } = wanted();
  const query = filtered(filter);
  if (after !== "head") query.set("after", after);
  if (transport !== "sse") query.set("transport", transport);
  if (begins) query.set("follow", "true");
  const text = query.size ? `?${query}` : "";
  if (text !== location.search) history.replaceState(null, "", location.pathname + text + location.hash);
}

function readLink() {
  const query = new URLSearchParams(location.search);
  element("after").value = "head";
  for (const id of FIELDS) {
    const value = query.get(id);
    const isKnown = id !== "transport" || [...element(id).options].some((option) => option.value === value);
    if (value !== null && isKnown) element(id).value = value;
  }
  keep();
}

function filtered(filter) {
  const query = new URLSearchParams();
  for (const [name, items] of Object.entries(filter)) if (items.length) query.set(name, items.join(","));
  return query;
}

// Beginning and ending.

/** Follows what the form asks for, behind `last` if that is given, which wins over what the form says. */
function begin(last) {
  leave();
  keep();
  const asked = wanted();
  run = { ...asked, last: last ?? place(asked.after), head: null, attempts: 0, line: null, timer: 0, heard: performance.now(), ended: false };
  element("why").textContent = "";
  if (!last) clear();
  connect(run);
}

function leave() {
  if (!run || run.ended) return;
  run.ended = true;
  clearTimeout(run.timer);
  run.line?.close();
}

/** Stops for good, and says why. */
function end(why, failed) {
  leave();
  say("stopped", why, failed);
}

function say(next, why, failed) {
  state = next;
  const root = document.documentElement;
  root.dataset.state = next;
  root.toggleAttribute("data-failed", Boolean(failed));
  // A live region reads out whatever is set, even to the same.
  for (const [id, text] of [["state", STATES[next]], ["why", why ?? ""]]) {
    if (element(id).textContent !== text) element(id).textContent = text;
  }
  element("stop").disabled = next === "stopped";
  element("continue").disabled = next !== "stopped" || !run?.last;
}

/** Whether that is still the connection that counts, or the last that did. */
const isCurrent = (line) => run !== null && !run.ended && run.line === line;
/** Whether what comes over it is taken: what came before it was closed may still be handed out after. */
const isHeard = (line) => isCurrent(line) && !line.lost;

/** Opens a connection: with a ticket of its own when there is a token, for a ticket is good for one. */
async function connect(of) {
  const line = (of.line = { since: performance.now(), open: false, lost: false, why: undefined, close() {} });
  // Why it had to come again stays readable until it is there.
  say("connecting", element("why").textContent);
  let ticket;
  if (of.token) {
    const headers = { ...authorization(of), "Content-Type": "application/json" };
    const answer = await fetched("/api/tickets", { method: "POST", headers, body: "{}" });
    if (!isCurrent(line)) return;
    if (isFinal(answer)) return end(told(answer), true);
    ticket = answer.body?.ticket;
    if (!ticket) return again(of, told(answer));
  }
  if (of.transport === "websocket") overWebSocket(of, line, ticket);
  else overEvents(of, line, ticket);
}

/** The connection is gone: comes again, if that can help. */
async function lost(of, line, why) {
  if (!isHeard(line)) return;
  line.lost = true;
  line.close();
  say("waiting", why);
  if (!fell(of, line)) {
    // Neither kind of connection says why it was refused; the same question as a request does.
    const answer = await peek(of);
    if (!isCurrent(line)) return;
    if (isFinal(answer)) return end(told(answer), true);
    if (answer.status !== 200) why = told(answer);
  }
  again(of, why);
}

/** Whether the connection stood, which it does not any more. */
function fell(of, line) {
  const stood = line.open;
  line.open = false;
  if (stood && performance.now() - line.since >= GOOD_MS) of.attempts = 0;
  return stood;
}

/** Comes again after a while that grows, and that is not the same for all who wait. */
function again(of, why) {
  const most = Math.min(BACKOFF_MS.most, BACKOFF_MS.first * 2 ** of.attempts);
  of.attempts += 1;
  of.timer = setTimeout(() => connect(of), most * (0.5 + Math.random() / 2));
  say("waiting", why);
}

// What is asked beside the connection.

const authorization = (of) => (of.token ? { Authorization: `Bearer ${of.token}` } : {});
const isFinal = ({ status }) => status >= 400 && status < 500 && ![408, 425, 429].includes(status);

async function fetched(url, options) {
  try {
    const answer = await fetch(url, { cache: "no-store", signal: AbortSignal.timeout(ANSWER_MS_MAX), ...options });
    return { status: answer.status, body: await answer.json().catch(() => null) };
  } catch {
    return { status: 0, body: null };
  }
}

/** An answer in words. */
function told({ status, body }) {
  if (status === 0) return "The server does not answer.";
  const fields = Object.entries(body?.invalid ?? {}).map((each) => each.join(" "));
  return [`${status}:`, body?.detail ?? body?.title ?? "no reason was given.", ...fields].join(" ");
}

/** Asks for an empty page of the same: it says where the head is, or why the question is refused. */
function peek(of) {
  const query = filtered(of.filter);
  query.set("after", "head");
  query.set("limit", "1");
  return fetched(`/api/events?${query}`, { headers: { Accept: "application/json", ...authorization(of) } });
}

async function learnHead() {
  const of = run;
  if (of.peeking) return;
  of.peeking = true;
  const { status, body } = await peek(of);
  of.peeking = false;
  if (status === 200) of.head = place(body?.head) ?? of.head;
  schedule();
}

// The two ways.

function overEvents(of, line, ticket) {
  const query = filtered(of.filter);
  const after = of.last?.text ?? of.after;
  if (after) query.set("after", after);
  if (ticket) query.set("ticket", ticket);
  const source = new EventSource(`/api/events?${query}`);
  line.close = () => source.close();
  source.addEventListener("open", () => opened(of, line));
  source.addEventListener("message", ({ data }) => take(of, JSON.parse(data)));
  source.addEventListener("caught-up", ({ lastEventId }) => caughtUp(of, lastEventId));
  source.addEventListener("checkpoint", ({ lastEventId }) => reach(of, lastEventId));
  source.addEventListener("reset", ({ data }) => reset(of, JSON.parse(data)));
  source.addEventListener("error", ({ data }) => {
    // The connection's own error has no data, and the server's has.
    if (data !== undefined) return refused(of, line, JSON.parse(data));
    const why = line.why ?? "The connection is gone.";
    // By itself it would come again with the ticket, which is used.
    if (ticket || source.readyState === EventSource.CLOSED) return lost(of, line, why);
    fell(of, line);
    say("waiting", why);
  });
}

function overWebSocket(of, line, ticket) {
  const url = new URL("/api/events", location.href);
  url.protocol = location.protocol === "https:" ? "wss:" : "ws:";
  if (ticket) url.searchParams.set("ticket", ticket);
  const socket = new WebSocket(url, "flightdeck.v1");
  line.close = () => socket.close(1000);
  socket.addEventListener("open", () => {
    const lists = Object.entries(of.filter).filter(([, items]) => items.length);
    const after = of.last?.text ?? of.after;
    socket.send(JSON.stringify({ op: "subscribe", sub: "live", ...(after && { after }), ...Object.fromEntries(lists) }));
  });
  socket.addEventListener("message", ({ data }) => isHeard(line) && heard(of, line, JSON.parse(data)));
  socket.addEventListener("close", ({ code, reason }) => {
    if (!isHeard(line)) return;
    const why = line.why ?? `The connection is gone: ${code}${reason && `, ${reason}`}.`;
    if (CLOSED_FOR_GOOD.includes(code) || code >= 4500) end(`The server has closed: ${[code, line.why, reason].filter(Boolean).join(", ")}`, true);
    else lost(of, line, why);
  });
}

/** A message over the socket. Kinds that are not known are for later pages. */
function heard(of, line, message) {
  of.heard = performance.now();
  switch (message.k) {
    case "subscribed": return opened(of, line);
    case "event": return take(of, message.event);
    case "caught-up": return caughtUp(of, message.at);
    case "checkpoint": return reach(of, message.at);
    case "fell-behind": return say("history", "It came faster than it was taken, and is read from the log again.");
    case "reset": return reset(of, message);
    case "error": return message.sub === undefined ? refused(of, line, message) : refusedFor(of, line, message);
  }
}

// What comes.

function opened(of, line) {
  of.heard = performance.now();
  Object.assign(line, { open: true, since: performance.now(), why: undefined });
  say("history");
  learnHead();
}

/** Moves to there; `false` when it was there already, or beyond. */
function reach(of, text) {
  const at = place(text);
  of.heard = performance.now();
  if (!at || (of.last?.epoch === at.epoch && at.position <= of.last.position)) return false;
  of.last = at;
  if (of.head?.epoch !== at.epoch || of.head.position < at.position) of.head = at;
  schedule();
  return true;
}

function take(of, event) {
  if (reach(of, event.cursor)) {
    count.received += 1;
    // What is drawn later because somebody wanted so, or nobody looked, is not late.
    pending.push({ event, timed: state === "live" && !paused && !document.hidden });
    if (pending.length > 2 * ROWS_MAX) pending.splice(0, pending.length - ROWS_MAX);
  } else {
    count.twice += 1;
  }
  schedule();
}

function caughtUp(of, at) {
  reach(of, at);
  say("live");
}

/** The cursor is not good for this log. Where to go on from is for people to say: what lies between is not known. */
function reset(of, { reason, earliest, head }) {
  of.last = null;
  end(`The server can't go on from there (${reason}). The log reaches from ${earliest} to ${head}: say after what to follow.`, true);
}

function refused(of, line, { code, detail }) {
  if (code >= 4500) return end(`${code}: ${detail}`, true);
  line.why = `${code}: ${detail}`;
  element("why").textContent = line.why;
}

/** A subscription that is refused is none: over this connection nothing would ever come. */
function refusedFor(of, line, { code, detail }) {
  const why = `${code}: ${detail}`;
  if (PASSING.includes(code)) lost(of, line, why);
  else end(why, true);
}

// Drawing.

/** Draws with the next frame: or later, where drawing takes long, so that it never has more than a third of the time. */
function schedule() {
  if (frame) return;
  const rest = rested - performance.now();
  frame = rest > 0 ? setTimeout(() => { frame = requestAnimationFrame(draw); }, rest) : requestAnimationFrame(draw);
}

function draw() {
  frame = 0;
  const began = performance.now();
  // A task behind the frame: what was changed is laid out and painted by then.
  cost.port1.onmessage = () => { rested = performance.now() + 2 * (performance.now() - began); };
  cost.port2.postMessage(null);
  if (!paused && pending.length) {
    const now = Date.now();
    const lags = pending.slice(-LAGS_MAX).filter(({ timed }) => timed).map(({ event }) => now - Date.parse(event.recordedAt));
    count.lags = [...count.lags, ...lags].slice(-LAGS_MAX);
    drawRows(pending.slice(-ROWS_MAX));
    pending = [];
  }
  drawFigures();
}

function drawRows(fresh) {
  const body = element("events");
  const rows = document.createDocumentFragment();
  for (const { event } of fresh.reverse()) rows.append(row(event));
  body.prepend(rows);
  // From the end, so that what a row has opened goes before it.
  for (drawn += fresh.length; drawn > ROWS_MAX; body.lastElementChild.remove()) {
    if (events.has(body.lastElementChild)) drawn -= 1;
  }
}

/** A row without its event: copies of it are made faster than rows piece by piece. */
const blank = make("tr", { class: "event" },
  make("td", {}, make("button", { type: "button", "aria-expanded": "false" })),
  make("td", {}, make("time", {})),
  make("td", {}), make("td", {}), make("td", {}));

function row(event) {
  const made = blank.cloneNode(true);
  const [position, time, stream, type, data] = made.cells;
  position.firstChild.textContent = event.position;
  time.firstChild.textContent = event.recordedAt.slice(11, 23);
  time.firstChild.dateTime = time.title = event.recordedAt;
  stream.textContent = stream.title = event.streamId;
  type.textContent = type.title = event.eventType;
  data.textContent = (JSON.stringify(event.data) ?? "").slice(0, CLIP_CHARACTERS_MAX);
  events.set(made, event);
  return made;
}

/** Opens a row, or closes it. */
function toggle(target) {
  const chosen = target.closest(".event");
  // Whoever marks text in a row wants to copy it.
  if (!chosen || !getSelection().isCollapsed) return;
  const button = chosen.querySelector("button");
  const isOpen = button.getAttribute("aria-expanded") === "true";
  button.setAttribute("aria-expanded", String(!isOpen));
  if (isOpen) return chosen.nextElementSibling.remove();
  const event = events.get(chosen);
  const text = make("pre", { tabindex: "0", "aria-label": `Event ${event.position}` }, JSON.stringify(event, null, 2));
  chosen.after(make("tr", {}, make("td", { colspan: "5" }, text)));
}

function drawFigures() {
  const { received, twice, rate, lags } = count;
  const root = document.documentElement;
  Object.assign(root.dataset, { received, twice });
  const sorted = [...lags].sort((one, other) => one - other);
  const lag = sorted.length ? `${numbers.format(sorted[sorted.length >> 1])} ms, ${numbers.format(sorted.at(-1))} ms` : "–";
  const { last, head } = run ?? {};
  const behind = last && head?.epoch === last.epoch ? numbers.format(Math.max(0, head.position - last.position)) : "–";
  const figures = { received: numbers.format(received), twice: numbers.format(twice), rate: numbers.format(rate), lag, behind, cursor: last?.text ?? "–" };
  for (const [id, text] of Object.entries(figures)) if (element(id).textContent !== text) element(id).textContent = text;
}

function clear() {
  count = freshCount();
  pending = [];
  drawn = 0;
  element("events").replaceChildren();
  drawFigures();
}

/** Whether the connection says nothing, though there is something to be said. */
function isDeaf(now) {
  if (state === "connecting") return now - run.line.since > DEAF_MS;
  if (!(state in HEAD_TICKS) || now - run.heard <= DEAF_MS) return false;
  return Boolean(run.head) && run.head.position > (run.last?.position ?? -1);
}

/** Once a second, drawn or not: how fast it comes, how far the log is, and whether it is still heard. */
function tick() {
  const now = performance.now();
  count.rate = ((count.received - count.before) * 1000) / Math.max(1, now - count.ticked);
  Object.assign(count, { before: count.received, ticked: now, ticks: count.ticks + 1 });
  drawFigures();
  if (isDeaf(now)) lost(run, run.line, "Nothing was heard for too long.");
  else if (state in HEAD_TICKS && count.ticks % HEAD_TICKS[state] === 0) learnHead();
}

element("asked").addEventListener("submit", (event) => { event.preventDefault(); begin(); });
element("asked").addEventListener("input", keep);
element("continue").addEventListener("click", () => begin(run.last));
element("stop").addEventListener("click", () => end());
element("clear").addEventListener("click", clear);
element("pause").addEventListener("click", ({ currentTarget }) => {
  paused = !paused;
  currentTarget.setAttribute("aria-pressed", String(paused));
  schedule();
});
element("events").addEventListener("click", ({ target }) => toggle(target));
readLink();
say("stopped");
drawFigures();
setInterval(tick, TICK_MS);
if (begins) begin();
