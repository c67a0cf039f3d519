// Plays the story with the client that NSwag generates from the document of a running service: a device registers, a back
// end sends, the device fetches, the back end reads the receipts, and refusals arrive typed.
using SecurePush.Generated;

static string Setting(string name) => Environment.GetEnvironmentVariable(name) ?? throw new InvalidOperationException(name);
static void Check(bool isTrue, string what)
{
    if (!isTrue) throw new InvalidOperationException($"not as expected: {what}");
}
static HttpClient With(string name, string value)
{
    var client = new HttpClient();
    client.DefaultRequestHeaders.Add(name, value);
    return client;
}

// The base address comes from the document.
var device = new SecurePushClient(With("Authorization", $"Bearer {Setting("TOKEN")}"));
var sender = new SecurePushClient(With("x-functions-key", Setting("FUNCTION_KEY")));

// NSwag takes the first of several schemas; its `platform` is a string, which takes the other apps' platforms too.
var phone = await device.RegisterInstallationAsync("nswag-phone", new() { Platform = "fcmv1", PushChannel = "nswag-phone" });
Check(phone.InstallationId == "nswag-phone" && phone.ExpiresAt > DateTimeOffset.UtcNow, "the installation");

// Members that are not set are written as null.
var sent = await sender.SendSecureAsync(new() { To = ["ada"], Payload = new { text = "Hello" } });
Check(sent.Push is PushStatus.Accepted or PushStatus.Pending, "the push");

var got = await device.GetNotificationAsync(sent.Id);
Check(got.Payload.ToString()!.Contains("Hello") && got.ExpiresAt == sent.ExpiresAt, "the payload");
var list = await device.ListNotificationsAsync();
Check(list.Notifications.Any(one => one.Id == sent.Id && one.FetchedAt is not null), "the list");

var receipts = await sender.GetReceiptsAsync(new() { Id = sent.Id, To = ["ada", "ben"] });
Check(receipts.Receipts.First().FetchedAt is not null, "the receipts");
Check(receipts.Receipts.Last().Push == ReceiptStatus.Unknown, "the receipt of somebody else");

try
{
    await sender.SendSecureAsync(new() { To = [], Payload = 1 });
    Check(false, "a refusal");
}
catch (ApiException<Problem> error)
{
    Check(error.Result is { Status: 400, Reason: Reason.Body_invalid } && error.Result.Detail.StartsWith("to: "), "the refusal");
}
try
{
    await device.GetNotificationAsync("00000000000000000000000000000000");
    Check(false, "an unknown ID");
}
catch (ApiException<Problem> error)
{
    Check(error.Result is { Status: 404, Reason: Reason.Notification_unknown }, "the unknown ID");
}
await sender.EraseRecipientAsync(new() { To = ["ada"] });
Console.WriteLine("NSwag: the generated client registers, sends, fetches and reads receipts and refusals");
