// Raw pushes on Windows: the app registers its WNS channel, and a background task fetches what a push announces. For an app
// with package identity (MSIX). Call RegisterAsync at each start of the app, and HandleAsync in
// Application.OnBackgroundActivated with args.TaskInstance: the task runs in the app's process.
using System.Text.Json;
using Windows.ApplicationModel.Background;
using Windows.Data.Xml.Dom;
using Windows.Networking.PushNotifications;
using Windows.Storage;
using Windows.UI.Notifications;

namespace SecurePush.Windows;

public sealed class PushTask(SecurePushClient client)
{
    private const string TaskName = "SecurePush";
    private const string InstallationKey = "SecurePush.InstallationId";

    /// <summary>A channel lives for 30 days, and its URI changes: so it is registered at each start.</summary>
    public async Task RegisterAsync(CancellationToken cancel = default)
    {
        var channel = await PushNotificationChannelManager
            .CreatePushNotificationChannelForApplicationAsync()
            .AsTask(cancel);
        await client.RegisterAsync(ReadInstallationId(), new("wns", channel.Uri), cancel);
        if (BackgroundTaskRegistration.AllTasks.Values.Any(task => task.Name == TaskName)) return;
        await BackgroundExecutionManager.RequestAccessAsync().AsTask(cancel);
        var builder = new BackgroundTaskBuilder { Name = TaskName };
        builder.SetTrigger(new PushNotificationTrigger());
        builder.Register();
    }

    /// <summary>The whole content of the raw push is the ID.</summary>
    public async Task HandleAsync(IBackgroundTaskInstance task)
    {
        if (task.TriggerDetails is not RawNotification { Content: var id }) return;
        var deferral = task.GetDeferral();
        using var cancel = new CancellationTokenSource();
        task.Canceled += (_, _) => cancel.Cancel();
        try
        {
            await ShowAsync(id, cancel.Token);
        }
        finally
        {
            deferral.Complete();
        }
    }

    /// <summary>Shows what was missed. Call it when the app is opened, and after sign-in.</summary>
    public async Task CatchUpAsync(CancellationToken cancel = default)
    {
        var page = await client.ListUnreadAsync(cancel: cancel);
        foreach (var item in page.Notifications.Where(item => item.FetchedAt is null).Reverse())
            await ShowAsync(item.Id, cancel);
    }

    private async Task ShowAsync(string id, CancellationToken cancel)
    {
        var fetched = await client.FetchAsync(id, cancel);
        switch (fetched)
        {
            case { Notification.Payload: var payload } when ReadText(payload) is { } text:
                Show(id, "Secure push", text);
                break;
            case { Outcome: FetchOutcome.Gone }:
                break;
            default:
                Show(id, "You have a new message", "Open the app to read it.");
                break;
        }
    }

    /// <summary>The payload's form is up to your back end; here it has a text. Null for any other form: the generic text is shown.</summary>
    private static string? ReadText(JsonElement payload) =>
        payload.ValueKind is JsonValueKind.Object
        && payload.TryGetProperty("text", out var text)
        && text.ValueKind is JsonValueKind.String
            ? text.GetString()
            : null;

    /// <summary>The ID is the toast's tag: a push that is repeated, or a payload that follows its generic text, replaces it.</summary>
    private static void Show(string id, string title, string body)
    {
        var document = ToastNotificationManager.GetTemplateContent(ToastTemplateType.ToastText02);
        var texts = document.GetElementsByTagName("text");
        texts.Item(0).AppendChild(document.CreateTextNode(title));
        texts.Item(1).AppendChild(document.CreateTextNode(body));
        ToastNotificationManager.CreateToastNotifier().Show(new ToastNotification(document) { Tag = id });
    }

    private static string ReadInstallationId()
    {
        var settings = ApplicationData.Current.LocalSettings.Values;
        if (settings[InstallationKey] is string known) return known;
        var created = Guid.NewGuid().ToString("D");
        settings[InstallationKey] = created;
        return created;
    }
}
