/** Elements, and numbers as people read them. */

const SVG = "http://www.w3.org/2000/svg";

export const byId = (id) => document.getElementById(id);

/** An element: `h("a", {href: "#", onclick: open}, "text", another)`. Text is never read as HTML. */
export function h(tag, properties = {}, ...children) {
  return filled(document.createElement(tag), properties, children);
}

export function svg(tag, properties = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), properties, children);
}

function filled(element, properties, children) {
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/**
 * Make the children of an element like these. What is there already stays: its focus, its animation, and the
 * button under a finger.
 */
export function become(element, children) {
  const [old, next] = [[...element.childNodes], children];
  next.forEach((child, at) => {
    const isOther = old[at]?.nodeName !== child.nodeName || (child.nodeName === "BUTTON" && old[at].textContent !== child.textContent);
    if (isOther) (old[at] ? old[at].replaceWith(child) : element.append(child));
    else if (child.nodeType === Node.TEXT_NODE) old[at].data = child.data;
    else {
      for (const { name } of [...old[at].attributes]) if (!child.hasAttribute(name)) old[at].removeAttribute(name);
      for (const { name, value } of child.attributes) {
        if (old[at].getAttribute(name) !== value) old[at].setAttribute(name, value);
      }
      become(old[at], [...child.childNodes]);
    }
  });
  old.slice(next.length).forEach((child) => child.remove());
}

export const megabytes = (bytes) => (bytes < 100_000 ? `${Math.ceil(bytes / 1000)} kB` : `${(bytes / 1e6).toFixed(2)} MB`);
export const gigabytes = (bytes) => `${(bytes / 1e9).toFixed(bytes < 1e10 ? 1 : 0)} GB`;
export const bitRate = (bits) => (bits < 1e6 ? `${Math.round(bits / 1000)} kbit/s` : `${(bits / 1e6).toFixed(2)} Mbit/s`);
export const duration = (ms) => (ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(ms < 10_000 ? 1 : 0)} s`);

export function clock(seconds) {
  const whole = Math.floor((seconds || 0) + 0.05); // a player that sought 2 s may say 1.999999
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}

export function when(iso) {
  return new Date(iso).toLocaleString([], { day: "numeric", month: "short", hour: "numeric", minute: "2-digit" });
}

/** Tell a screen reader; the same text twice is told once. */
export function announce(text) {
  const live = byId("live");
  if (live.textContent !== text) live.textContent = text;
}
