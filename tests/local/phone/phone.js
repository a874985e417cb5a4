// A public OAuth client (RFC 6749, PKCE of RFC 7636, RFC 9207) as a mobile developer would write it by hand. It is told
// the issuer, its client id, its redirect URI, the scopes and where Aries' API is. It discovers everything else but the
// two paths about a person's sessions, which no standard of discovery names.

const MOST_ATTEMPTS = 6;
const DEFAULT_RETRY_SECONDS = 2;
const LONGEST_RETRY_SECONDS = 10;

const element = (id) => document.getElementById(id);
const stored = {
  read: (name) => JSON.parse(sessionStorage.getItem(name)),
  write: (name, value) => sessionStorage.setItem(name, JSON.stringify(value)),
  remove: (name) => sessionStorage.removeItem(name),
};

let config;
let server;

// A failure that is told to the person. `detail` is for the developer.
class Told extends Error {
  constructor(message, detail = "") {
    super(message);
    this.detail = detail;
  }
}
// A token was refused for good: the session is over.
class SignInAgain extends Told {}
// This sign-in came to nothing. A session that the app has already is not touched: anybody can make a link to this page.
class SignInFailed extends Told {}
// Nothing is lost: the same request may succeed later.
class Temporary extends Told {}
// The token serves no longer for this request. A refresh alone tells whether the session is over.
class RefreshFirst extends Told {}
// The request is wrong, which no repetition mends. The session is as it was.
class Mistaken extends Told {}

const mask = (secret) => `${secret.slice(0, 4)}…`;
const whetherSignedIn = () => (stored.read("session") ? "You stay signed in." : "You are not signed in.");
const sleep = (seconds) => new Promise((resolve) => setTimeout(resolve, seconds * 1000));

function say(text, kind = "") {
  element("status").textContent = text;
  element("status").className = kind;
}

function log(text, detail = "", kind = "") {
  const item = document.createElement("li");
  const time = document.createElement("time");
  time.textContent = new Date().toLocaleTimeString();
  const line = document.createElement("span");
  line.textContent = text;
  item.className = kind;
  item.append(time, line);
  if (detail) {
    const code = document.createElement("code");
    code.textContent = detail;
    item.append(code);
  }
  element("log").prepend(item);
}

function base64url(bytes) {
  return btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
}

const random = () => base64url(crypto.getRandomValues(new Uint8Array(32)));

async function challengeOf(verifier) {
  return base64url(new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(verifier))));
}

// A fetch that says in plain words when nobody answered.
async function reach(name, url, options) {
  try {
    return await fetch(url, options);
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    throw new Temporary(`${name} cannot be reached. Try again in a moment.`);
  }
}

async function discover() {
  const response = await reach("The broker", `${config.issuer}/.well-known/oauth-authorization-server`);
  if (!response.ok) throw new Temporary(`The broker answered ${response.status}. Try again in a moment.`);
  const metadata = await response.json();
  // RFC 8414 section 3.3: a document that names another issuer is not this issuer's.
  if (metadata.issuer !== config.issuer) throw new Error("The discovery document names another issuer");
  log("Discovered the broker", `GET ${response.url}`);
  return metadata;
}

async function signIn() {
  const pending = { state: random(), verifier: random() };
  stored.write("pending", pending);
  const query = new URLSearchParams({
    response_type: "code",
    client_id: config.client_id,
    redirect_uri: config.redirect_uri,
    scope: config.scope,
    state: pending.state,
    code_challenge: await challengeOf(pending.verifier),
    code_challenge_method: "S256",
  });
  location.assign(`${server.authorization_endpoint}?${query}`);
}

// Reads the answer of the authorization endpoint off the page's address; returns a session, or null when there is none.
async function finishSignIn() {
  const answer = new URLSearchParams(location.search);
  if (!answer.has("state")) return null;
  // A code in the address bar would come back with every reload.
  history.replaceState(null, "", location.pathname);
  const pending = stored.read("pending");
  if (answer.get("state") !== pending?.state) throw new SignInFailed("That answer was not asked for.");
  stored.remove("pending");
  if (answer.get("iss") !== config.issuer) throw new SignInFailed("That answer came from another issuer.");
  if (answer.has("error")) {
    const denied = answer.get("error") === "access_denied";
    const detail = `error=${answer.get("error")}  error_description=${answer.get("error_description")}`;
    throw new SignInFailed(denied ? "You did not allow access." : "The sign-in failed.", detail);
  }
  log("Came back with a one-time code", `code=${mask(answer.get("code"))}  iss=${answer.get("iss")}`);
  return requestTokens("Redeemed the code", {
    grant_type: "authorization_code",
    code: answer.get("code"),
    redirect_uri: config.redirect_uri,
    code_verifier: pending.verifier,
  }, SignInFailed);
}

async function requestTokens(title, fields, Refusal) {
  const { content: tokens, id } = await post(server.token_endpoint, fields, Refusal);
  const isSame = tokens.access_token === stored.read("session")?.access_token;
  const detail = `access_token=${mask(tokens.access_token)}  expires_in=${tokens.expires_in}  ${id}`;
  log(isSame ? sameTokens() : `${title}: new tokens`, detail, "good");
  const session = { ...tokens, expires_at: Date.now() + tokens.expires_in * 1000, lifetime: tokens.expires_in };
  stored.write("session", session);
  return session;
}

// The broker answers a refresh out of what it has where the tokens are newer than its grace: nothing was refreshed.
const sameTokens = () => (
  `The same tokens again: the sign-in or the last refresh is under ${config.refresh_grace} seconds old.`
);

// Posts a form. A 5xx, a lost connection, or any answer without an `error` member is temporary: the session is kept
// and the same request sent again after Retry-After. Only `invalid_grant` is a Refusal of what was presented.
async function post(url, fields, Refusal = SignInAgain, attempts = MOST_ATTEMPTS) {
  const body = new URLSearchParams({ client_id: config.client_id, ...fields });
  for (let attempt = 1; attempt <= attempts; attempt += 1) {
    const { status, content, asked, wait, id } = await postOnce(url, body);
    if (status === 200) return { content, id };
    const detail = `POST ${url} → ${status || "no answer"}  ${id}`;
    if (content.error === "invalid_grant") throw new Refusal("Refused: please sign in again.", `invalid_grant  ${detail}`);
    if (content.error === "sign_in_again") {
      throw new Mistaken("To sign out another device, sign out here, sign in again and come back.", detail);
    }
    if (typeof content.error === "string") {
      throw new Mistaken(`The broker refuses this request. ${whetherSignedIn()}`, `${content.error}  ${detail}`);
    }
    log(status ? "The broker is busy for now" : "The broker does not answer", detail, "bad");
    if (status === 429 && attempts === 1) {
      throw new Temporary(`You asked too often. ${whetherSignedIn()} Try again in ${asked} s.`);
    }
    if (attempt === attempts) break;
    say(`The service is busy. ${whetherSignedIn()} Trying again in ${wait} s …`);
    await sleep(wait);
  }
  throw new Temporary(`The service is busy. ${whetherSignedIn()} Try again later.`);
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

async function postOnce(url, body) {
  try {
    const response = await fetch(url, { method: "POST", body });
    const asked = Number(response.headers.get("Retry-After")) || DEFAULT_RETRY_SECONDS;
    const text = await response.text();
    const read = parsed(text);
    // Half of a success is none: the connection was lost in the middle of it.
    if (read === null && response.ok) return { status: 0, content: {}, wait: DEFAULT_RETRY_SECONDS, id: "" };
    const content = read ?? {};
    // The operator finds the request by this id: a failure has it in its body, any answer in a header. A 503 and a 500
    // are plain text.
    const requestId = content.request_id ?? /\(request_id (\S+)\)/.exec(text)?.[1];
    const id = requestId ? `request_id=${requestId}` : `apigw-requestid=${response.headers.get("apigw-requestid")}`;
    return { status: response.status, content, asked, wait: Math.min(asked, LONGEST_RETRY_SECONDS), id };
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    return { status: 0, content: {}, wait: DEFAULT_RETRY_SECONDS, id: "" };
  }
}

async function refresh() {
  const before = stored.read("session");
  if (!before.refresh_token) throw new SignInAgain("This session cannot be renewed. Please sign in again.");
  const after = await requestTokens("Refreshed", { grant_type: "refresh_token", refresh_token: before.refresh_token });
  const same = after.access_token === before.access_token;
  say(same ? sameTokens() : "Refreshed.", "good");
  show();
}

async function whoAmI() {
  const call = () => reach("Aries", `${config.api}/v1/users/me`, {
    headers: { Authorization: `Bearer ${stored.read("session").access_token}` },
  });
  let response = await call();
  if (response.status === 401) {
    log("Aries no longer takes the access token; refreshing", "", "bad");
    await refresh();
    response = await call();
  }
  if (!response.ok) throw new Temporary(`Aries answered ${response.status}. You stay signed in.`);
  const profile = await response.json();
  log("Asked Aries who I am", `GET ${config.api}/v1/users/me`, "good");
  stored.write("profile", profile);
  show();
}

// Asks about the person's sessions. The refresh token goes into the form, never into a header or the address.
async function aboutSessions(path, fields, mayRefresh = true) {
  const { refresh_token: token } = stored.read("session");
  if (!token) throw new Mistaken("This session has no refresh token, so it cannot ask about your devices.");
  const url = `${config.issuer}${path}`;
  try {
    // Once, because the broker answers a person who asks too often with 429, for up to a minute.
    const answer = await post(url, { token, ...fields }, RefreshFirst, 1);
    return { ...answer, url };
  } catch (error) {
    if (!(error instanceof RefreshFirst && mayRefresh)) throw error;
    await refresh();
    return aboutSessions(path, fields, false);
  }
}

async function showDevices() {
  const { content, id, url } = await aboutSessions("/oauth2/sessions", {});
  log("Asked for your devices", `POST ${url}  sessions=${content.sessions.length}  ${id}`, "good");
  element("device-list").replaceChildren(...content.sessions.map(device));
  element("devices").hidden = false;
  const whole = content.complete ? "" : " There may be others: the broker does not know whose session this is.";
  const number = content.sessions.length;
  say(`You have ${number} ${number === 1 ? "session" : "sessions"}.${whole}`, "good");
}

function device(session) {
  const item = document.createElement("li");
  const text = document.createElement("span");
  const used = new Date(session.last_used_at * 1000).toLocaleString();
  text.textContent = `${session.client_id}, last used ${used}${session.current ? ", this device" : ""}`;
  item.append(text);
  if (!session.current) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = "Sign out";
    button.setAttribute("aria-label", `Sign out the device last used ${used}`);
    button.addEventListener("click", () => during("Signing the device out …", () => (
      endDevices({ session: session.session })
    )));
    item.append(button);
  }
  return item;
}

async function endDevices(fields) {
  const { content, id, url } = await aboutSessions("/oauth2/sessions/revoke", fields);
  log(`Signed out elsewhere: ${content.ended}`, `POST ${url}  ${id}`, "good");
  await showDevices();
  if (!content.complete) say("A session may live on: the broker could not end all of them.", "bad");
}

async function signOut() {
  const { refresh_token: token } = stored.read("session");
  if (!token) {
    log("Forgot the access token: without a refresh token the broker has nothing to end", "", "good");
    forget();
    say("Signed out.", "good");
    return;
  }
  const { id } = await post(server.revocation_endpoint, { token });
  log("Signed out", `POST ${server.revocation_endpoint}  ${id}`, "good");
  forget();
  say("Signed out.", "good");
}

function forget() {
  stored.remove("session");
  stored.remove("profile");
  element("devices").hidden = true;
  show();
}

function show() {
  const session = stored.read("session");
  element("signed-out").hidden = session !== null;
  element("signed-in").hidden = session === null;
  if (session === null) return;
  list(element("profile"), stored.read("profile") ?? {});
  list(element("tokens"), {
    "Access token": mask(session.access_token),
    "Refresh token": session.refresh_token ? mask(session.refresh_token) : "none",
    Scope: session.scope ?? config.scope,
  });
  countDown();
}

function list(target, entries) {
  target.replaceChildren(...Object.entries(entries).flatMap(([name, value]) => {
    const term = document.createElement("dt");
    term.textContent = name.replaceAll("_", " ");
    const description = document.createElement("dd");
    description.textContent = typeof value === "object" ? JSON.stringify(value) : value;
    return [term, description];
  }));
}

function countDown() {
  const session = stored.read("session");
  if (session === null) return;
  const left = Math.max(0, Math.round((session.expires_at - Date.now()) / 1000));
  const [minutes, seconds] = [Math.floor(left / 60), left % 60];
  element("time-left").textContent = `${minutes}:${String(seconds).padStart(2, "0")}`;
  element("ring").setAttribute("stroke-dashoffset", String(100 - (100 * left) / session.lifetime));
}

// Runs one action at a time, so that one refresh is outstanding at most, and says how it went wrong.
async function during(message, action) {
  const buttons = document.querySelectorAll("button");
  const focused = document.activeElement;
  buttons.forEach((button) => { button.disabled = true; });
  say(message);
  try {
    await action();
  } catch (error) {
    if (error instanceof SignInAgain) forget();
    say(error.message, "bad");
    log(error.message, error.detail, "bad");
    if (!(error instanceof Told)) throw error;
  } finally {
    buttons.forEach((button) => { button.disabled = false; });
    focused?.focus();
  }
}

async function start() {
  config = await (await reach("This page's server", "config.json")).json();
  show();
  server = await discover();
  const session = (await finishSignIn()) ?? stored.read("session");
  if (session === null) {
    say("You are not signed in.");
    return;
  }
  show();
  await whoAmI();
  say("You are signed in.", "good");
}

const actions = {
  "sign-in": ["Going to Aries …", signIn],
  refresh: ["Refreshing …", refresh],
  "who-am-i": ["Asking Aries …", async () => { await whoAmI(); say("That is you.", "good"); }],
  "your-devices": ["Asking for your devices …", showDevices],
  "sign-out-others": ["Signing the others out …", () => endDevices({ others: "true" })],
  "sign-out": ["Signing out …", signOut],
};
for (const [id, [message, action]] of Object.entries(actions)) {
  element(id).addEventListener("click", () => during(message, async () => {
    // The broker may not have answered when the page was loaded.
    server ??= await discover();
    await action();
  }));
}
setInterval(countDown, 1000);
during("One moment …", start);
