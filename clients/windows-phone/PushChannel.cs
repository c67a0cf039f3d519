// Windows Phone 8.1 (Silverlight) with MPNS. Raw pushes reach the app only while it is open, so it also catches up at each
// start. Microsoft.Net.Http (NuGet) has HttpClient. Windows Phone 8.0 lacks TLS 1.2, which Azure asks for.
using System;
using System.IO;
using System.IO.IsolatedStorage;
using System.Net.Http;
using System.Net.Http.Headers;
using System.Runtime.Serialization;
using System.Runtime.Serialization.Json;
using System.Text;
using System.Threading.Tasks;
using Microsoft.Phone.Notification;

namespace SecurePush.WindowsPhone
{
    [DataContract]
    public sealed class SecureNotification
    {
        [DataMember(Name = "id")] public string Id { get; set; }
        [DataMember(Name = "payload")] public Payload Payload { get; set; }
    }

    [DataContract]
    public sealed class Payload
    {
        [DataMember(Name = "text")] public string Text { get; set; } // whatever your back end sends
    }

    public sealed class PushChannel
    {
        /// <summary>The name in the certificate that the service has for MPNS; without it the channel is throttled.</summary>
        private const string ServiceName = "push.example.com";
        private const string ChannelName = "SecurePush";

        private readonly HttpClient http = new HttpClient { BaseAddress = new Uri("https://APP.azurewebsites.net/api/") };
        private readonly Func<string> readToken; // null if nobody is signed in
        private readonly Action<string, string> show; // an ID and its text; the text is null where the generic one is due

        public PushChannel(Func<string> readToken, Action<string, string> show)
        {
            this.readToken = readToken;
            this.show = show;
        }

        /// <summary>Call it at each start of the app and after sign-in: the URI changes.</summary>
        public void Open()
        {
            var channel = HttpNotificationChannel.Find(ChannelName);
            var isNew = channel == null;
            if (isNew) channel = new HttpNotificationChannel(ChannelName, ServiceName);
            channel.ChannelUriUpdated += async (sender, e) => await RegisterAsync(e.ChannelUri);
            channel.HttpNotificationReceived += async (sender, e) => await ShowAsync(ReadId(e.Notification.Body));
            if (isNew) channel.Open();
            else if (channel.ChannelUri != null) Start(RegisterAsync(channel.ChannelUri));
        }

        /// <summary>The whole content of the raw push is the ID.</summary>
        private static string ReadId(Stream body)
        {
            using (var reader = new StreamReader(body)) return reader.ReadToEnd();
        }

        private async Task RegisterAsync(Uri channelUri)
        {
            var body = "{\"platform\":\"mpns\",\"pushChannel\":\"" + channelUri.AbsoluteUri + "\"}"; // a URI has no quotes
            var request = Create(HttpMethod.Put, "installations/" + ReadInstallationId());
            request.Content = new StringContent(body, Encoding.UTF8, "application/json");
            try
            {
                (await http.SendAsync(request)).Dispose();
            }
            catch (HttpRequestException)
            {
                // No network: the next start of the app registers.
            }
            catch (TaskCanceledException)
            {
                // The timeout of the HttpClient: the same.
            }
        }

        private async Task ShowAsync(string id)
        {
            var text = await FetchAsync(id);
            show(id, text); // on a thread of the pool: go to the user interface through its Dispatcher
        }

        /// <summary>Null where there is no payload: the user has to sign in, it is gone, or the service cannot be reached.</summary>
        private async Task<string> FetchAsync(string id)
        {
            try
            {
                using (var response = await http.SendAsync(Create(HttpMethod.Get, "notifications/" + Uri.EscapeDataString(id))))
                {
                    if (!response.IsSuccessStatusCode) return null;
                    var serializer = new DataContractJsonSerializer(typeof(SecureNotification));
                    var notification = (SecureNotification)serializer.ReadObject(await response.Content.ReadAsStreamAsync());
                    return notification.Payload == null ? null : notification.Payload.Text;
                }
            }
            catch (HttpRequestException)
            {
                return null;
            }
            catch (TaskCanceledException)
            {
                return null; // the timeout of the HttpClient
            }
            catch (SerializationException)
            {
                return null; // a payload of another form
            }
        }

        private HttpRequestMessage Create(HttpMethod method, string path)
        {
            var request = new HttpRequestMessage(method, path);
            var token = readToken();
            if (token != null) request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", token);
            return request;
        }

        private static string ReadInstallationId()
        {
            var settings = IsolatedStorageSettings.ApplicationSettings;
            string known;
            if (settings.TryGetValue("InstallationId", out known)) return known;
            settings["InstallationId"] = Guid.NewGuid().ToString("D");
            settings.Save();
            return (string)settings["InstallationId"];
        }

        private static async void Start(Task task)
        {
            await task;
        }
    }
}
