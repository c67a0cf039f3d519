// Which push channels are one device: every spelling of a URI, and nothing else. Pure rules.
import { describe, expect, test } from "vitest";
import { toAddress } from "../../shared/devices/pushChannel.ts";
import type { Platform, PushChannel } from "../../shared/domain/installation.ts";

const toChannel = (platform: Platform, uri: string): PushChannel =>
  platform === "browser" ? { endpoint: uri, p256dh: "p", authSecret: "a" } : uri;

describe.each<Platform>(["wns", "mpns", "browser"])("P7: spellings of one %s push channel", (platform) => {
  const address = (uri: string) => toAddress(platform, toChannel(platform, uri));
  const plain = "https://db5.notify.windows.com/a/b?token=Axz&x=1";

  test.each([
    ["a trailing &", "https://db5.notify.windows.com/a/b?token=Axz&x=1&"],
    ["an empty parameter", "https://db5.notify.windows.com/a/b?&token=Axz&&x=1"],
    ["a trailing dot of the host", "https://db5.notify.windows.com./a/b?token=Axz&x=1"],
    ["the default port", "https://db5.notify.windows.com:443/a/b?token=Axz&x=1"],
    ["an encoded letter in the query", "https://db5.notify.windows.com/a/b?token=%41xz&x=1"],
    ["an encoded letter in the path", "https://db5.notify.windows.com/%61/b?token=Axz&x=1"],
    ["an encoded name", "https://db5.notify.windows.com/a/b?%74oken=Axz&x=1"],
    ["upper case in scheme and host", "HTTPS://DB5.Notify.Windows.com/a/b?token=Axz&x=1"],
    ["dot segments", "https://db5.notify.windows.com/c/%2e%2e/a/./b?token=Axz&x=1"],
  ])("%s makes no other device", (_what, uri) => {
    expect(address(uri)).toBe(address(plain));
  });

  test.each([
    ["the case of encoded octets", "https://h.example/?t=a%2bb%3d", "https://h.example/?t=a%2Bb%3D"],
    ["an encoded = in a value", "https://h.example/?t=ab%3D", "https://h.example/?t=ab="],
    ["an empty query", "https://h.example/x?", "https://h.example/x"],
    ["no path", "https://h.example", "https://h.example/"],
    ["octets that are no UTF-8", "https://h.example/?t=%ff", "https://h.example/?t=%FF"],
  ])("%s makes no difference", (_what, one, other) => {
    expect(address(one)).toBe(address(other));
  });

  test.each([
    ["another token", "https://h.example/?t=a", "https://h.example/?t=A"],
    ["another path", "https://h.example/a", "https://h.example/A"],
    ["another host", "https://h.example/a", "https://i.example/a"],
    ["another port", "https://h.example/a", "https://h.example:8443/a"],
    ["an encoded delimiter", "https://h.example/?t=a%26u=b", "https://h.example/?t=a&u=b"],
    ["an encoded slash", "https://h.example/a%2Fb", "https://h.example/a/b"],
    ["a parameter more", "https://h.example/?t=a", "https://h.example/?t=a&u"],
  ])("%s is another device", (_what, one, other) => {
    expect(address(one)).not.toBe(address(other));
  });
});

test("an APNs token is one device in either letter case; other tokens are compared exactly", () => {
  expect(toAddress("apns", "AB0f")).toBe(toAddress("apns", "ab0F"));
  expect(toAddress("fcmv1", "Token")).not.toBe(toAddress("fcmv1", "token"));
});
