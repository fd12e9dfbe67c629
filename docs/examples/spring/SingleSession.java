package com.example.demo; // A number is a step of README.md.

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import jakarta.servlet.*;
import jakarta.servlet.http.*;
import java.io.IOException;
import java.util.*;
import org.springframework.http.ResponseCookie;
import org.springframework.security.core.Authentication;
import org.springframework.security.core.context.SecurityContextHolder;
import org.springframework.security.web.authentication.*;
import org.springframework.security.web.authentication.logout.LogoutHandler;
import org.springframework.web.filter.OncePerRequestFilter;
import org.springframework.web.util.WebUtils;

class SingleSession extends OncePerRequestFilter implements AuthenticationSuccessHandler, LogoutHandler {
  private static final boolean HTTPS = !"1".equals(System.getenv("PLAIN_HTTP"));
  private static final String COOKIE = HTTPS ? "__Host-sse_trio" : "sse_trio";
  private final AuthenticationSuccessHandler next = new SavedRequestAwareAuthenticationSuccessHandler(); // yours, if you have one
  private final Hub hub = new Hub();

  private static String token(HttpServletRequest request) {
    return Optional.ofNullable(WebUtils.getCookie(request, COOKIE)).map(Cookie::getValue).orElse(null);
  }

  private static void setToken(HttpServletResponse response, String token, int seconds) {
    response.addHeader("Set-Cookie", ResponseCookie.from(COOKIE, token).path("/").maxAge(seconds).httpOnly(true).sameSite("Lax").secure(HTTPS).build().toString());
  }

  @Override protected boolean shouldNotFilter(HttpServletRequest request) { return request.getServletPath().equals("/logout"); } // 5

  @Override protected void doFilterInternal(HttpServletRequest request, HttpServletResponse response, FilterChain chain) throws IOException, ServletException {
    try { // 2
      var login = token(request) == null ? JsonNodeFactory.instance.objectNode() : hub.ask("/check", Map.of("token", token(request), "renew", true), 2);
      request.setAttribute("login", login);
      request.setAttribute("ticket", login.path("ticket").asText()); // 4
      var user = SecurityContextHolder.getContext().getAuthentication();
      if (user != null && !(login.path("active").asBoolean() && login.path("room").asText().equals(user.getName())))
        SecurityContextHolder.setContext(SecurityContextHolder.createEmptyContext()); // in this request, nobody is logged in
      chain.doFilter(request, response);
    } catch (Hub.Away away) { response.setHeader("Retry-After", "1"); response.setStatus(503); } // 6
  }

  @Override public void onAuthenticationSuccess(HttpServletRequest request, HttpServletResponse response, Authentication user) throws IOException, ServletException {
    var before = (JsonNode) request.getAttribute("login"); // 3
    boolean isActive = before.path("active").asBoolean(), isSame = isActive && before.path("room").asText().equals(user.getName());
    var token = hub.logIn(user.getName(), isSame ? List.of(before.get("session")) : List.of());
    if (isActive && !isSame) hub.logOut(token(request)); // another user was logged in
    if (hub.stands(token)) setToken(response, token, -1); // if not, a second click has ended it
    next.onAuthenticationSuccess(request, response, user);
  }

  @Override public void logout(HttpServletRequest request, HttpServletResponse response, Authentication user) { // 5
    setToken(response, "", 0);
    if (token(request) != null) hub.logOut(token(request));
  }
}
