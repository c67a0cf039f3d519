// The client of a .NET device app: registers, fetches, lists, marks read and deletes. HttpClient and System.Text.Json only.
using System.Net;
using System.Net.Http.Headers;
using System.Net.Http.Json;
using System.Text.Json;

namespace SecurePush;

/// <summary>What to do after a fetch.</summary>
public enum FetchOutcome
{
    /// <summary>Show the payload.</summary>
    Fetched,

    /// <summary>Show the generic text, and ask the user to open the app and sign in.</summary>
    SignInNeeded,

    /// <summary>Show nothing: it has expired, was deleted, or belongs to another user.</summary>
    Gone,

    /// <summary>Show the generic text, and fetch it when the app is next opened.</summary>
    Unavailable,
}

/// <param name="Notification">Present when the outcome is <see cref="FetchOutcome.Fetched"/>.</param>
public sealed record FetchResult(FetchOutcome Outcome, SecureNotification? Notification = null);

/// <summary>The service refused a call. The message holds no token and no payload.</summary>
public sealed class SecurePushException(HttpStatusCode status, Problem? problem)
    : Exception(problem is null ? $"The service answered {(int)status}" : $"{problem.Title} {problem.Detail}".TrimEnd())
{
    public HttpStatusCode Status { get; } = status;

    /// <summary>Null where the Functions host answered by itself.</summary>
    public Problem? Problem { get; } = problem;
}

/// <param name="http">
/// Its base address is the app's, with <c>/api/</c>: <c>https://APP.azurewebsites.net/api/</c>. Set a timeout that fits the
/// time that a background task has.
/// </param>
/// <param name="getToken">The user's access token from the app's identity library; null if nobody is signed in.</param>
public sealed class SecurePushClient(HttpClient http, Func<CancellationToken, ValueTask<string?>> getToken)
{
    /// <summary>Fetches what a push announced. It does not throw for what a device has to expect.</summary>
    public async Task<FetchResult> FetchAsync(string id, CancellationToken cancel = default)
    {
        try
        {
            using var request = await CreateAsync(HttpMethod.Get, ToPath(id), cancel);
            if (request.Headers.Authorization is null) return new(FetchOutcome.SignInNeeded);
            using var response = await http.SendAsync(request, cancel);
            return response.StatusCode switch
            {
                HttpStatusCode.OK => new(
                    FetchOutcome.Fetched,
                    await response.Content.ReadFromJsonAsync(ContractJson.Default.SecureNotification, cancel)),
                HttpStatusCode.Unauthorized or HttpStatusCode.Forbidden => new(FetchOutcome.SignInNeeded),
                HttpStatusCode.NotFound => new(FetchOutcome.Gone),
                _ => new(FetchOutcome.Unavailable),
            };
        }
        catch (HttpRequestException)
        {
            return new(FetchOutcome.Unavailable);
        }
        catch (TaskCanceledException) when (!cancel.IsCancellationRequested)
        {
            return new(FetchOutcome.Unavailable); // the timeout of the HttpClient
        }
        catch (JsonException)
        {
            return new(FetchOutcome.Unavailable); // an incomplete answer, or the answer of a proxy
        }
    }

    /// <summary>Registers this device for the user, or renews its registration. Call it at each start of the app.</summary>
    /// <param name="installationId">Chosen once and kept: a GUID, for example.</param>
    /// <exception cref="SecurePushException">The service refused.</exception>
    public Task RegisterAsync(string installationId, DeviceRegistration device, CancellationToken cancel = default) =>
        SendAsync(
            HttpMethod.Put,
            $"installations/{Uri.EscapeDataString(installationId)}",
            JsonContent.Create(device, ContractJson.Default.DeviceRegistration),
            cancel);

    /// <summary>Ends this device's pushes. Call it before the user signs out.</summary>
    public Task UnregisterAsync(string installationId, CancellationToken cancel = default) =>
        SendAsync(HttpMethod.Delete, $"installations/{Uri.EscapeDataString(installationId)}", null, cancel);

    public Task MarkReadAsync(string id, CancellationToken cancel = default) =>
        SendAsync(HttpMethod.Put, $"{ToPath(id)}/read", null, cancel);

    /// <summary>Erases the payload at once.</summary>
    public Task DeleteAsync(string id, CancellationToken cancel = default) =>
        SendAsync(HttpMethod.Delete, ToPath(id), null, cancel);

    /// <summary>One page of what is unread, for catching up after missed pushes.</summary>
    public async Task<NotificationPage> ListUnreadAsync(string? cursor = null, CancellationToken cancel = default)
    {
        var next = cursor is null ? "" : $"&cursor={Uri.EscapeDataString(cursor)}";
        using var request = await CreateAsync(HttpMethod.Get, $"notifications?unread=true{next}", cancel);
        using var response = await http.SendAsync(request, cancel);
        await EnsureAcceptedAsync(response, cancel);
        return await response.Content.ReadFromJsonAsync(ContractJson.Default.NotificationPage, cancel)
            ?? throw new SecurePushException(response.StatusCode, null);
    }

    private static string ToPath(string id) => $"notifications/{Uri.EscapeDataString(id)}";

    private async Task SendAsync(HttpMethod method, string path, HttpContent? content, CancellationToken cancel)
    {
        using var request = await CreateAsync(method, path, cancel);
        request.Content = content;
        using var response = await http.SendAsync(request, cancel);
        await EnsureAcceptedAsync(response, cancel);
    }

    private async Task<HttpRequestMessage> CreateAsync(HttpMethod method, string path, CancellationToken cancel)
    {
        var token = await getToken(cancel);
        var request = new HttpRequestMessage(method, path);
        if (token is not null) request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", token);
        return request;
    }

    private static async Task EnsureAcceptedAsync(HttpResponseMessage response, CancellationToken cancel)
    {
        if (response.IsSuccessStatusCode) return;
        var isProblem = response.Content.Headers.ContentType?.MediaType == "application/problem+json";
        var problem = isProblem
            ? await response.Content.ReadFromJsonAsync(ContractJson.Default.Problem, cancel)
            : null;
        throw new SecurePushException(response.StatusCode, problem);
    }
}
