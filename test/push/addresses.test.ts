// Where pushes may go: the spellings of URLs that are refused, and addresses that are not public.
import { describe, expect, test } from "vitest";
import { isAllowedAddress, isPublicAddress, judgeUrl } from "../../shared/push/addresses.ts";
import { type HostRule, parseHostRules } from "../../shared/config/hostRules.ts";

const LIST = "fcm.googleapis.com,*.push.example.net,own.example:8443;private,203.0.113.9";

function parse(text: string): readonly HostRule[] {
  const rules = parseHostRules(text);
  if (!rules.ok) throw new Error(rules.error);
  return rules.value;
}

const rules = parse(LIST);

describe("a push channel's URL (R130, R131, R132)", () => {
  test.each([
    "https://fcm.googleapis.com/fcm/send/abc:def",
    "https://fcm.googleapis.com",
    "https://fcm.googleapis.com/",
    "https://fcm.googleapis.com/?token=BQYAAAB%2fx",
    "https://FCM.googleapis.com/X",
    "https://a.push.example.net/x",
    "https://a.b.push.example.net/x",
    "https://own.example:8443/x",
    "https://203.0.113.9/x",
  ])("%s is allowed", (url) => {
    const result = judgeUrl(url, rules);
    expect(result).toMatchObject({ ok: true, value: { url: new URL(url) } });
  });

  const REFUSED: readonly string[] = [
    // other schemes and ports
    "http://fcm.googleapis.com/x",
    "ftp://fcm.googleapis.com/x",
    "file:///etc/passwd",
    "wss://fcm.googleapis.com/x",
    "gopher://fcm.googleapis.com/x",
    "data:text/plain,x",
    "//fcm.googleapis.com/x",
    "fcm.googleapis.com/x",
    "https:fcm.googleapis.com/x",
    "https:/fcm.googleapis.com/x",
    "https:///fcm.googleapis.com/x",
    "https://fcm.googleapis.com:22/x",
    "https://fcm.googleapis.com:80/x",
    "https://fcm.googleapis.com:443/x", // not as the parser writes it
    "https://fcm.googleapis.com:8443/x",
    "https://own.example/x",
    "https://own.example:443/x",
    // user information, fragments
    "https://user@fcm.googleapis.com/x",
    "https://user:password@fcm.googleapis.com/x",
    "https://@fcm.googleapis.com/x",
    "https://fcm.googleapis.com@127.0.0.1/",
    "https://fcm.googleapis.com%40127.0.0.1/",
    "https://fcm.googleapis.com/x#fragment",
    "https://fcm.googleapis.com/x#",
    // hosts that only look like allowed ones
    "https://fcm.googleapis.com.evil.example/",
    "https://evil.example/.googleapis.com/",
    "https://evil.example/?fcm.googleapis.com",
    "https://xfcm.googleapis.com/x",
    "https://evil.fcm.googleapis.com/x",
    "https://googleapis.com/x",
    "https://push.example.net/x", // a wildcard is one label at least
    "https://xpush.example.net/x",
    "https://.push.example.net/x",
    "https://a.push.example.net.evil.example/x",
    "https://fcm.googleapis.com./x",
    "https://a.push.example.net./x",
    // spellings that parsers read differently
    "https://127.0.0.1\\@fcm.googleapis.com/",
    "https://fcm.googleapis.com\\@127.0.0.1/",
    "https:\\\\fcm.googleapis.com\\x",
    "https://fcm.googleapis.com\t/x",
    "https://fcm.goo\ngleapis.com/x",
    " https://fcm.googleapis.com/x",
    "https://fcm.googleapis.com/x ",
    "https://fcm.googleapis.com/a b",
    "https://fcm.googleapis.com/a/../b",
    "https://fcm.googleapis.com/./b",
    "https://fcm.googleapis.com/%2e%2e/b",
    "https://ｆｃｍ.googleapis.com/x",
    "https://fcm。googleapis。com/x",
    "https://fcm.goo\u00adgleapis.com/x",
    "https://%66cm.googleapis.com/x",
    "https://fcm.googleapis.com/\u202e",
    // literal addresses
    "https://127.0.0.1/",
    "https://127.1/",
    "https://127.0.1/",
    "https://2130706433/",
    "https://0x7f000001/",
    "https://0x7f.1/",
    "https://0177.0.0.1/",
    "https://017700000001/",
    "https://①②⑦.0.0.1/",
    "https://127.0.0.1./",
    "https://0/",
    "https://0.0.0.0/",
    "https://10.0.0.1/",
    "https://169.254.169.254/latest/meta-data/",
    "https://2852039166/",
    "https://0xa9fea9fe/",
    "https://168.63.129.16/",
    "https://8.8.8.8/",
    "https://203.0.113.10/",
    "https://[::1]/",
    "https://[::]/",
    "https://[0:0:0:0:0:0:0:1]/",
    "https://[::ffff:127.0.0.1]/",
    "https://[::ffff:7f00:1]/",
    "https://[::127.0.0.1]/",
    "https://[64:ff9b::7f00:1]/",
    "https://[fd00::1]/",
    "https://[fe80::1]/",
    "https://[fe80::1%25eth0]/",
    "https://[2001:4860:4860::8888]/",
    "https://::1/",
    // inner names
    "https://localhost/",
    "https://localhost./",
    "https://LOCALHOST/",
    "https://fcm.localhost/",
    "https://printer.local/",
    "https://metadata.google.internal/",
    "https://metadata/",
    "https://intranet/",
    "https://ip6-localhost/",
    "https:///",
    "https://",
    "",
  ];

  test("there are at least 70 refused spellings, each once", () => {
    expect(new Set(REFUSED).size).toBe(REFUSED.length);
    expect(REFUSED.length).toBeGreaterThanOrEqual(70);
  });

  test.each(REFUSED)("%j is refused, in words that do not repeat it", (text) => {
    const result = judgeUrl(text, rules);
    expect(result.ok).toBe(false);
    if (!result.ok && text.length > 9) expect(result.error).not.toContain(text);
  });

  test("no refused spelling becomes allowed where its wildcard or another port is listed", () => {
    const wide = parse("*.googleapis.com,*.example.net");
    for (const text of ["https://googleapis.com/x", "https://fcm.googleapis.com:22/x", "https://127.0.0.1/"])
      expect(judgeUrl(text, wide).ok, text).toBe(false);
  });

  test("an address or an inner name is allowed only where the list has that very one (R132)", () => {
    const own = parse("localhost:9;private,127.0.0.1:9;private,[::1]:9;private");
    for (const text of ["https://localhost:9/x", "https://127.0.0.1:9/x", "https://[::1]:9/x"])
      expect(judgeUrl(text, own).ok, text).toBe(true);
    for (const text of [
      "https://127.0.0.2:9/x",
      "https://127.1:9/x",
      "https://[::2]:9/x",
      "https://x.localhost:9/x",
    ])
      expect(judgeUrl(text, own).ok, text).toBe(false);
  });
});

describe("an address that a host resolved to (R133)", () => {
  test.each([
    "0.0.0.0",
    "0.255.255.255",
    "10.0.0.0",
    "10.255.255.255",
    "100.64.0.0",
    "100.127.255.255",
    "127.0.0.1",
    "127.255.255.254",
    "168.63.129.16",
    "169.254.0.1",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.1",
    "192.0.0.170",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.0.1",
    "192.168.255.255",
    "198.18.0.1",
    "198.19.255.255",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:7f00:1",
    "::ffff:8.8.8.8",
    "0:0:0:0:0:ffff:a9fe:a9fe",
    "64:ff9b::7f00:1",
    "64:ff9b::8.8.8.8",
    "64:ff9b:1::1",
    "100::1",
    "2001::1",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    "2001:10::1",
    "2001:20::1",
    "2001:db8::1",
    "2002:7f00:1::",
    "2002:0808:0808::1",
    "3fff::1",
    "fc00::1",
    "fd00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "ff02::1",
    "4000::1",
    "5f00::1",
    // no addresses
    "",
    "localhost",
    "127.1",
    "2130706433",
    "0x7f000001",
    "[::1]",
    "8.8.8.8:443",
    "1.2.3.4.5",
  ])("%s is not public", (address) => {
    expect(isPublicAddress(address)).toBe(false);
  });

  test.each([
    "1.1.1.1",
    "8.8.8.8",
    "9.255.255.255",
    "11.0.0.0",
    "100.63.255.255",
    "100.128.0.0",
    "126.255.255.255",
    "128.0.0.0",
    "142.250.74.106",
    "168.63.129.15",
    "168.63.129.17",
    "169.253.255.255",
    "169.255.0.0",
    "172.15.255.255",
    "172.32.0.0",
    "192.167.255.255",
    "192.169.0.0",
    "198.17.255.255",
    "198.20.0.0",
    "223.255.255.255",
    "2001:4860:4860::8888",
    "2606:4700::1111",
    "2a00:1450:4001:82a::200a",
    "2001:200::1",
  ])("%s is public", (address) => {
    expect(isPublicAddress(address)).toBe(true);
  });

  test("a private address is allowed where the rule says so, and text that is no address is not", () => {
    const [open, own] = parse("a.example,b.example;private");
    if (open === undefined || own === undefined) throw new Error("two rules");
    for (const address of ["127.0.0.1", "::1", "10.1.2.3", "169.254.169.254"]) {
      expect(isAllowedAddress(address, open)).toBe(false);
      expect(isAllowedAddress(address, own)).toBe(true);
    }
    expect(isAllowedAddress("8.8.8.8", open)).toBe(true);
    expect(isAllowedAddress("localhost", own)).toBe(false);
  });
});
