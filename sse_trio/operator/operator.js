/**
 * The operator's page: the hub's counts and decisions, and the sessions of a user.
 *
 * It asks only the hub's REST API. The key is only in the header of each request and in this tab's
 * storage. Names that users choose (rooms, devices, places) become text, never markup. The id of a
 * session is a secret. So the page shows a session's fingerprint instead, as the audit log does.
 */

const INTERVAL = 2000; // ms between two polls
const PATIENCE = 10_000; // ms that the hub has to answer
const WINDOW = 10; // seconds that a rate is the mean of
const DECISIONS = 50; // records that are shown
const REASON = "operator"; // of the sessions that it ends, also in the audit log
const STORED = "sse-trio-key";

const $ = (id) => document.getElementById(id);

let key = sessionStorage.getItem(STORED);
let isProven = key !== null; // whether the hub has accepted this key
let isPaused = false;
let isAsking = false;
let timer;
let awaySince = null;
let room = null; // whose sessions are shown
let doomed = null; // the room that the dialog asks about
let lookUps = 0; // so far: only the last one is shown

// -- What the hub is asked ---------------------------------------------------------------------

/** The hub has answered, and not with 200. */
class Refusal extends Error {
  constructor(status, detail) {
    super(detail ?? `it answers ${status}`);
    this.status = status;
  }
}

/** The bytes of a text in UTF-8, one in each character: a header takes nothing else. */
const asHeader = (text) => String.fromCharCode(...new TextEncoder().encode(text));

async function ask(path, members = {}) {
  const response = await fetch(path, {
    method: "POST",
    headers: {Authorization: `Bearer ${asHeader(key)}`, "Content-Type": "application/json"},
    body: JSON.stringify(members),
    cache: "no-store",
    credentials: "omit",
    redirect: "error",
    signal: AbortSignal.timeout(PATIENCE),
  });
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) throw new Refusal(response.status, answer.detail);
  return {...answer, now: Date.parse(response.headers.get("Date")) / 1000 || Date.now() / 1000};
}

function explain(error) {
  if (!(error instanceof Refusal)) return "The hub does not answer.";
  if (error.status === 401) return "The hub does not accept this key.";
  if (error.status === 429) {
    return "Too many wrong keys have come from this address. Wait a minute, and try again.";
  }
  return `The hub refuses: ${error.message}.`;
}

// -- Text and elements -------------------------------------------------------------------------

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [attribute, value] of Object.entries(attributes)) made.setAttribute(attribute, value);
  made.append(...children);
  return made;
}

/** Set text only where it changes, so that screen readers read it once. */
function say(target, text) {
  if (target.textContent !== text) target.textContent = text;
}

/** Text of a user: its direction does not change that of its neighbours. */
const foreign = (text) => element("bdi", {}, text);

const UNITS = [["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];

function duration(seconds) {
  const [unit, size] = UNITS.find(([, size]) => seconds >= size) ?? UNITS.at(-1);
  const count = Math.max(0, Math.floor(seconds / size));
  return `${count} ${unit}${count === 1 ? "" : "s"}`;
}

const plural = (count, noun) => `${count} ${noun}${count === 1 ? "" : "s"}`;

const number = (value) =>
  value === null ? "none yet" : value.toLocaleString("en", {maximumFractionDigits: 2});

const clock = (date) => date.toLocaleTimeString("en", {hour12: false});

/** What an application has said about a login: the device and the place first. */
function describe(about) {
  const {device, place, ...more} = about ?? {};
  const written = (value) => (typeof value === "string" ? value : JSON.stringify(value));
  const parts = [device, place].filter((value) => value !== undefined).map(written);
  for (const [name, value] of Object.entries(more)) parts.push(`${name}: ${written(value)}`);
  return parts.join(", ");
}

/** The name of a session in the audit log; null where the browser cannot compute it. */
async function fingerprint(session) {
  if (!crypto.subtle) return null;
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(session));
  const digits = [...new Uint8Array(digest, 0, 8)].map((byte) => byte.toString(16).padStart(2, "0"));
  return digits.join("");
}

// -- The key -----------------------------------------------------------------------------------

function show() {
  $("entry").hidden = isProven;
  $("board").hidden = $("controls").hidden = !isProven;
}

/** Go back to the form. */
function forget(problem = "") {
  key = null;
  isProven = false;
  awaySince = null;
  room = doomed = null;
  lookUps += 1;
  $("confirm").close();
  clearTimeout(timer);
  sessionStorage.removeItem(STORED);
  $("found").hidden = true;
  $("alert").hidden = true;
  for (const id of ["sessions", "decisions", "now", "counted"]) $(id).replaceChildren();
  shownDecisions = [];
  figures.clear();
  samples = [];
  say($("result"), "");
  say($("state"), "");
  say($("key-problem"), problem);
  show();
  $("key").focus();
}

$("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  key = $("key").value.trim();
  say($("key-problem"), "");
  if (key) refresh();
});

$("forget").addEventListener("click", () => forget());

// -- Polling -----------------------------------------------------------------------------------

function schedule() {
  clearTimeout(timer);
  if (isProven && !isPaused && !document.hidden) timer = setTimeout(refresh, INTERVAL);
}

async function refresh() {
  if (isAsking || key === null) return;
  const used = key;
  isAsking = true;
  try {
    const statistics = await ask("statistics");
    const {decisions} = await ask("decisions", {limit: DECISIONS});
    if (used === key) succeed(statistics, decisions);
  } catch (error) {
    if (used === key) fail(error);
  } finally {
    isAsking = false;
    if (used === key) schedule();
    else refresh(); // another key has been entered meanwhile
  }
}

function succeed(statistics, decisions) {
  awaySince = null;
  if (!isProven) {
    isProven = true;
    sessionStorage.setItem(STORED, key);
    $("key").value = "";
    show();
    $("room").focus();
  }
  showStatistics(statistics);
  showDecisions(decisions);
  say($("state"), isPaused ? "Paused" : "Live");
  const isStuck = statistics.metrics.ledger_ready?.value === 0;
  warn(isStuck ? "The ledger cannot be written. The log of the hub says why." : "");
}

function fail(error) {
  if (error instanceof Refusal && [401, 429].includes(error.status)) {
    forget(explain(error));
  } else if (isProven) {
    awaySince ??= new Date();
    say($("state"), "Away");
    const since = samples.length ? ` The numbers are from ${clock(awaySince)}.` : "";
    warn(`${explain(error)}${since} The page keeps trying.`);
  } else {
    forget(explain(error));
  }
}

function warn(text) {
  say($("alert"), text);
  $("alert").hidden = !text;
}

document.addEventListener("visibilitychange", () => {
  if (!document.hidden && !isPaused) refresh();
  else schedule();
});

$("pause").addEventListener("click", () => {
  isPaused = !isPaused;
  $("pause").setAttribute("aria-pressed", String(isPaused));
  if (isPaused) say($("state"), "Paused");
  else refresh();
  schedule();
});

// -- Statistics --------------------------------------------------------------------------------

let samples = []; // the answers of the last seconds
const figures = new Map(); // by name: the elements of one

const total = ({value, values, count}) =>
  value ?? count ?? Object.values(values ?? {}).reduce((sum, each) => sum + each, 0);

function figure(name, {type, about}) {
  const value = element("span", {class: "value"});
  const rate = element("span", {class: "rate"});
  const results = element("span", {class: "results"});
  const label = name.replaceAll("_", " ");
  const made = {value, rate, results};
  const term = element("dt", {}, label, element("small", {}, about));
  const group = element("div", {"data-name": name}, term, element("dd", {}, value, rate, results));
  $(type === "gauge" ? "now" : "counted").append(group);
  figures.set(name, made);
  return made;
}

/** Events a second, over the samples; null where there is only one. */
function rateOf(name) {
  const [first, last] = [samples[0], samples.at(-1)];
  const seconds = last.uptime - first.uptime;
  if (!(seconds > 0)) return null;
  return (total(last.metrics[name]) - total(first.metrics[name] ?? {})) / seconds;
}

function showStatistics({uptime, metrics}) {
  if (samples.length && uptime < samples.at(-1).uptime) samples = []; // the hub has restarted
  samples.push({uptime, metrics});
  samples = samples.filter((sample) => sample.uptime >= uptime - WINDOW);
  say($("uptime"), `The hub started ${duration(uptime)} ago. Rates are of the last ${WINDOW} seconds.`);
  for (const [name, metric] of Object.entries(metrics)) {
    const {value, rate, results} = figures.get(name) ?? figure(name, metric);
    if (metric.type === "histogram") {
      say(value, metric.count ? `${number((1000 * metric.sum) / metric.count)} ms` : "none yet");
      say(results, `mean of ${number(metric.count)}`);
    } else {
      say(value, number(metric.values ? total(metric) : metric.value));
      const named = Object.entries(metric.values ?? {});
      say(results, named.map(([result, count]) => `${result} ${number(count)}`).join(", "));
    }
    if (metric.type === "counter") {
      const now = rateOf(name);
      say(rate, now === null ? "" : `${number(now)}/s`);
    }
  }
}

// -- Decisions ---------------------------------------------------------------------------------

let shownDecisions = []; // the text of each row, the newest first

function showDecisions(decisions) {
  const texts = decisions.map((decision) => JSON.stringify(decision));
  // Rows that are there stay, so that the focus does.
  let fresh = 0;
  while (!texts.slice(fresh).every((text, index) => text === shownDecisions[index])) fresh += 1;
  $("decisions").prepend(...decisions.slice(0, fresh).map(row));
  while ($("decisions").childElementCount > decisions.length) $("decisions").lastChild.remove();
  shownDecisions = texts;
  $("no-decisions").hidden = decisions.length > 0;
}

function row({time, event, room, epoch, reason, session, by, about}) {
  const date = new Date(time);
  const moment = element("time", {datetime: time, title: date.toString()}, clock(date));
  const description = about === undefined ? "" : describe(about);
  const made = element("tr", {role: "row"});
  const cell = (label, ...children) =>
    made.append(element("td", {role: "cell", "data-label": label}, ...children));
  cell("Time", moment);
  cell("Event", event);
  cell("Room", ...(room === undefined ? [] : [opener(room)]));
  cell("Reason", ...(reason === undefined ? [] : [foreign(reason)]));
  const name = session === undefined ? [] : [element("code", {}, session)];
  const said = description ? [" ", foreign(description)] : [];
  cell("Session", ...(name.length || said.length ? [element("span", {}, ...name, ...said)] : []));
  cell("By", by);
  return made;
}

/** A button that looks a room up. */
function opener(name) {
  const made = element("button", {type: "button", class: "link"}, foreign(name));
  made.addEventListener("click", () => {
    $("room").value = name;
    lookUp(name);
  });
  return made;
}

// -- The sessions of a user --------------------------------------------------------------------

$("lookup").addEventListener("submit", (event) => {
  event.preventDefault();
  lookUp($("room").value);
});

/** Do something about a user; say what comes of it, or why nothing does. */
async function attempt(work) {
  const used = key;
  try {
    const text = await work();
    if (used === key && text !== null) say($("result"), text);
  } catch (error) {
    if (used !== key) return;
    if (error instanceof Refusal && error.status === 401) forget(explain(error));
    else say($("result"), explain(error));
  }
}

async function lookUp(name) {
  say($("result"), "");
  await attempt(async () => {
    const count = await list(name);
    return count === null ? null : `${plural(count, "session")} of ${name}.`;
  });
}

/** Show the active sessions of a room, and return how many; null if another one is looked up. */
async function list(name) {
  const mine = (lookUps += 1);
  const {sessions, now} = await ask("sessions", {room: name});
  const items = await Promise.all(sessions.map((session) => item(name, session, now)));
  if (mine !== lookUps) return null;
  room = name;
  $("found-title").replaceChildren("Sessions of ", foreign(name));
  $("sessions").replaceChildren(...items);
  $("found").hidden = false;
  $("found-title").focus();
  return sessions.length;
}

async function item(room, {session, epoch, since, seen, connected, about}, now) {
  const name = describe(about) || "A device without a description";
  const called = await fingerprint(session);
  const end = element("button", {type: "button", class: "danger", "aria-label": `End: ${name}`}, "End");
  end.addEventListener("click", () => endOne(room, session, epoch, name));
  const facts = element(
    "p",
    {},
    element("span", {}, `logged in ${duration(now - since)} ago`),
    element("span", {}, connected ? "connected now" : `seen ${duration(now - seen)} ago`),
    ...(called ? [element("code", {}, called)] : []),
  );
  return element("li", {}, element("div", {}, element("strong", {}, foreign(name)), facts), end);
}

/** Show the sessions that are left, and return what was done: also if they cannot be shown. */
async function listAfter(done, name) {
  try {
    await list(name);
    return done;
  } catch (error) {
    if (error instanceof Refusal && error.status === 401) throw error;
    return `${done} ${explain(error)}`;
  }
}

async function endOne(room, session, epoch, name) {
  await attempt(async () => {
    const {ended, terminated} = await ask("release", {room, session, epoch, reason: REASON});
    const done = ended.length
      ? `Ended: ${name}. Connected pages: ${terminated}.`
      : `It had ended already: ${name}.`;
    return listAfter(done, room);
  });
}

$("end-all").addEventListener("click", () => {
  doomed = room;
  $("confirm-title").replaceChildren("End all sessions of ", foreign(doomed), "?");
  $("confirm").showModal();
});

$("confirm-no").addEventListener("click", () => $("confirm").close());

$("confirm-yes").addEventListener("click", async () => {
  $("confirm").close();
  const name = doomed;
  await attempt(async () => {
    const {terminated} = await ask("notify", {room: name, sender: null, reason: REASON});
    const done = `All sessions of ${name} have ended. Connected pages: ${terminated}.`;
    return listAfter(done, name);
  });
});

// -- The start ---------------------------------------------------------------------------------

show();
if (key === null) {
  $("key").focus();
} else {
  say($("state"), "Connecting");
  refresh();
}
