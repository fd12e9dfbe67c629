package com.example.demo; // 1: what asks the hub

import static java.util.concurrent.TimeUnit.*;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.*;
import java.net.URI;
import java.net.http.*;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse.BodyHandlers;
import java.time.Duration;
import java.util.*;
import java.util.concurrent.*;
import java.util.concurrent.locks.LockSupport;

class Hub {
  static class Away extends RuntimeException {}
  private final HttpClient client = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build(); // follows no redirects
  private final ObjectMapper json = new ObjectMapper();
  private final ScheduledExecutorService later = Executors.newScheduledThreadPool(4);

  JsonNode ask(String path, Map<String, ?> question, int seconds) { // the same question, until it is answered or the time is up
    var asked = HttpRequest.newBuilder(URI.create(System.getenv("SSE_TRIO_URL") + path))
        .headers("Content-Type", "application/json", "Authorization", "Bearer " + System.getenv("SSE_TRIO_KEY"))
        .POST(BodyPublishers.ofString(json.valueToTree(question).toString()));
    for (long until = System.nanoTime() + SECONDS.toNanos(seconds), left; (left = until - System.nanoTime()) > 0; LockSupport.parkNanos(100_000_000)) {
      try {
        var answer = client.sendAsync(asked.timeout(Duration.ofNanos(left)).build(), BodyHandlers.ofString()).orTimeout(left, NANOSECONDS).join();
        if (answer.statusCode() == 200) return json.readTree(answer.body());
        if (answer.statusCode() < 500 && answer.statusCode() != 408 && answer.statusCode() != 429) throw new IllegalStateException("the hub answers " + path + " with " + answer.statusCode());
      } catch (CompletionException | JsonProcessingException noAnswer) { /* ask again */ }
    }
    throw new Away();
  }

  private void insist(int n, Runnable work) { // again and again for an hour, while the hub is away
    try { work.run(); } catch (Away away) { if (n < 66) later.schedule(() -> insist(n + 1, work), n < 6 ? 1 << n : 60, SECONDS); }
  }

  String logIn(String room, List<?> end) {
    var session = UUID.randomUUID().toString();
    try { return ask("/notify", Map.of("room", room, "sender", session, "id", session, "end", end), 6).path("token").asText(); }
    catch (RuntimeException failed) { later.execute(() -> insist(0, () -> ask("/release", Map.of("room", room, "session", session), 2))); throw failed; }
  }

  void logOut(String token) {
    insist(0, () -> { // whose login it is, the hub knows
      var login = ask("/check", Map.of("token", token), 2);
      if (login.path("active").asBoolean())
        ask("/release", Map.of("room", login.path("room"), "session", login.path("session"), "epoch", login.path("epoch")), 2);
    });
  }

  boolean stands(String token) {
    try { return ask("/check", Map.of("token", token), 2).path("active").asBoolean(); } catch (Away away) { return true; }
  }
}
