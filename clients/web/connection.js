/** Which API the page talks to, and with which token. */

import { TikToken } from "./tiktoken.js";
import { byId } from "./dom.js";

const asked = new URLSearchParams(location.search).get("api");

/** `?api=`, or where the page itself comes from. */
export const base = (asked || new URL(".", location).href).replace(/\/+$/, "");

const TOKEN = `tiktoken.token:${base}`; // of this API: a link to another one must not carry it along

export const api = new TikToken(base, { token: () => sessionStorage.getItem(TOKEN) ?? "" });
export const hasToken = () => Boolean(sessionStorage.getItem(TOKEN));

/** Whether the last request got through, in the corner of the page. */
export function reached(isReached) {
  byId("connection").classList.toggle("lost", !isReached);
  byId("reached").textContent = isReached ? ", connected" : ", cannot be reached";
}

export function askForConnection() {
  byId("api").value = base;
  byId("token").value = sessionStorage.getItem(TOKEN) ?? "";
  byId("connect").showModal();
}

export function setUpConnection() {
  byId("host").textContent = new URL(base).host;
  byId("connection").addEventListener("click", askForConnection);
  byId("connect-close").addEventListener("click", () => byId("connect").close());
  byId("connect-keep").addEventListener("click", () => {
    if (!byId("api").reportValidity()) return;
    const wanted = byId("api").value.trim().replace(/\/+$/, "") || base;
    const token = byId("token").value.trim().replace(/^Bearer\s+/i, "");
    const key = `tiktoken.token:${wanted}`;
    if (token) sessionStorage.setItem(key, token);
    else sessionStorage.removeItem(key);
    if (wanted === base) location.reload();
    else location.assign(`?${new URLSearchParams({ api: wanted })}`);
  });
}
