/** Whether clips that break the rules are to be converted, and how a picture of another shape fits: kept in this browser. */

const CONVERT = "tiktoken.convert";
const FILL = "tiktoken.fill";

const wishes = { [CONVERT]: false, [FILL]: false };
try {
  for (const key of Object.keys(wishes)) wishes[key] = localStorage.getItem(key) === "yes";
} catch {
  // no storage is allowed: they last as long as the page
}

export const converts = () => wishes[CONVERT];
export const fills = () => wishes[FILL];
export const setConverts = (on) => wish(CONVERT, on);
export const setFills = (on) => wish(FILL, on);

function wish(key, on) {
  wishes[key] = on;
  try {
    localStorage.setItem(key, on ? "yes" : "no");
  } catch {
    // the same
  }
}
