/** The page: pick a clip, follow it, play it. `#ID` shows one video; `?api=` names another deployment. */

import { TikTokenError } from "./tiktoken.js";
import { api, askForConnection, hasToken, reached, setUpConnection } from "./connection.js";
import { readClip } from "./clip.js";
import { announce, become, byId, duration } from "./dom.js";
import { VIEWS } from "./details.js";
import * as player from "./player.js";
import { drawUploads, forget, mark, remember, uploads } from "./uploads.js";
import { watchHealth } from "./health.js";
import { converts, fills } from "./wish.js";

const ID = /^#([0-9a-f-]{36})$/;
const ENDINGS = ["rejected", "failed", "expired"];

/**
 * One clip on its way. `phase`: reading, sending, following, refused (before it was sent), trouble.
 * @typedef {{id?: string, name: string, phase: string, file?: File, url?: string, share?: number, status?: any, converts?: boolean, fixes?: any[], convert?: () => void,
 *   still?: string | null, metadata?: any, ending?: any, error?: any, retrying?: string, isStranded?: boolean, isUnplayable?: boolean, view?: string, drawn?: string, stop?: AbortController,
 *   cancel?: () => void, anyway?: () => void, again?: (() => void) | null, remove: () => void}} Session
 */

/** @type {Map<string, Session>} */
const sessions = new Map();
/** @type {Session | null} */
let shown = null;

// ── A clip ───────────────────────────────────────────────────────────────────────

/** @param {Partial<Session>} known @returns {Session} */
function begin(known) {
  const session = { name: "Clip", phase: "reading", ...known, remove: () => remove(session) };
  return session;
}

async function take(file) {
  const session = begin({ name: file.name, file, url: URL.createObjectURL(file), converts: converts() });
  session.convert = () => {
    change(session, { converts: true, status: null, metadata: null, ending: null });
    attempt(session, () => send(session));
  };
  history.pushState(null, "", location.pathname + location.search);
  open(session);
  await attempt(session, async () => {
    change(session, { phase: "reading", error: null });
    const { facts, still } = await readClip(file, session.url);
    session.still = still;
    const verdict = await api.preflight({ ...facts, ...wish(session) });
    reached(true);
    session.fixes = verdict.fixes;
    if (verdict.accepted) await send(session);
    else change(session, { phase: "refused", ending: together(verdict.violations), anyway: () => attempt(session, () => send(session)) });
  });
}

/** What to do with a clip that breaks the rules. */
const wish = (session) => ({ on_violation: session.converts ? "fix" : "reject" });

/** Violations as one ending, as a rejected status has them. */
function together(violations) {
  const readers = ["ios", "android", "computer", "developer"];
  const all = (reader) => [...new Set(violations.flatMap((violation) => violation.suggestions_for[reader]))];
  return { violations, suggestions_for: Object.fromEntries(readers.map((reader) => [reader, all(reader)])) };
}

async function send(session) {
  const stop = new AbortController();
  change(session, { phase: "sending", share: 0, ending: null, cancel: () => stop.abort() });
  try {
    await api.upload(session.file, {
      request: { ...wish(session), ...(session.converts && { fit: fills() ? "cover" : "contain" }) },
      signal: stop.signal,
      onTicket: ({ id }) => register(session, id),
      onProgress: (share) => change(session, { share, retrying: "" }),
      onRetry: (error, waitMs) => change(session, { share: 0, retrying: retryLine(error, waitMs) }),
    });
  } catch (error) {
    if (!stop.signal.aborted) throw error;
    if (session.id) await remove(session);
    else close();
    return;
  }
  change(session, { share: 1, retrying: "" });
  await follow(session);
}

function register(session, id) {
  if (session.id) forget(session.id); // its ticket was of no use
  session.id = id;
  sessions.set(id, session);
  remember({ id, filename: session.name, state: "awaiting_upload", still: session.still });
  if (shown === session) {
    history.replaceState(null, "", `#${id}`);
    mark(id);
  }
}

async function follow(session) {
  const { id } = session;
  change(session, { phase: "following" });
  const stop = (session.stop = new AbortController());
  const onStatus = async (status) => {
    reached(true);
    const { state, playable } = status;
    const isNews = playable !== session.status?.playable || state !== session.status?.state;
    change(session, { status, retrying: "", isStranded: state === "awaiting_upload" && !session.file });
    remember({ id, state, filename: session.name });
    if (ENDINGS.includes(state)) change(session, { ending: status });
    if (isNews && state !== "awaiting_upload") await describe(session);
  };
  await api.follow(id, { onStatus, signal: stop.signal, onRetry: (error, waitMs) => change(session, { retrying: retryLine(error, waitMs) }) });
}

async function describe(session) {
  const metadata = await api.metadata(session.id).catch(() => null); // the next change asks again
  if (!metadata) return;
  const { id, filename, poster, blurhash } = metadata;
  change(session, { metadata, name: filename });
  remember({ id, filename, ...(poster && { poster, blurhash }) });
}

/** What could not be played may play with the links of today, or once there are more renditions. */
async function renew(session) {
  change(session, { isUnplayable: true });
  await describe(session);
}

async function remove(session) {
  session.stop?.abort();
  await attempt(session, async () => {
    await api.remove(session.id);
    sessions.delete(session.id);
    forget(session.id);
    if (shown === session) close();
    announce(`${session.name} is deleted.`);
  });
}

/** Do one part of a journey; what goes wrong is shown, with a way to try again. */
async function attempt(session, part) {
  try {
    await part();
  } catch (error) {
    if (error.name === "AbortError") return;
    if (!(error instanceof TikTokenError)) console.error(error);
    reached(error.status !== 0);
    if (error.status === 401) askForConnection();
    if (error.code === "unknown_video") forget(session.id);
    if (error.violations?.length) change(session, { phase: "refused", ending: error });
    else change(session, { phase: "trouble", error, again: error.code === "unknown_video" ? null : () => attempt(session, part) });
  }
}

function retryLine(error, waitMs) {
  reached(error.status !== 0);
  return `${error.message} Trying again in ${duration(waitMs)}.`;
}

// ── What is shown ────────────────────────────────────────────────────────────────

function change(session, what) {
  Object.assign(session, what);
  if (session === shown) draw(session);
}

function viewOf({ phase, ending, status, metadata }) {
  if (phase === "trouble") return "trouble";
  if (ending) return "refusal";
  return status?.playable && metadata?.renditions.length ? "facts" : "journey";
}

function draw(session) {
  const view = viewOf(session);
  const { phase, url, share, status, metadata, file } = session;
  const isNew = session.view !== view;
  session.view = view;
  const content = () => VIEWS[view](session).filter(Boolean);
  const parts = JSON.stringify([view, phase, session.share, status, metadata, session.retrying, session.isStranded, session.isUnplayable, session.name]);
  if (isNew) byId("details").replaceChildren(...content());
  else if (parts !== session.drawn) become(byId("details"), content());
  session.drawn = parts;
  byId("veil").hidden = !(view === "journey" && url);
  byId("ring").style.strokeDashoffset = String(100 - 100 * (phase === "sending" ? share : phase === "reading" ? 0 : 1));
  byId("share").textContent = phase === "sending" ? `${Math.round(share * 100)} %` : "";
  byId("frame").dataset.view = view;
  if (view === "facts") player.show(metadata, { starts: Boolean(file), broken: () => renew(session) });
}

function open(session) {
  shown = session;
  session.view = "";
  mark(session.id ?? "");
  document.title = `${session.name} · TikToken`;
  byId("drop").hidden = true;
  byId("new").hidden = false;
  if (session.url) player.showLocal(session.url);
  else player.clear();
  draw(session);
  scrollTo({ top: 0 });
  byId("details").focus({ preventScroll: true });
}

/** Back to the place where a clip is picked. */
function close() {
  if (location.hash) history.pushState(null, "", location.pathname + location.search);
  shown = null;
  mark("");
  document.title = "TikToken";
  player.clear();
  byId("veil").hidden = true;
  byId("drop").hidden = false;
  byId("new").hidden = true;
  byId("frame").dataset.view = "intro";
  byId("details").replaceChildren(...VIEWS.intro());
}

function route() {
  const [, id] = ID.exec(location.hash) ?? [];
  if (!id) return close();
  if (shown?.id === id) return;
  const known = sessions.get(id);
  if (known) return open(known);
  const name = uploads().find((one) => one.id === id)?.filename ?? "Clip";
  const session = begin({ id, name, phase: "following" });
  sessions.set(id, session);
  open(session);
  attempt(session, () => follow(session));
}

// ── What a person does ───────────────────────────────────────────────────────────

function setUpPicking() {
  const input = byId("file");
  input.addEventListener("change", () => {
    const [file] = input.files;
    input.value = ""; // so that the same clip can be picked again
    if (file) take(file);
  });
  const hint = (isShown) => (byId("drop-hint").hidden = !isShown);
  addEventListener("dragover", (event) => {
    if (!event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    hint(true);
  });
  addEventListener("dragleave", (event) => event.relatedTarget || hint(false));
  addEventListener("drop", (event) => {
    event.preventDefault();
    hint(false);
    const [file] = event.dataTransfer.files;
    if (file) take(file);
  });
  document.addEventListener("click", (event) => {
    if (!event.target.closest('a[href="#"]')) return;
    event.preventDefault();
    close();
    scrollTo({ top: 0 });
    input.focus({ preventScroll: true });
  });
}

function setUpSkipping() {
  document.querySelector(".skip").addEventListener("click", (event) => {
    event.preventDefault(); // the part after # is the video's
    byId("details").focus();
  });
}

async function loadList() {
  if (!hasToken()) return;
  const { videos } = await api.list({ limit: 60 }).catch(() => ({ videos: [] }));
  for (const { id, filename, state, poster, blurhash } of videos.reverse()) {
    remember({ id, filename, state, poster, blurhash });
  }
}

setUpConnection();
player.setUpPlayer();
setUpPicking();
setUpSkipping();
addEventListener("hashchange", route);
addEventListener("popstate", route);
addEventListener("beforeunload", (event) => {
  if ([...sessions.values()].some(({ phase }) => phase === "sending")) event.preventDefault();
});
drawUploads();
route();
loadList();
watchHealth();
