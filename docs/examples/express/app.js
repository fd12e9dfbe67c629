// An Express application with a login. Lines with a number are about single sessions: README.md.
import express from "express";
import session from "express-session";
import {hubAway, loginOf, singleSession} from "./single-session.cjs"; // 1

const app = express().use(express.urlencoded({extended: false}));
const cookie = {httpOnly: true, sameSite: "lax", secure: process.env.PLAIN_HTTP !== "1"};
app.use(session({secret: process.env.SECRET_KEY, resave: false, saveUninitialized: false, cookie}));
app.use(singleSession()); // 1
app.use((request, response, next) => { // 2
  if (request.session.user !== loginOf(request).user) delete request.session.user; // 2
  next(); // 2
}); // 2

const USERS = new Map([["ada", "analytical engine"], ["grace", "first compiler"]]); // your table of users
const FORM = `<!doctype html><form method="post"><input name="username"><input name="password" type="password"><button>Log in</button></form>`;
const page = (user, login) => `<!doctype html>${login.guard()}<h1>Hello ${user}</h1>
<form method="post" action="/logout" onsubmit="document.querySelector('session-guard').remove()"><button>Log out</button></form>`; // 4, 5

app.get("/", (request, response) => {
  const {user} = request.session;
  user ? response.send(page(user, loginOf(request))) : response.redirect("/login"); // 4
});
app.get("/login", (request, response) => response.send(FORM));
app.post("/login", async (request, response, next) => {
  const {username, password} = request.body ?? {};
  if (!USERS.has(username) || USERS.get(username) !== password) return response.status(401).send(FORM);
  if (!await loginOf(request).logIn(username)) return response.redirect("/"); // 3
  request.session.regenerate((error) => {
    if (error) return next(error);
    request.session.user = username;
    response.redirect("/");
  });
});
app.post("/logout", async (request, response, next) => {
  await loginOf(request).logOut(); // 5
  request.session.destroy((error) => error ? next(error) : response.redirect("/login"));
});
app.use(hubAway); // 6
app.listen(process.env.PORT ?? 5000, "127.0.0.1");
