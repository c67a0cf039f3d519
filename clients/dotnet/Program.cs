// One notification in the life of a device, against a running service. It ends with 0 if every step holds.
// Environment: API (with /api/), TOKEN (of the user), STRANGER_TOKEN (of another user), ID (of a notification that was
// sent to the user), PAYLOAD_TEXT (the member `text` of its payload).
using System.Net;
using SecurePush;

static string Read(string name) =>
    Environment.GetEnvironmentVariable(name) ?? throw new InvalidOperationException($"{name} is not set");

static void Check(bool holds, string step)
{
    Console.WriteLine($"{(holds ? "ok    " : "FAILED")} {step}");
    if (!holds) Environment.Exit(1);
}

var id = Read("ID");
using var http = new HttpClient { BaseAddress = new Uri(Read("API")), Timeout = TimeSpan.FromSeconds(20) };
var client = new SecurePushClient(http, _ => ValueTask.FromResult<string?>(Read("TOKEN")));
var stranger = new SecurePushClient(http, _ => ValueTask.FromResult<string?>(Read("STRANGER_TOKEN")));
var signedOut = new SecurePushClient(http, _ => ValueTask.FromResult<string?>(null));
var expired = new SecurePushClient(http, _ => ValueTask.FromResult<string?>("not.a.token"));

const string installationId = "dotnet-device";
await client.RegisterAsync(installationId, new("wns", "https://db5p.notify.windows.com/?token=dotnet"));
Console.WriteLine("ok     the device is registered");

var fetched = await client.FetchAsync(id);
Check(fetched.Outcome == FetchOutcome.Fetched, "the payload is fetched");
Check(
    fetched.Notification?.Payload.GetProperty("text").GetString() == Read("PAYLOAD_TEXT"),
    "the payload is what the back end sent");
Check(fetched.Notification?.ExpiresAt > fetched.Notification?.CreatedAt, "its times are read");
Check((await stranger.FetchAsync(id)).Outcome == FetchOutcome.Gone, "a stranger is told that there is no such notification");
Check((await signedOut.FetchAsync(id)).Outcome == FetchOutcome.SignInNeeded, "without a token the user has to sign in");
Check((await expired.FetchAsync(id)).Outcome == FetchOutcome.SignInNeeded, "with an invalid token the user has to sign in");

var page = await client.ListUnreadAsync();
var summary = page.Notifications.FirstOrDefault(item => item.Id == id);
Check(summary is { Read: false, FetchedAt: not null }, "the list has it as fetched and unread");
await client.MarkReadAsync(id);
Check((await client.ListUnreadAsync()).Notifications.All(item => item.Id != id), "once read, it is not in the unread list");

try
{
    await client.RegisterAsync(installationId, new("wns", "not a URI"));
    Check(false, "an invalid push channel is refused");
}
catch (SecurePushException refusal)
{
    var isClear = refusal is { Status: HttpStatusCode.BadRequest, Problem.Reason: "body_invalid" };
    Check(isClear && refusal.Message.Contains("pushChannel", StringComparison.Ordinal), "the refusal names the member");
}

await client.DeleteAsync(id);
Check((await client.FetchAsync(id)).Outcome == FetchOutcome.Gone, "once deleted, it is gone");
await client.UnregisterAsync(installationId);
Console.WriteLine("ok     the device is removed");
