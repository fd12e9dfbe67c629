// Single sessions for an ASP.NET application with cookies. A number is a step of README.md.
using System.Net.Http.Headers;
using System.Security.Claims;
using System.Text.Json;
using System.Text.Json.Nodes;
using Microsoft.AspNetCore.Authentication;
using Microsoft.AspNetCore.Authentication.Cookies;

public class HubAway : Exception;
public class Overtaken : Exception;

public class Hub // 1: what asks the hub
{
    readonly HttpClient client = new(new SocketsHttpHandler { AllowAutoRedirect = false, UseProxy = false });

    public async Task<JsonNode> Ask(string path, object question, int seconds = 2) // until it is answered or the time is up
    {
        using var end = new CancellationTokenSource(TimeSpan.FromSeconds(seconds));
        for (; !end.IsCancellationRequested; await Task.Delay(100))
        {
            try
            {
                using var asked = new HttpRequestMessage(HttpMethod.Post, Environment.GetEnvironmentVariable("SSE_TRIO_URL") + path) { Content = JsonContent.Create(question) };
                asked.Headers.Authorization = new AuthenticationHeaderValue("Bearer", Environment.GetEnvironmentVariable("SSE_TRIO_KEY"));
                using var answer = await client.SendAsync(asked, end.Token);
                if ((int)answer.StatusCode == 200) return (await answer.Content.ReadFromJsonAsync<JsonNode>(end.Token))!;
                if ((int)answer.StatusCode is < 500 and not (408 or 429)) throw new InvalidOperationException($"the hub answers {path} with {(int)answer.StatusCode}");
            }
            catch (Exception error) when (error is HttpRequestException or OperationCanceledException or JsonException) { } // no answer
        }
        throw new HubAway();
    }

    public async Task Insist(Func<Task> work) // again and again for an hour, while the hub is away
    {
        for (var n = 0; n < 66; n++)
        {
            try { await work(); return; }
            catch (HubAway) { await Task.Delay(TimeSpan.FromSeconds(n < 6 ? 1 << n : 60)); }
        }
    }

    public Task Release(JsonNode login) => Later(() =>
        Ask("/release", new { room = login["room"], session = login["session"], epoch = login["epoch"] }));

    public Task End(string token) => Later(async () => // whose login it is, the hub knows
    {
        var login = await Ask("/check", new { token });
        if ((bool)login["active"]!) await Release(login);
    });

    Task Later(Func<Task> work) => Task.WhenAny(Task.Delay(2000), Insist(work));
}

public class SingleSession(Hub hub) : CookieAuthenticationEvents
{
    public static JsonNode? Of(HttpContext context) => context.Items["sse_trio"] as JsonNode; // 4: active, room, ticket

    public override async Task ValidatePrincipal(CookieValidatePrincipalContext context) // 2
    {
        if (context.Request.Path == "/logout") return;
        var token = context.Properties.Items.GetValueOrDefault("sse_trio");
        var login = token is null ? null : await hub.Ask("/check", new { token, renew = true });
        var user = context.Principal!.FindFirstValue(ClaimTypes.NameIdentifier);
        if (login is not null && (bool)login["active"]! && (string?)login["room"] == user) context.HttpContext.Items["sse_trio"] = login;
        else context.RejectPrincipal(); // the cookie stays: it may be a newer login's when the answer arrives
    }

    public override async Task SigningIn(CookieSigningInContext context) // 3
    {
        var (before, name) = (Of(context.HttpContext), Guid.NewGuid().ToString());
        var room = context.Principal!.FindFirstValue(ClaimTypes.NameIdentifier);
        var isSame = before is not null && (string?)before["room"] == room;
        JsonNode login;
        try { login = await hub.Ask("/notify", new { room, sender = name, id = name, end = isSame ? [(string)before!["session"]!] : Array.Empty<string>() }, 6); }
        catch { _ = hub.Insist(() => hub.Ask("/release", new { room, session = name })); throw; } // it may have had its effect
        if (before is not null && !isSame) await hub.Release(before); // another user was logged in
        try { if (!(bool)(await hub.Ask("/check", new { token = login["token"] }))["active"]!) throw new Overtaken(); } // by a second click
        catch (HubAway) { } // it stands as far as is known
        context.Properties.Items["sse_trio"] = (string)login["token"]!; // the cookie is encrypted, and HttpOnly
    }

    public override async Task SigningOut(CookieSigningOutContext context) // 5
    {
        var cookie = await context.HttpContext.AuthenticateAsync(context.Scheme.Name);
        if (cookie.Properties?.Items.GetValueOrDefault("sse_trio") is string token) await hub.End(token);
    }
}
