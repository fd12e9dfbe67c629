import {logIn, orAway, to} from "../../sse_trio.js";

const USERS = new Map([["ada", "analytical engine"], ["grace", "first compiler"]]); // your table of users
const FORM = `<!doctype html><form method="post"><input name="username"><input name="password" type="password"><button>Log in</button></form>`;
const form = (status) => new Response(FORM, {status, headers: {"Content-Type": "text/html"}});

export const GET = () => form(200);

export async function POST(request) {
  const sent = await request.formData(), user = sent.get("username");
  if (!USERS.has(user) || USERS.get(user) !== sent.get("password")) return form(401);
  return logIn(user).then(() => to("/")).catch(orAway); // 3
}
