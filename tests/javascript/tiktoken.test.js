// The client against a running server: tests/test_client.py starts it and names it in SERVER, with clips.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { basename } from "node:path";
import { mock, test } from "node:test";

import { TikToken, TikTokenError, preflightFromAsset } from "../../clients/javascript/tiktoken.js";

const { SERVER, GOOD_CLIP, LONG_CLIP, FAST_CLIP } = process.env;
const api = new TikToken(SERVER);

async function clip(path = GOOD_CLIP) {
  return new File([await readFile(path)], basename(path), { type: "video/mp4" });
}

/** fetch that notes every request and answer. */
function noting(notes) {
  return async (url, init = {}) => {
    const answer = await fetch(url, init);
    notes.push({ url, method: init.method ?? "GET", headers: init.headers ?? {}, status: answer.status, retryAfter: answer.headers.get("Retry-After") });
    return answer;
  };
}

const LONGEST_ANSWER_MS = 35_000;

/** The pauses that the client makes, without waiting for them. */
function withoutPauses(t) {
  return passing(t, (ms) => ms !== LONGEST_ANSWER_MS);
}

/** The times that the client waits for and that pass at once. */
function passing(t, isShort) {
  const asked = [];
  const real = globalThis.setTimeout;
  const spy = mock.method(globalThis, "setTimeout", (act, ms, ...rest) => {
    const isOurs = new Error().stack.includes("/clients/javascript/"); // fetch has timers, too
    if (!isOurs || !isShort(ms)) return real(act, ms, ...rest);
    asked.push(ms);
    return real(act, 0, ...rest);
  });
  t.after(() => spy.mock.restore());
  return asked;
}

/** fetch that gives these answers first: an Error is thrown. */
function first(answers, then = fetch) {
  const left = [...answers];
  return async (...request) => {
    if (!left.length) return then(...request);
    const answer = left.shift();
    if (answer instanceof Error) throw answer;
    return answer;
  };
}

const unreachable = () => new TypeError("fetch failed");
const isNetworkError = (error) => error instanceof TikTokenError && error.code === "network" && error.status === 0;

// ── A clip ───────────────────────────────────────────────────────────────────────

test("a clip goes from a file to its renditions, and can be deleted", async () => {
  const shares = [];
  const statuses = [];

  const { id } = await api.upload(await clip(), { onProgress: (share) => shares.push(share) });
  const last = await api.follow(id, { onStatus: (status) => statuses.push(status) });
  const metadata = await api.metadata(id);
  await api.remove(id);

  assert.equal(shares.at(-1), 1);
  assert.equal(last.state, "completed");
  assert.deepEqual(statuses.at(-1), last);
  assert.deepEqual(metadata.renditions.map(({ name }) => name), ["720p", "540p", "360p"]);
  assert.equal(metadata.filename, basename(GOOD_CLIP));
  await assert.rejects(api.status(id), { name: "TikTokenError", code: "unknown_video", status: 404 });
  await api.remove(id); // once more: it is gone already
});

test("a rejected clip says what its owner can do", async () => {
  const { id } = await api.upload(await clip(FAST_CLIP));

  const status = await api.follow(id);

  assert.equal(status.state, "rejected");
  assert.equal(status.violations[0].rule, "frame_rate");
  assert.ok(status.suggestions_for.ios.length);
});

test("a preflight judges what is known", async () => {
  const verdict = await api.preflight({ width: 1920, height: 1080 });

  assert.equal(verdict.accepted, false);
  assert.deepEqual(verdict.violations.map(({ rule }) => rule), ["resolution"]);
  assert.ok(verdict.unjudged.includes("duration"));
});

test("an error has a code, and what to do about it", async () => {
  const request = { filename: "a.mp4", content_type: "video/mp4", size: 7_000_000 };

  await assert.rejects(api.requestUpload(request), (error) => {
    assert.ok(error instanceof TikTokenError);
    assert.deepEqual([error.code, error.status, error.temporary], ["video_refused", 422, false]);
    assert.equal(error.violations[0].rule, "size");
    assert.ok(error.suggestions_for.ios.length);
    return true;
  });
});

test("an answer that is not of the service is an error, too", async () => {
  const gateway = new TikToken(SERVER, { fetch: async () => new Response("<h1>Bad gateway</h1>", { status: 502 }) });

  await assert.rejects(gateway.metadata("a"), { code: "unknown", status: 502, temporary: true });
});

for (const [what, unanswered] of Object.entries({
  "that nobody answers": () => new Promise(() => {}),
  "whose answer never ends": async () => new Response(new ReadableStream()),
})) {
  test(`a request ${what} is an error of the network after 35 s, and can be aborted before`, async (t) => {
    const silent = new TikToken(SERVER, { fetch: unanswered });
    const aborted = silent.status("a", { signal: AbortSignal.timeout(20) });
    await assert.rejects(aborted, { name: "TimeoutError" });

    const waited = passing(t, (ms) => ms === LONGEST_ANSWER_MS);
    await assert.rejects(silent.status("a"), (error) => isNetworkError(error) && error.temporary);
    assert.equal(waited.length, 1);
  });
}

test("the type of a file without one follows from its name", async () => {
  const ticket = await api.upload(new File([await readFile(GOOD_CLIP)], "IMG_1.MOV"));

  assert.equal(ticket.upload.fields["Content-Type"], "video/quicktime");
});

test("health is told in the answer, and degraded health as well", async () => {
  const degraded = { status: "degraded", dependencies: {} };
  const ill = new TikToken(SERVER, { fetch: async () => Response.json(degraded, { status: 503 }) });

  assert.equal((await api.health()).status, "ok");
  assert.deepEqual(await ill.health(), degraded);
});

test("a local server without tokens lists what it has", async () => {
  const { id } = await api.requestUpload({ filename: "a.mp4", content_type: "video/mp4", size: 1 });

  const { videos } = await api.list({ limit: 100 });

  assert.ok(videos.some((video) => video.id === id));
});

test("a list asks for its page", async () => {
  const asked = [];
  const fetch = async (url) => asked.push(url) && Response.json({ videos: [], after: null });

  await new TikToken("https://api.example/", { fetch }).list({ limit: 5, after: "a b" });

  assert.deepEqual(asked, ["https://api.example/videos?limit=5&after=a+b"]);
});

test("a token goes to the API alone", async () => {
  const notes = [];
  const signedIn = new TikToken(SERVER, { token: async () => "abc", fetch: noting(notes) });

  const { id } = await signedIn.upload(await clip());
  await signedIn.status(id);

  const authorization = ({ url, headers }) => [new URL(url).pathname.split("/")[1], headers.Authorization];
  assert.deepEqual(notes.map(authorization), [["upload", "Bearer abc"], ["storage", undefined], ["videos", "Bearer abc"]]);
});

// ── A lost connection ────────────────────────────────────────────────────────────

test("a dropped upload is sent again with the same ticket", async (t) => {
  withoutPauses(t);
  const retries = [];
  let tries = 0;
  const fragile = new TikToken(SERVER, {
    send: async (target, file) => {
      if ((tries += 1) < 3) throw unreachable();
      const form = new FormData();
      Object.entries(target.fields).forEach((field) => form.append(...field));
      form.append("file", file);
      const answer = await fetch(target.url, { method: "POST", body: form });
      return { status: answer.status, body: await answer.text() };
    },
  });

  const { id } = await fragile.upload(await clip(), { onRetry: (error, waitMs) => retries.push([isNetworkError(error), waitMs]) });

  assert.equal(tries, 3);
  assert.deepEqual(retries.map(([isNetwork]) => isNetwork), [true, true]);
  assert.equal((await api.follow(id)).state, "completed");
});

test("a ticket that got lost is asked for again, if it has a key, and is the same one", async (t) => {
  withoutPauses(t);
  const notes = [];
  const noted = noting(notes);
  let isLost = false;
  const deaf = async (...request) => {
    const answer = await noted(...request);
    if (isLost) return answer;
    isLost = true;
    throw unreachable();
  };
  const idempotencyKey = crypto.randomUUID();

  const { id } = await new TikToken(SERVER, { fetch: deaf }).upload(await clip(), { idempotencyKey });

  const asked = notes.filter(({ url, method }) => method === "POST" && url.endsWith("/upload"));
  assert.deepEqual(asked.map(({ status, headers }) => [status, headers["Idempotency-Key"]]), [[201, idempotencyKey], [201, idempotencyKey]]);
  const repeat = await api.requestUpload({ filename: basename(GOOD_CLIP), content_type: "video/mp4", size: (await clip()).size }, { idempotencyKey });
  assert.equal(repeat.id, id);
});

test("a ticket that got lost is asked for once without a key", async (t) => {
  withoutPauses(t);
  const offline = new TikToken(SERVER, { fetch: first([unreachable()]) });

  await assert.rejects(offline.upload(await clip()), isNetworkError);
});

for (const [what, status, code] of [
  ["a PUT that meets an earlier one", 409, "ConditionalRequestConflict"],
  ["an upload whose connection stalled", 400, "RequestTimeout"],
  ["an upload whose connection broke off", 400, "IncompleteBody"],
]) {
  test(`${what} is sent again`, async (t) => {
    withoutPauses(t);
    const body = `<Error><Code>${code}</Code><Message>Go on.</Message></Error>`; // as S3 says it
    const answers = [{ status, body }, { status: 200, body: "" }];
    const dropped = new TikToken(SERVER, { send: async () => answers.shift() });

    await dropped.upload(await clip(), { request: { method: "PUT" } });

    assert.deepEqual(answers, []);
  });
}

test("an upload is given up after its retries", async (t) => {
  withoutPauses(t);
  let tries = 0;
  const broken = new TikToken(SERVER, { send: async () => { tries += 1; throw unreachable(); } });

  await assert.rejects(broken.upload(await clip(), { retries: 2 }), isNetworkError);
  assert.equal(tries, 3);
});

test("an upload whose answer was lost is not sent twice", async (t) => {
  let tries = 0;
  const deaf = new TikToken(SERVER, {
    send: async (target, file) => {
      tries += 1;
      await fetch(target.url, { method: "PUT", headers: target.headers, body: file });
      const id = target.url.match(/uploads\/([^?]+)/)[1];
      const noticed = new AbortController();
      await api.follow(id, { signal: noticed.signal, onStatus: ({ state }) => state !== "awaiting_upload" && noticed.abort() }).catch(() => {});
      throw unreachable();
    },
  });

  await deaf.upload(await clip(), { request: { method: "PUT" } });

  assert.equal(tries, 1);
});

test("a PUT of what is there already is a success", async () => {
  const file = await clip();
  const ticket = await api.requestUpload({ filename: "a.mp4", content_type: "video/mp4", size: file.size, method: "PUT" });
  const statuses = [];
  const send = async ({ url, headers }, body) => {
    const answer = await fetch(url, { method: "PUT", headers, body });
    statuses.push(answer.status);
    // The service takes a file out of the inbox once it is checked; until then, storage keeps it.
    return { status: statuses.length === 1 ? answer.status : 412, body: await answer.text() };
  };

  for (let times = 0; times < 2; times += 1) await new TikToken(SERVER, { send }).upload(file, { ticket });

  assert.equal(statuses[0], 200);
});

test("what storage says of a wrong upload is its code", async () => {
  const file = await clip();
  const ticket = await api.requestUpload({ filename: "a.mp4", content_type: "video/mp4", size: file.size });
  ticket.upload.fields["Content-Type"] = "video/webm";

  await assert.rejects(api.upload(file, { ticket }), { name: "TikTokenError", code: "access_denied", status: 403 });
});

test("an upload that stalls is sent again", async (t) => {
  withoutPauses(t);
  const answers = [undefined, undefined, 204];
  globalThis.XMLHttpRequest = class {
    upload = {};
    open() {}
    setRequestHeader() {}
    send() {
      const status = answers.shift();
      if (!status) return; // no byte is sent, and nothing is answered
      this.status = status;
      this.onload();
      this.onloadend();
    }
    abort() {
      this.onabort();
      this.onloadend();
    }
  };
  t.after(() => delete globalThis.XMLHttpRequest);
  const notes = [];

  await new TikToken(SERVER).upload(await clip(), { onRetry: (error) => notes.push(error) });

  assert.deepEqual(answers, []);
  assert.deepEqual(notes.map(isNetworkError), [true, true]);
});

test("an upload can be aborted", async () => {
  const stop = new AbortController();

  const upload = api.upload(await clip(), { signal: stop.signal, onTicket: () => stop.abort() });

  await assert.rejects(upload, { name: "AbortError" });
});

// ── Follow ───────────────────────────────────────────────────────────────────────

/** A client, the paths that it asks for, and `fetch` with something else for its event streams. */
function listening(onEvents = (...request) => fetch(...request)) {
  const asked = [];
  const told = async (url, init) => {
    const { pathname } = new URL(url);
    asked.push(pathname.split("/").pop());
    return pathname === "/events" ? onEvents(url, init) : fetch(url, init);
  };
  return { api: new TikToken(SERVER, { fetch: told }), times: (name) => asked.filter((one) => one === name).length };
}

const noEvents = async () => Response.json({ error: "No such route.", code: "unknown_route" }, { status: 404 });

test("a video is followed by events, and its status is read but a few times", async () => {
  const { api: listener, times } = listening();
  const statuses = [];

  const { id } = await listener.upload(await clip(LONG_CLIP));
  const last = await listener.follow(id, { onStatus: (status) => statuses.push(status) });

  assert.equal(last.state, "completed");
  assert.deepEqual(statuses.at(-1), last);
  const progress = statuses.map((status) => status.progress);
  assert.deepEqual(progress, progress.toSorted((one, other) => one - other));
  assert.ok(statuses.filter(({ state }) => state === "processing").length > 2, "its progress is told");
  assert.equal(times("events"), 1);
  assert.ok(times("status") <= 4, `at first, once listening, playable, completed: ${times("status")}`);
});

test("a video that is being converted tells so before it plays, though no event does", async () => {
  const { api: listener } = listening();
  const statuses = [];

  const { id } = await listener.upload(await clip(FAST_CLIP), { request: { on_violation: "fix" } });
  const last = await listener.follow(id, { onStatus: (status) => statuses.push(status) });

  const converting = statuses.find(({ state, playable, fixes }) => state === "processing" && !playable && fixes);
  assert.deepEqual(converting?.fixes.map(({ rule }) => rule), ["frame_rate"]);
  assert.equal(last.state, "completed");
});

test("videos that are followed at the same time share one stream, which ends with the last", async () => {
  let streams = 0;
  const { api: listener, times } = listening(async (url, init) => {
    streams += 1;
    init.signal.addEventListener("abort", () => (streams -= 1));
    return fetch(url, init);
  });
  const file = await clip();

  const ids = await Promise.all([1, 2, 3].map(async () => (await listener.upload(file)).id));
  const ended = await Promise.all(ids.map((id) => listener.follow(id)));

  assert.deepEqual(ended.map(({ state }) => state), ["completed", "completed", "completed"]);
  assert.deepEqual([times("events"), streams], [1, 0]);
});

test("what happens between a status and its place in an open stream is not missed", async () => {
  let isLate = false;
  let opened;
  const open = new Promise((resolve) => (opened = resolve));
  const late = async (url, init) => {
    const answer = await fetch(url, init);
    if (url.endsWith("/events")) opened();
    if (isLate && url.endsWith("/status")) {
      isLate = false;
      await api.follow(id); // it is completed, and everybody was told, before this answer is read
    }
    return answer;
  };
  const listener = new TikToken(SERVER, { fetch: late });
  const stop = new AbortController();
  const other = await listener.requestUpload({ filename: "a.mp4", content_type: "video/mp4", size: 1000 });
  const waiting = listener.follow(other.id, { signal: stop.signal }).catch(() => {});
  await open;
  const { id } = await listener.upload(await clip());
  isLate = true;

  const last = await listener.follow(id);

  assert.equal(last.state, "completed");
  stop.abort();
  await waiting;
});

test("where the service has no stream, it is asked for once", async () => {
  const { api: listener, times } = listening(noEvents);
  const file = await clip(LONG_CLIP);

  for (let times = 0; times < 2; times += 1) {
    const { id } = await listener.upload(file);
    assert.equal((await listener.follow(id)).state, "completed");
  }

  assert.equal(times("events"), 1);
  assert.ok(times("status") > 4);
});

test("a stream that drops is opened again, and nothing is missed", async () => {
  const { api: listener, times } = listening(async () => {
    const start = (stream) => {
      stream.enqueue(new TextEncoder().encode(":\n\n"));
      setTimeout(() => stream.error(unreachable()), 20);
    };
    return new Response(new ReadableStream({ start }));
  });

  const { id } = await listener.upload(await clip(LONG_CLIP));
  const last = await listener.follow(id);

  assert.equal(last.state, "completed");
  assert.ok(times("events") > 1);
  assert.ok(times("status") > 2, "it polls meanwhile");
});

test("a silent stream is given up", async (t) => {
  withoutPauses(t);
  const stop = new AbortController();
  const start = (stream) => stream.enqueue(new TextEncoder().encode(":\n\n"));
  const { api: listener } = listening(async () => new Response(new ReadableStream({ start, cancel: () => stop.abort() })));
  const { id } = await listener.requestUpload({ filename: "a.mp4", content_type: "video/mp4", size: 1000 });

  await assert.rejects(listener.follow(id, { signal: stop.signal }), { name: "AbortError" });
});

for (const [kind, onEvents] of Object.entries({
  "never answers": () => new Promise(() => {}),
  "cannot be streamed": async () => ({ ok: true, status: 200, headers: new Headers(), body: null }),
  "is refused": async () => Response.json({ error: "Too many.", code: "too_many_requests" }, { status: 429 }),
  "sends what is no event": async () => new Response("data: {\n\ndata: null\n\n"),
})) {
  test(`a stream that ${kind} holds nothing up`, async () => {
    const { api: listener } = listening(onEvents);

    const { id } = await listener.upload(await clip());

    assert.equal((await listener.follow(id)).state, "completed");
  });
}

test("following that is aborted leaves no stream open", async () => {
  const stop = new AbortController();
  let isOver = false;
  const { api: listener } = listening(async (url, init) => {
    init.signal.addEventListener("abort", () => (isOver = true));
    const answer = await fetch(url, init);
    setTimeout(() => stop.abort(), 50);
    return answer;
  });
  const { id } = await listener.requestUpload({ filename: "a.mp4", content_type: "video/mp4", size: 1000 });

  await assert.rejects(listener.follow(id, { signal: stop.signal }), { name: "AbortError" });
  assert.ok(isOver);
});

test("a video is asked for as often as the service says", async (t) => {
  const asked = withoutPauses(t);
  const [notes, statuses] = [[], []];
  const stop = new AbortController();
  const { id } = await api.requestUpload({ filename: "a.mp4", content_type: "video/mp4", size: 1000 });
  const watching = async (...request) => {
    if (request[0].endsWith("/events")) return noEvents();
    if (notes.length === 3) stop.abort();
    return noting(notes)(...request);
  };

  const followed = new TikToken(SERVER, { fetch: watching }).follow(id, { signal: stop.signal, onStatus: (status) => statuses.push(status) });

  await assert.rejects(followed, { name: "AbortError" });
  assert.deepEqual(notes.slice(0, 3).map(({ status }) => status), [200, 304, 304]);
  assert.equal(notes[0].headers["If-None-Match"], undefined);
  assert.match(notes[1].headers["If-None-Match"], /^(W\/)?".+"$/);
  assert.equal(statuses.length, 1);
  assert.deepEqual(asked.slice(0, 3), [statuses[0].retry_after_ms, ...notes.slice(1, 3).map(({ retryAfter }) => retryAfter * 1000)]);
  assert.equal(asked[0], 1000);
});

test("following goes on after errors that pass, with longer and longer pauses", async (t) => {
  const asked = withoutPauses(t);
  const codes = [];
  const { id } = await api.upload(await clip(FAST_CLIP));
  await api.follow(id);
  asked.length = 0;
  const busy = Response.json({ error: "Wait.", code: "too_many_requests" }, { status: 429, headers: { "Retry-After": "60" } });
  const flaky = new TikToken(SERVER, { fetch: first([unreachable(), unreachable(), unreachable(), busy]) });

  const status = await flaky.follow(id, { onRetry: (error) => codes.push(error.code) });

  assert.equal(status.state, "rejected");
  assert.deepEqual(codes, ["network", "network", "network", "too_many_requests"]);
  [[500, 1000], [1000, 2000], [2000, 4000], [60_000, 60_000]].forEach(([least, most], at) => {
    assert.ok(asked[at] >= least && asked[at] <= most, `pause ${at} of ${asked[at]} ms`);
  });
});

test("following ends at once where waiting does not help", async () => {
  await assert.rejects(api.follow("01a20634-f7d4-73ba-b872-1b0389a6554a"), { code: "unknown_video" });
});

// ── What pickers say ─────────────────────────────────────────────────────────────

test("an asset of a picker becomes facts, without what it does not know", () => {
  const facts = (asset) => preflightFromAsset(asset);

  assert.deepEqual(facts({ duration: 12_345, width: 720, height: 1280, fileSize: 5000 }), { duration: 12.345, width: 720, height: 1280, size: 5000 });
  assert.deepEqual(facts({ duration: 0, width: 0, height: 0, fileSize: 0 }), {});
  assert.deepEqual(facts({ duration: null, width: null, height: null, rotation: null, fileSize: null }), {});
  assert.deepEqual(facts({}), {});
});

test("the sides of a clip are left out where a picker may have swapped them", () => {
  assert.deepEqual(preflightFromAsset({ width: 1280, height: 720 }), {});
  assert.deepEqual(preflightFromAsset({ width: 1280, height: 720, rotation: 90 }), { width: 1280, height: 720, rotation: 90 });
  assert.deepEqual(preflightFromAsset({ width: 1280, height: 720, rotation: 0 }), { width: 1280, height: 720 });
});
