// React Native's environment, with the fetch of node: Expo's own needs a phone.
const Environment = require("@react-native/jest-preset/jest/react-native-env.js");

module.exports = class extends Environment {
  async setup() {
    await super.setup();
    this.global.fetchOfNode = fetch;
  }
};
