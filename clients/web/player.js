/** The player in the frame: HLS where the browser has it, else the MP4; previews on its scrubber. */

import { byId, clock, svg } from "./dom.js";
import { drawBlurhash } from "./blurhash.js";

const HLS = "application/vnd.apple.mpegurl";
const PATHS = {
  play: "M7 4.5v15l12-7.5z",
  pause: "M7 4.5h3.6v15H7zm6.4 0H17v15h-3.6z",
  sound: "M4 9.5v5h3.5L12 19V5L7.5 9.5zm11-1.2a5 5 0 0 1 0 7.4m2.6-10a8.6 8.6 0 0 1 0 12.6",
  muted: "M4 9.5v5h3.5L12 19V5L7.5 9.5zm11.5.3 5 5m0-5-5 5",
  full: "M4.5 9V4.5H9m6 0h4.5V9m0 6v4.5H15m-6 0H4.5V15",
};

const video = byId("video");
const frame = byId("frame");
const position = byId("position");
const preview = byId("preview");
const isCalm = matchMedia("(prefers-reduced-motion: reduce)");

let cues = []; // {from, to, url, x, y, width, height} of each still
let playing = null; // the metadata that is played
let failed = null; // the metadata of which nothing could be played
let onBroken = () => {};

/** Show the clip that was picked, out of the browser's own memory. */
export function showLocal(url) {
  clear();
  Object.assign(video, { src: url, muted: true, hidden: false });
}

/** Show nothing, and let go of what was loaded. */
export function clear() {
  playing = failed = null;
  cues = [];
  video.pause();
  for (const name of ["src", "poster"]) video.removeAttribute(name);
  video.load();
  for (const element of [video, byId("controls"), preview, byId("placeholder")]) element.hidden = true;
  frame.classList.remove("playing");
}

/**
 * Play what the metadata names; called again with newer metadata of the same video, it only adds the previews.
 * @param {import("./tiktoken.js").Metadata} metadata
 * @param {{starts?: boolean, broken?: () => void}} [options]  `broken`: nothing that there is can be played here.
 */
export function show(metadata, { starts = false, broken = () => {} } = {}) {
  if (metadata.sprite_vtt && !cues.length) loadPreviews(metadata.sprite_vtt, metadata.id);
  if (playing?.id === metadata.id && !(failed && differs(failed, metadata))) return;
  clear();
  playing = metadata;
  onBroken = broken;
  if (metadata.blurhash) {
    drawBlurhash(byId("placeholder"), metadata.blurhash);
    byId("placeholder").hidden = false;
  }
  if (metadata.poster) video.poster = metadata.poster;
  Object.assign(video, { hidden: false, loop: true, muted: starts });
  video.src = metadata.hls && video.canPlayType(HLS) ? metadata.hls : metadata.url;
  byId("controls").hidden = false;
  if (metadata.sprite_vtt) loadPreviews(metadata.sprite_vtt, metadata.id);
  draw();
  if (starts && !isCalm.matches) video.play().catch(() => {}); // a browser may want a click first
}

/** Whether another try makes sense: there are more renditions, or the links carry a new pass. */
const differs = (one, other) => one.url !== other.url || one.renditions.length !== other.renditions.length;

async function loadPreviews(url, id) {
  const answer = await fetch(url).catch(() => null);
  if (!answer?.ok || playing?.id !== id) return;
  cues = (await answer.text()).trim().split("\n\n").slice(1).map(cue);
}

/** One cue of the WebVTT index: `00:00.000 --> 00:02.000`, and a part of the sheet. */
function cue(text) {
  const [times, place] = text.split("\n");
  const [from, to] = times.split(" --> ").map((time) => time.split(":").reduce((sum, part) => sum * 60 + Number(part), 0));
  const [url, part] = place.split("#xywh=");
  const [x, y, width, height] = part.split(",").map(Number);
  return { from, to, url, x, y, width, height };
}

function showPreview(share) {
  const at = share * (video.duration || 0);
  const still = cues.find(({ from, to }) => at >= from && at < to) ?? cues.at(-1);
  preview.hidden = !still;
  if (!still) return;
  const { offsetWidth: all, offsetLeft: left } = position;
  const middle = left + Math.min(all - still.width / 2, Math.max(still.width / 2, share * all));
  preview.dataset.time = clock(at);
  Object.assign(preview.style, {
    width: `${still.width}px`,
    height: `${still.height}px`,
    left: `${middle - still.width / 2}px`,
    background: `url("${still.url}") -${still.x}px -${still.y}px`,
  });
}

function icon(button, name, label) {
  if (button.dataset.icon === name) return;
  button.dataset.icon = name;
  button.setAttribute("aria-label", label);
  button.replaceChildren(svg("svg", { viewBox: "0 0 24 24", "aria-hidden": "true" }, svg("path", { d: PATHS[name] })));
}

function draw() {
  const { currentTime, duration, paused, muted } = video;
  icon(byId("play"), paused ? "play" : "pause", paused ? "Play" : "Pause");
  icon(byId("sound"), muted ? "muted" : "sound", muted ? "Turn sound on" : "Turn sound off");
  icon(byId("full"), "full", "Full screen");
  const share = duration ? currentTime / duration : 0;
  position.value = share;
  position.style.setProperty("--share", `${share * 100}%`);
  position.setAttribute("aria-valuetext", `${clock(currentTime)} of ${clock(duration)}`);
  byId("time").textContent = `${clock(currentTime)} / ${clock(duration)}`;
  frame.classList.toggle("playing", !paused);
}

function toggle() {
  if (!playing) return;
  if (video.paused) video.play().catch(() => {});
  else video.pause();
}

function fullScreen() {
  if (document.fullscreenElement) document.exitFullscreen();
  else if (frame.requestFullscreen) frame.requestFullscreen();
  else video.webkitEnterFullscreen?.(); // an iPhone has no other
}

/** The stream failed: play the file; the file failed, too: say so. */
function onError() {
  if (!playing || !video.getAttribute("src")) return;
  const { hls, url } = playing;
  const wasPlaying = !video.paused;
  video.pause();
  if (hls && video.src === hls) {
    video.src = url;
    if (wasPlaying) toggle();
  } else if (failed !== playing) {
    failed = playing;
    onBroken();
  }
}

export function setUpPlayer() {
  for (const event of ["play", "pause", "timeupdate", "volumechange", "loadedmetadata", "seeked"]) {
    video.addEventListener(event, draw);
  }
  video.addEventListener("error", onError);
  // Chromium without HEVC plays the sound alone, and calls that no error.
  video.addEventListener("loadedmetadata", () => video.videoWidth || onError());
  video.addEventListener("click", toggle);
  video.addEventListener("loadeddata", () => (byId("placeholder").hidden = true));
  byId("play").addEventListener("click", toggle);
  byId("full").addEventListener("click", fullScreen);
  byId("sound").addEventListener("click", () => (video.muted = !video.muted));
  const seek = () => {
    if (video.duration) video.currentTime = position.value * video.duration;
    showPreview(Number(position.value));
  };
  position.addEventListener("input", seek);
  position.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1 }[event.key];
    if (!step || !video.duration) return;
    event.preventDefault(); // by one second; the browser's own step is too small to see
    position.value = (video.currentTime + step) / video.duration;
    seek();
  });
  position.addEventListener("pointermove", ({ offsetX }) => {
    showPreview(Math.min(1, Math.max(0, offsetX / position.offsetWidth)));
  });
  for (const event of ["pointerleave", "blur"]) position.addEventListener(event, () => (preview.hidden = true));
}
