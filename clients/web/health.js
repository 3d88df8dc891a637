/** The service's health as a few small charts. */

import { api, reached } from "./connection.js";
import { byId, duration, gigabytes, h, svg } from "./dom.js";

const EVERY_MS = 5000;
const SAMPLES = 60;
const WIDTH = 240;
const BAR = 10;

const jobs = []; // waiting and in flight, at each look

/** A bar of `share` on its track, and what it says beside it. */
function bar(label, share, value) {
  return h(
    "li",
    {},
    h("span", { class: "label" }, label),
    svg(
      "svg",
      { viewBox: `0 0 ${WIDTH} ${BAR}`, preserveAspectRatio: "none", "aria-hidden": "true" },
      svg("rect", { class: "track", width: WIDTH, height: BAR, rx: 2 }),
      svg("rect", { class: "filled", width: Math.max(share > 0 ? 3 : 0, WIDTH * Math.min(1, share)), height: BAR, rx: 2 }),
    ),
    h("span", { class: "value" }, value),
  );
}

function card(title, aside, ...content) {
  return h("article", { class: "card" }, h("h3", {}, title), h("p", { class: "aside" }, aside), ...content);
}

function speed({ performance: { to_playable_ms_p50, to_playable_ms_p95, to_completed_ms_p50, to_completed_ms_p95 } }) {
  const rows = [
    ["Playable, median", to_playable_ms_p50],
    ["Playable, p95", to_playable_ms_p95],
    ["Complete, median", to_completed_ms_p50],
    ["Complete, p95", to_completed_ms_p95],
  ];
  const size = (ms) => Math.log10(1 + (ms ?? 0) / 10); // a copy takes a hundredth of what encoding takes
  const longest = Math.max(1, ...rows.map(([, ms]) => size(ms)));
  const bars = rows.map(([label, ms]) => bar(label, size(ms) / longest, ms ? duration(ms) : "–"));
  return card("Time from upload", "last hour, logarithmic", h("ul", { class: "bars" }, bars));
}

function outcomes({ performance: { outcomes: { completed, rejected, failed, expired }, rejected_by_rule } }) {
  const rows = Object.entries({ Complete: completed, Rejected: rejected, Failed: failed, Expired: expired });
  const most = Math.max(1, ...rows.map(([, count]) => count));
  const rules = Object.entries(rejected_by_rule).sort(([, one], [, other]) => other - one);
  const named = rules.slice(0, 2).map(([rule, count]) => `${rule.replaceAll("_", " ")} ${count}`);
  const bars = rows.map(([label, count]) => bar(label, count / most, String(count)));
  return card("Outcomes", named.length ? `rejected: ${named.join(", ")}` : "last hour", h("ul", { class: "bars" }, bars));
}

function queue({ resources: { jobs_waiting, jobs_in_flight, oldest_job_s, dead_jobs } }) {
  const [height, most] = [56, Math.max(2, ...jobs)];
  const point = (count, at) => `${((at + SAMPLES - jobs.length) / (SAMPLES - 1)) * WIDTH},${height - 2 - (count / most) * (height - 6)}`;
  const line = jobs.map(point).join(" ");
  const first = ((SAMPLES - jobs.length) / (SAMPLES - 1)) * WIDTH;
  const chart = svg(
    "svg",
    { class: "spark", viewBox: `0 0 ${WIDTH} ${height}`, preserveAspectRatio: "none", "aria-hidden": "true" },
    svg("path", { class: "base", d: `M0 ${height - 2}H${WIDTH}` }),
    svg("polygon", { points: `${first},${height - 2} ${line} ${WIDTH},${height - 2}` }),
    svg("polyline", { points: line }),
  );
  const wait = oldest_job_s ? `oldest ${duration(oldest_job_s * 1000)}` : "last five minutes";
  return card(
    "Queue",
    dead_jobs ? `${dead_jobs} dead letters` : wait,
    h("p", { class: "figures" }, figure(jobs_waiting, "waiting"), figure(jobs_in_flight, "in flight")),
    chart,
  );
}

const latency = (ms) => (ms < 0.1 ? "< 0.1 ms" : `${ms.toFixed(1)} ms`);
const figure = (value, unit) => h("span", {}, h("strong", {}, String(value)), ` ${unit}`);

function parts({ dependencies, storage, resources }) {
  const all = Object.entries({ ...dependencies, storage });
  const slowest = Math.max(1, ...all.map(([, part]) => part.latency_ms ?? 0));
  const bars = all.map(([name, { status, latency_ms }]) =>
    bar(name, (latency_ms ?? 0) / slowest, status === "ok" ? latency(latency_ms ?? 0) : status),
  );
  const { peak_memory_bytes: memory, free_disk_bytes: disk } = resources;
  const used = [memory && `${Math.round(memory / 1e6)} MB memory`, disk && `${gigabytes(disk)} free`];
  return card("Parts", used.filter(Boolean).join(" · "), h("ul", { class: "bars" }, bars));
}

async function look() {
  if (document.hidden) return;
  try {
    const report = await api.health();
    reached(true);
    jobs.push(report.resources.jobs_waiting + report.resources.jobs_in_flight);
    jobs.splice(0, jobs.length - SAMPLES);
    byId("health-summary").textContent = `${report.status === "ok" ? "everything works" : "degraded"}, version ${report.version}`;
    byId("charts").classList.remove("stale");
    byId("charts").replaceChildren(speed(report), outcomes(report), queue(report), parts(report));
  } catch (error) {
    reached(error.status !== 0);
    byId("health-summary").textContent = error.message;
    byId("charts").classList.add("stale");
  }
}

export async function watchHealth() {
  document.addEventListener("visibilitychange", look);
  for (;;) {
    await look();
    await new Promise((resolve) => setTimeout(resolve, EVERY_MS));
  }
}
