/** Whether clips that break the rules are to be converted: kept in this browser. */

const KEY = "tiktoken.convert";

let isOn = false;
try {
  isOn = localStorage.getItem(KEY) === "yes";
} catch {
  // no storage is allowed: it lasts as long as the page
}

export const converts = () => isOn;

export function setConverts(on) {
  isOn = on;
  try {
    localStorage.setItem(KEY, on ? "yes" : "no");
  } catch {
    // the same
  }
}
