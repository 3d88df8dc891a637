// The app on a phone, against a running server: tests/test_expo.py starts it and names it in SERVER, with clips.
import AsyncStorage from "@react-native-async-storage/async-storage";
import { act, fireEvent, render, screen, waitFor, waitForElementToBeRemoved } from "@testing-library/react-native";
import { File, Paths } from "expo-file-system";
import { AccessibilityInfo, Platform } from "react-native";

import App from "../src/App";
import { loadPending, savePending } from "../src/pending";
import { TikToken } from "../src/tiktoken";
import { hasPicked, inCache, never, picks, picksNothing, sendBy, sendNatively, sent } from "./phone";

let mockToken = "";
jest.mock("../src/session", () => ({ token: async () => mockToken }));

const { SERVER = "", GOOD_CLIP, FAST_CLIP, LARGE_CLIP } = process.env;
const LONGEST_WAIT = { timeout: 30_000 };
const api = new TikToken(SERVER, { fetch: (...request) => fetch(...request) });
const kept = () => new File(Paths.document, "pending-clip");

let asked: string[];
let isOnline: boolean;

beforeEach(async () => {
  asked = [];
  isOnline = true;
  globalThis.fetch = async (url, init) => {
    if (!isOnline) throw new TypeError("Network request failed");
    asked.push(`${init?.method ?? "GET"} ${new URL(String(url)).pathname}`);
    return fetchOfNode(url as string, init);
  };
  sent.length = 0;
  sendBy(sendNatively);
  jest.replaceProperty(Platform, "OS", "ios");
  await AsyncStorage.clear();
  await AsyncStorage.setItem("server", SERVER);
  if (kept().exists) kept().delete();
});

const tickets = () => asked.filter((request) => request === "POST /upload").length;
const sees = (text: string | RegExp) => screen.findByText(text, {}, LONGEST_WAIT);
const press = async (label: string) => {
  const button = await sees(label);
  await act(async () => fireEvent.press(button));
};

const turnOn = async (name = "Convert clips that do not fit") => {
  const toggle = await screen.findByRole("switch", { name }, LONGEST_WAIT);
  await act(async () => fireEvent(toggle, "valueChange", true));
};

async function choose(clip: File, known = {}) {
  picks(clip, known);
  await press("Choose a clip");
}

test("what cannot be played as a stream is played as a file; what cannot at all, again when asked", async () => {
  render(<App />);
  await choose(inCache(GOOD_CLIP));
  await sees(/^Ready in/);
  const played = () => screen.getByTestId("film").props.accessibilityHint;
  const fails = () => act(async () => fireEvent(screen.getByTestId("film"), "error"));
  expect(played()).toMatch(/master\.m3u8$/);

  await fails();

  expect(played()).toMatch(/video\.mp4$/);
  await fails();
  await press("Play it again");
  expect(played()).toMatch(/master\.m3u8$/);
  expect(screen.queryByText("Play it again")).toBeNull();
});

test("a clip goes from the picker to the player", async () => {
  render(<App />);

  await choose(inCache(GOOD_CLIP));

  await sees("Ready in 720p, 540p, 360p");
  expect(screen.getByText(/^720 × 1280/)).toBeOnTheScreen();
  expect(screen.getByTestId("film").props.accessibilityHint).toMatch(/\/(master\.m3u8|video\.mp4)$/);
  expect(sent).toEqual([
    {
      httpMethod: "PUT",
      uploadType: 0,
      headers: { "Content-Type": "video/mp4", "If-None-Match": "*" },
    },
  ]);
  await waitFor(async () => expect(await loadPending()).toBeNull());
  await waitFor(() => expect(kept().exists).toBe(false)); // once it plays
});

test("VoiceOver says how far a clip is", async () => {
  const say = jest.mocked(AccessibilityInfo.announceForAccessibility).mockClear();
  render(<App />);

  await choose(inCache(GOOD_CLIP));

  await sees(/^Ready/);
  const said = say.mock.calls.map(([text]) => text);
  expect(said.filter((text) => ["Uploading", "Checking every frame", "Ready"].includes(text))).toEqual([
    "Uploading",
    "Checking every frame",
    "Ready",
  ]);
});

test("the blurhash shows before the picture", async () => {
  render(<App />);
  await choose(inCache(GOOD_CLIP));
  await sees(/^Ready/);
  const { id } = (await api.list()).videos[0]!;

  const { blurhash } = await api.metadata(id);

  expect(screen.getByTestId(blurhash!)).toBeOnTheScreen();
});

test("the share that has gone shows while bytes go", async () => {
  sendBy(async function () {
    this.emit("progress", { bytesSent: 41_000, totalBytes: 100_000 });
    return never.apply(this, [] as never);
  });
  render(<App />);

  await choose(inCache(GOOD_CLIP));

  await sees("41 %");
  expect(screen.getByRole("progressbar")).toHaveAccessibilityValue({ now: 41 });
});

test("a lost connection is told, and the upload goes on by itself", async () => {
  let tries = 0;
  sendBy(async function (...sending) {
    if ((tries += 1) === 1) throw new Error("The network connection was lost.");
    return sendNatively.apply(this, sending);
  });
  render(<App />);

  await choose(inCache(GOOD_CLIP));

  await sees("Connection lost");
  await sees(/^Ready/);
  expect([tries, tickets()]).toEqual([2, 1]);
});

test("a service that is busy is no lost connection", async () => {
  const fetchOfPhone = globalThis.fetch;
  const full = { error: "No space left to store anything.", code: "storage_full" };
  let isFull = true;
  globalThis.fetch = async (url, init) => {
    if (!isFull || !String(url).endsWith("/upload")) return fetchOfPhone(url, init);
    return new Response(JSON.stringify(full), { status: 507 });
  };
  render(<App />);
  await choose(inCache(GOOD_CLIP));
  await sees("The service is busy");
  expect(screen.getByText(/^No space left to store anything. Your clip is safe/)).toBeOnTheScreen();

  isFull = false;

  await sees(/^Ready/);
});

test("who knows that the connection is back need not wait", async () => {
  sendBy(() => Promise.reject(new Error("offline")));
  render(<App />);
  await choose(inCache(GOOD_CLIP));
  await sees("Connection lost");
  sendBy(sendNatively);

  await press("Try now");

  await sees(/^Ready/);
  expect(tickets()).toBe(1);
});

test("a clip that is picked without a connection is sent once there is one", async () => {
  isOnline = false;
  render(<App />);
  await choose(inCache(GOOD_CLIP));
  await sees("Connection lost");

  isOnline = true;

  await sees(/^Ready/);
});

test("an upload whose answer got lost is not sent twice", async () => {
  sendBy(async function (...sending) {
    await sendNatively.apply(this, sending);
    throw new Error("The network connection was lost.");
  });
  render(<App />);

  await choose(inCache(GOOD_CLIP));

  await sees(/^Ready/);
  expect(tickets()).toBe(1);
});

test("a restart of the app goes on with the same upload", async () => {
  sendBy(never);
  const before = render(<App />);
  await choose(inCache(GOOD_CLIP));
  await waitFor(async () => expect((await loadPending())?.ticket).toBeDefined(), LONGEST_WAIT);
  const { id } = (await loadPending())!.ticket!;
  before.unmount();
  sendBy(sendNatively);

  render(<App />);

  await sees(/^Ready/);
  expect(tickets()).toBe(1);
  expect((await api.status(id)).state).toBe("completed");
});

test("a restart after the bytes have gone only follows", async () => {
  sendBy(async function (...sending) {
    await sendNatively.apply(this, sending);
    return never.apply(this, sending); // the app was ended before the answer came
  });
  const before = render(<App />);
  await choose(inCache(GOOD_CLIP));
  await waitFor(() => expect(sent).toHaveLength(1), LONGEST_WAIT);
  const { id } = (await loadPending())!.ticket!;
  await waitFor(async () => expect((await api.status(id)).state).not.toBe("awaiting_upload"), LONGEST_WAIT);
  before.unmount();

  render(<App />);

  await sees(/^Ready/);
  expect(sent).toHaveLength(1);
});

test("a ticket that is good for nothing any more is replaced", async () => {
  sendBy(never);
  const before = render(<App />);
  await choose(inCache(GOOD_CLIP));
  await waitFor(async () => expect((await loadPending())?.ticket).toBeDefined(), LONGEST_WAIT);
  const { id } = (await loadPending())!.ticket!;
  before.unmount();
  await api.remove(id);
  sendBy(sendNatively);

  render(<App />);

  await sees(/^Ready/);
  expect(tickets()).toBe(2);
});

test("a clip that was deleted once the service had it is sent again on request alone", async () => {
  const request = { filename: "a.mp4", content_type: "video/mp4", size: 1, method: "PUT" } as const;
  const ticket = await api.requestUpload(request);
  await api.remove(ticket.id);
  await inCache(GOOD_CLIP).copy(kept());
  await savePending({ server: SERVER, key: "a", request, ticket, isSent: true });
  render(<App />);
  await sees("The service no longer has this clip.");
  expect([tickets(), sent.length]).toEqual([1, 0]);

  await press("Try again");

  await sees(/^Ready/);
  expect([tickets(), sent.length]).toEqual([2, 1]);
});

test("what comes late of a clip does not replace what is known", async () => {
  const fetchOfPhone = globalThis.fetch;
  const late: ((answer: unknown) => void)[] = [];
  let known: unknown;
  globalThis.fetch = async (url, init) => {
    const answer = await fetchOfPhone(url, init);
    if (!String(url).endsWith("/metadata") || late.length) return answer;
    known = await answer.json();
    const json = () => new Promise((resolve) => late.push(resolve));
    return { ok: true, status: 200, headers: answer.headers, json } as Response;
  };
  render(<App />);
  await choose(inCache(GOOD_CLIP));
  await sees("Ready in 720p, 540p, 360p");

  await act(async () => late.forEach((tell) => tell(known)));

  expect(screen.getByText("Ready in 720p, 540p, 360p")).toBeOnTheScreen();
});

test("a connection that is lost at the very end is waited for", async () => {
  const fetchOfPhone = globalThis.fetch;
  let failures = 0;
  globalThis.fetch = async (url, init) => {
    if (String(url).endsWith("/metadata") && (failures += 1) <= 3) throw new TypeError("Network request failed");
    return fetchOfPhone(url, init);
  };
  render(<App />);

  await choose(inCache(GOOD_CLIP));

  await sees(/^Ready/);
  expect(await loadPending()).toBeNull();
});

test("a ticket that has expired is replaced", async () => {
  let tries = 0;
  const expired = "<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>"; // as S3 says it
  sendBy(async function (...sending) {
    if ((tries += 1) === 1) return { status: 403, body: expired, headers: {} };
    return sendNatively.apply(this, sending);
  });
  render(<App />);

  await choose(inCache(GOOD_CLIP));

  await sees(/^Ready/);
  expect([tries, tickets()]).toEqual([2, 2]);
});

test("a restart without the clip says so", async () => {
  await savePending({ server: SERVER, key: "a", request: { filename: "a.mp4", content_type: "video/mp4", size: 1 } });

  render(<App />);

  await sees("The clip is gone.");
  expect(screen.queryByText("Try again")).toBeNull();
  await press("New clip");
  await sees("Choose a clip");
});

test("who cancels is asked for a clip again, after a restart as well", async () => {
  sendBy(never);
  const before = render(<App />);
  await choose(inCache(GOOD_CLIP));
  await sees("Uploading");

  await press("Cancel");

  await sees("Choose a clip");
  await waitFor(async () => expect(await loadPending()).toBeNull());
  before.unmount();
  render(<App />);
  await sees("Choose a clip");
});

test("who cancels what has gone already takes it back from the service", async () => {
  sendBy(async function (...sending) {
    await sendNatively.apply(this, sending);
    return never.apply(this, sending); // the answer is on its way
  });
  render(<App />);
  await choose(inCache(GOOD_CLIP));
  await waitFor(async () => expect((await loadPending())?.ticket).toBeDefined(), LONGEST_WAIT);
  const { id } = (await loadPending())!.ticket!;
  await waitFor(async () => expect((await api.status(id)).state).not.toBe("awaiting_upload"), LONGEST_WAIT);

  await press("Cancel");

  await waitFor(() => expect(api.status(id)).rejects.toMatchObject({ code: "unknown_video" }), LONGEST_WAIT);
  expect(await loadPending()).toBeNull();
});

test("who leaves a clip that plays does not take it back", async () => {
  render(<App />);
  await choose(inCache(GOOD_CLIP));
  await sees(/^(Ready|Playing)/);

  await press("New clip");

  await sees("Choose a clip");
  await waitFor(async () => expect(await loadPending()).toBeNull());
  expect(asked.filter((request) => request.startsWith("DELETE"))).toEqual([]);
});

test.each([
  ["ios", /^Record upright with Settings/, /Hold the phone upright/],
  ["android", /^Hold the phone upright/, /Record upright with Settings/],
] as const)("what breaks a rule is explained for %s, before a byte is sent", async (platform, own, other) => {
  jest.replaceProperty(Platform, "OS", platform);
  render(<App />);

  await choose(inCache(GOOD_CLIP), { width: 1080, height: 1920, duration: 75_000 });

  await sees("This clip does not fit yet.");
  expect(screen.getByText("1080x1920")).toBeOnTheScreen();
  expect(screen.getByText("75 s")).toBeOnTheScreen();
  expect(screen.getByText(own)).toBeOnTheScreen();
  expect(screen.queryByText(other)).toBeNull();
  expect(screen.queryByText("Convert and send")).toBeNull(); // nothing is cut
  expect(tickets()).toBe(0);
  expect(kept().exists).toBe(false);
});

test("a clip that the service rejects is explained, and another one can be chosen", async () => {
  render(<App />);

  await choose(inCache(FAST_CLIP));

  await sees("60 fps");
  expect(screen.getByText(/uploaded and checked/)).toBeOnTheScreen();
  picks(inCache(GOOD_CLIP));
  await press("Choose another clip");
  await sees(/^Ready/);
});

test("with the switch on, a clip too large and too wide is converted, and what was changed is told", async () => {
  render(<App />);
  await turnOn();
  const clip = inCache(LARGE_CLIP);
  expect(clip.size).toBeGreaterThan(6_291_456);

  await choose(clip, { width: 1080, height: 1920, fileSize: clip.size });

  await sees("Converting your clip");
  await sees("1080x1920 → 720x1280");
  expect(screen.getByLabelText("Converted")).toBeOnTheScreen(); // how far that is
  await sees(/^Ready/);
  expect(screen.getByText("1080x1920 → 720x1280")).toBeOnTheScreen();
  expect(screen.getByText(/^\d+\.\d MB → at most 6\.3 MB$/)).toBeOnTheScreen();
  await waitFor(() => expect(kept().exists).toBe(false));
});

test("the switch is off at first, and remembered", async () => {
  const name = "Convert clips that do not fit";
  const before = render(<App />);
  expect(await screen.findByRole("switch", { name })).not.toBeChecked();
  await turnOn();
  before.unmount();

  render(<App />);

  expect(await screen.findByRole("switch", { name })).toBeChecked();
});

test("how a picture of another shape is to fit is asked where clips are converted, and remembered", async () => {
  const before = render(<App />);
  await sees("Choose a clip");
  expect(screen.queryByText("Fill the frame")).toBeNull();
  await turnOn();
  expect(screen.getByText(/with bars/)).toBeOnTheScreen();
  await turnOn("Fill the frame");
  before.unmount();
  render(<App />);
  expect(await screen.findByRole("switch", { name: "Fill the frame" })).toBeChecked();

  await choose(inCache(LARGE_CLIP), { width: 1080, height: 1440 });

  await waitFor(async () => expect((await loadPending())?.request.fit).toBe("cover"), LONGEST_WAIT);
});

test("how a rejected picture of another shape is to fit is asked before it is converted", async () => {
  render(<App />);
  await choose(inCache(LARGE_CLIP), { width: 1080, height: 1440 });
  await sees("Convert and send");
  await turnOn("Fill the frame");

  await press("Convert and send");

  await waitFor(async () => expect((await loadPending())?.request.fit).toBe("cover"), LONGEST_WAIT);
});

test("a clip that the service rejects can be converted", async () => {
  render(<App />);
  await choose(inCache(FAST_CLIP));

  await press("Convert and send");

  await sees(/^Ready/);
  expect(screen.getByText("60 fps → 30 fps")).toBeOnTheScreen();
  expect([tickets(), sent.length]).toEqual([2, 2]);
  expect(await loadPending()).toBeNull();
});

test("a clip that was not even sent can be converted, after a restart of the app as well", async () => {
  const before = render(<App />);
  await choose(inCache(LARGE_CLIP), { width: 1080, height: 1920 });
  await sees("Convert and send");
  before.unmount();
  render(<App />);
  await sees(/Nothing was uploaded/);
  expect(tickets()).toBe(0);

  await press("Convert and send");

  await sees(/^Ready/);
  expect(tickets()).toBe(1);
});

test("who chooses another clip gives up the one that could be converted", async () => {
  render(<App />);
  await choose(inCache(LARGE_CLIP), { width: 1080, height: 1920 });
  await sees("Convert and send");
  picks(inCache(GOOD_CLIP), { duration: 75_000 });

  await press("Choose another clip");

  await sees("75 s");
  expect(screen.queryByText("Convert and send")).toBeNull();
  expect(await loadPending()).toBeNull();
  expect(kept().exists).toBe(false);
});

test("who does not want a clip converted is not asked again", async () => {
  render(<App />);
  await choose(inCache(LARGE_CLIP), { width: 1080, height: 1920 });
  await sees("Convert and send");

  await press("Back");

  await sees("Choose a clip");
  await waitFor(() => expect(kept().exists).toBe(false));
  expect(await loadPending()).toBeNull();
});

test("a clip for a service that is none is kept, until its owner gives it up", async () => {
  await AsyncStorage.setItem("server", `${SERVER}/elsewhere`);
  const before = render(<App />);
  await choose(inCache(GOOD_CLIP));
  await sees("No such route.");
  before.unmount();
  render(<App />);
  await sees("No such route.");
  expect(kept().exists).toBe(true);

  await press("New clip");

  await sees("Choose a clip");
  await waitFor(() => expect(kept().exists).toBe(false));
});

test("a clip whose preflight gets no answer is kept all the same", async () => {
  jest.useFakeTimers({ doNotFake: ["nextTick", "setImmediate", "queueMicrotask"] });
  const fetchOfPhone = globalThis.fetch;
  globalThis.fetch = (url, init) =>
    new Promise((_, reject) => init?.signal?.addEventListener("abort", () => reject(new Error("Aborted"))));
  render(<App />);
  await choose(inCache(GOOD_CLIP));
  await sees("Looking at your clip");

  await act(() => jest.advanceTimersByTimeAsync(6000));

  expect(await loadPending()).not.toBeNull();
  expect(kept().exists).toBe(true);
  jest.useRealTimers();
  globalThis.fetch = fetchOfPhone;
});

test("a clip that the picker cannot open is told", async () => {
  picksNothing(new Error("PHPhotosErrorDomain error 3164.")); // it is in iCloud, and there is no connection
  render(<App />);

  await press("Choose a clip");

  await sees(/^The clip could not be opened/);
  await choose(inCache(GOOD_CLIP));
  await sees(/^Ready/);
});

test("a clip that was chosen while Android ended the app is sent at its next start", async () => {
  hasPicked(inCache(GOOD_CLIP));

  render(<App />);

  await sees(/^Ready/);
});

test("a clip that cannot be copied is told, and can be tried again", async () => {
  render(<App />);
  const clip = inCache(GOOD_CLIP);
  picks(clip);
  clip.delete();
  await press("Choose a clip");
  await sees("The clip cannot be copied.");
  inCache(GOOD_CLIP);

  await press("Try again");

  await sees(/^Ready/);
});

test("an empty clip is told", async () => {
  render(<App />);
  const clip = new File(Paths.cache, "empty.mp4");
  if (!clip.exists) clip.create();

  await choose(clip);

  await sees("The clip is empty.");
  expect(tickets()).toBe(0);
});

test("a service that wants to know who is asking is told, and storage is not", async () => {
  const fetchOfPhone = globalThis.fetch;
  const error = { error: "Authentication required.", code: "token_missing", suggestions: ["Send a header."] };
  globalThis.fetch = async (url, init) => {
    const isKnown = new Headers(init?.headers).get("Authorization") === "Bearer mine" || String(url).endsWith("/health");
    return isKnown ? fetchOfPhone(url, init) : new Response(JSON.stringify(error), { status: 401 });
  };
  render(<App />);
  await choose(inCache(GOOD_CLIP));
  await sees("Authentication required.");
  expect(screen.getByText(/^Sign in, then try again/)).toBeOnTheScreen();
  mockToken = "mine";

  await press("Try again");

  await sees(/^Ready/);
  expect(sent.map(({ headers }) => Object.keys(headers ?? {}))).toEqual([["Content-Type", "If-None-Match"]]);
});

test("a clip goes to another server that is named while there is no answer", async () => {
  await AsyncStorage.setItem("server", "http://localhost:1");
  render(<App />);
  await choose(inCache(GOOD_CLIP));
  await sees("Connection lost");
  await press("Change");

  fireEvent.changeText(screen.getByLabelText("Server"), SERVER);
  await press("Use this server");

  await sees(/^Ready/);
  expect(await loadPending()).toBeNull();
});

test("a ticket of another server is not used", async () => {
  sendBy(never);
  const before = render(<App />);
  await choose(inCache(GOOD_CLIP));
  await waitFor(async () => expect((await loadPending())?.ticket).toBeDefined(), LONGEST_WAIT);
  before.unmount();
  const other = SERVER.replace("localhost", "127.0.0.1");
  await AsyncStorage.setItem("server", other);
  sendBy(sendNatively);

  render(<App />);

  await sees(/^Ready/);
  expect(tickets()).toBe(2);
  expect(screen.getByTestId("film").props.accessibilityHint).toContain(other);
});

test("no address stands for the default one, which is not remembered", async () => {
  render(<App />);
  await press("Change");

  fireEvent.changeText(screen.getByLabelText("Server"), " ");
  await press("Use this server");

  await sees(/localhost:8000$/);
  expect(await AsyncStorage.getItem("server")).toBeNull();
});

test("a server that is started later is found", async () => {
  isOnline = false;
  render(<App />);
  await sees(/^No answer from/);

  isOnline = true;

  await waitForElementToBeRemoved(() => screen.queryByText(/^No answer from/), LONGEST_WAIT);
});

test("an address that was typed in is used and remembered", async () => {
  await AsyncStorage.setItem("server", "http://localhost:1");
  const before = render(<App />);
  await sees("No answer from localhost:1");
  await press("Change");

  fireEvent.changeText(screen.getByLabelText("Server"), ` ${SERVER.replace("http://", "")}/ `);
  await press("Use this server");

  await sees(SERVER.replace("http://", ""));
  await choose(inCache(GOOD_CLIP));
  await sees(/^Ready/);
  before.unmount();
  expect(await AsyncStorage.getItem("server")).toBe(SERVER);
});
