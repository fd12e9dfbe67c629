/**
 * The script of the demo's two pages. Every change is a POST with the CSRF token, which is in the readable one of the
 * two cookies.
 */

/** How often the list of sessions is asked for, in ms. */
const POLL = 5000;

/** How many events are shown. */
const EVENTS = 50;

const find = (selector) => document.querySelector(selector);
const guard = find("session-guard");

function csrf() {
  const nr2 = document.cookie.split("; ").find((cookie) => cookie.startsWith("nr2Users=")) ?? "";
  return new URLSearchParams(nr2.slice(nr2.indexOf("=") + 1)).get("crf") ?? "";
}

/** GET, or POST the given data as JSON; return the answer. */
async function call(path, body) {
  const post = body && {method: "POST", body: JSON.stringify(body)};
  const headers = {"Content-Type": "application/json", "X-CSRF-Token": csrf()};
  const response = await fetch(path, {...post, headers}).catch(() => {
    throw new Error("The server cannot be reached.");
  });
  const isJson = response.headers.get("Content-Type")?.startsWith("application/json");
  const answer = isJson ? await response.json() : await response.text();
  if (response.ok) return answer;
  throw Object.assign(new Error(answer.detail ?? answer), {status: response.status});
}

/** Run a button's action, once at a time, and show errors. */
async function act(button, work) {
  const message = find("#message");
  button.disabled = true;
  message.textContent = "";
  try {
    await work();
  } catch (error) {
    if (guard && error.status === 401) location.replace("/login");
    message.textContent = error.message;
  } finally {
    button.disabled = false;
  }
}

const onClick = (selector, work) => {
  find(selector)?.addEventListener("click", ({currentTarget}) => act(currentTarget, work));
};

/** End this page's own login. It leaves its room first, so that it gets no termination itself. */
async function leave(work) {
  const {nextSibling} = guard;
  guard.remove();
  try {
    await work();
  } catch (error) {
    if (error.status !== 401) nextSibling.before(guard);
    throw error;
  }
  location.replace("/login");
}

// -- Who am I, my sessions ------------------------------------------------------------------

function when(time) {
  const date = new Date(time);
  const day = date.toDateString() === new Date().toDateString() ? {} : {dateStyle: "medium"};
  return new Intl.DateTimeFormat(undefined, {...day, timeStyle: "medium"}).format(date);
}

function showMe(me) {
  const shown = {
    ...me,
    kind: me.remembered ? "remembered, also when the browser is closed" : "until the browser is closed",
    created: when(me.created),
    checked: when(me.checked),
    asked: me.asked ? "from the hub and the store" : "from the hub alone",
  };
  for (const field of document.querySelectorAll("[data-me]")) field.textContent = shown[field.dataset.me];
}

let listed;

function showSessions(sessions) {
  // Otherwise a button could disappear while the user presses it.
  const now = JSON.stringify(sessions);
  if (now === listed) return;
  listed = now;
  find("#end-others").hidden = sessions.length < 2;
  find("#list").replaceChildren(...sessions.map(showSession));
}

function showSession(session) {
  const row = find("#session").content.cloneNode(true);
  row.querySelector("strong").textContent = session.browser;
  if (!session.this) row.querySelector(".badge").remove();
  const about = [
    session.address,
    session.remembered ? "remembered" : "not remembered",
    `logged in ${when(session.created)}`,
    `last seen ${when(session.seen)}`,
  ];
  row.querySelectorAll("p span").forEach((part, index) => {
    part.textContent = about[index];
  });
  const button = row.querySelector("button");
  button.setAttribute("aria-label", session.this ? "End this session" : `End ${session.browser}`);
  const end = () => call("/api/sessions/end", {session: session.session});
  button.addEventListener("click", () => act(button, () => (session.this ? leave(end) : end().then(refresh))));
  return row;
}

async function refresh() {
  showSessions(await call("/api/sessions?poll"));
}

// -- The room -------------------------------------------------------------------------------

function followRoom() {
  const polling = setInterval(poll, POLL);
  document.addEventListener("visibilitychange", poll);
  for (const type of ["joined", "heartbeat", "offline", "error", "terminated"]) {
    guard.addEventListener(type, ({detail}) => {
      record({type, ...detail});
      status(type === "heartbeat" ? "joined" : type);
      if (type === "joined") poll();
    });
  }
  guard.addEventListener("terminated", ({detail: {reason, detail}}) => {
    clearInterval(polling);
    if (reason !== "login" || !detail?.browser) return;
    const words = document.createElement("span");
    words.slot = "message";
    words.textContent = `Your account was used to log in again, with ${detail.browser}.`;
    guard.append(words);
  });
  find("script[crossorigin]").addEventListener("error", () => status("error"));
}

function status(word) {
  const pill = find("#status");
  pill.dataset.status = pill.textContent = word;
}

function record(message) {
  const line = document.createElement("li");
  const time = document.createElement("time");
  time.textContent = new Date().toLocaleTimeString();
  const code = document.createElement("code");
  code.textContent = JSON.stringify(message);
  line.dataset.type = message.type;
  line.append(time, code);
  const events = find("#events");
  events.prepend(line);
  events.children[EVENTS]?.remove();
}

async function poll() {
  if (document.hidden || guard.guard?.state === "terminated" || !guard.isConnected) return;
  try {
    await refresh();
  } catch (error) {
    if (error.status !== 401) return; // there will be another attempt
    // The hub may be about to say why, and then the page says so.
    setTimeout(() => guard.guard?.state !== "terminated" && location.replace("/login"), 1000);
  }
}

// -- Which page this is ---------------------------------------------------------------------

if (guard) {
  const {me, sessions} = JSON.parse(find("#state").textContent);
  showMe(me);
  showSessions(sessions);
  followRoom();
  onClick("#ask", async () => showMe(await call("/api/me")));
  onClick("#logout", () => leave(() => call("/logout", {})));
  onClick("#end-others", async () => {
    await call("/api/sessions/end", {session: "others"});
    await refresh();
  });
  onClick("#generate", () => leave(() => call("/api/keys", {})));
} else {
  const form = find("#login");
  const {user, password, remember} = form.elements;
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    act(form.querySelector("button"), async () => {
      await call("/login", {user: user.value, password: password.value, remember: remember.checked});
      location.replace("/");
    });
  });
  for (const button of document.querySelectorAll("[data-user]")) {
    button.addEventListener("click", () => {
      user.value = button.dataset.user;
      password.value = button.dataset.password;
      form.querySelector("button").focus();
    });
  }
}
