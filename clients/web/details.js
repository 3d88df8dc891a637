/** What stands beside the clip: how far it is, why it was rejected, or what was made of it. */

import { announce, bitRate, byId, duration, h, megabytes, when } from "./dom.js";
import { device } from "./clip.js";
import { converts, fills, setConverts, setFills } from "./wish.js";

const REPAIR = "Send it anyway: the service looks at the whole file, and writes the ffmpeg command that repairs it.";
const CONVERTED = { resolution: "Picture", frame_rate: "Frame rate", codec: "Codec", color: "Colours", size: "File size" };
const READERS = { ios: "iPhone", android: "Android", computer: "Computer" };

/** Where a session is; each function below draws one. */
export const VIEWS = { intro, journey, refusal, trouble, facts };

export function intro() {
  const limits = { "720 × 1280": "as displayed", "30 fps": "29.97 to 30, steady", "60 s": "at most", "6 MB": "6,291,456 bytes" };
  return [
    h("h1", {}, "One portrait clip in, every rendition out."),
    h(
      "p",
      { class: "lead" },
      "Your browser looks at the clip before a byte is sent. The service checks the rest, plays it at once, and encodes the smaller renditions meanwhile.",
    ),
    h("dl", { class: "limits" }, Object.entries(limits).map(([value, note]) => h("div", {}, h("dt", {}, value), h("dd", {}, note)))),
    h("p", { class: "note" }, "H.264 or HEVC in MP4 or MOV, colours in BT.709 (HDR off)."),
    toggle("convert", converts(), "Convert clips that break these rules", "Any size, shape and frame rate, and HDR; still at most 60 s. Converting takes about as long as the clip plays.", (on) => {
      setConverts(on);
      byId("fill").closest("label").hidden = !on;
    }),
    fill({ hidden: !converts() }),
  ];
}

/** A switch, and what it does. */
function toggle(id, checked, label, note, onChange, properties) {
  const input = h("input", { type: "checkbox", role: "switch", id, checked, onchange: ({ target }) => onChange(target.checked) });
  return h("label", { class: "switch", ...properties }, input, h("span", {}, h("strong", {}, label), h("span", { class: "note" }, note)));
}

/** How a picture of another shape is to fit, where clips are converted. */
const fill = (properties) => toggle("fill", fills(), "Fill the frame", "Cuts off what does not fit. Off: all of the picture shows, with bars.", setFills, properties);

/** The way of a clip, with how far it is. */
function journey(session) {
  const { status, share = 0, phase } = session;
  const isSent = phase === "following";
  const { state, playable, progress = 0, time_left_ms: left } = status ?? {};
  const fixes = status?.fixes ?? (isSent && state !== "awaiting_upload" ? null : session.fixes);
  const waits = state === "awaiting_upload";
  const percent = `${Math.round(share * 100)} %`;
  const steps = [
    [phase === "reading" ? "Looking at it in the browser" : "Looked at in the browser", phase === "reading" ? "now" : "done", ""],
    [phase === "sending" ? "Sending to storage" : "Sent to storage", phase === "reading" ? "todo" : isSent ? "done" : "now", isSent || phase === "reading" ? "" : percent],
    [isSent && (!state || waits) ? "Checking the file" : "Checked by the service", !isSent ? "todo" : !state || waits ? "now" : "done", ""],
    fixes && [playable ? "Converted" : "Converting", playable ? "done" : isSent && state && !waits ? "now" : "todo", isSent && !waits && !playable ? `${progress * 2} %` : ""],
    ["Playable", playable ? "done" : isSent && state && !waits && !fixes ? "now" : "todo", ""],
    ["Every rendition", state === "completed" ? "done" : playable ? "now" : "todo", playable ? `${progress} %` : ""],
  ].filter(Boolean);
  const isLost = waits && session.isStranded;
  const line = isLost
    ? "This upload stopped before the file arrived. Choose the clip again to start anew."
    : session.retrying || (left && (playable || fixes) ? `About ${duration(left)} left` : "");
  announce(isLost ? line : session.retrying || `${steps.find(([, now]) => now === "now")?.[0] ?? "Complete"}`);
  return [
    title(session),
    h("ol", { class: "steps" }, steps.map(([label, now, value]) =>
      h("li", { class: now, "aria-current": now === "now" && "step" }, h("span", {}, label), h("span", { class: "value" }, value)))),
    h("p", { class: session.retrying || isLost ? "waiting" : "note" }, line),
    changes(fixes, "What is converted"),
    h("div", { class: "actions" },
      isLost && h("a", { class: "button", href: "#" }, "Choose the clip again"),
      phase === "sending" && h("button", { class: "button quiet", type: "button", onclick: session.cancel }, "Cancel"),
      isSent && remover(session)),
  ];
}

/** Why a clip is not accepted, and what its owner can do about it. */
function refusal(session) {
  const { ending, phase } = session;
  const violations = ending.violations?.length ? ending.violations : [{ message: ending.error }];
  announce(`Not accepted. ${violations.map(({ message }) => message).join(". ")}`);
  const isSize = violations.some(({ rule }) => rule === "size"); // no ticket would be given
  const canConvert = session.file && violations.every(({ suggestions_for: of }) => of?.developer.some((text) => text.includes('"on_violation"')));
  const isOfAnotherShape = violations.some(({ rule }) => rule === "resolution");
  const maySend = phase === "refused" && !isSize;
  if (maySend && !ending.suggestions_for.computer.length) ending.suggestions_for.computer = [REPAIR];
  return [
    title(session, phase === "refused" ? "Not sent: your browser sees that it would be rejected." : "Rejected by the service."),
    h("ul", { class: "violations" }, violations.map(violation)),
    fixes(ending),
    canConvert && isOfAnotherShape && fill(),
    h("div", { class: "actions" },
      canConvert && h("button", { class: "button", type: "button", onclick: session.convert }, "Convert and send"),
      h("a", { class: canConvert ? "button quiet" : "button", href: "#" }, "Choose another clip"),
      maySend && h("button", { class: "button quiet", type: "button", onclick: session.anyway }, "Send it anyway"),
      session.id && remover(session)),
  ];
}

function violation({ rule, found, expected, message }) {
  if (!rule) return h("li", {}, h("strong", {}, message));
  return h("li", {},
    h("strong", {}, rule.replaceAll("_", " ")),
    h("span", { class: "found" }, found),
    h("span", { class: "expected" }, expected));
}

/** What is changed of a clip, so that it keeps the rules. */
function changes(fixes, heading) {
  if (!fixes?.length) return null;
  const row = ({ rule, found, made }) => h("div", {}, h("dt", {}, CONVERTED[rule] ?? rule.replaceAll("_", " ")), h("dd", {}, h("span", { class: "found" }, found), " → ", h("strong", {}, made)));
  return h("section", { class: "changes" }, h("h2", {}, heading), h("dl", {}, fixes.map(row)));
}

/** The suggestions for this device, and those for others behind tabs. */
function fixes({ suggestions_for: suggestions = {}, suggestions: all = [] }) {
  const readers = Object.keys(READERS).filter((reader) => suggestions[reader]?.length);
  if (!readers.length) return all.length ? h("div", { class: "fixes" }, h("h2", {}, "What to do"), list(all)) : null;
  const own = readers.includes(device()) ? device() : readers[0];
  const body = h("div", { class: "advice" });
  const choose = (reader) => body.replaceChildren(list(suggestions[reader]));
  choose(own);
  return h("div", { class: "fixes" },
    h("fieldset", { class: "readers" }, h("legend", {}, "How to fix it on"),
      readers.map((reader) => h("label", {},
        h("input", { type: "radio", name: "reader", value: reader, checked: reader === own, onchange: () => choose(reader) }),
        h("span", {}, READERS[reader])))),
    body);
}

function list(suggestions) {
  return h("ul", {}, suggestions.map((text) =>
    h("li", {}, /^ffmpeg /.test(text) ? command(text) : text)));
}

function command(text) {
  return h("div", { class: "command" }, h("code", { tabindex: 0 }, text), copier("Copy", text));
}

function copier(label, text) {
  const copy = async ({ currentTarget: button }) => {
    await navigator.clipboard.writeText(text).then(
      () => (button.textContent = "Copied"),
      () => (button.textContent = "Select it by hand"),
    );
    announce(button.textContent);
  };
  return h("button", { class: "button quiet", type: "button", onclick: copy }, label);
}

/** Something went wrong that is not the clip's fault. */
function trouble(session) {
  const { error, again } = session;
  const suggestions = error.suggestions ?? [];
  announce(error.message);
  return [
    title(session, error.message),
    suggestions.length ? h("div", { class: "fixes" }, list(suggestions)) : null,
    h("div", { class: "actions" },
      again && h("button", { class: "button", type: "button", onclick: again }, "Try again"),
      h("a", { class: again ? "button quiet" : "button", href: "#" }, "Choose another clip")),
  ];
}

/** What was made of an accepted clip. */
function facts(session) {
  const { metadata, status } = session;
  const { specs, storage_info: stored, renditions, playable_at, completed_at, warnings, fixes } = metadata;
  const since = (at) => duration(Math.max(0, new Date(at) - new Date(stored.uploaded_at)));
  const isOver = status.state === "completed";
  announce(isOver ? "Complete" : "Playable");
  const speed = playable_at && stored && `Playable ${since(playable_at)} after the upload${completed_at ? `, complete after ${since(completed_at)}` : ""}.`;
  const left = status.time_left_ms ? `, about ${duration(status.time_left_ms)} left` : "";
  return [
    title(session, speed),
    isOver ? null : h("div", { class: "encoding" },
      h("progress", { max: 100, value: status.progress, "aria-label": "Encoding" }),
      h("span", { class: session.retrying ? "waiting" : "" }, session.retrying || `Encoding ${status.progress} %${left}`)),
    session.isUnplayable && !renditions.some(({ codec }) => codec === "h264")
      ? h("p", { class: "waiting" }, "This browser cannot decode the clip. The H.264 rendition is on its way.")
      : null,
    h("h2", {}, "Renditions"),
    h("table", { class: "renditions" },
      h("thead", {}, h("tr", {}, ["Name", "Picture", "Codec", "Bit rate", "Size"].map((name) => h("th", { scope: "col" }, name)))),
      h("tbody", {}, renditions.map(rendition))),
    changes(fixes, "Converted"),
    specs && h("h2", {}, fixes ? "The converted file" : "The file"),
    specs && h("dl", { class: "specs" }, Object.entries(described(specs, stored)).map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value)))),
    warnings?.length ? h("p", { class: "note" }, warnings.join(" ")) : null,
    h("div", { class: "actions" }, copier("Copy link", metadata.url), h("a", { class: "button quiet", href: metadata.url, target: "_blank", rel: "noopener" }, "Open the file"), remover(session)),
  ];
}

function rendition({ name, width, height, codec, bit_rate, size_bytes, url }) {
  return h("tr", {},
    h("th", { scope: "row" }, h("a", { href: url, target: "_blank", rel: "noopener" }, name)),
    h("td", {}, `${width} × ${height}`),
    h("td", {}, codec === "h264" ? "H.264" : codec.toUpperCase()),
    h("td", {}, bit_rate ? bitRate(bit_rate) : "–"),
    h("td", {}, megabytes(size_bytes)));
}

function described(specs, stored) {
  const { audio } = specs;
  const sound = audio ? `${audio.codec.toUpperCase()}, ${audio.channels === 1 ? "mono" : audio.channels === 2 ? "stereo" : `${audio.channels} channels`}` : "none";
  return {
    Duration: `${specs.duration.toFixed(2)} s`,
    Frames: `${specs.frame_count}, ${Number(specs.fps.toFixed(2))} fps`,
    Codec: `${specs.codec === "h264" ? "H.264" : specs.codec.toUpperCase()} ${specs.profile}`,
    Colour: [specs.color_space ?? "untagged", specs.pixel_format].join(", "),
    Rotation: `${specs.rotation}°`,
    Sound: audio?.loudness_lufs ? `${sound}, ${audio.loudness_lufs.toFixed(1)} LUFS` : sound,
    Uploaded: stored && when(stored.uploaded_at),
    Stored: stored && `${megabytes(stored.size_bytes)}, outputs ${megabytes(stored.outputs_bytes)}`,
  };
}

function title({ name }, line) {
  return h("header", {}, h("h1", { class: "filename", tabindex: -1 }, name), line ? h("p", { class: "lead" }, line) : null);
}

/** Ask before a clip is deleted. */
function remover(session) {
  const ask = () => {
    const dialog = byId("confirm");
    byId("confirm-text").textContent = `${session.name}: the upload and every rendition of it.`;
    byId("confirm-delete").onclick = () => {
      dialog.close();
      session.remove();
    };
    byId("confirm-keep").onclick = () => dialog.close();
    dialog.showModal();
  };
  return h("button", { class: "button quiet", type: "button", onclick: ask }, "Delete");
}
