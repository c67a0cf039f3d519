// What a device and the service exchange (/api/openapi.json). The names are camelCase: System.Text.Json's defaults would
// read them as nulls without a word, so the source generator below states the policy.
using System.Text.Json;
using System.Text.Json.Serialization;

namespace SecurePush;

/// <summary>A device's registration: the body of <c>PUT installations/{installationId}</c>.</summary>
/// <param name="Platform"><c>wns</c>, <c>fcmv1</c>, <c>apns</c>, <c>adm</c>, <c>xiaomi</c> or <c>mpns</c>.</param>
/// <param name="PushChannel">The device's token or channel URI.</param>
public sealed record DeviceRegistration(string Platform, string PushChannel);

/// <summary>A notification with its payload.</summary>
/// <param name="Payload">Any JSON value, as the back end sent it.</param>
/// <param name="ExpiresAt">From this moment on the service does not have it.</param>
public sealed record SecureNotification(
    string Id,
    JsonElement Payload,
    DateTimeOffset CreatedAt,
    DateTimeOffset ExpiresAt,
    bool Read);

/// <summary>A notification in a list, without its payload.</summary>
/// <param name="FetchedAt">When a device first fetched it; null if none has.</param>
public sealed record NotificationSummary(
    string Id,
    DateTimeOffset CreatedAt,
    DateTimeOffset ExpiresAt,
    bool Read,
    DateTimeOffset? FetchedAt);

/// <param name="Notifications">The newest first.</param>
/// <param name="Cursor">Where the next page begins; null on the last.</param>
public sealed record NotificationPage(IReadOnlyList<NotificationSummary> Notifications, string? Cursor);

/// <summary>Why the service refused a call (RFC 9457).</summary>
/// <param name="Reason">Stable, for programs.</param>
public sealed record Problem(string Title, int Status, string Reason, string? Detail);

[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase,
    DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull)]
[JsonSerializable(typeof(DeviceRegistration))]
[JsonSerializable(typeof(SecureNotification))]
[JsonSerializable(typeof(NotificationPage))]
[JsonSerializable(typeof(Problem))]
internal sealed partial class ContractJson : JsonSerializerContext;
