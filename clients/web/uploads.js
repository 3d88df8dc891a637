/** The list of uploads: kept in this browser, since the service lists videos to their owners only. */

import { base } from "./connection.js";
import { byId, h } from "./dom.js";
import { drawBlurhash } from "./blurhash.js";

const KEY = `tiktoken.uploads:${base}`;
const MOST = 60;

export const STATES = {
  awaiting_upload: "Waiting for the file",
  queued: "In the queue",
  processing: "Encoding",
  completed: "Complete",
  rejected: "Rejected",
  failed: "Failed",
  expired: "Expired",
};

/**
 * `still` is of the file itself, until there is a poster.
 * @returns {{id: string, filename: string, state: string, still?: string, poster?: string, blurhash?: string}[]} newest first
 */
export function uploads() {
  try {
    return JSON.parse(localStorage.getItem(KEY)) ?? [];
  } catch {
    return []; // somebody else's, or no storage is allowed
  }
}

/** Add a video, or change what is known of it. */
export function remember({ id, ...known }) {
  const all = uploads();
  const at = all.findIndex((one) => one.id === id);
  if (at < 0) all.unshift({ id, ...known });
  else Object.assign(all[at], known);
  keep(all);
}

export function forget(id) {
  keep(uploads().filter((one) => one.id !== id));
}

function keep(all) {
  try {
    localStorage.setItem(KEY, JSON.stringify(all.slice(0, MOST)));
  } catch {
    // full, or not allowed: the list lasts as long as the page
  }
  drawUploads();
}

/** Which video is shown, to mark it. */
let shown = "";
export function mark(id) {
  shown = id;
  drawUploads();
}

let drawn = "";
export function drawUploads() {
  const all = uploads();
  const now = JSON.stringify([all, shown]);
  if (now === drawn) return;
  drawn = now;
  const focused = document.activeElement?.closest?.("#list a")?.getAttribute("href");
  byId("uploads").hidden = !all.length;
  byId("list").replaceChildren(...all.map(tile));
  if (focused) byId("list").querySelector(`a[href="${focused}"]`)?.focus();
}

function tile({ id, filename, state, still, poster, blurhash }) {
  const cover = h("span", { class: "cover" });
  if (blurhash) {
    const canvas = h("canvas", { width: 18, height: 32, "aria-hidden": "true" });
    drawBlurhash(canvas, blurhash);
    cover.append(canvas);
  }
  for (const src of [still, poster].filter(Boolean)) {
    cover.append(h("img", { src, alt: "", loading: "lazy", onerror: ({ target }) => target.remove() }));
  }
  const link = h(
    "a",
    { href: `#${id}`, class: state, "aria-current": id === shown && "true" },
    cover,
    h("span", { class: "name" }, filename),
    h("span", { class: "state" }, STATES[state] ?? state),
  );
  return h("li", {}, link);
}
