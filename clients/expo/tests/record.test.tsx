// The camera, as the service wants its clips.
import { act, fireEvent, render, screen, waitFor } from "@testing-library/react-native";
import { AppState, BackHandler, Linking, Platform } from "react-native";

import { clipFromCamera, videoBitRate } from "../src/clip";
import { Record } from "../src/screens/Record";

const mockRecordings: object[] = [];
const mockViews: Record<string, unknown>[] = [];
const mockStop = jest.fn();
let mockPermission = { granted: true, canAskAgain: true };
let mockReads = 0;
let mockRecord = async () => ({ uri: "file:///mock/cache/Camera/1.mov" });

beforeEach(() => {
  mockPermission = { granted: true, canAskAgain: true };
  mockRecord = async () => ({ uri: "file:///mock/cache/Camera/1.mov" });
});

jest.mock("expo-camera", () => {
  const { useImperativeHandle } = jest.requireActual("react");
  const read = async () => (mockReads += 1);
  const permissions = () => [mockPermission, jest.fn(), read];
  return {
    CameraView: ({ ref, ...props }: { ref: React.Ref<unknown> }) => {
      mockViews.push(props);
      useImperativeHandle(ref, () => ({
        recordAsync: async (options: object) => {
          mockRecordings.push(options);
          return mockRecord();
        },
        stopRecording: mockStop,
      }));
      return null;
    },
    useCameraPermissions: permissions,
    useMicrophonePermissions: permissions,
  };
});

afterEach(() => jest.restoreAllMocks());

test("the camera is set to what the service takes", async () => {
  const onClip = jest.fn();
  render(<Record onClip={onClip} onCancel={() => {}} />);

  await act(async () => fireEvent.press(screen.getByLabelText("Record")));

  await waitFor(() => expect(onClip).toHaveBeenCalled());
  expect(mockRecordings).toEqual([{ maxDuration: 60, maxFileSize: 6_291_456, codec: "avc1" }]);
  expect(mockViews.at(-1)).toMatchObject({ mode: "video", videoQuality: "720p" });
  expect(onClip).toHaveBeenCalledWith({
    uri: "file:///mock/cache/Camera/1.mov",
    name: "recording.mov",
    contentType: "video/quicktime",
    facts: {},
  });
});

test("who has denied the camera for good is sent to the settings, and back", async () => {
  mockPermission = { granted: false, canAskAgain: false };
  const open = jest.spyOn(Linking, "openSettings").mockResolvedValue();
  const listen = jest.spyOn(AppState, "addEventListener");
  render(<Record onClip={() => {}} onCancel={() => {}} />);
  expect(screen.queryByText("Allow")).toBeNull();

  await act(async () => fireEvent.press(screen.getByText("Open the settings")));
  expect(open).toHaveBeenCalled();
  const before = mockReads;
  await act(async () => listen.mock.calls.forEach(([, changed]) => changed("active")));

  expect(mockReads).toBeGreaterThan(before);
});

test("a recording that fails is told, and another can be made", async () => {
  mockRecord = () => Promise.reject(new Error("Video codec is not available."));
  render(<Record onClip={() => {}} onCancel={() => {}} />);

  await act(async () => fireEvent.press(screen.getByLabelText("Record")));

  expect(await screen.findByText(/^Nothing was recorded/)).toBeOnTheScreen();
  expect(screen.getByLabelText("Record")).toBeOnTheScreen();
});

test("Android's way back ends a recording, and else the screen, but never the app", async () => {
  jest.replaceProperty(Platform, "OS", "android");
  const listen = jest.spyOn(BackHandler, "addEventListener");
  const onCancel = jest.fn();
  mockRecord = () => new Promise(() => {});
  render(<Record onClip={() => {}} onCancel={onCancel} />);
  const goBack = () => (listen.mock.calls.at(-1)![1] as () => boolean)();

  expect(goBack()).toBe(true);
  expect([onCancel.mock.calls.length, mockStop.mock.calls.length]).toEqual([1, 0]);
  await act(async () => fireEvent.press(screen.getByLabelText("Record")));
  expect(goBack()).toBe(true);

  expect([onCancel.mock.calls.length, mockStop.mock.calls.length]).toEqual([1, 1]);
});

test("the length that is chosen is told", async () => {
  render(<Record onClip={() => {}} onCancel={() => {}} />);

  await act(async () => fireEvent.press(screen.getByText("15 s")));

  expect(screen.getByRole("radio", { checked: true })).toHaveTextContent("15 s");
});

test.each([15, 30, 60])("picture and sound of %s s fit into 6 MiB, a tenth to spare", (lengthS) => {
  const bytes = ((videoBitRate(lengthS) + 128_000) * lengthS) / 8;

  expect(bytes).toBeLessThan(6_291_456 * 0.91);
  expect(bytes).toBeGreaterThan(6_291_456 * 0.85);
});

test("a recording of Android is an MP4", () => {
  expect(clipFromCamera("file:///data/cache/Camera/a.mp4")).toMatchObject({ contentType: "video/mp4" });
});
