// The native halves of Expo's modules, on node: what a phone has and a test has not.
import { randomUUID } from "node:crypto";
import { request } from "node:http";

import { requireNativeModule } from "expo-modules-core";
import type { File } from "expo-file-system";

import { fetchOfNode } from "./fetchOfNode";

jest.mock("@react-native-async-storage/async-storage", () =>
  require("@react-native-async-storage/async-storage/jest/async-storage-mock"),
);

jest.mock("expo-crypto", () => ({ randomUUID: jest.fn(() => require("node:crypto").randomUUID()) }));
