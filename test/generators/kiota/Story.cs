// Plays the story with the client that Kiota generates from the document of a running service: a device registers, a back
// end sends, the device fetches, the back end reads the receipts, and refusals arrive typed.
using Microsoft.Kiota.Abstractions;
using Microsoft.Kiota.Abstractions.Authentication;
using Microsoft.Kiota.Abstractions.Serialization;
using Microsoft.Kiota.Http.HttpClientLibrary;
using SecurePush.Generated;
using SecurePush.Generated.Models;

static string Setting(string name) => Environment.GetEnvironmentVariable(name) ?? throw new InvalidOperationException(name);
static void Check(bool isTrue, string what)
{
    if (!isTrue) throw new InvalidOperationException($"not as expected: {what}");
}

// The base address comes from the document.
var device = new SecurePushClient(new HttpClientRequestAdapter(new Header("Authorization", $"Bearer {Setting("TOKEN")}")));
var sender = new SecurePushClient(new HttpClientRequestAdapter(new Header("x-functions-key", Setting("FUNCTION_KEY"))));

var phone = new InstallationRequest
{
    TokenDevice = new TokenDevice { Platform = TokenDevice_platform.Fcmv1, PushChannel = "kiota-phone" },
};
var installation = await device.Installations["kiota-phone"].PutAsync(phone);
Check(installation?.InstallationId == "kiota-phone" && installation.ExpiresAt > DateTimeOffset.UtcNow, "the installation");

var browser = new InstallationRequest
{
    Browser = new Browser
    {
        Platform = "browser",
        PushChannel = new BrowserSubscription
        {
            Endpoint = "https://push.example.net/kiota",
            P256dh = "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4",
            Auth = "BTBZMqHH6r4Tts7J_aSIgg",
        },
    },
};
try
{
    await device.Installations["kiota-browser"].PutAsync(browser);
}
catch (Problem problem)
{
    // A stack that sends Web Push itself allows other hosts only.
    Check(problem.Reason == Reason.Push_channel_refused, "the browser");
}

var text = new UntypedObject(new Dictionary<string, UntypedNode> { ["text"] = new UntypedString("Hello") });
var sent = await sender.Notifications.PostAsync(
    new SendRequest { To = ["ada"], Payload = text, Ttl = 300, Urgency = Urgency.VeryLow });
Check(sent?.Push is PushStatus.Accepted or PushStatus.Pending, "the push");

var got = await device.Notifications[sent!.Id!].GetAsync();
Check(got?.Payload is UntypedObject payload && payload.GetValue()["text"] is UntypedString { } hello && hello.GetValue() == "Hello",
    "the payload");
var list = await device.Notifications.GetAsync();
Check(list?.Notifications?.Any(one => one.Id == sent.Id && one.FetchedAt is not null) == true, "the list");

var receipts = await sender.Receipts.PostAsync(new ReceiptsRequest { Id = sent.Id, To = ["ada", "ben"] });
Check(receipts?.Receipts?[0].FetchedAt is not null && receipts.Receipts[1].Push == ReceiptStatus.Unknown, "the receipts");

try
{
    await sender.Notifications.PostAsync(new SendRequest { To = [], Payload = text });
    Check(false, "a refusal");
}
catch (Problem problem)
{
    Check(problem is { Status: 400, Reason: Reason.Body_invalid } && problem.Detail!.StartsWith("to: "), "the refusal");
}
try
{
    await device.Notifications["00000000000000000000000000000000"].GetAsync();
    Check(false, "an unknown ID");
}
catch (Problem problem)
{
    Check(problem is { Status: 404, Reason: Reason.Notification_unknown }, "the unknown ID");
}
await sender.Recipients.Erase.PostAsync(new EraseRequest { To = ["ada"] });
Console.WriteLine("Kiota: the generated client registers, sends, fetches and reads receipts and refusals");

internal sealed class Header(string name, string value) : IAuthenticationProvider
{
    public Task AuthenticateRequestAsync(
        RequestInformation request, Dictionary<string, object>? context = null, CancellationToken cancellationToken = default)
    {
        request.Headers.Add(name, value);
        return Task.CompletedTask;
    }
}
