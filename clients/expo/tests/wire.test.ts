// What apps write, by the code that Expo and React Native publish, sent to the running server.
import { TikToken } from "../src/tiktoken";
import { inCache, sendBy, sendNatively } from "./phone";
import { post, postByFetch, put } from "./snippets";

const { convertFormDataAsync } = jest.requireActual("expo/src/winter/fetch/convertFormData");
const { installFormDataPatch } = jest.requireActual("expo/src/winter/FormData");
const FormDataOfPhones = installFormDataPatch(jest.requireActual("react-native/Libraries/Network/FormData").default);

const { SERVER = "", GOOD_CLIP } = process.env;
const api = new TikToken(SERVER, { fetch: fetchOfNode });
const request = { filename: "a.mp4", content_type: "video/mp4", size: 1 };

beforeEach(() => {
  sendBy(sendNatively);
  globalThis.FormData = FormDataOfPhones;
  // expo/fetch, but for its socket: https://github.com/expo/expo, packages/expo/src/winter/fetch/fetch.ts
  globalThis.fetch = async (url, init) => {
    const { body, boundary } = await convertFormDataAsync(init?.body);
    const headers = { "Content-Type": `multipart/form-data; boundary=${boundary}` };
    return fetchOfNode(String(url), { method: init?.method, headers, body });
  };
});

test("an upload task sends a ticket for PUT", async () => {
  const shares: number[] = [];
  const { id, upload } = await api.requestUpload({ ...request, method: "PUT" });

  const status = await put(upload, inCache(GOOD_CLIP).uri, (share) => shares.push(share));

  expect([status, shares]).toEqual([200, [1]]);
  expect((await api.follow(id)).state).toBe("completed");
});

test("an upload task sends a ticket for POST", async () => {
  const { id, upload } = await api.requestUpload(request);

  expect(await post(upload, inCache(GOOD_CLIP).uri)).toBe(204);
  expect((await api.follow(id)).state).toBe("completed");
});

test("Expo's fetch sends a form with a File", async () => {
  const { id, upload } = await api.requestUpload(request);

  expect(await postByFetch(upload, inCache(GOOD_CLIP, "fête.mp4").uri)).toBe(204);
  expect((await api.follow(id)).state).toBe("completed");
});

test("Expo's fetch refuses a part that is a URI", async () => {
  const form = new FormData();
  form.append("file", { uri: inCache(GOOD_CLIP).uri, name: "clip.mp4", type: "video/mp4" } as never);

  await expect(fetch(SERVER, { method: "POST", body: form })).rejects.toThrow("Unsupported FormDataPart");
});
